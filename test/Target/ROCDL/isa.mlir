// RUN: pith-opt %S/../Inputs/kernels.mlir -o /dev/null -pass-pipeline="builtin.module(pith-build-gpu-kernels{target=hip:gfx942},gpu.module(pith-emit-gpu{target=hip:gfx942}))" | FileCheck %s
// RUN: pith-opt %S/../Inputs/kernels.mlir -o /dev/null -pass-pipeline="builtin.module(pith-build-gpu-kernels{target=hip:gfx1100},gpu.module(pith-emit-gpu{target=hip:gfx1100}))" | FileCheck %s --check-prefix=RDNA

// CHECK-LABEL: linear_f16_8192x8192
// CHECK-COUNT-4: global_load_dwordx4
// CHECK: ds_swizzle_b32 {{.*}}swizzle(SWAP,16)
// CHECK: s_barrier

// CHECK-LABEL: linear_int4_8192x8192
// CHECK: v_and_or_b32

// CHECK-LABEL: attention_f16_8x128x128
// CHECK: v_add_f32_dpp {{.*}} quad_perm:[2,3,0,1]
// CHECK: v_exp_f32

// RDNA-LABEL: linear_f16_8192x8192
// RDNA-COUNT-4: global_load_b128
