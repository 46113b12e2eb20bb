// RUN: pith-opt %s --pith-raise-attention --cse --split-input-file | FileCheck %s
// RUN: pith-opt %s --pith-raise-attention --split-input-file --remarks-filter='pith-raise.*' --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK

// TorchScript: root of the scale on both sides, a Where mask with a NaN guard, the one kv head of every two repeated by broadcast.
// CHECK-LABEL: func @torchscript
// CHECK-SAME: (%[[Q:.*]]: tensor<?x?x16xf32> {{.*}}, %[[K:.*]]: tensor<?x2x?x4xf32> {{.*}}, %[[V:.*]]: tensor<?x2x?x4xf32> {{.*}}, %[[M:.*]]: tensor<?x1x?x?xi1>
// CHECK: %[[KT:.*]] = pith.transpose %[[K]] [0, 2, 1, 3]
// CHECK: %[[KM:.*]] = pith.reshape %[[KT]] {{.*}} -> tensor<?x?x8xf32>
// CHECK: %[[VT:.*]] = pith.transpose %[[V]] [0, 2, 1, 3]
// CHECK: %[[VM:.*]] = pith.reshape %[[VT]] {{.*}} -> tensor<?x?x8xf32>
// CHECK: %[[Y:.*]] = pith.attention %[[Q]], %[[KM]], %[[VM]] mask %[[M]] : tensor<?x1x?x?xi1> {heads = 4 : i64, kv_heads = 2 : i64, scale = 5.000000e-01 : f32}
// CHECK-NEXT: return %[[Y]]
func.func @torchscript(%x: tensor<?x?x16xf32> {pith.dims = ["batch", "sequence", 16]},
                       %k: tensor<?x2x?x4xf32> {pith.dims = ["batch", 2, "total", 4]},
                       %v: tensor<?x2x?x4xf32> {pith.dims = ["batch", 2, "total", 4]},
                       %mask: tensor<?x1x?x?xi1> {pith.dims = ["batch", 1, "sequence", "total"]})
    -> tensor<?x?x16xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x16xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x16xf32>
  %t = tensor.dim %k, %c2 : tensor<?x2x?x4xf32>
  %rs = arith.constant dense<0.70710678> : tensor<f32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %inf = arith.constant dense<0xFF800000> : tensor<f32>
  %h = pith.reshape %x dims(%b, %s) : tensor<?x?x16xf32> -> tensor<?x?x4x4xf32>
  %q = pith.transpose %h [0, 2, 1, 3] : tensor<?x?x4x4xf32> -> tensor<?x4x?x4xf32>
  %k5 = pith.reshape %k dims(%b, %t) : tensor<?x2x?x4xf32> -> tensor<?x2x1x?x4xf32>
  %kb = pith.broadcast %k5 dims(%b, %t) : tensor<?x2x1x?x4xf32> -> tensor<?x2x2x?x4xf32>
  %kr = pith.reshape %kb dims(%b, %t) : tensor<?x2x2x?x4xf32> -> tensor<?x4x?x4xf32>
  %v5 = pith.reshape %v dims(%b, %t) : tensor<?x2x?x4xf32> -> tensor<?x2x1x?x4xf32>
  %vb = pith.broadcast %v5 dims(%b, %t) : tensor<?x2x1x?x4xf32> -> tensor<?x2x2x?x4xf32>
  %vr = pith.reshape %vb dims(%b, %t) : tensor<?x2x2x?x4xf32> -> tensor<?x4x?x4xf32>
  %kt = pith.transpose %kr [0, 1, 3, 2] : tensor<?x4x?x4xf32> -> tensor<?x4x4x?xf32>
  %rq = pith.broadcast %rs dims(%b, %s) : tensor<f32> -> tensor<?x4x?x4xf32>
  %rk = pith.broadcast %rs dims(%b, %t) : tensor<f32> -> tensor<?x4x4x?xf32>
  %qs = arith.mulf %q, %rq : tensor<?x4x?x4xf32>
  %ks = arith.mulf %kt, %rk : tensor<?x4x4x?xf32>
  %p = pith.matmul %qs, %ks : tensor<?x4x?x4xf32>, tensor<?x4x4x?xf32> -> tensor<?x4x?x?xf32>
  %z4 = pith.broadcast %zero dims(%b, %s, %t) : tensor<f32> -> tensor<?x1x?x?xf32>
  %i4 = pith.broadcast %inf dims(%b, %s, %t) : tensor<f32> -> tensor<?x1x?x?xf32>
  %m = arith.select %mask, %z4, %i4 : tensor<?x1x?x?xi1>, tensor<?x1x?x?xf32>
  %mb = pith.broadcast %m dims(%b, %s, %t) : tensor<?x1x?x?xf32> -> tensor<?x4x?x?xf32>
  %sc = arith.addf %p, %mb : tensor<?x4x?x?xf32>
  %pr = pith.softmax %sc axis 3 : tensor<?x4x?x?xf32>
  %nan = arith.cmpf uno, %pr, %pr : tensor<?x4x?x?xf32>
  %zp = pith.broadcast %zero dims(%b, %s, %t) : tensor<f32> -> tensor<?x4x?x?xf32>
  %g = arith.select %nan, %zp, %pr : tensor<?x4x?x?xi1>, tensor<?x4x?x?xf32>
  %o = pith.matmul %g, %vr : tensor<?x4x?x?xf32>, tensor<?x4x?x4xf32> -> tensor<?x4x?x4xf32>
  %ot = pith.transpose %o [0, 2, 1, 3] : tensor<?x4x?x4xf32> -> tensor<?x?x4x4xf32>
  %y = pith.reshape %ot dims(%b, %s) : tensor<?x?x4x4xf32> -> tensor<?x?x16xf32>
  return %y : tensor<?x?x16xf32>
}

