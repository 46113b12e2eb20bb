// RUN: pith-opt %s -pith-build-gpu-kernels=target=cuda:sm_80 -o %t.cuda
// RUN: pith-opt %s -pith-build-gpu-kernels=target=hip:gfx90a,gfx942,gfx1100,gfx1201 -o %t.hip
// One IR up to the vendor split, matrix units and copies included.
// RUN: cmp %t.cuda %t.hip
// RUN: FileCheck %s < %t.cuda
// It parses back.
// RUN: pith-opt %t.cuda | FileCheck %s
// RUN: pith-opt %t.cuda -o /dev/null -pass-pipeline="builtin.module(gpu.module(pith-emit-gpu{target=cuda:sm_80}))" | FileCheck %s --check-prefix=PTX
// RUN: pith-opt %t.cuda -o /dev/null -pass-pipeline="builtin.module(gpu.module(pith-emit-gpu{target=hip:gfx942}))" | FileCheck %s --check-prefix=MFMA
// RUN: pith-opt %t.cuda -o /dev/null -pass-pipeline="builtin.module(gpu.module(pith-emit-gpu{target=hip:gfx1100}))" | FileCheck %s --check-prefix=RDNA3
// RUN: pith-opt %t.cuda -o /dev/null -pass-pipeline="builtin.module(gpu.module(pith-emit-gpu{target=hip:gfx1201}))" | FileCheck %s --check-prefix=RDNA4

// Blocks of 64 rows by 128 features; the rows' blocks come first.
// CHECK: #[[GRID:.+]] = affine_map<(d0) -> (d0 ceildiv 64, 8, 1)>
// CHECK-LABEL: gpu.func @linear_int4_1024x512_b128_f16_f32_r64_f16x1_s3(
// CHECK-SAME: known_block_size = array<i32: 256, 1, 1>
// CHECK-SAME: pith.grid = #[[GRID]]
// A stage is on its way before the loop, and another while one is multiplied.
// CHECK: tile.copy
// CHECK: tile.commit
// CHECK: scf.for
// CHECK: tile.arrive
// CHECK: tile.wait 1
// CHECK: gpu.barrier
// CHECK: tile.copy
// CHECK: tile.commit
// CHECK: tile.place own 0
// CHECK: tile.product {{.*}} : vector<8xf16>
// Sums over a block, times its scale.
// CHECK: llvm.intr.fma({{.*}}) {{.*}}vector<8xf32>
// CHECK: tile.wait 0

// PTX-LABEL: .entry linear_int4_1024x512
// PTX: cp.async.cg.shared.global
// PTX: cp.async.commit_group
// Weights come as single words, activations as 16 bytes.
// PTX-DAG: ld.shared.b32
// PTX-DAG: ld.shared.v4
// PTX-DAG: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
// PTX-DAG: cp.async.wait_group 1

// MFMA-LABEL: linear_int4_1024x512
// MFMA: global_load_dwordx4
// MFMA: ds_read_b128
// MFMA: v_mfma_f32_16x16x16_f16

// RDNA3-LABEL: linear_int4_1024x512
// RDNA3: v_permlanex16_b32
// RDNA3: v_wmma_f32_16x16x16_f16

// RDNA4-LABEL: linear_int4_1024x512
// RDNA4-NOT: v_permlanex16_b32
// RDNA4: v_wmma_f32_16x16x16_f16
func.func private @linear() attributes {pith.kernel = {
  kind = "linear", format = "int4", n = 1024, k = 512, block = 128, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f16", output = "f32", row_tile = 64, product = "f16", parts = 1, stages = 3}}

// Three parts of the activations by two of the weights, without what is too small: five products.
// CHECK-LABEL: gpu.func @linear_f16_64x128_f32_f32_r16_bf16x3_s2(
// CHECK-COUNT-5: tile.product {{.*}} : vector<8xbf16>
// CHECK-NOT: tile.product
// PTX-LABEL: .entry linear_f16_64x128
// PTX: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// MFMA-LABEL: linear_f16_64x128
// MFMA: v_mfma_f32_16x16x16_bf16
func.func private @exact() attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 64, k = 128, block = 0, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f32", output = "f32", row_tile = 16, product = "bf16", parts = 3, stages = 2}}

// Attention for many rows: a page's keys from shared memory by 16 bytes, its values' columns transposed on the way.
// CHECK-LABEL: gpu.func @attention_f16_8x128x128_h32_{{.*}}_tile_f16x1(
// CHECK-SAME: pith.grid = #[[ROWS:.+]], pith
// CHECK: scf.while
// CHECK: scf.for
// CHECK: tile.product
// CHECK: tile.reduce max
// CHECK: tile.columns
// CHECK: tile.chain
// CHECK: tile.reduce add
// PTX-LABEL: .entry attention_f16_8x128x128
// PTX-DAG: ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16
// PTX-DAG: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
// PTX-DAG: cp.async.cg.shared.global
// MFMA-LABEL: attention_f16_8x128x128
// MFMA: ds_bpermute_b32
// MFMA: v_mfma_f32_16x16x16_f16
func.func private @attention() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 8, head_dim = 128, value_dim = 128, layer_offset = 0, heads = 32,
  scale = 0.088 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f16", output = "f16", tile, product = "f16",
  parts = 1}}

// Over tensors of f32, exactly: three parts of keys in shared memory, the six products of parts that count.
// CHECK-LABEL: gpu.func @attention_f32_2x32x32_h2_{{.*}}_tensors_causal_mask_f32_f32_tile_bf16x3(
// CHECK: scf.for
// CHECK-COUNT-6: tile.product {{.*}} : vector<8xbf16>
// CHECK: tile.chain
// PTX-LABEL: .entry attention_f32_2x32x32
// PTX: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// MFMA-LABEL: attention_f32_2x32x32
// MFMA: v_mfma_f32_16x16x16_bf16
func.func private @tensors() attributes {pith.kernel = {
  kind = "attention", tensors, causal, mask = "add", element = "f32", kv_heads = 2, head_dim = 32, value_dim = 32,
  layer_offset = 0, heads = 2, scale = 0.25 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f32",
  output = "f32", tile, product = "bf16", parts = 3}}

// CHECK-LABEL: gpu.func @sample_32000(
// CHECK: scf.for
func.func private @sample() attributes {pith.kernel = {kind = "sample", n = 32000}}
