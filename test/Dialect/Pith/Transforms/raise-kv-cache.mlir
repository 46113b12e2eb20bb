// RUN: pith-opt %s -split-input-file -pith-raise-kv-cache -canonicalize -cse | FileCheck %s

// Past and present tensors with a concat: mask and positions are inputs.

pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.weight @norm : tensor<16xf32> = dense<1.0> : tensor<16xf32>
pith.weight @q : tensor<16x16xf32> = dense<0.1> : tensor<16x16xf32>
pith.weight @k : tensor<8x16xf32> = dense<0.1> : tensor<8x16xf32>
pith.weight @v : tensor<8x16xf32> = dense<0.1> : tensor<8x16xf32>
pith.weight @o : tensor<16x16xf32> = dense<0.1> : tensor<16x16xf32>
pith.weight @freq : tensor<1x2x1xf32> = dense<[[[1.0], [0.01]]]> : tensor<1x2x1xf32>

// CHECK-LABEL: func.func @main
// CHECK: pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[TOKENS:.*]]: tensor<?xi32> {pith.dims = ["rows"], pith.name = "tokens"},
// CHECK-SAME: %[[POS:.*]]: tensor<?xi32> {pith.dims = ["rows"], pith.name = "positions"},
// CHECK-SAME: %[[OUT:.*]]: tensor<?xi32> {pith.dims = ["out_rows"], pith.name = "out_rows"})
// CHECK-SAME: -> (tensor<?x64xf32> {pith.dims = ["out_rows", 64], pith.name = "logits"})
// CHECK-SAME: pith.entry = "step"
// CHECK-DAG: %[[X:.*]] = pith.embedding %[[TOKENS]], @embed : tensor<?xi32> -> tensor<?x16xf32>
// CHECK-DAG: %[[FPOS:.*]] = arith.sitofp %[[POS]] : tensor<?xi32> to tensor<?xf32>
// CHECK-DAG: %[[ANGLE:.*]] = arith.mulf %{{.*}}, %{{.*}} : tensor<?x2xf32>
// CHECK-DAG: %[[COS:.*]] = math.cos %[[ANGLE]] : tensor<?x2xf32>
// CHECK-DAG: %[[SIN:.*]] = math.sin %[[ANGLE]] : tensor<?x2xf32>
// CHECK-DAG: %[[N:.*]] = pith.rms_norm %[[X]]
// CHECK-DAG: %[[Q:.*]] = pith.linear %[[N]], [@q] : tensor<?x16xf32> -> tensor<?x16xf32>
// CHECK-DAG: %[[K:.*]] = pith.linear %[[N]], [@k] : tensor<?x16xf32> -> tensor<?x8xf32>
// CHECK-DAG: %[[V:.*]] = pith.linear %[[N]], [@v] : tensor<?x16xf32> -> tensor<?x8xf32>
// CHECK-DAG: %[[QR:.*]] = pith.rope %[[Q]], %[[COS]], %[[SIN]]
// CHECK-DAG: %[[KR:.*]] = pith.rope %[[K]], %[[COS]], %[[SIN]]
// CHECK-DAG: %[[C0:.*]] = pith.cache @kv0
// CHECK-DAG: %[[C1:.*]] = pith.kv_append %[[C0]], %[[KR]], %[[V]]
// CHECK: %[[A:.*]] = pith.cache_attention %[[QR]], %[[C1]] {heads = 4 : i64, scale = 5.000000e-01 : f32}
// CHECK: %[[O:.*]] = pith.linear %[[A]], [@o]
// CHECK: %[[Y:.*]] = arith.addf %[[X]], %[[O]] : tensor<?x16xf32>
// CHECK: %[[G:.*]] = pith.gather %[[Y]], %[[OUT]] axis 0
// CHECK: %[[GN:.*]] = pith.rms_norm %[[G]]
// CHECK: %[[L:.*]] = pith.linear %[[GN]], [@embed] : tensor<?x16xf32> -> tensor<?x64xf32>
// CHECK: return %[[L]]
func.func @main(
    %ids: tensor<?x?xi64> {pith.name = "input_ids", pith.dims = ["batch", "sequence"]},
    %mask: tensor<?x?xi64> {pith.name = "attention_mask", pith.dims = ["batch", "total"]},
    %pos: tensor<?x?xi64> {pith.name = "position_ids", pith.dims = ["batch", "sequence"]},
    %past_k: tensor<?x2x?x4xf32> {pith.name = "past_key_values.0.key", pith.dims = ["batch", 2, "past", 4]},
    %past_v: tensor<?x2x?x4xf32> {pith.name = "past_key_values.0.value", pith.dims = ["batch", 2, "past", 4]})
    -> (tensor<?x?x64xf32> {pith.name = "logits"}, tensor<?x2x?x4xf32> {pith.name = "present.0.key"},
        tensor<?x2x?x4xf32> {pith.name = "present.0.value"}) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %p = tensor.dim %past_k, %c2 : tensor<?x2x?x4xf32>
  %t = arith.addi %p, %s : index
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  // cos, sin: outer product of frequencies and positions
  %freq0 = pith.load @freq : tensor<1x2x1xf32>
  %freq = pith.broadcast %freq0 dims(%b) : tensor<1x2x1xf32> -> tensor<?x2x1xf32>
  %pos3 = pith.reshape %pos dims(%b, %s) : tensor<?x?xi64> -> tensor<?x1x?xi64>
  %fpos = arith.sitofp %pos3 : tensor<?x1x?xi64> to tensor<?x1x?xf32>
  %angles = pith.matmul %freq, %fpos : tensor<?x2x1xf32>, tensor<?x1x?xf32> -> tensor<?x2x?xf32>
  %angle = pith.transpose %angles [0, 2, 1] : tensor<?x2x?xf32> -> tensor<?x?x2xf32>
  %cos = math.cos %angle : tensor<?x?x2xf32>
  %sin = math.sin %angle : tensor<?x?x2xf32>
  // mask: key <= past + query, and not padded
  %keys = pith.iota 0 dims(%t) : tensor<?xi64>
  %queries = pith.iota 0 dims(%s) : tensor<?xi64>
  %p64 = arith.index_cast %p : index to i64
  %ps = tensor.splat %p64[%s] : tensor<?xi64>
  %queries_p = arith.addi %queries, %ps : tensor<?xi64>
  %queries1 = pith.reshape %queries_p dims(%s) : tensor<?xi64> -> tensor<?x1xi64>
  %kk = pith.broadcast %keys dims(%s, %t) : tensor<?xi64> -> tensor<?x?xi64>
  %qq0 = pith.broadcast %queries1 dims(%s, %t) : tensor<?x1xi64> -> tensor<?x?xi64>
  %causal = arith.cmpi sle, %kk, %qq0 : tensor<?x?xi64>
  %causal4 = pith.broadcast %causal dims(%b, %s, %t) : tensor<?x?xi1> -> tensor<?x1x?x?xi1>
  %zero = arith.constant dense<0> : tensor<i64>
  %zeros = pith.broadcast %zero dims(%b, %t) : tensor<i64> -> tensor<?x?xi64>
  %keep = arith.cmpi ne, %mask, %zeros : tensor<?x?xi64>
  %keep1 = pith.reshape %keep dims(%b, %t) : tensor<?x?xi1> -> tensor<?x1x1x?xi1>
  %keep4 = pith.broadcast %keep1 dims(%b, %s, %t) : tensor<?x1x1x?xi1> -> tensor<?x1x?x?xi1>
  %m = arith.andi %causal4, %keep4 : tensor<?x1x?x?xi1>
  // the layer
  %w = pith.load @norm : tensor<16xf32>
  %n = pith.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x?x16xf32>, tensor<16xf32>
  %q = pith.linear %n, [@q] : tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %k = pith.linear %n, [@k] : tensor<?x?x16xf32> -> tensor<?x?x8xf32>
  %v = pith.linear %n, [@v] : tensor<?x?x16xf32> -> tensor<?x?x8xf32>
  %qr = pith.rope %q, %cos, %sin {head_dim = 4 : i64, rotary_dim = 4 : i64} : tensor<?x?x16xf32>, tensor<?x?x2xf32>
  %kr = pith.rope %k, %cos, %sin {head_dim = 4 : i64, rotary_dim = 4 : i64} : tensor<?x?x8xf32>, tensor<?x?x2xf32>
  %k4 = pith.reshape %kr dims(%b, %s) : tensor<?x?x8xf32> -> tensor<?x?x2x4xf32>
  %v4 = pith.reshape %v dims(%b, %s) : tensor<?x?x8xf32> -> tensor<?x?x2x4xf32>
  %kh = pith.transpose %k4 [0, 2, 1, 3] : tensor<?x?x2x4xf32> -> tensor<?x2x?x4xf32>
  %vh = pith.transpose %v4 [0, 2, 1, 3] : tensor<?x?x2x4xf32> -> tensor<?x2x?x4xf32>
  %present_k = tensor.concat dim(2) %past_k, %kh : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  %present_v = tensor.concat dim(2) %past_v, %vh : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  %kt = pith.transpose %present_k [0, 2, 1, 3] : tensor<?x2x?x4xf32> -> tensor<?x?x2x4xf32>
  %vt = pith.transpose %present_v [0, 2, 1, 3] : tensor<?x2x?x4xf32> -> tensor<?x?x2x4xf32>
  %k2 = pith.reshape %kt dims(%b, %t) : tensor<?x?x2x4xf32> -> tensor<?x?x8xf32>
  %v2 = pith.reshape %vt dims(%b, %t) : tensor<?x?x2x4xf32> -> tensor<?x?x8xf32>
  %a = pith.attention %qr, %k2, %v2 mask %m : tensor<?x1x?x?xi1> {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
     : tensor<?x?x16xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32> -> tensor<?x?x16xf32>
  %o = pith.linear %a, [@o] : tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %y = arith.addf %x, %o : tensor<?x?x16xf32>
  %yn = pith.rms_norm %y, %w {epsilon = 1.0e-5 : f32} : tensor<?x?x16xf32>, tensor<16xf32>
  %logits = pith.linear %yn, [@embed] : tensor<?x?x16xf32> -> tensor<?x?x64xf32>
  return %logits, %present_k, %present_v : tensor<?x?x64xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>
}

