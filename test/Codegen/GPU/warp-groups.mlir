// RUN: pith-opt %s -pith-build-gpu-kernels=target=cuda:sm_90a -o %t
// RUN: pith-opt %t -o /dev/null -pass-pipeline="builtin.module(gpu.module(pith-emit-gpu{target=cuda:sm_90a}))" > %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: FileCheck %s --check-prefix=INT4 < %t.ptx
// RUN: FileCheck %s --check-prefix=EXACT < %t.ptx
// RUN: FileCheck %s --check-prefix=ROWS < %t.ptx
// RUN: FileCheck %s --check-prefix=ATTENTION < %t.ptx
// RUN: not pith-opt %t -pass-pipeline="builtin.module(gpu.module(pith-split-gpu{target=cuda:sm_80}))" 2>&1 | FileCheck %s --check-prefix=OTHER
// RUN: not pith-opt %t -pass-pipeline="builtin.module(gpu.module(pith-split-gpu{target=hip:gfx942}))" 2>&1 | FileCheck %s --check-prefix=AMD

// OTHER: needs warp groups, which cuda:sm_80 has not
// AMD: needs warp groups, which hip:gfx942 has not

// CHECK-LABEL: .entry linear_f16_1024x512_f16_f16_r256_f16x1_s4_wg
// CHECK: mbarrier.init.shared.b64
// CHECK: fence.mbarrier_init.release.cluster
// CHECK: bar.sync 0
// One warp fetches.
// CHECK: setmaxnreg.dec.sync.aligned.u32 40
// CHECK: mbarrier.try_wait.parity.shared
// CHECK: mbarrier.arrive.expect_tx.shared
// CHECK: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes
// The others multiply: weights from registers (the second list), rows by a descriptor.
// CHECK: setmaxnreg.inc.sync.aligned.u32 232
// CHECK: mbarrier.try_wait.parity.shared
// CHECK-COUNT-4: ldmatrix.sync.aligned.m8n8.x4.shared.b16
// CHECK: wgmma.fence.sync.aligned
// CHECK: wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {{[{][^}]*[}]}}, {%r{{[0-9]+}}, %r{{[0-9]+}}, %r{{[0-9]+}}, %r{{[0-9]+}}}, %rd{{[0-9]+}}, 1, 1, 1, 0;
// CHECK: wgmma.commit_group.sync.aligned
// A stage's products are under way while the next one's weights are loaded and multiplied.
// CHECK: ldmatrix.sync.aligned
// CHECK: wgmma.commit_group.sync.aligned
// CHECK: wgmma.wait_group.sync.aligned 1
// CHECK: mbarrier.arrive.shared
// CHECK: wgmma.wait_group.sync.aligned 0
// CHECK: bar.sync 1, 256
func.func private @linear() attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 1024, k = 512, block = 0, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f16", output = "f16", row_tile = 256, product = "f16", parts = 1, stages = 4,
  warp_groups}}

// Scales multiply pairs of weights; sums are not touched before the end.
// INT4-LABEL: .entry linear_int4_1024x512_b32_f16_f32_r256_f16x1_s6_wg
// INT4: setmaxnreg.inc
// INT4: mul{{(.rn)?}}.f16x2
// INT4: wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16
// INT4-NOT: fma.rn.f32
// INT4: wgmma.wait_group.sync.aligned 0
func.func private @int4() attributes {pith.kernel = {
  kind = "linear", format = "int4", n = 1024, k = 512, block = 32, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f16", output = "f32", row_tile = 256, product = "f16", parts = 1, stages = 6,
  warp_groups}}

// Exact: three parts of the rows, sums of a stage without what was there before (scale-d 0), scales in f32.
// EXACT-LABEL: .entry linear_int4_1024x512_b64_bf16_f32_r128_bf16x3_s3_wg
// EXACT: wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {{.*}}, 0, 1, 1, 0;
// EXACT-COUNT-11: wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {{.*}}, 1, 1, 1, 0;
// EXACT: wgmma.wait_group.sync.aligned 0
// EXACT: fma.rn.f32
func.func private @exact() attributes {pith.kernel = {
  kind = "linear", format = "int4", n = 1024, k = 512, block = 64, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "bf16", output = "f32", row_tile = 128, product = "bf16", parts = 3, stages = 3,
  warp_groups}}

// The rows for it, whose norm and rounding are done once.
// ROWS-LABEL: .entry pack_rows_512_rms3727C5AC_f32_bf16x3_octets
// ROWS: ld.global{{.*}}.v2
// ROWS: st.global.v4.b32
func.func private @rows() attributes {pith.kernel = {
  kind = "pack_rows", format = "int4", n = 1024, k = 512, block = 32, norm = "rms", epsilon = 1.0e-05 : f32,
  activation = "none", input = "f32", output = "f32", row_tile = 128, product = "bf16", parts = 3, warp_groups}}

// Attention: queries and weights from registers; values are neighbours in memory, so they are read transposed.
// ATTENTION-LABEL: .entry attention_f16_8x128x128
// ATTENTION: .minnctapersm 1
// ATTENTION: cp.async.cg.shared.global
// ATTENTION: fence.proxy.async.shared::cta
// ATTENTION: bar.sync 0
// ATTENTION: wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {{[{][^}]*[}]}}, {%r{{[0-9]+}}, %r{{[0-9]+}}, %r{{[0-9]+}}, %r{{[0-9]+}}}, %rd{{[0-9]+}}, 0, 1, 1, 0;
// ATTENTION-COUNT-7: wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {{.*}}, 1, 1, 1, 0;
// ATTENTION: wgmma.wait_group.sync.aligned 0
// ATTENTION: ex2.approx
// ATTENTION: fence.proxy.async.shared::cta
// ATTENTION-COUNT-4: wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {{.*}}, 1, 1, 1, 1;
func.func private @attention() attributes {pith.kernel = {
  kind = "attention", element = "f16", kv_heads = 8, head_dim = 128, value_dim = 128, layer_offset = 0, heads = 32,
  scale = 0.088 : f32, softcap = 0.0 : f32, window = 0, bias = 0, input = "f16", output = "f16", tile, product = "f16",
  parts = 1, warp_groups}}
