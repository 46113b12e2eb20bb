// RUN: pith-opt %s -split-input-file -pith-raise-kv-cache -canonicalize -cse | FileCheck %s

// ALiBi: slopes times key positions, which differ from distances by a constant of the row.
// CHECK-LABEL: func.func @step
// CHECK: %[[S:.*]] = arith.constant dense<[5.000000e-01, 2.500000e-01]> : tensor<2xf32>
// CHECK: pith.cache_attention %{{.*}}, %{{.*}} alibi %[[S]] : tensor<2xf32> {heads = 2 : i64, scale = 5.000000e-01 : f32}
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}, %past: tensor<?x2x?x8xf32> {pith.name = "past"}) -> (tensor<?x?x16xf32> {pith.name = "logits"}, tensor<?x2x?x8xf32>)
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %c2 = arith.constant 2 : index
  %p = tensor.dim %past, %c2 : tensor<?x2x?x8xf32>
  %t = arith.addi %p, %s : index
  %k4 = pith.reshape %x dims(%b, %s) : tensor<?x?x16xf32> -> tensor<?x?x2x8xf32>
  %kh = pith.transpose %k4 [0, 2, 1, 3] : tensor<?x?x2x8xf32> -> tensor<?x2x?x8xf32>
  %present = tensor.concat dim(2) %past, %kh : (tensor<?x2x?x8xf32>, tensor<?x2x?x8xf32>) -> tensor<?x2x?x8xf32>
  %kt = pith.transpose %present [0, 2, 1, 3] : tensor<?x2x?x8xf32> -> tensor<?x?x2x8xf32>
  %k = pith.reshape %kt dims(%b, %t) : tensor<?x?x2x8xf32> -> tensor<?x?x16xf32>
  %slopes = arith.constant dense<[[[[0.5]], [[0.25]]]]> : tensor<1x2x1x1xf32>
  %keys = pith.iota 3 dims(%t) : tensor<1x1x1x?xi64>
  %fkeys = arith.sitofp %keys : tensor<1x1x1x?xi64> to tensor<1x1x1x?xf32>
  %fk = pith.broadcast %fkeys dims(%s, %t) : tensor<1x1x1x?xf32> -> tensor<1x2x?x?xf32>
  %sl = pith.broadcast %slopes dims(%s, %t) : tensor<1x2x1x1xf32> -> tensor<1x2x?x?xf32>
  %bias = arith.mulf %fk, %sl : tensor<1x2x?x?xf32>
  %a = pith.attention %x, %k, %k mask %bias : tensor<1x2x?x?xf32>
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a, %present : tensor<?x?x16xf32>, tensor<?x2x?x8xf32>
}

// -----

// A norm of each head, with the heads folded into the sequence.
// CHECK-LABEL: func.func @step
// CHECK: %[[X:.*]] = pith.embedding
// CHECK: %[[H:.*]] = pith.reshape %[[X]] dims(%{{.*}}) : tensor<?x16xf32> -> tensor<?x2x8xf32>
// CHECK: %[[N:.*]] = pith.rms_norm %[[H]], %{{.*}} : tensor<?x2x8xf32>, tensor<8xf32>
// CHECK: %[[Q:.*]] = pith.reshape %[[N]] dims(%{{.*}}) : tensor<?x2x8xf32> -> tensor<?x16xf32>
// CHECK: pith.kv_append %{{.*}}, %[[Q]], %[[X]]
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %c2 = arith.constant 2 : index
  %s2 = arith.muli %s, %c2 : index
  %w = arith.constant dense<1.0> : tensor<8xf32>
  %h = pith.reshape %x dims(%b, %s2) : tensor<?x?x16xf32> -> tensor<?x?x8xf32>
  %n = pith.rms_norm %h, %w {epsilon = 1.0e-5 : f32} : tensor<?x?x8xf32>, tensor<8xf32>
  %q = pith.reshape %n dims(%b, %s) : tensor<?x?x8xf32> -> tensor<?x?x16xf32>
  %a = pith.attention %q, %q, %x
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// -----

