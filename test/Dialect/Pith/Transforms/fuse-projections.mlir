// RUN: pith-opt %s -pith-fuse-projections -canonicalize -cse | FileCheck %s

pith.weight @q : tensor<16x16xf16> = dense<0.1> : tensor<16x16xf16>
pith.weight @k : tensor<8x16xf16> = dense<0.1> : tensor<8x16xf16>
pith.weight @v : tensor<8x16xf16> = dense<0.1> : tensor<8x16xf16>
pith.weight @v32 : tensor<8x16xf32> = dense<0.1> : tensor<8x16xf32>
pith.weight @bq : tensor<16xf32> = dense<0.1> : tensor<16xf32>
pith.weight @bk : tensor<8xf32> = dense<0.1> : tensor<8xf32>
pith.weight @bv : tensor<8xf32> = dense<0.1> : tensor<8xf32>
pith.weight @gate : tensor<16x32xf32> = dense<0.1> : tensor<16x32xf32>
pith.weight @up : tensor<16x32xf32> = dense<0.1> : tensor<16x32xf32>
pith.weight @down : tensor<16x32xf32> = dense<0.1> : tensor<16x32xf32>
pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>

// Whatever their order: queries, keys, values; gate, up.
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[X:[^ ]*]]: tensor<?x16xf32>
// CHECK: %[[R:.*]] = tensor.dim %[[X]], %c0
// CHECK: %[[QKV:.*]] = pith.linear %[[X]], [@q, @k, @v] bias [@bq, @bk, @bv] : tensor<?x16xf32> -> tensor<?x32xf32>
// CHECK-DAG: %[[Q:.*]] = tensor.extract_slice %[[QKV]][0, 0] [%[[R]], 16] [1, 1]
// CHECK-DAG: %[[K:.*]] = tensor.extract_slice %[[QKV]][0, 16] [%[[R]], 8] [1, 1]
// CHECK-DAG: %[[V:.*]] = tensor.extract_slice %[[QKV]][0, 24] [%[[R]], 8] [1, 1]
// CHECK: %[[KR:.*]] = pith.rope %[[K]]
// CHECK: %[[QR:.*]] = pith.rope %[[Q]]
// CHECK: pith.kv_append %{{.*}}, %[[KR]], %[[V]]
// CHECK: pith.cache_attention %[[QR]]
// CHECK: %[[GU:.*]] = pith.linear %{{.*}}, [@gate, @up] {k_major} : tensor<?x16xf32> -> tensor<?x64xf32>
// CHECK-DAG: %[[G:.*]] = tensor.extract_slice %[[GU]][0, 0] [%[[R]], 32] [1, 1]
// CHECK-DAG: %[[U:.*]] = tensor.extract_slice %[[GU]][0, 32] [%[[R]], 32] [1, 1]
// CHECK: pith.glu silu %[[G]], %[[U]]
func.func @step(%x: tensor<?x16xf32>, %cos: tensor<?x2xf32>, %sin: tensor<?x2xf32>) -> tensor<?x16xf32> {
  %k = pith.linear %x, [@k] bias [@bk] : tensor<?x16xf32> -> tensor<?x8xf32>
  %kr = pith.rope %k, %cos, %sin {head_dim = 4 : i64, rotary_dim = 4 : i64} : tensor<?x8xf32>, tensor<?x2xf32>
  %v = pith.linear %x, [@v] bias [@bv] : tensor<?x16xf32> -> tensor<?x8xf32>
  %q = pith.linear %x, [@q] bias [@bq] : tensor<?x16xf32> -> tensor<?x16xf32>
  %qr = pith.rope %q, %cos, %sin {head_dim = 4 : i64, rotary_dim = 4 : i64} : tensor<?x16xf32>, tensor<?x2xf32>
  %c = pith.cache @kv0 : <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>
  %c1 = pith.kv_append %c, %kr, %v : <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>, tensor<?x8xf32>, tensor<?x8xf32>
  %a = pith.cache_attention %qr, %c1 {heads = 4 : i64, scale = 0.5 : f32}
    : tensor<?x16xf32>, <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32> -> tensor<?x16xf32>
  %y = arith.addf %x, %a : tensor<?x16xf32>
  %u = pith.linear %y, [@up] {k_major} : tensor<?x16xf32> -> tensor<?x32xf32>
  %g = pith.linear %y, [@gate] {k_major} : tensor<?x16xf32> -> tensor<?x32xf32>
  %h = pith.glu silu %g, %u : tensor<?x32xf32>
  %d = pith.linear %h, [@down] : tensor<?x32xf32> -> tensor<?x16xf32>
  return %d : tensor<?x16xf32>
}

// Attention over tensors; weights of another format stay apart.
// CHECK-LABEL: func.func @main
// CHECK: pith.linear %{{.*}}, [@v32]
// CHECK: pith.linear %{{.*}}, [@q, @k] : tensor<?x?x16xf32> -> tensor<?x?x24xf32>
func.func @main(%x: tensor<?x?x16xf32>) -> tensor<?x?x16xf32> {
  %v = pith.linear %x, [@v32] : tensor<?x?x16xf32> -> tensor<?x?x8xf32>
  %k = pith.linear %x, [@k] : tensor<?x?x16xf32> -> tensor<?x?x8xf32>
  %q = pith.linear %x, [@q] : tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %a = pith.attention %q, %k, %v {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal}
    : tensor<?x?x16xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// Where the tokens' sizes are those of a view, the view's own sizes are taken: none of another layer's values.
// CHECK-LABEL: func.func @views
// CHECK-SAME: %[[N:[a-z0-9]*]]: index
// CHECK: pith.linear %{{.*}}, [@q, @k]
// CHECK: tensor.extract_slice %{{.*}}[0, 0] [%[[N]], 16] [1, 1]
func.func @views(%x: tensor<?x4x4xf32>, %n: index) -> tensor<?x16xf32> {
  %f = pith.reshape %x dims(%n) : tensor<?x4x4xf32> -> tensor<?x16xf32>
  %e = math.exp %f : tensor<?x16xf32>
  %q = pith.linear %e, [@q] : tensor<?x16xf32> -> tensor<?x16xf32>
  %k = pith.linear %e, [@k] : tensor<?x16xf32> -> tensor<?x8xf32>
  %c = pith.cache @kv0 : <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>
  %c1 = pith.kv_append %c, %k, %k : <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>, tensor<?x8xf32>, tensor<?x8xf32>
  %a = pith.cache_attention %q, %c1 {heads = 4 : i64, scale = 0.5 : f32} : tensor<?x16xf32>, <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32> -> tensor<?x16xf32>
  return %a : tensor<?x16xf32>
}
