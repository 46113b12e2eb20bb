// RUN: pith-opt %s -pith-export-entries | FileCheck %s

// CHECK: module attributes {pith.manifest = {entries = [
// CHECK-SAME: inputs = [{dims = ["n", 4], name = "x", type = "f32"}], kind = "invoke", name = "main"
// CHECK-SAME: outputs = [{dims = ["output_0_dim_0"], name = "output_0", type = "bool"}]

// The run function takes buffers and weights from the context.
// CHECK: func private @main_run
// CHECK: %[[W:.*]] = llvm.load
// CHECK: %[[O:.*]] = llvm.mlir.constant(128 : i64)
// CHECK: llvm.getelementptr %[[W]][%[[O]]]
// CHECK: llvm.func @pith_main_run(%{{.*}}: !llvm.ptr, %{{.*}}: i32)
// CHECK: call @main_run
// CHECK: llvm.func @pith_main_prepare(%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr) -> i64
// CHECK: %[[R:.*]]:2 = func.call @main(
// CHECK: llvm.store
// CHECK: llvm.mlir.global external constant @pith_executable()
pith.weight @w : tensor<4xf32> = dense<1.0> : tensor<4xf32>
pith.packed @p [@w] {element = f32, kind = "plain"} at 128 size 16
func.func @main(%x: memref<?x4xf32> {pith.name = "x", pith.dims = ["n", 4]}, %y: memref<?xi1>, %w: memref<?xi8>) -> (index, index) attributes {pith.entry = "invoke", pith.inputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?x4xf32>
  return %c0, %n : index, index
}
func.func private @main_run(%ctx: !llvm.ptr, %thread: i32, %x: memref<?x4xf32>, %y: memref<?xi1>, %w: memref<?xi8>) {
  %a = pith.packed_address @p : memref<4xf32>
  %c0 = arith.constant 0 : index
  %v = memref.load %a[%c0] : memref<4xf32>
  return
}
