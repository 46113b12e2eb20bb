// RUN: pith-opt %s -split-input-file -pith-form-blocks | FileCheck %s

// Self-attention, attention over the condition, MLP: one block, through which the condition's state passes.
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.weight @w0 : tensor<16x16xf32> = dense<0.1> : tensor<16x16xf32>
pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
pith.state @kv1 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
pith.state @cross0 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> {condition}
pith.state @cross1 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> {condition}

// CHECK-LABEL: func.func @step
// CHECK: %[[X:.*]] = pith.embedding
// CHECK: %[[Y:[^,]*]], %{{.*}} = pith.block 0(%[[X]]) states(
// CHECK-NEXT: ^bb0(%[[H:.*]]: tensor<?x16xf32>, %[[C:.*]]: !pith.kv<{{[^,]*}}, {{[^,]*}}, {{[^,]*}}, element = f32>, %[[O:.*]]: !pith.kv
// CHECK: %[[A:.*]] = pith.kv_append %[[C]]
// CHECK: pith.cache_attention %{{.*}}, %[[A]] {heads
// CHECK: pith.cache_attention %{{.*}}, %[[O]] {condition
// CHECK: pith.activation
// CHECK: pith.yield %{{.*}}, %[[A]], %[[O]]
// CHECK: pith.block 1(%[[Y]])
// CHECK: pith.cache_attention
// CHECK: pith.cache_attention
// CHECK: pith.yield
// CHECK-NOT: pith.block
func.func @step(%tokens: tensor<?xi32> {pith.name = "tokens"}, %positions: tensor<?xi32>, %out: tensor<?xi32>)
    -> tensor<?x64xf32> attributes {pith.entry = "step"} {
  %x = pith.embedding %tokens, @embed : tensor<?xi32> -> tensor<?x16xf32>
  %q0 = pith.linear %x, [@w0] : tensor<?x16xf32> -> tensor<?x16xf32>
  %k0 = pith.cache @kv0 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %k01 = pith.kv_append %k0, %q0, %q0 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>, tensor<?x16xf32>, tensor<?x16xf32>
  %a0 = pith.cache_attention %q0, %k01 {heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %y0 = arith.addf %x, %a0 : tensor<?x16xf32>
  %x0 = pith.cache @cross0 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %b0 = pith.cache_attention %y0, %x0 {condition, heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %o0 = arith.addf %y0, %b0 : tensor<?x16xf32>
  %m0 = pith.activation relu %o0 : tensor<?x16xf32>
  %z0 = arith.addf %o0, %m0 : tensor<?x16xf32>
  %q1 = pith.linear %z0, [@w0] : tensor<?x16xf32> -> tensor<?x16xf32>
  %k1 = pith.cache @kv1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %k11 = pith.kv_append %k1, %q1, %q1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>, tensor<?x16xf32>, tensor<?x16xf32>
  %a1 = pith.cache_attention %q1, %k11 {heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %y1 = arith.addf %z0, %a1 : tensor<?x16xf32>
  %x1 = pith.cache @cross1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %b1 = pith.cache_attention %y1, %x1 {condition, heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %o1 = arith.addf %y1, %b1 : tensor<?x16xf32>
  %m1 = pith.activation relu %o1 : tensor<?x16xf32>
  %z1 = arith.addf %o1, %m1 : tensor<?x16xf32>
  %g = pith.gather %z1, %out axis 0 : tensor<?x16xf32>, tensor<?xi32> -> tensor<?x16xf32>
  %l = pith.linear %g, [@embed] : tensor<?x16xf32> -> tensor<?x64xf32>
  return %l : tensor<?x64xf32>
}

// -----

// The same as exported: keys and values of the encoder's output are captured.
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.weight @w0 : tensor<16x16xf32> = dense<0.1> : tensor<16x16xf32>
// CHECK-LABEL: func.func @main
// CHECK: %[[K:.*]] = pith.linear %arg1
// CHECK: pith.block 0
// CHECK: pith.attention
// CHECK: pith.attention %{{.*}}, %[[K]], %[[K]]
// CHECK: pith.yield
// CHECK: pith.block 1
// CHECK: pith.attention
// CHECK: pith.attention
// CHECK: pith.yield
// CHECK-NOT: pith.block
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}, %source: tensor<?x?x16xf32>) -> tensor<?x?x64xf32>
    attributes {pith.entry = "invoke"} {
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %k = pith.linear %source, [@w0] : tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %a0 = pith.attention %x, %x, %x {causal, heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %y0 = arith.addf %x, %a0 : tensor<?x?x16xf32>
  %b0 = pith.attention %y0, %k, %k {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %o0 = arith.addf %y0, %b0 : tensor<?x?x16xf32>
  %m0 = pith.activation relu %o0 : tensor<?x?x16xf32>
  %z0 = arith.addf %o0, %m0 : tensor<?x?x16xf32>
  %a1 = pith.attention %z0, %z0, %z0 {causal, heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %y1 = arith.addf %z0, %a1 : tensor<?x?x16xf32>
  %b1 = pith.attention %y1, %k, %k {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %o1 = arith.addf %y1, %b1 : tensor<?x?x16xf32>
  %m1 = pith.activation relu %o1 : tensor<?x?x16xf32>
  %z1 = arith.addf %o1, %m1 : tensor<?x?x16xf32>
  %l = pith.linear %z1, [@embed] : tensor<?x?x16xf32> -> tensor<?x?x64xf32>
  return %l : tensor<?x?x64xf32>
}
