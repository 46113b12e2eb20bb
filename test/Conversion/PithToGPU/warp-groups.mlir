// RUN: pith-opt %s -pith-build-gpu-launchers=target=cuda:sm_90a | FileCheck %s
// RUN: pith-opt %S/Inputs/linear.mlir -convert-pith-to-gpu=target=cuda:sm_90a | FileCheck %S/Inputs/linear.mlir --check-prefix=GROUPS
// RUN: pith-opt %S/Inputs/linear.mlir -convert-pith-to-gpu=target=cuda:sm_80,sm_90a | FileCheck %S/Inputs/linear.mlir --check-prefix=GROUPS
// RUN: pith-opt %S/Inputs/linear.mlir -convert-pith-to-gpu=target=cuda:sm_80 | FileCheck %S/Inputs/linear.mlir --check-prefix=PLAIN
// RUN: pith-opt %s -pith-build-gpu-launchers=target=cuda:sm_80,sm_90a | FileCheck %s --check-prefix=BOTH

// From 17 rows on they are packed, with the norm, into the memory behind the result; up to 128 go through tiles of as many.
// CHECK: func private @linear(%{{.*}}: !llvm.ptr, %{{.*}}: i32, %[[X:.*]]: !llvm.ptr, %[[W:.*]]: !llvm.ptr, %[[OUT:.*]]: !llvm.ptr, %[[PACKED:.*]]: !llvm.ptr, %[[SCALE:.*]]: !llvm.ptr, %[[RESIDUAL:.*]]: !llvm.ptr, %[[ROWS:.*]]: i64)
// CHECK: %[[SIXTEEN:.*]] = arith.constant 16 : i64
// CHECK: arith.cmpi sle, %[[ROWS]], %[[SIXTEEN]]
// CHECK: llvm.mlir.constant(2 : i32)
// CHECK: } else {
// CHECK: llvm.store %[[X]],
// CHECK: llvm.store %[[SCALE]],
// CHECK: llvm.store %[[PACKED]],
// CHECK: llvm.mlir.constant(3 : i32)
// CHECK: llvm.call
// CHECK: %[[TILE:.*]] = arith.constant 128 : i64
// CHECK: arith.cmpi sle, %[[ROWS]], %[[TILE]]
// CHECK: llvm.store %[[PACKED]],
// CHECK: llvm.store %[[W]],
// CHECK: llvm.store %[[OUT]],
// CHECK: llvm.store %[[RESIDUAL]],
// CHECK: llvm.mlir.constant(4 : i32)
// CHECK: } else {
// CHECK: llvm.mlir.constant(5 : i32)
// CHECK: gpu.func @linear_f16_64x64_rms3727C5AC_residual_f32_f32_r1(
// CHECK: gpu.func @linear_f16_64x64_rms3727C5AC_residual_f32_f32_r4(
// CHECK: gpu.func @linear_f16_64x64_rms3727C5AC_residual_f32_f32_r16_f16x1_s4(
// CHECK: gpu.func @pack_rows_64_rms3727C5AC_f32_f16x1(
// CHECK: gpu.func @linear_f16_64x64_residual_f16_f32_r128_f16x1_s6_wg(
// CHECK: gpu.func @linear_f16_64x64_residual_f16_f32_r256_f16x1_s4_wg(
func.func private @linear(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64) attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 64 : i64, k = 64 : i64, block = 0 : i64, norm = "rms", epsilon = 1.0e-05 : f32,
  activation = "none", residual, input = "f32", output = "f32", product = "f16", parts = 1 : i64, warp_groups}}

// Attention of many rows, too, where heads have 64 or 128 channels; in parts it goes through tiles.
// CHECK: gpu.func @attention_f16_2x64x64_h4_{{.*}}_wg_f16x1(
// CHECK: gpu.func @attention_f16_2x64x64_h4_{{.*}}_tile_f16x2(
func.func private @attention(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64) attributes {pith.kernel = {
  kind = "attention", cache = "read", element = "f16", kv_heads = 2 : i64, head_dim = 64 : i64, value_dim = 64 : i64,
  layer_offset = 0 : i64, heads = 4 : i64, scale = 0.25 : f32, softcap = 0.0 : f32, window = 0 : i64, bias = 0 : i64,
  input = "f32", output = "f32", product = "f16", parts = 1 : i64}}
func.func private @exact(!llvm.ptr, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64) attributes {pith.kernel = {
  kind = "attention", cache = "read", element = "f16", kv_heads = 2 : i64, head_dim = 64 : i64, value_dim = 64 : i64,
  layer_offset = 0 : i64, heads = 4 : i64, scale = 0.25 : f32, softcap = 0.0 : f32, window = 0 : i64, bias = 0 : i64,
  input = "f32", output = "f32", product = "f16", parts = 2 : i64}}

// In a file for chips without them too, the image in use decides: a flag of the context, PITH_EXEC_WARP_GROUPS.
// BOTH: func private @linear(
// BOTH: arith.constant 16 : i64
// BOTH: } else {
// BOTH: %[[FLAGS:.*]] = llvm.load %{{.*}} : !llvm.ptr -> i32
// BOTH: %[[BIT:.*]] = arith.constant 4 : i32
// BOTH: %[[HAS:.*]] = arith.andi %[[FLAGS]], %[[BIT]]
// BOTH: arith.cmpi ne, %[[HAS]]
// BOTH: scf.if
// BOTH: llvm.mlir.constant(3 : i32)
// BOTH: llvm.mlir.constant(4 : i32)
// BOTH: } else {
// BOTH: llvm.mlir.constant(5 : i32)
// BOTH: } else {
// BOTH: llvm.mlir.constant(6 : i32)
// BOTH: gpu.func @linear_f16_64x64_residual_f16_f32_r128_f16x1_s6_wg({{.*}}pith.warp_groups
// BOTH: gpu.func @linear_f16_64x64_residual_f16_f32_r256_f16x1_s4_wg({{.*}}pith.warp_groups
// BOTH: gpu.func @linear_f16_64x64_rms3727C5AC_residual_f32_f32_r128_f16x1_s
// BOTH: gpu.func @attention_f16_2x64x64_h4_{{.*}}_wg_f16x1({{.*}}pith.warp_groups
// BOTH: gpu.func @attention_f16_2x64x64_h4_{{.*}}_tile_f16x1(
