// RUN: pith-opt %s -pith-add-sampling | FileCheck %s
// RUN: pith-opt %s -pith-add-sampling -pith-build-gpu-launchers=target=cuda:sm_80 -pith-form-grid -pith-export-entries \
// RUN:   | FileCheck %s --check-prefix=EXPORT

// Beside a step there is an entry that draws from its logits.
// CHECK: func.func @step(
// CHECK: func.func private @draw(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64) attributes {pith.kernel = {kind = "draw", n = 50 : i64}}
// CHECK: func.func @sample_0(%[[LOGITS:.*]]: memref<?x50xf32>, %[[DRAWS:.*]]: memref<?x6xi32>, %[[DRAWN:.*]]: memref<?xi32>, %{{.*}}: memref<?xi8>) -> index
// CHECK-SAME: pith.entry = "sample"
// CHECK: %[[COUNT:.*]] = memref.dim %[[DRAWN]]
// CHECK: pith.launch @draw(%[[LOGITS]], %[[DRAWS]], %[[DRAWN]], %[[COUNT]]) outputs [2]
// CHECK-NOT: pith.entry = "sample"

// The runtime finds it in the table (kind 4); the manifest does not name it.
// EXPORT: pith.manifest = {entries = [
// EXPORT-NOT: name = "sample_0"
// EXPORT-SAME: kind = "step"
// EXPORT: func private @draw(%[[CTX:[a-z0-9]+]]: !llvm.ptr,
// EXPORT: llvm.getelementptr %[[CTX]][52]
// EXPORT: llvm.mlir.constant(0 : i32)
// EXPORT: } else {
// EXPORT: llvm.mlir.constant(1 : i32)
// EXPORT: gpu.func @argmax_50
// EXPORT: gpu.func @sample_50
// EXPORT: llvm.func @pith_sample_0_run(%[[SELF:[a-z0-9]+]]: !llvm.ptr
// EXPORT: llvm.getelementptr %[[SELF]][88]
// EXPORT: llvm.getelementptr %[[SELF]][48]
// EXPORT: llvm.getelementptr %[[SELF]][208]
// EXPORT: llvm.getelementptr %[[SELF]][216]
// EXPORT: @pith_entries()
// EXPORT: llvm.mlir.constant(4 : i32)
func.func @step(%tokens: memref<?xi32>, %positions: memref<?xi32>, %rows: memref<?xi32>, %logits: memref<?x50xf32>,
                %workspace: memref<?xi8>) -> index attributes {pith.entry = "step", pith.inputs = 3 : i64} {
  %c0 = arith.constant 0 : index
  return %c0 : index
}
// An application's own.
func.func @sample(%x: memref<?xf32>, %y: memref<?xf32>, %workspace: memref<?xi8>) -> (index, index)
    attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  return %c0, %n : index, index
}
