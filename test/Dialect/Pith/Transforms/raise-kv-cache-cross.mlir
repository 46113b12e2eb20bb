// RUN: pith-opt %s -split-input-file -pith-raise-kv-cache -canonicalize -cse | FileCheck %s

// A decoder that takes an encoder's output: its keys and values become states of the condition, which an entry of its own
// fills. The mask for them, and the bias by distance of self-attention, are gone from the step.

// CHECK-LABEL: func.func @main
// CHECK-DAG: pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32>{{$}}
// CHECK-DAG: pith.state @cross0 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f32> {condition}
// CHECK-LABEL: func.func @step
// The table ends where the buckets do: the last of three distances holds for all beyond.
// CHECK-DAG: %[[BIAS:.*]] = arith.constant dense<{{\[\[}}0.000000e+00, 1.000000e+00, 3.000000e+00], [0.000000e+00, 2.000000e+00, 6.000000e+00]]> : tensor<2x3xf32>
// CHECK-DAG: %[[X:.*]] = pith.embedding %{{.*}}, @embed
// CHECK-DAG: %[[C:.*]] = pith.cache @kv0
// CHECK-DAG: %[[C1:.*]] = pith.kv_append %[[C]]
// CHECK: %[[S:.*]] = pith.cache_attention %{{.*}}, %[[C1]] bias %[[BIAS]] : tensor<2x3xf32> {heads = 2 : i64, scale = 1.000000e+00 : f32}
// CHECK: %[[Y:.*]] = arith.addf %[[X]], %[[S]]
// CHECK-DAG: %[[Q:.*]] = pith.linear %[[Y]], [@q]
// CHECK-DAG: %[[CROSS:.*]] = pith.cache @cross0
// CHECK: pith.cache_attention %[[Q]], %[[CROSS]] {condition, heads = 2 : i64, scale = 5.000000e-01 : f32}
// CHECK-NOT: @cross0
// CHECK-LABEL: func.func @condition
// CHECK-SAME: (%[[ROWS:.*]]: tensor<?x12xf32> {pith.dims = ["rows", 12], pith.name = "encoder_hidden_states"},
// CHECK-SAME: tensor<?xi32> {pith.dims = ["rows"], pith.name = "positions"})
// CHECK-SAME: pith.entry = "condition"
// CHECK-DAG: %[[K:.*]] = pith.linear %[[ROWS]], [@k] : tensor<?x12xf32> -> tensor<?x16xf32>
// CHECK-DAG: %[[V:.*]] = pith.linear %[[ROWS]], [@v] : tensor<?x12xf32> -> tensor<?x16xf32>
// CHECK-DAG: %[[STATE:.*]] = pith.cache @cross0
// CHECK: pith.kv_append %[[STATE]], %[[K]], %[[V]]
// CHECK-NEXT: return
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.weight @distances : tensor<3x2xf32> = dense<[[1.0, 1.0], [2.0, 3.0], [4.0, 7.0]]> : tensor<3x2xf32>
pith.weight @q : tensor<16x16xf32> = dense<0.1> : tensor<16x16xf32>
pith.weight @k : tensor<16x12xf32> = dense<0.1> : tensor<16x12xf32>
pith.weight @v : tensor<16x12xf32> = dense<0.1> : tensor<16x12xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids", pith.dims = ["batch", "tokens"]},
                %kept: tensor<?x?xi64> {pith.name = "encoder_attention_mask", pith.dims = ["batch", "source"]},
                %source: tensor<?x?x12xf32> {pith.name = "encoder_hidden_states", pith.dims = ["batch", "source", 12]})
    -> (tensor<?x?x64xf32> {pith.name = "logits"}) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %n = tensor.dim %source, %c1 : tensor<?x?x12xf32>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  // table[min(max(query - key, 0), 2)], and -inf where the key comes later
  %i = pith.iota 0 dims(%s, %s) : tensor<?x?xi64>
  %j = pith.iota 1 dims(%s, %s) : tensor<?x?xi64>
  %d = arith.subi %i, %j : tensor<?x?xi64>
  %zero = arith.constant dense<0> : tensor<i64>
  %two = arith.constant dense<2> : tensor<i64>
  %zeros = pith.broadcast %zero dims(%s, %s) : tensor<i64> -> tensor<?x?xi64>
  %twos = pith.broadcast %two dims(%s, %s) : tensor<i64> -> tensor<?x?xi64>
  %d0 = arith.maxsi %d, %zeros : tensor<?x?xi64>
  %bucket = arith.minsi %d0, %twos : tensor<?x?xi64>
  %by = pith.embedding %bucket, @distances : tensor<?x?xi64> -> tensor<?x?x2xf32>
  %bias = pith.transpose %by [2, 0, 1] : tensor<?x?x2xf32> -> tensor<2x?x?xf32>
  %later = arith.cmpi sgt, %j, %i : tensor<?x?xi64>
  %fzero = arith.constant dense<0.0> : tensor<f32>
  %low = arith.constant dense<-3.0e38> : tensor<f32>
  %fzeros = pith.broadcast %fzero dims(%s, %s) : tensor<f32> -> tensor<?x?xf32>
  %lows = pith.broadcast %low dims(%s, %s) : tensor<f32> -> tensor<?x?xf32>
  %hide = arith.select %later, %lows, %fzeros : tensor<?x?xi1>, tensor<?x?xf32>
  %hides = pith.broadcast %hide dims(%s, %s) : tensor<?x?xf32> -> tensor<2x?x?xf32>
  %sum = arith.addf %bias, %hides : tensor<2x?x?xf32>
  %mask = pith.reshape %sum dims(%s, %s) : tensor<2x?x?xf32> -> tensor<1x2x?x?xf32>
  %self = pith.attention %x, %x, %x mask %mask : tensor<1x2x?x?xf32> {heads = 2 : i64, kv_heads = 2 : i64, scale = 1.0 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %y = arith.addf %x, %self : tensor<?x?x16xf32>
  %q = pith.linear %y, [@q] : tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %k = pith.linear %source, [@k] : tensor<?x?x12xf32> -> tensor<?x?x16xf32>
  %v = pith.linear %source, [@v] : tensor<?x?x12xf32> -> tensor<?x?x16xf32>
  %f = arith.sitofp %kept : tensor<?x?xi64> to tensor<?x?xf32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %ones = pith.broadcast %one dims(%b, %n) : tensor<f32> -> tensor<?x?xf32>
  %padding = arith.subf %ones, %f : tensor<?x?xf32>
  %lows2 = pith.broadcast %low dims(%b, %n) : tensor<f32> -> tensor<?x?xf32>
  %hidden = arith.mulf %padding, %lows2 : tensor<?x?xf32>
  %cm = pith.reshape %hidden dims(%b, %n) : tensor<?x?xf32> -> tensor<?x1x1x?xf32>
  %cross = pith.attention %q, %k, %v mask %cm : tensor<?x1x1x?xf32> {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %z = arith.addf %y, %cross : tensor<?x?x16xf32>
  %l = pith.linear %z, [@embed] : tensor<?x?x16xf32> -> tensor<?x?x64xf32>
  return %l : tensor<?x?x64xf32>
}
