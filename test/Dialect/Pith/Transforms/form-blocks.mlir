// RUN: pith-opt %s -split-input-file -pith-form-blocks | FileCheck %s

pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.weight @n0 : tensor<16xf32> = dense<1.0> : tensor<16xf32>
pith.weight @w0 : tensor<16x16xf32> = dense<0.1> : tensor<16x16xf32>
pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
pith.state @kv1 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>

// Norms in front, attention and MLP one after the other; the rotary table is shared.
// CHECK-LABEL: func.func @step
// CHECK: %[[X:.*]] = pith.embedding
// CHECK: %[[COS:.*]] = math.cos
// CHECK: %[[C0:.*]] = pith.cache @kv0
// CHECK: %[[Y:[^,]*]], %{{.*}} = pith.block 0(%[[X]]) states(%[[C0]])
// CHECK-NEXT: ^bb0(%[[H:.*]]: tensor<?x16xf32>, %[[C:.*]]: !pith.kv
// CHECK: pith.load @n0
// CHECK: pith.rms_norm %[[H]]
// CHECK: pith.rope %{{.*}}, %[[COS]], %[[COS]]
// CHECK: %[[A:.*]] = pith.kv_append %[[C]]
// CHECK: pith.cache_attention
// CHECK: arith.addf %[[H]]
// CHECK: pith.activation
// CHECK: %[[Z:.*]] = arith.addf
// CHECK: pith.yield %[[Z]], %[[A]]
// CHECK: pith.cache @kv1
// CHECK: %[[Y1:[^,]*]], %{{.*}} = pith.block 1(%[[Y]])
// CHECK: pith.cache_attention
// CHECK: pith.activation
// CHECK: pith.yield
// CHECK: pith.gather %[[Y1]]
// CHECK: pith.rms_norm
// CHECK-NOT: pith.block
func.func @step(%tokens: tensor<?xi32> {pith.name = "tokens"}, %positions: tensor<?xi32>, %out: tensor<?xi32>) -> tensor<?x64xf32> attributes {pith.entry = "step"} {
  %x = pith.embedding %tokens, @embed : tensor<?xi32> -> tensor<?x16xf32>
  %f = arith.sitofp %positions : tensor<?xi32> to tensor<?xf32>
  %c0 = arith.constant 0 : index
  %r = tensor.dim %tokens, %c0 : tensor<?xi32>
  %f1 = pith.reshape %f dims(%r) : tensor<?xf32> -> tensor<?x1xf32>
  %f4 = pith.broadcast %f1 dims(%r) : tensor<?x1xf32> -> tensor<?x4xf32>
  %cos = math.cos %f4 : tensor<?x4xf32>
  %n0 = pith.load @n0 : tensor<16xf32>
  %x1 = pith.rms_norm %x, %n0 {epsilon = 1.0e-5 : f32} : tensor<?x16xf32>, tensor<16xf32>
  %q0 = pith.linear %x1, [@w0] : tensor<?x16xf32> -> tensor<?x16xf32>
  %qr0 = pith.rope %q0, %cos, %cos {head_dim = 8 : i64, rotary_dim = 8 : i64} : tensor<?x16xf32>, tensor<?x4xf32>
  %k0 = pith.cache @kv0 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %k01 = pith.kv_append %k0, %qr0, %q0 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>, tensor<?x16xf32>, tensor<?x16xf32>
  %a0 = pith.cache_attention %qr0, %k01 {heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %y0 = arith.addf %x, %a0 : tensor<?x16xf32>
  %m0 = pith.activation gelu %y0 : tensor<?x16xf32>
  %z0 = arith.addf %y0, %m0 : tensor<?x16xf32>
  %n1 = pith.load @n0 : tensor<16xf32>
  %z1 = pith.rms_norm %z0, %n1 {epsilon = 1.0e-5 : f32} : tensor<?x16xf32>, tensor<16xf32>
  %q1 = pith.linear %z1, [@w0] : tensor<?x16xf32> -> tensor<?x16xf32>
  %qr1 = pith.rope %q1, %cos, %cos {head_dim = 8 : i64, rotary_dim = 8 : i64} : tensor<?x16xf32>, tensor<?x4xf32>
  %k1 = pith.cache @kv1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %k11 = pith.kv_append %k1, %qr1, %q1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>, tensor<?x16xf32>, tensor<?x16xf32>
  %a1 = pith.cache_attention %qr1, %k11 {heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %y1 = arith.addf %z0, %a1 : tensor<?x16xf32>
  %m1 = pith.activation gelu %y1 : tensor<?x16xf32>
  %z2 = arith.addf %y1, %m1 : tensor<?x16xf32>
  %g = pith.gather %z2, %out axis 0 : tensor<?x16xf32>, tensor<?xi32> -> tensor<?x16xf32>
  %n2 = pith.load @n0 : tensor<16xf32>
  %gn = pith.rms_norm %g, %n2 {epsilon = 1.0e-5 : f32} : tensor<?x16xf32>, tensor<16xf32>
  %l = pith.linear %gn, [@embed] : tensor<?x16xf32> -> tensor<?x64xf32>
  return %l : tensor<?x64xf32>
}

// -----

pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
pith.state @kv1 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>

// Attention and MLP side by side.
// CHECK-LABEL: func.func @step
// CHECK: %[[Y:[^,]*]], %{{.*}} = pith.block 0(
// CHECK: pith.layer_norm
// CHECK: pith.cache_attention
// CHECK: pith.activation
// CHECK: arith.addf
// CHECK: arith.addf
// CHECK: pith.yield
// CHECK: pith.block 1(%[[Y]])
// CHECK: pith.layer_norm
// CHECK: pith.cache_attention
// CHECK: pith.yield
// CHECK: pith.gather
func.func @step(%tokens: tensor<?xi32> {pith.name = "tokens"}, %positions: tensor<?xi32>, %out: tensor<?xi32>) -> tensor<?x64xf32> attributes {pith.entry = "step"} {
  %x = pith.embedding %tokens, @embed : tensor<?xi32> -> tensor<?x16xf32>
  %x1 = pith.layer_norm %x {epsilon = 1.0e-5 : f32} : tensor<?x16xf32>
  %k0 = pith.cache @kv0 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %k01 = pith.kv_append %k0, %x1, %x1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>, tensor<?x16xf32>, tensor<?x16xf32>
  %a0 = pith.cache_attention %x1, %k01 {heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %m0 = pith.activation gelu %x1 : tensor<?x16xf32>
  %s0 = arith.addf %a0, %m0 : tensor<?x16xf32>
  %z0 = arith.addf %s0, %x : tensor<?x16xf32>
  %z1 = pith.layer_norm %z0 {epsilon = 1.0e-5 : f32} : tensor<?x16xf32>
  %k1 = pith.cache @kv1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>
  %k11 = pith.kv_append %k1, %z1, %z1 : <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>, tensor<?x16xf32>, tensor<?x16xf32>
  %a1 = pith.cache_attention %z1, %k11 {heads = 2 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> -> tensor<?x16xf32>
  %m1 = pith.activation gelu %z1 : tensor<?x16xf32>
  %s1 = arith.addf %a1, %m1 : tensor<?x16xf32>
  %z2 = arith.addf %s1, %z0 : tensor<?x16xf32>
  %g = pith.gather %z2, %out axis 0 : tensor<?x16xf32>, tensor<?xi32> -> tensor<?x16xf32>
  %l = pith.linear %g, [@embed] : tensor<?x16xf32> -> tensor<?x64xf32>
  return %l : tensor<?x64xf32>
}

// -----

pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>

// No state, norms behind: the norm's result is the stream.
// CHECK-LABEL: func.func @main
// CHECK: %[[E:.*]] = pith.layer_norm
// CHECK: %[[Y:.*]] = pith.block 0(%[[E]]) : (tensor<?x?x16xf32>) -> tensor<?x?x16xf32>
// CHECK: pith.attention
// CHECK: arith.addf
// CHECK: pith.layer_norm
// CHECK: pith.activation
// CHECK: %[[N:.*]] = pith.layer_norm
// CHECK: pith.yield %[[N]]
// CHECK: %[[Y1:.*]] = pith.block 1(%[[Y]])
// CHECK: pith.attention
// CHECK: %[[N1:.*]] = pith.layer_norm
// CHECK: %[[N2:.*]] = pith.layer_norm
// CHECK: pith.yield %[[N2]]
// CHECK: return %[[Y1]]
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> tensor<?x?x16xf32> attributes {pith.entry = "invoke"} {
  %e = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %x = pith.layer_norm %e {epsilon = 1.0e-5 : f32} : tensor<?x?x16xf32>
  %a0 = pith.attention %x, %x, %x {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %s0 = arith.addf %x, %a0 : tensor<?x?x16xf32>
  %y0 = pith.layer_norm %s0 {epsilon = 1.0e-5 : f32} : tensor<?x?x16xf32>
  %m0 = pith.activation gelu %y0 : tensor<?x?x16xf32>
  %t0 = arith.addf %y0, %m0 : tensor<?x?x16xf32>
  %z0 = pith.layer_norm %t0 {epsilon = 1.0e-5 : f32} : tensor<?x?x16xf32>
  %a1 = pith.attention %z0, %z0, %z0 {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %s1 = arith.addf %z0, %a1 : tensor<?x?x16xf32>
  %y1 = pith.layer_norm %s1 {epsilon = 1.0e-5 : f32} : tensor<?x?x16xf32>
  %m1 = pith.activation gelu %y1 : tensor<?x?x16xf32>
  %t1 = arith.addf %y1, %m1 : tensor<?x?x16xf32>
  %z1 = pith.layer_norm %t1 {epsilon = 1.0e-5 : f32} : tensor<?x?x16xf32>
  return %z1 : tensor<?x?x16xf32>
}
