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

// What only the data says stays an allocation of the run; what an element of an input says has its place.
// CHECK-LABEL: func @main(
// CHECK: memref.view %{{.*}} : memref<?xi8> to memref<?xf32>
// CHECK: memref.view %{{.*}} : memref<?xi8> to memref<1xi64>
// CHECK: memref.alloc(%{{.*}}) : memref<?xf64>
func.func @main(%x: memref<?xi64>, %y: memref<4xf32>) attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %i = memref.load %x[%c0] : memref<?xi64>
  %n = arith.index_cast %i : i64 to index
  %a = memref.alloc(%n) : memref<?xf32>
  %t = memref.alloc() : memref<1xi64>
  "test.use"(%a, %y) : (memref<?xf32>, memref<4xf32>) -> ()
  "test.use"(%t) : (memref<1xi64>) -> ()
  %j = memref.load %t[%c0] : memref<1xi64>
  %m = arith.index_cast %j : i64 to index
  %b = memref.alloc(%m) : memref<?xf64>
  "test.use"(%b, %y) : (memref<?xf64>, memref<4xf32>) -> ()
  return
}

// -----

// What an iteration makes for the next has no place, as both are alive; what it makes for itself has, or is released.
// CHECK-LABEL: func @main(
// CHECK: scf.for
// CHECK-DAG: %[[NEXT:.*]] = memref.alloc() : memref<4xf32>
// CHECK-DAG: memref.view %{{.*}} : memref<?xi8> to memref<8xf32>
// CHECK-DAG: %[[OWN:.*]] = memref.alloc(%{{.*}}) : memref<?xf64>
// CHECK: memref.dealloc %[[OWN]]
// CHECK: scf.yield %[[NEXT]]
func.func @main(%x: memref<4xf32>, %y: memref<4xf32>) attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c9 = arith.constant 9 : index
  %last = scf.for %i = %c0 to %c9 step %c1 iter_args(%v = %x) -> memref<4xf32> {
    %next = memref.alloc() : memref<4xf32>
    %own = memref.alloc() : memref<8xf32>
    %sized = memref.alloc(%i) : memref<?xf64>
    "test.use"(%v, %next, %own, %sized) : (memref<4xf32>, memref<4xf32>, memref<8xf32>, memref<?xf64>) -> ()
    scf.yield %next : memref<4xf32>
  }
  memref.copy %last, %y : memref<4xf32> to memref<4xf32>
  return
}

// -----

// expected-error @+1 {{is not in the form that pith-bufferize gives}}
func.func @main(%x: memref<?xf32>, %y: memref<?xf32>) attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  return
}
