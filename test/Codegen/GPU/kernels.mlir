// RUN: pith-opt %s -pith-build-gpu-kernels=target=cuda:sm_80,sm_90a -o %t.cuda
// RUN: pith-opt %s -pith-build-gpu-kernels=target=hip:gfx90a,gfx942,gfx1100,gfx1201 -o %t.hip
// Up to the vendor split there is one IR.
// RUN: cmp %t.cuda %t.hip
// RUN: FileCheck %s < %t.cuda

// CHECK-DAG: #[[LINEAR:.+]] = affine_map<(d0) -> (512, d0, 1)>
// CHECK-DAG: #[[NORM:.+]] = affine_map<(d0, d1) -> (d0 * 8, 1, 1)>
// CHECK-DAG: #[[ATTENTION:.+]] = affine_map<(d0, d1, d2, d3) -> (d0 * 8, d3, 1)>
// CHECK: gpu.module @kernels
// CHECK: llvm.mlir.global external @pith_shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

// Two blocks of a large layer's panels share what is read of x; four 16-byte loads of weights come before the first use.
// CHECK-LABEL: gpu.func @linear_int4_16384x4096_b128_rms{{.*}}_f32_f16_r1(
// CHECK-SAME: !llvm.ptr<1> {llvm.readonly}, %{{.*}}: !llvm.ptr<1> {llvm.noalias, llvm.readonly}
// CHECK-SAME: i32) kernel
// CHECK-SAME: known_block_size = array<i32: 256, 1, 1>
// CHECK-SAME: pith.grid = #[[LINEAR]]
// CHECK-SAME: pith.shared_bytes = 1056 : i64
// CHECK: scf.for
// CHECK-COUNT-4: llvm.load %{{.*}} invariant {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK-NOT: invariant
// CHECK: llvm.intr.fma
// CHECK: gpu.shuffle xor
// CHECK: gpu.barrier
func.func private @linear() attributes {pith.kernel = {
  kind = "linear", format = "int4", n = 16384, k = 4096, block = 128, norm = "rms", epsilon = 1.0e-05 : f32,
  activation = "none", input = "f32", output = "f16", row_tile = 1}}

// The same specification: the same function.
func.func private @again() attributes {pith.kernel = {
  kind = "linear", format = "int4", n = 16384, k = 4096, block = 128, norm = "rms", epsilon = 1.0e-05 : f32,
  activation = "none", input = "f32", output = "f16", row_tile = 1}}

// CHECK-LABEL: gpu.func @norm_rms_32x128
// CHECK-SAME: pith.grid = #[[NORM]]
// CHECK-NOT: gpu.barrier
// CHECK-COUNT-5: gpu.shuffle xor
func.func private @norm() attributes {pith.kernel = {
  kind = "norm", norm = "rms", k = 128, heads = 32, epsilon = 1.0e-05 : f32, input = "f32", output = "f32"}}

// CHECK-LABEL: gpu.func @attention_f16_8x128x128_h32_
// CHECK-SAME: pith.grid = #[[ATTENTION]]
func.func private @attention() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 8, head_dim = 128, value_dim = 128, layer_offset = 0, heads = 32,
  scale = 0.088388 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32", output = "f32", split}}
// CHECK-LABEL: gpu.func @attention_merge_32x128_f32
func.func private @merge() attributes {pith.kernel = {
  kind = "attention_merge", element = "f16", kv_heads = 8, head_dim = 128, value_dim = 128, layer_offset = 0, heads = 32,
  scale = 0.088388 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32", output = "f32", split}}