// -----

// A cache written at an offset: mask and positions come from the attention mask's shape; the rotary table is gathered.

pith.weight @embed : tensor<64x16xf16> = dense<0.5> : tensor<64x16xf16>
pith.weight @q : tensor<16x16xf16> = dense<0.1> : tensor<16x16xf16>
pith.weight @cos : tensor<128x4xf32> = dense<0.1> : tensor<128x4xf32>
pith.weight @sin : tensor<128x4xf32> = dense<0.1> : tensor<128x4xf32>

// CHECK: pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 8, value_dim = 8, element = f16>
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[TOKENS:.*]]: tensor<?xi32> {{.*}}, %[[POS:.*]]: tensor<?xi32> {{.*}}, %[[OUT:.*]]: tensor<?xi32>
// CHECK-DAG: %[[X:.*]] = pith.embedding %[[TOKENS]], @embed
// CHECK-DAG: %[[COST:.*]] = pith.load @cos
// CHECK-DAG: %[[COS:.*]] = pith.gather %[[COST]], %[[POS]] axis 0 : tensor<128x4xf32>, tensor<?xi32> -> tensor<?x4xf32>
// CHECK-DAG: %[[SINT:.*]] = pith.load @sin
// CHECK-DAG: %[[SIN:.*]] = pith.gather %[[SINT]], %[[POS]] axis 0
// CHECK-DAG: %[[Q:.*]] = pith.linear %[[X]], [@q]
// CHECK-DAG: %[[QR:.*]] = pith.rope %[[Q]], %[[COS]], %[[SIN]]
// An f16 cache rounds by itself.
// CHECK-NOT: arith.truncf
// CHECK: %[[C1:.*]] = pith.kv_append %{{.*}}, %[[QR]], %[[Q]]
// CHECK: %[[A:.*]] = pith.cache_attention %[[QR]], %[[C1]] {heads = 2 : i64, scale = 5.000000e-01 : f32, window = 24 : i64}
// CHECK: %[[Y:.*]] = arith.addf
// CHECK: pith.gather %[[Y]], %[[OUT]] axis 0
func.func @main(
    %ids: tensor<?x?xi64> {pith.name = "input_ids"},
    %mask: tensor<?x?xi64> {pith.name = "attention_mask"},
    %past_k: tensor<?x2x?x8xf16> {pith.name = "past_key_values.0.key"},
    %past_v: tensor<?x2x?x8xf16> {pith.name = "past_key_values.0.value"})
    -> (tensor<?x?x64xf32> {pith.name = "logits"}, tensor<?x2x?x8xf16>, tensor<?x2x?x8xf16>)
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %t = tensor.dim %mask, %c1 : tensor<?x?xi64>
  %s64 = arith.index_cast %s : index to i64
  %sum = pith.reduce sum %mask [1] : tensor<?x?xi64> -> tensor<?x1xi64>
  %lengths = pith.reshape %sum dims(%b) : tensor<?x1xi64> -> tensor<?xi64>
  %new = tensor.splat %s64[%b] : tensor<?xi64>
  %start = arith.subi %lengths, %new : tensor<?xi64>
  %start2 = pith.reshape %start dims(%b) : tensor<?xi64> -> tensor<?x1xi64>
  %starts = pith.broadcast %start2 dims(%b, %s) : tensor<?x1xi64> -> tensor<?x?xi64>
  %iota = pith.iota 1 dims(%b, %s) : tensor<?x?xi64>
  %pos = arith.addi %starts, %iota : tensor<?x?xi64>
  %cos_table = pith.load @cos : tensor<128x4xf32>
  %sin_table = pith.load @sin : tensor<128x4xf32>
  %cos = pith.gather %cos_table, %pos axis 0 : tensor<128x4xf32>, tensor<?x?xi64> -> tensor<?x?x4xf32>
  %sin = pith.gather %sin_table, %pos axis 0 : tensor<128x4xf32>, tensor<?x?xi64> -> tensor<?x?x4xf32>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %q = pith.linear %x, [@q] : tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %qr = pith.rope %q, %cos, %sin {head_dim = 8 : i64, rotary_dim = 8 : i64} : tensor<?x?x16xf32>, tensor<?x?x4xf32>
  %k16 = arith.truncf %qr : tensor<?x?x16xf32> to tensor<?x?x16xf16>
  %v16 = arith.truncf %q : tensor<?x?x16xf32> to tensor<?x?x16xf16>
  %k4 = pith.reshape %k16 dims(%b, %s) : tensor<?x?x16xf16> -> tensor<?x?x2x8xf16>
  %v4 = pith.reshape %v16 dims(%b, %s) : tensor<?x?x16xf16> -> tensor<?x?x2x8xf16>
  %kh = pith.transpose %k4 [0, 2, 1, 3] : tensor<?x?x2x8xf16> -> tensor<?x2x?x8xf16>
  %vh = pith.transpose %v4 [0, 2, 1, 3] : tensor<?x?x2x8xf16> -> tensor<?x2x?x8xf16>
  %present_k = pith.cache_update %past_k, %kh, %start dims(%b, %t) : tensor<?x2x?x8xf16>, tensor<?x2x?x8xf16>, tensor<?xi64> -> tensor<?x2x?x8xf16>
  %present_v = pith.cache_update %past_v, %vh, %start dims(%b, %t) : tensor<?x2x?x8xf16>, tensor<?x2x?x8xf16>, tensor<?xi64> -> tensor<?x2x?x8xf16>
  %kt = pith.transpose %present_k [0, 2, 1, 3] : tensor<?x2x?x8xf16> -> tensor<?x?x2x8xf16>
  %vt = pith.transpose %present_v [0, 2, 1, 3] : tensor<?x2x?x8xf16> -> tensor<?x?x2x8xf16>
  %k2 = pith.reshape %kt dims(%b, %t) : tensor<?x?x2x8xf16> -> tensor<?x?x16xf16>
  %v2 = pith.reshape %vt dims(%b, %t) : tensor<?x?x2x8xf16> -> tensor<?x?x16xf16>
  %k = arith.extf %k2 : tensor<?x?x16xf16> to tensor<?x?x16xf32>
  %v = arith.extf %v2 : tensor<?x?x16xf16> to tensor<?x?x16xf32>
  %a = pith.attention %qr, %k, %v {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal, window = 24 : i64}
     : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %y = arith.addf %x, %a : tensor<?x?x16xf32>
  %logits = pith.linear %y, [@embed] : tensor<?x?x16xf32> -> tensor<?x?x64xf32>
  return %logits, %present_k, %present_v : tensor<?x?x64xf32>, tensor<?x2x?x8xf16>, tensor<?x2x?x8xf16>
}

