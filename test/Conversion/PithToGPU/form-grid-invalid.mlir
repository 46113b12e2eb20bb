// RUN: pith-opt %s -split-input-file -verify-diagnostics -pith-form-grid

func.func @step(%x: memref<?xi32>, %y: memref<?xi32>, %w: memref<?xi8>) -> index attributes {pith.entry = "step", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @+1 {{decides on the host by a value that the device computes}}
  %count = memref.load %x[%c0] : memref<?xi32>
  %limit = arith.index_cast %count : i32 to index
  scf.parallel (%i) = (%c0) to (%limit) step (%c1) {
    %v = memref.load %x[%i] : memref<?xi32>
    memref.store %v, %y[%i] : memref<?xi32>
  }
  return %c0 : index
}

// -----

memref.global constant @table : memref<4xi32> = dense<[1, 2, 3, 4]>
func.func @main(%x: memref<?xi32>, %y: memref<?xi32>, %w: memref<?xi8>) -> index attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %table = memref.get_global @table : memref<4xi32>
  scf.parallel (%i) = (%c0) to (%c4) step (%c1) {
    // expected-error @+1 {{reads a buffer that is not in the device's memory}}
    %v = memref.load %table[%i] : memref<4xi32>
    memref.store %v, %y[%i] : memref<?xi32>
  }
  return %c0 : index
}

// -----

// expected-error @+1 {{is not in the form that pith-bufferize gives}}
func.func @main(%x: memref<?xi32>) attributes {pith.entry = "invoke"} {
  return
}