// Keys kept unrotated, all of them rotated in each step: the cache gets the rotated ones. Tables: rows up to the length,
// of these the new ones for the query.
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%{{.*}}: tensor<?xi32> {{.*}}, %[[POS:.*]]: tensor<?xi32> {{.*}}, %{{.*}}: tensor<?xi32>
// CHECK: %[[X:.*]] = pith.embedding
// CHECK: %[[COS:.*]] = pith.gather %{{.*}}, %[[POS]] axis 0 : tensor<64x4xf32>, tensor<?xi32> -> tensor<?x4xf32>
// CHECK: %[[Q:.*]] = pith.rope %[[X]], %[[COS]], %[[COS]]
// CHECK: pith.kv_append %{{.*}}, %[[Q]], %[[X]]
// CHECK: pith.cache_attention %[[Q]]
pith.weight @table : tensor<64x4xf32> = dense<0.5> : tensor<64x4xf32>
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}, %past: tensor<?x2x?x8xf32> {pith.name = "past"}) -> (tensor<?x?x16xf32> {pith.name = "logits"}, tensor<?x2x?x8xf32>)
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %c2 = arith.constant 2 : index
  %p = tensor.dim %past, %c2 : tensor<?x2x?x8xf32>
  %t = arith.addi %p, %s : index
  %k4 = pith.reshape %x dims(%b, %s) : tensor<?x?x16xf32> -> tensor<?x?x2x8xf32>
  %kh = pith.transpose %k4 [0, 2, 1, 3] : tensor<?x?x2x8xf32> -> tensor<?x2x?x8xf32>
  %present = tensor.concat dim(2) %past, %kh : (tensor<?x2x?x8xf32>, tensor<?x2x?x8xf32>) -> tensor<?x2x?x8xf32>
  %kt = pith.transpose %present [0, 2, 1, 3] : tensor<?x2x?x8xf32> -> tensor<?x?x2x8xf32>
  %k = pith.reshape %kt dims(%b, %t) : tensor<?x?x2x8xf32> -> tensor<?x?x16xf32>
  %table = pith.load @table : tensor<64x4xf32>
  %all = tensor.extract_slice %table[0, 0] [%t, 4] [1, 1] : tensor<64x4xf32> to tensor<?x4xf32>
  %new = tensor.extract_slice %all[%p, 0] [%s, 4] [1, 1] : tensor<?x4xf32> to tensor<?x4xf32>
  %cos = pith.broadcast %new dims(%b, %s) : tensor<?x4xf32> -> tensor<?x?x4xf32>
  %cosk = pith.broadcast %all dims(%b, %t) : tensor<?x4xf32> -> tensor<?x?x4xf32>
  %q = pith.rope %x, %cos, %cos {head_dim = 8 : i64, rotary_dim = 8 : i64} : tensor<?x?x16xf32>, tensor<?x?x4xf32>
  %kr = pith.rope %k, %cosk, %cosk {head_dim = 8 : i64, rotary_dim = 8 : i64} : tensor<?x?x16xf32>, tensor<?x?x4xf32>
  %a = pith.attention %q, %kr, %k
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a, %present : tensor<?x?x16xf32>, tensor<?x2x?x8xf32>
}

// -----

// The window of a graph without a cache shows only beyond its length.
// CHECK-LABEL: func.func @step
// CHECK: pith.cache_attention {{.*}} window = 300 : i64
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %i = pith.iota 0 dims(%s, %s) : tensor<?x?xi64>
  %j = pith.iota 1 dims(%s, %s) : tensor<?x?xi64>
  %keep = arith.cmpi sle, %j, %i : tensor<?x?xi64>
  %m = pith.reshape %keep dims(%s, %s) : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %w = arith.constant dense<300> : tensor<i64>
  %ws = pith.broadcast %w dims(%s, %s) : tensor<i64> -> tensor<?x?xi64>
  %d = arith.subi %i, %j : tensor<?x?xi64>
  %near = arith.cmpi slt, %d, %ws : tensor<?x?xi64>
  %both = arith.andi %keep, %near : tensor<?x?xi1>
  %m2 = pith.reshape %both dims(%s, %s) : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %a = pith.attention %x, %x, %x mask %m2 : tensor<1x1x?x?xi1>
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// -----

// A mask that is cut out of a constant buffer says nothing beyond the buffer's end: the step has that many
// positions. Here the buffer is causal with a window of 3.
// CHECK-LABEL: func.func @step
// CHECK-SAME: pith.positions = 8 : i64
// CHECK: pith.cache_attention %{{.*}} {heads = 2 : i64, scale = 5.000000e-01 : f32, window = 3 : i64}
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.weight @buffer : tensor<8x8xi1> = dense<[
  [true, false, false, false, false, false, false, false], [true, true, false, false, false, false, false, false],
  [true, true, true, false, false, false, false, false], [false, true, true, true, false, false, false, false],
  [false, false, true, true, true, false, false, false], [false, false, false, true, true, true, false, false],
  [false, false, false, false, true, true, true, false], [false, false, false, false, false, true, true, true]]> : tensor<8x8xi1>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c1 = arith.constant 1 : index
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %m = pith.load @buffer : tensor<8x8xi1>
  %part = tensor.extract_slice %m[0, 0] [%s, %s] [1, 1] : tensor<8x8xi1> to tensor<?x?xi1>
  %mask = pith.reshape %part dims(%s, %s) : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %a = pith.attention %x, %x, %x mask %mask : tensor<1x1x?x?xi1>
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}
