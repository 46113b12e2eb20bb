// RUN: pith-opt %s -pith-build-gpu-kernels=target=cuda:sm_90a -o %t
// RUN: pith-opt %t -o /dev/null -pass-pipeline="builtin.module(gpu.module(pith-emit-gpu{target=cuda:sm_90a}))" | FileCheck %s
// RUN: not pith-opt %t -pass-pipeline="builtin.module(gpu.module(pith-split-gpu{target=cuda:sm_80}))" 2>&1 | FileCheck %s --check-prefix=OTHER
// RUN: not pith-opt %t -pass-pipeline="builtin.module(gpu.module(pith-split-gpu{target=hip:gfx942}))" 2>&1 | FileCheck %s --check-prefix=AMD

// OTHER: needs warp groups, which cuda:sm_80 has not
// AMD: needs warp groups, which hip:gfx942 has not

// CHECK-LABEL: .entry linear_f16_1024x512_f16_f16_r256_f16x1_s4_wg
// CHECK-DAG: cp.async.cg.shared.global
// CHECK-DAG: fence.proxy.async.shared::cta
// CHECK-DAG: wgmma.fence.sync.aligned
// CHECK-DAG: wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16
// CHECK-DAG: wgmma.commit_group.sync.aligned
// A group goes on while the next stage is waited for.
// CHECK-DAG: wgmma.wait_group.sync.aligned 1
func.func private @linear() attributes {pith.kernel = {
  kind = "linear", format = "f16", n = 1024, k = 512, block = 0, norm = "none", epsilon = 0.0 : f32,
  activation = "none", input = "f16", output = "f16", row_tile = 256, product = "f16", parts = 1, stages = 4,
  warp_groups}}