// -----

// Eager: keys transposed from [B, S, H, D] at once, scale by division after the product, softcap, an additive mask of
// finite values, which stays as it is.
// CHECK-LABEL: func @eager
// CHECK-SAME: (%[[Q:.*]]: tensor<2x3x8xf32>, %[[K:.*]]: tensor<2x3x8xf32>, %[[V:.*]]: tensor<2x3x8xf32>, %[[M:.*]]: tensor<2x1x1x3xf32>
// CHECK-NEXT: %[[Y:.*]] = pith.attention %[[Q]], %[[K]], %[[V]] mask %[[M]] : tensor<2x1x1x3xf32> {heads = 2 : i64, kv_heads = 2 : i64, scale = 5.000000e-01 : f32, softcap = 5.000000e+01 : f32}
// CHECK-NEXT: return %[[Y]]
func.func @eager(%qx: tensor<2x3x8xf32>, %kx: tensor<2x3x8xf32>, %vx: tensor<2x3x8xf32>, %mask: tensor<2x1x1x3xf32>)
    -> tensor<2x3x8xf32> attributes {pith.entry = "invoke"} {
  %two = arith.constant dense<2.0> : tensor<2x2x3x3xf32>
  %cap = arith.constant dense<50.0> : tensor<2x2x3x3xf32>
  %q4 = pith.reshape %qx : tensor<2x3x8xf32> -> tensor<2x3x2x4xf32>
  %k4 = pith.reshape %kx : tensor<2x3x8xf32> -> tensor<2x3x2x4xf32>
  %v4 = pith.reshape %vx : tensor<2x3x8xf32> -> tensor<2x3x2x4xf32>
  %q = pith.transpose %q4 [0, 2, 1, 3] : tensor<2x3x2x4xf32> -> tensor<2x2x3x4xf32>
  %k = pith.transpose %k4 [0, 2, 3, 1] : tensor<2x3x2x4xf32> -> tensor<2x2x4x3xf32>
  %v = pith.transpose %v4 [0, 2, 1, 3] : tensor<2x3x2x4xf32> -> tensor<2x2x3x4xf32>
  %p = pith.matmul %q, %k : tensor<2x2x3x4xf32>, tensor<2x2x4x3xf32> -> tensor<2x2x3x3xf32>
  %s = arith.divf %p, %two : tensor<2x2x3x3xf32>
  %c0 = arith.divf %s, %cap : tensor<2x2x3x3xf32>
  %c1 = math.tanh %c0 : tensor<2x2x3x3xf32>
  %c2 = arith.mulf %c1, %cap : tensor<2x2x3x3xf32>
  %mb = pith.broadcast %mask : tensor<2x1x1x3xf32> -> tensor<2x2x3x3xf32>
  %m = arith.addf %mb, %c2 : tensor<2x2x3x3xf32>
  %pr = pith.softmax %m axis 3 : tensor<2x2x3x3xf32>
  %o = pith.matmul %pr, %v : tensor<2x2x3x3xf32>, tensor<2x2x3x4xf32> -> tensor<2x2x3x4xf32>
  %ot = pith.transpose %o [0, 2, 1, 3] : tensor<2x2x3x4xf32> -> tensor<2x3x2x4xf32>
  %y = pith.reshape %ot : tensor<2x3x2x4xf32> -> tensor<2x3x8xf32>
  return %y : tensor<2x3x8xf32>
}

