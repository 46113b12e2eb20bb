// RUN: pith-opt %s -pith-linalg-to-loops -pith-form-team | FileCheck %s

// All threads take the loop: its work is divided, what one thread alone writes is behind barriers, and allocations are
// calls that all make together.
// CHECK-LABEL: func private @main_run(
// CHECK-SAME: %[[CTX:.*]]: !llvm.ptr, %[[T:.*]]: i32
// CHECK: %[[COUNT:.*]] = memref.load
// CHECK: scf.for {{.*}} to %{{.*}} step
// CHECK:   %[[BYTES:.*]] = llvm.mul
// CHECK:   %[[ALLOCATE:.*]] = llvm.getelementptr %[[CTX]][128]
// CHECK:   llvm.call %{{.*}}(%[[CTX]], %[[T]], %{{.*}}) : !llvm.ptr, (!llvm.ptr, i32, i64) -> !llvm.ptr
// CHECK:   call @loop
// CHECK:   llvm.getelementptr %[[CTX]][8]
// CHECK:   llvm.call
// CHECK:   llvm.getelementptr %[[CTX]][136]
// CHECK: llvm.getelementptr %[[CTX]][144]
// CHECK: llvm.call %{{.*}}(%[[CTX]], %[[T]], %{{.*}}, %{{.*}}) : !llvm.ptr, (!llvm.ptr, i32, i32, !llvm.ptr) -> !llvm.ptr
// CHECK: call @loop
func.func @main(%x: memref<?xf32>, %k: memref<1xi64>, %y: memref<?xf32>, %w: memref<?xi8>) -> (index, index) attributes {pith.entry = "invoke", pith.inputs = 2 : i64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %size = arith.constant 64 : index
  %unknown = arith.constant -1 : index
  %a = memref.view %w[%c0][] {pith.place = array<i64: 0, 0, 64>} : memref<?xi8> to memref<16xf32>
  %i64 = memref.load %k[%c0] : memref<1xi64>
  %n = arith.index_cast %i64 : i64 to index
  scf.for %i = %c0 to %n step %c1 {
    %t = memref.alloc(%n) : memref<?xf32>
    linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} ins(%x : memref<?xf32>) outs(%t : memref<?xf32>) {
    ^bb0(%in: f32, %out: f32):
      %s = arith.addf %in, %in : f32
      linalg.yield %s : f32
    }
    %v = memref.load %t[%c0] : memref<?xf32>
    memref.store %v, %a[%c0] : memref<16xf32>
    memref.dealloc %t : memref<?xf32>
  }
  %o = pith.output_buffer 0 dims(%n) : memref<?xf32>
  linalg.generic {indexing_maps = [affine_map<(d0) -> (0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} ins(%a : memref<16xf32>) outs(%o : memref<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  return %size, %unknown : index, index
}
