// RUN: pith-opt %S/raise-kv-cache.mlir -split-input-file -pith-raise | FileCheck %s

// The whole phase leaves what is raised as it is, derives the step, fuses projections and forms blocks.

// CHECK: pith.state @kv0
// CHECK: func.func @step
// CHECK: pith.block 0(%{{.*}}) states(%{{.*}})
// CHECK: pith.rms_norm
// CHECK-NEXT: pith.linear %{{.*}}, [@q, @k, @v] : tensor<?x16xf32> -> tensor<?x32xf32>
// CHECK-COUNT-3: tensor.extract_slice
// CHECK: pith.kv_append
// CHECK: pith.cache_attention
// CHECK: pith.yield
// CHECK: pith.gather
// CHECK: // -----
// CHECK: func.func @step
// CHECK: pith.block 0(%{{.*}}) states(%{{.*}})
// CHECK: // -----
// CHECK: func.func @step
// CHECK: pith.block 0(%{{.*}}) states(%{{.*}})
// CHECK: math.tanh