// -----

// No cache: the whole sequence each time. Learned positions with an offset; the head's result is capped.

pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
pith.weight @wpe : tensor<66x16xf32> = dense<0.5> : tensor<66x16xf32>
pith.weight @qkv : tensor<48x16xf32> = dense<0.1> : tensor<48x16xf32>

// CHECK: pith.state @kv0 : !pith.kv<kv_heads = 4, head_dim = 4, value_dim = 4, element = f32>
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[TOKENS:.*]]: tensor<?xi32> {{.*}}, %[[POS:.*]]: tensor<?xi32> {{.*}}, %[[OUT:.*]]: tensor<?xi32>
// CHECK-DAG: %[[E:.*]] = pith.embedding %[[TOKENS]], @embed
// CHECK-DAG: %[[POS2:.*]] = arith.addi %[[POS]], %{{.*}} : tensor<?xi32>
// CHECK-DAG: %[[P:.*]] = pith.embedding %[[POS2]], @wpe : tensor<?xi32> -> tensor<?x16xf32>
// CHECK: %[[X:.*]] = arith.addf %[[E]], %[[P]]
// CHECK: %[[QKV:.*]] = pith.linear %[[X]], [@qkv]
// CHECK: tensor.extract_slice %[[QKV]][0, 0] [%{{.*}}, 16] [1, 1] : tensor<?x48xf32> to tensor<?x16xf32>
// CHECK: pith.kv_append
// CHECK: pith.cache_attention
// CHECK-SAME: {heads = 4 : i64, scale = 5.000000e-01 : f32, softcap = 3.000000e+01 : f32, window = 3 : i64}
// CHECK: %[[G:.*]] = pith.gather %{{.*}}, %[[OUT]] axis 0 : tensor<?x16xf32>, tensor<?xi32> -> tensor<?x16xf32>
// CHECK: %[[L:.*]] = pith.linear %[[G]], [@embed]
// CHECK: %[[T:.*]] = math.tanh %[[L]] : tensor<?x64xf32>
// CHECK: return %[[T]]
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x64xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %one = arith.constant dense<1> : tensor<i64>
  %ones = pith.broadcast %one dims(%b, %s) : tensor<i64> -> tensor<?x?xi64>
  %sums = pith.cumsum %ones axis 1 : tensor<?x?xi64>
  %pos = arith.addi %sums, %ones : tensor<?x?xi64>
  %e = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %pe = pith.embedding %pos, @wpe : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %x = arith.addf %e, %pe : tensor<?x?x16xf32>
  %qkv = pith.linear %x, [@qkv] : tensor<?x?x16xf32> -> tensor<?x?x48xf32>
  %q = tensor.extract_slice %qkv[0, 0, 0] [%b, %s, 16] [1, 1, 1] : tensor<?x?x48xf32> to tensor<?x?x16xf32>
  %k = tensor.extract_slice %qkv[0, 0, 16] [%b, %s, 16] [1, 1, 1] : tensor<?x?x48xf32> to tensor<?x?x16xf32>
  %v = tensor.extract_slice %qkv[0, 0, 32] [%b, %s, 16] [1, 1, 1] : tensor<?x?x48xf32> to tensor<?x?x16xf32>
  // mask: 0 where query - 3 < key <= query, else the lowest float
  %i = pith.iota 0 dims(%s, %s) : tensor<?x?xi64>
  %j = pith.iota 1 dims(%s, %s) : tensor<?x?xi64>
  %three = arith.constant dense<3> : tensor<i64>
  %threes = pith.broadcast %three dims(%s, %s) : tensor<i64> -> tensor<?x?xi64>
  %first = arith.subi %i, %threes : tensor<?x?xi64>
  %le = arith.cmpi sle, %j, %i : tensor<?x?xi64>
  %gt = arith.cmpi sgt, %j, %first : tensor<?x?xi64>
  %keep = arith.andi %le, %gt : tensor<?x?xi1>
  %fzero = arith.constant dense<0.0> : tensor<f32>
  %flow = arith.constant dense<-3.40282e+38> : tensor<f32>
  %zeros = pith.broadcast %fzero dims(%s, %s) : tensor<f32> -> tensor<?x?xf32>
  %lows = pith.broadcast %flow dims(%s, %s) : tensor<f32> -> tensor<?x?xf32>
  %m2 = arith.select %keep, %zeros, %lows : tensor<?x?xi1>, tensor<?x?xf32>
  %m = pith.reshape %m2 dims(%s, %s) : tensor<?x?xf32> -> tensor<1x1x?x?xf32>
  %a = pith.attention %q, %k, %v mask %m : tensor<1x1x?x?xf32> {heads = 4 : i64, kv_heads = 4 : i64, scale = 0.5 : f32, softcap = 30.0 : f32}
     : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %y = arith.addf %x, %a : tensor<?x?x16xf32>
  %l = pith.linear %y, [@embed] : tensor<?x?x16xf32> -> tensor<?x?x64xf32>
  %logits = math.tanh %l : tensor<?x?x64xf32>
  return %logits : tensor<?x?x64xf32>
}
