// RUN: pith-opt %s -allow-unregistered-dialect -pith-plan-buffers -canonicalize -split-input-file -verify-diagnostics | FileCheck %s

// %a and %c are never alive together and share a place. All are multiples of the number of rows; the workspace's size is
// returned first.
// CHECK-LABEL: func @main(
// CHECK-SAME: %[[X:.*]]: memref<?xf32>, %[[Y:.*]]: memref<?xf32>, %[[W:.*]]: memref<?xi8>) -> (index, index)
// CHECK-NOT: memref.alloc
// CHECK: %[[A:.*]] = memref.view %[[W]][%[[AT:.*]]][%[[N:.*]]] {pith.place = array<i64: 0, [[B:.*]], [[E:.*]]>} : memref<?xi8> to memref<?x512xf32>
// CHECK: memref.view %[[W]][%{{.*}}][%[[N]]] {pith.place = array<i64: 0, 2048, 4096>}
// CHECK: memref.view %[[W]][%[[AT]]][%[[N]]] {pith.place = array<i64: 0, [[B]], [[E]]>}
func.func @main(%x: memref<?xf32>, %y: memref<?xf32>) -> index attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  %a = memref.alloc(%n) : memref<?x512xf32>
  %b = memref.alloc(%n) : memref<?x512xf32>
  %c = memref.alloc(%n) : memref<?x512xf32>
  "test.use"(%x, %a) : (memref<?xf32>, memref<?x512xf32>) -> ()
  "test.use"(%a, %b) : (memref<?x512xf32>, memref<?x512xf32>) -> ()
  "test.use"(%b, %c) : (memref<?x512xf32>, memref<?x512xf32>) -> ()
  "test.use"(%c, %y) : (memref<?x512xf32>, memref<?xf32>) -> ()
  return %n : index
}

// -----

// An input's element may be a size. One that is negative or too large makes the workspace's size -1.
// CHECK-LABEL: func @main(
// CHECK-SAME: %[[X:.*]]: memref<2xi64>,
// CHECK: %[[E:.*]] = memref.load %[[X]][%c1]
// CHECK: %[[N:.*]] = arith.index_cast %[[E]] : i64 to index
// CHECK: arith.cmpi sge, %[[N]], %c0
// CHECK: arith.cmpf olt
// CHECK: %[[SIZE:.*]] = arith.select %{{.*}}, %{{.*}}, %c-1
// CHECK: return %[[SIZE]]
func.func @main(%x: memref<2xi64>, %y: memref<4xf32>) attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c1 = arith.constant 1 : index
  %i = memref.load %x[%c1] : memref<2xi64>
  %n = arith.index_cast %i : i64 to index
  %a = memref.alloc(%n) : memref<?xf32>
  "test.use"(%a, %y) : (memref<?xf32>, memref<4xf32>) -> ()
  return
}

// -----

// What the entry itself computes cannot be planned with.
func.func @main(%x: memref<?xi64>, %y: memref<4xi64>) attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  // expected-note @+1 {{the data is read here, by 'memref.load'}}
  %i = memref.load %y[%c0] : memref<4xi64>
  %n = arith.index_cast %i : i64 to index
  // expected-error @+1 {{size depends on data, which is not supported}}
  %a = memref.alloc(%n) : memref<?xf32>
  "test.use"(%a, %x) : (memref<?xf32>, memref<?xi64>) -> ()
  return
}

// -----

// expected-error @+1 {{is not in the form that pith-bufferize gives}}
func.func @main(%x: memref<?xf32>, %y: memref<?xf32>) attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  return
}