// The score replaced where the mask is false: added, as it vanishes in the sentinel.
// CHECK-LABEL: func @select_mask
// CHECK: %[[ADD:.*]] = arith.select %arg3, {{.*}} : tensor<1x1x3x3xi1>, tensor<1x1x3x3xf32>
// CHECK: pith.attention {{.*}} mask %[[ADD]] : tensor<1x1x3x3xf32> {heads = 2 : i64
func.func @select_mask(%q: tensor<1x2x3x4xf32>, %k: tensor<1x2x4x3xf32>, %v: tensor<1x2x3x4xf32>, %mask: tensor<1x1x3x3xi1>)
    -> tensor<1x2x3x4xf32> attributes {pith.entry = "invoke"} {
  %low = arith.constant dense<-3.40282347E+38> : tensor<1x2x3x3xf32>
  %mb = pith.broadcast %mask : tensor<1x1x3x3xi1> -> tensor<1x2x3x3xi1>
  %p = pith.matmul %q, %k : tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32> -> tensor<1x2x3x3xf32>
  %m = arith.select %mb, %p, %low : tensor<1x2x3x3xi1>, tensor<1x2x3x3xf32>
  %pr = pith.softmax %m axis 3 : tensor<1x2x3x3xf32>
  %o = pith.matmul %pr, %v : tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return %o : tensor<1x2x3x4xf32>
}

// -----

// An attention op that was given repeated keys and values.
// CHECK-LABEL: func @imported_repeats
// CHECK: pith.attention %arg0, %arg1, %arg2 {causal, heads = 4 : i64, kv_heads = 2 : i64
func.func @imported_repeats(%q: tensor<1x3x16xf32>, %k: tensor<1x3x8xf32>, %v: tensor<1x3x8xf32>) -> tensor<1x3x16xf32>
    attributes {pith.entry = "invoke"} {
  %k5 = pith.reshape %k : tensor<1x3x8xf32> -> tensor<1x3x2x1x4xf32>
  %kb = pith.broadcast %k5 : tensor<1x3x2x1x4xf32> -> tensor<1x3x2x2x4xf32>
  %kr = pith.reshape %kb : tensor<1x3x2x2x4xf32> -> tensor<1x3x16xf32>
  %v5 = pith.reshape %v : tensor<1x3x8xf32> -> tensor<1x3x2x1x4xf32>
  %vb = pith.broadcast %v5 : tensor<1x3x2x1x4xf32> -> tensor<1x3x2x2x4xf32>
  %vr = pith.reshape %vb : tensor<1x3x2x2x4xf32> -> tensor<1x3x16xf32>
  %y = pith.attention %q, %kr, %vr {heads = 4 : i64, kv_heads = 4 : i64, scale = 0.5 : f32, causal}
     : tensor<1x3x16xf32>, tensor<1x3x16xf32>, tensor<1x3x16xf32> -> tensor<1x3x16xf32>
  return %y : tensor<1x3x16xf32>
}

// Tiled heads: h mod 2, not h / 2. The keys stay as they are.
// CHECK-LABEL: func @tiled_heads
// CHECK: pith.broadcast
// CHECK: kv_heads = 4
func.func @tiled_heads(%q: tensor<1x3x16xf32>, %k: tensor<1x3x8xf32>, %v: tensor<1x3x8xf32>) -> tensor<1x3x16xf32>
    attributes {pith.entry = "invoke"} {
  %k5 = pith.reshape %k : tensor<1x3x8xf32> -> tensor<1x3x1x2x4xf32>
  %kb = pith.broadcast %k5 : tensor<1x3x1x2x4xf32> -> tensor<1x3x2x2x4xf32>
  %kr = pith.reshape %kb : tensor<1x3x2x2x4xf32> -> tensor<1x3x16xf32>
  %v5 = pith.reshape %v : tensor<1x3x8xf32> -> tensor<1x3x1x2x4xf32>
  %vb = pith.broadcast %v5 : tensor<1x3x1x2x4xf32> -> tensor<1x3x2x2x4xf32>
  %vr = pith.reshape %vb : tensor<1x3x2x2x4xf32> -> tensor<1x3x16xf32>
  %y = pith.attention %q, %kr, %vr {heads = 4 : i64, kv_heads = 4 : i64, scale = 0.5 : f32, causal}
     : tensor<1x3x16xf32>, tensor<1x3x16xf32>, tensor<1x3x16xf32> -> tensor<1x3x16xf32>
  return %y : tensor<1x3x16xf32>
}

// -----

