// RUN: pith-opt %S/../Inputs/kernels.mlir -o /dev/null -pass-pipeline="builtin.module(pith-build-gpu-kernels{target=cuda:sm_80},gpu.module(pith-emit-gpu{target=cuda:sm_80}))" | FileCheck %s

// CHECK: .version 7.8
// CHECK: .target sm_80
// CHECK: .extern .shared .align 1024 .b8 pith_shared[]

// Weights come 16 bytes at a time past the coherent cache, several before the first is used.
// CHECK-LABEL: .entry linear_f16_8192x8192
// CHECK: .maxntid 256
// CHECK-COUNT-4: ld.global.nc.v4.b32
// CHECK: fma.rn.f32
// CHECK: shfl.sync.bfly.b32
// CHECK: bar.sync
// CHECK-NOT: .local

// Two codes of 4 bits become two halves by an `and` and an `or`.
// CHECK-LABEL: .entry linear_int4_8192x8192
// CHECK-COUNT-4: ld.global.nc.v4.b32
// CHECK: and.b32 {{.*}}, 983055;
// CHECK: or.b32 {{.*}}, 1677747200;

// CHECK-LABEL: .entry attention_f16_8x128x128
// CHECK: ld.global.v4.b32
// CHECK: shfl.sync.bfly.b32
// CHECK: ex2.approx.f32
