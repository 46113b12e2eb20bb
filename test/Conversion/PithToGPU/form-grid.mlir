// RUN: pith-opt %s -pith-form-grid -o %t
// RUN: FileCheck %s < %t
// RUN: FileCheck %s --check-prefix=KERNEL < %t

// The sizes stay in @main; the work is @main_run's, which one host thread runs.
// CHECK-LABEL: func @main(
// CHECK-NEXT: %[[C:.*]] = arith.constant 64
// CHECK-NEXT: return %[[C]]
// CHECK: func private @main_run(%[[CTX:[a-z0-9]+]]: !llvm.ptr, %[[T:.*]]: i32, %[[X:.*]]: memref<?xf32>, %{{.*}}: memref<?xf32>,

// Equal loops are one kernel, started in order without a barrier.
// CHECK: call @[[LOOP:loop.*]](%[[CTX]], %[[T]],
// CHECK-NEXT: call @[[LOOP]](%[[CTX]], %[[T]],
// What is not a loop is one of one iteration.
// CHECK: call @[[STORE:loop.*]](%[[CTX]], %[[T]],
// A value that the host needs is read through the context.
// CHECK: %[[READ:.*]] = llvm.getelementptr %[[CTX]][192]
// CHECK: llvm.call %{{.*}}(%[[CTX]], %{{.*}}, %{{.*}}, %{{.*}}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64) -> ()
// CHECK: %[[V:.*]] = llvm.load %{{.*}} : !llvm.ptr -> i64
// CHECK: arith.index_cast %[[V]]

// The host's side: pointers, sizes and numbers as the kernel takes them, and a block for every 256 iterations.
// CHECK: func private @[[LOOP]](%[[HC:.*]]: !llvm.ptr, %{{.*}}: i32,
// CHECK: memref.extract_aligned_pointer_as_index
// CHECK: arith.ceildivsi %{{.*}}, %{{.*}} : i64
// CHECK: %[[NUMBER:.*]] = llvm.mlir.constant(0 : i32)
// CHECK: llvm.getelementptr %[[HC]][184]
// CHECK: llvm.call %{{.*}}(%[[HC]], %[[NUMBER]],

// The kernel: an iteration a thread, no memrefs, no index type.
// KERNEL: gpu.module @kernels
// KERNEL: gpu.func @loop_0(%{{.*}}: i64, %[[FROM:.*]]: !llvm.ptr<1>, %{{.*}}: i64, %[[TO:.*]]: !llvm.ptr<1>, %{{.*}}: i64) kernel
// KERNEL-SAME: known_block_size = array<i32: 256, 1, 1>
// KERNEL: gpu.block_id x
// KERNEL: gpu.thread_id x
// KERNEL: arith.cmpi slt, %{{.*}}, %{{.*}} : i64
// KERNEL: llvm.load %{{.*}} {alignment = 4 : i64} : !llvm.ptr<1> -> f32
// KERNEL: llvm.store %{{.*}} {alignment = 4 : i64} : f32, !llvm.ptr<1>
// Less than a byte takes one in memory.
// KERNEL: gpu.func @loop_1
// KERNEL: arith.extui %{{.*}} : i1 to i8
// KERNEL: llvm.store %{{.*}} : i8, !llvm.ptr<1>
func.func @main(%x: memref<?xf32>, %y: memref<?xf32>, %w: memref<?xi8>) -> index attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4096 = arith.constant 4096 : index
  %size = arith.constant 64 : index
  %true = arith.constant true
  %n = memref.dim %x, %c0 : memref<?xf32>
  %a = memref.view %w[%c0][%n] : memref<?xi8> to memref<?xf32>
  %b = memref.view %w[%c4096][%n] : memref<?xi8> to memref<?xf32>
  %counts = memref.view %w[%c4096][] : memref<?xi8> to memref<4xi64>
  %flags = memref.view %w[%c0][] : memref<?xi8> to memref<4xi1>
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %v = memref.load %x[%i] : memref<?xf32>
    memref.store %v, %a[%i] : memref<?xf32>
  }
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %v = memref.load %a[%i] : memref<?xf32>
    memref.store %v, %b[%i] : memref<?xf32>
  }
  memref.store %true, %flags[%c1] : memref<4xi1>
  %count = memref.load %counts[%c1] : memref<4xi64>
  %limit = arith.index_cast %count : i64 to index
  scf.parallel (%i) = (%c0) to (%limit) step (%c1) {
    %v = memref.load %a[%i] : memref<?xf32>
    memref.store %v, %y[%i] : memref<?xf32>
  }
  return %size : index
}
