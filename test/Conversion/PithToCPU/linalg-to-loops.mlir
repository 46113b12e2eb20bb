// RUN: pith-opt %s -pith-linalg-to-loops -canonicalize | FileCheck %s

// The sum is kept in a register, and the innermost loop is marked for LLVM.
// CHECK-LABEL: func @sum
// CHECK: scf.parallel
// CHECK: %[[S:.*]] = memref.load
// CHECK: %[[R:.*]] = scf.for {{.*}} iter_args(%{{.*}} = %[[S]]) -> (f32)
// CHECK: loop_annotation
// CHECK: memref.store %[[R]]
func.func @sum(%x: memref<?x?xf32>, %y: memref<?xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x?xf32>) outs(%y : memref<?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    linalg.yield %c : f32
  }
  return
}

// A copy is a loop.
// CHECK-LABEL: func @copy
// CHECK: scf.parallel (%[[I:.*]]) =
// CHECK: scf.for %[[J:.*]] =
// CHECK: memref.load %{{.*}}[%[[I]], %[[J]]]
// CHECK: memref.store
func.func @copy(%x: memref<?x8xf32>, %y: memref<?x8xf32>) {
  memref.copy %x, %y : memref<?x8xf32> to memref<?x8xf32>
  return
}
