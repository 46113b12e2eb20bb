// RUN: pith-opt %s -pith-form-team | FileCheck %s

// The sizes stay in @main; the work is @main_run's, on every thread.
// CHECK-LABEL: func @main(
// CHECK-NEXT: %[[C:.*]] = arith.constant 64
// CHECK-NEXT: return %[[C]]
// CHECK: func private @main_run(%[[CTX:.*]]: !llvm.ptr, %[[T:.*]]: i32, %{{.*}}: memref<?xf32>, %{{.*}}: memref<?xf32>,

// Loops that write different places need no barrier between them, and equal loops are one function.
// CHECK: call @[[LOOP:loop.*]](%[[CTX]], %[[T]],
// CHECK-NOT: llvm.call
// CHECK: call @[[LOOP]](%[[CTX]], %[[T]],
// The third reads what they wrote.
// CHECK: llvm.call
// CHECK: call @loop
// What is not a loop is left to thread 0, behind a barrier, as its place is still read.
// CHECK: llvm.call
// CHECK: scf.if
// CHECK: memref.store
// CHECK: func private @[[LOOP]](%{{.*}}) attributes {passthrough = ["noinline"]}
func.func @main(%x: memref<?xf32>, %y: memref<?xf32>, %w: memref<?xi8>) -> index attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4096 = arith.constant 4096 : index
  %size = arith.constant 64 : index
  %f = arith.constant 0.0 : f32
  %n = memref.dim %x, %c0 : memref<?xf32>
  %a = memref.view %w[%c0][%n] {pith.place = array<i64: 0, 0, 4>} : memref<?xi8> to memref<?xf32>
  %b = memref.view %w[%c4096][%n] {pith.place = array<i64: 0, 4, 8>} : memref<?xi8> to memref<?xf32>
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %v = memref.load %x[%i] : memref<?xf32>
    memref.store %v, %a[%i] : memref<?xf32>
  }
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %v = memref.load %x[%i] : memref<?xf32>
    memref.store %v, %b[%i] : memref<?xf32>
  }
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %v = memref.load %a[%i] : memref<?xf32>
    %u = memref.load %b[%i] : memref<?xf32>
    %s = arith.addf %u, %v : f32
    memref.store %s, %y[%i] : memref<?xf32>
  }
  memref.store %f, %a[%c0] : memref<?xf32>
  return %size : index
}