// Not attention: softmax over the queries; a mask with other numbers than scores have (no sentinel).
// CHECK-LABEL: func @other_axis
// CHECK-NOT: pith.attention
func.func @other_axis(%q: tensor<1x2x3x4xf32>, %k: tensor<1x2x4x3xf32>, %v: tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
    attributes {pith.entry = "invoke"} {
  %p = pith.matmul %q, %k : tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32> -> tensor<1x2x3x3xf32>
  // REMARK: remark: {{.}}Missed] attention {{.*}}"the softmax is not over the keys"
  %pr = pith.softmax %p axis 2 : tensor<1x2x3x3xf32>
  %o = pith.matmul %pr, %v : tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return %o : tensor<1x2x3x4xf32>
}

// REMARK: remark: {{.}}Missed] attention {{.*}}"what the softmax takes is not a product with factors, a softcap and masks"
// CHECK-LABEL: func @no_sentinel
// CHECK-NOT: pith.attention
func.func @no_sentinel(%q: tensor<1x2x3x4xf32>, %k: tensor<1x2x4x3xf32>, %v: tensor<1x2x3x4xf32>, %mask: tensor<1x2x3x3xi1>)
    -> tensor<1x2x3x4xf32> attributes {pith.entry = "invoke"} {
  %low = arith.constant dense<-1.0> : tensor<1x2x3x3xf32>
  %p = pith.matmul %q, %k : tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32> -> tensor<1x2x3x3xf32>
  %m = arith.select %mask, %p, %low : tensor<1x2x3x3xi1>, tensor<1x2x3x3xf32>
  %pr = pith.softmax %m axis 3 : tensor<1x2x3x3xf32>
  %o = pith.matmul %pr, %v : tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return %o : tensor<1x2x3x4xf32>
}

// A mask below the softcap.
// CHECK-LABEL: func @mask_below_softcap
// CHECK-NOT: pith.attention
func.func @mask_below_softcap(%q: tensor<1x2x3x4xf32>, %k: tensor<1x2x4x3xf32>, %v: tensor<1x2x3x4xf32>, %mask: tensor<1x2x3x3xf32>)
    -> tensor<1x2x3x4xf32> attributes {pith.entry = "invoke"} {
  %cap = arith.constant dense<30.0> : tensor<1x2x3x3xf32>
  %p = pith.matmul %q, %k : tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32> -> tensor<1x2x3x3xf32>
  %m = arith.addf %p, %mask : tensor<1x2x3x3xf32>
  %d = arith.divf %m, %cap : tensor<1x2x3x3xf32>
  %t = math.tanh %d : tensor<1x2x3x3xf32>
  %s = arith.mulf %t, %cap : tensor<1x2x3x3xf32>
  %pr = pith.softmax %s axis 3 : tensor<1x2x3x3xf32>
  %o = pith.matmul %pr, %v : tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return %o : tensor<1x2x3x4xf32>
}

// -----

// Heads folded into the batch for the products, slopes added there (ALiBi), a second mask added to the four-dimensional scores.
// CHECK-LABEL: func @folded_heads
// CHECK-SAME: (%[[Q:.*]]: tensor<2x3x8xf32>, %[[K:.*]]: tensor<2x3x8xf32>, %[[V:.*]]: tensor<2x3x8xf32>, %[[A:.*]]: tensor<2x2x1x3xf32>, %[[M:.*]]: tensor<1x1x3x3xf32>)
// CHECK: %[[SUM:.*]] = arith.addf {{.*}} : tensor<2x2x3x3xf32>
// CHECK: %[[Y:.*]] = pith.attention %[[Q]], %[[K]], %[[V]] mask %[[SUM]] : tensor<2x2x3x3xf32> {heads = 2 : i64, kv_heads = 2 : i64, scale = 5.000000e-01 : f32}
// CHECK-NEXT: return %[[Y]]
func.func @folded_heads(%qx: tensor<2x3x8xf32>, %kx: tensor<2x3x8xf32>, %vx: tensor<2x3x8xf32>, %alibi: tensor<2x2x1x3xf32>,
                        %mask: tensor<1x1x3x3xf32>) -> tensor<2x3x8xf32> attributes {pith.entry = "invoke"} {
  %half = arith.constant dense<0.5> : tensor<4x3x3xf32>
  %q4 = pith.reshape %qx : tensor<2x3x8xf32> -> tensor<2x3x2x4xf32>
  %k4 = pith.reshape %kx : tensor<2x3x8xf32> -> tensor<2x3x2x4xf32>
  %v4 = pith.reshape %vx : tensor<2x3x8xf32> -> tensor<2x3x2x4xf32>
  %qt = pith.transpose %q4 [0, 2, 1, 3] : tensor<2x3x2x4xf32> -> tensor<2x2x3x4xf32>
  %kt = pith.transpose %k4 [0, 2, 3, 1] : tensor<2x3x2x4xf32> -> tensor<2x2x4x3xf32>
  %vt = pith.transpose %v4 [0, 2, 1, 3] : tensor<2x3x2x4xf32> -> tensor<2x2x3x4xf32>
  %q = pith.reshape %qt : tensor<2x2x3x4xf32> -> tensor<4x3x4xf32>
  %k = pith.reshape %kt : tensor<2x2x4x3xf32> -> tensor<4x4x3xf32>
  %v = pith.reshape %vt : tensor<2x2x3x4xf32> -> tensor<4x3x4xf32>
  %p = pith.matmul %q, %k : tensor<4x3x4xf32>, tensor<4x4x3xf32> -> tensor<4x3x3xf32>
  %s = arith.mulf %p, %half : tensor<4x3x3xf32>
  %a3 = pith.reshape %alibi : tensor<2x2x1x3xf32> -> tensor<4x1x3xf32>
  %ab = pith.broadcast %a3 : tensor<4x1x3xf32> -> tensor<4x3x3xf32>
  %sa = arith.addf %ab, %s : tensor<4x3x3xf32>
  %s4 = pith.reshape %sa : tensor<4x3x3xf32> -> tensor<2x2x3x3xf32>
  %mb = pith.broadcast %mask : tensor<1x1x3x3xf32> -> tensor<2x2x3x3xf32>
  %sm = arith.addf %s4, %mb : tensor<2x2x3x3xf32>
  %pr4 = pith.softmax %sm axis 3 : tensor<2x2x3x3xf32>
  %pr = pith.reshape %pr4 : tensor<2x2x3x3xf32> -> tensor<4x3x3xf32>
  %o3 = pith.matmul %pr, %v : tensor<4x3x3xf32>, tensor<4x3x4xf32> -> tensor<4x3x4xf32>
  %o4 = pith.reshape %o3 : tensor<4x3x4xf32> -> tensor<2x2x3x4xf32>
  %ot = pith.transpose %o4 [0, 2, 1, 3] : tensor<2x2x3x4xf32> -> tensor<2x3x2x4xf32>
  %y = pith.reshape %ot : tensor<2x3x2x4xf32> -> tensor<2x3x8xf32>
  return %y : tensor<2x3x8xf32>
}

// Repetition by a gather of constant indices; one kv head for all by broadcast.
// CHECK-LABEL: func @gathered_and_shared_heads
// CHECK: pith.attention {{.*}} {heads = 4 : i64, kv_heads = 2 : i64
// CHECK: pith.attention {{.*}} {heads = 4 : i64, kv_heads = 1 : i64
func.func @gathered_and_shared_heads(%q: tensor<1x4x3x4xf32>, %kv: tensor<1x2x3x4xf32>, %one: tensor<1x1x3x4xf32>)
    -> (tensor<1x4x3x4xf32>, tensor<1x4x3x4xf32>) attributes {pith.entry = "invoke"} {
  %ids = arith.constant dense<[0, 0, 1, 1]> : tensor<4xi64>
  %r = pith.gather %kv, %ids axis 1 : tensor<1x2x3x4xf32>, tensor<4xi64> -> tensor<1x4x3x4xf32>
  %rt = pith.transpose %r [0, 1, 3, 2] : tensor<1x4x3x4xf32> -> tensor<1x4x4x3xf32>
  %p = pith.matmul %q, %rt : tensor<1x4x3x4xf32>, tensor<1x4x4x3xf32> -> tensor<1x4x3x3xf32>
  %s = pith.softmax %p axis 3 : tensor<1x4x3x3xf32>
  %y = pith.matmul %s, %r : tensor<1x4x3x3xf32>, tensor<1x4x3x4xf32> -> tensor<1x4x3x4xf32>
  %b = pith.broadcast %one : tensor<1x1x3x4xf32> -> tensor<1x4x3x4xf32>
  %bt = pith.transpose %b [0, 1, 3, 2] : tensor<1x4x3x4xf32> -> tensor<1x4x4x3xf32>
  %p2 = pith.matmul %q, %bt : tensor<1x4x3x4xf32>, tensor<1x4x4x3xf32> -> tensor<1x4x3x3xf32>
  %s2 = pith.softmax %p2 axis 3 : tensor<1x4x3x3xf32>
  %y2 = pith.matmul %s2, %b : tensor<1x4x3x3xf32>, tensor<1x4x3x4xf32> -> tensor<1x4x3x4xf32>
  return %y, %y2 : tensor<1x4x3x4xf32>, tensor<1x4x3x4xf32>
}
