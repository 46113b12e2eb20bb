// RUN: pith-opt %s --pith-raise-rotary --cse --split-input-file | FileCheck %s
// RUN: pith-opt %s --pith-raise-rotary --split-input-file --remarks-filter='pith-raise.*' --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK

pith.weight @inv : tensor<1x4x1xf32> = dense<[[[1.0], [0.5], [0.25], [0.125]]]> : tensor<1x4x1xf32>

// Half-split: x cos + concat(-x[4:], x[:4]) sin, heads ahead of rows, the angles an outer product, the tables in two copies.
// CHECK-LABEL: func @half_split
// CHECK-SAME: (%[[X:.*]]: tensor<?x?x16xf32>
// CHECK-NOT: pith.matmul
// CHECK: %[[ANGLE:.*]] = arith.mulf {{.*}} : tensor<?x?x4xf32>
// CHECK-DAG: %[[COS:.*]] = math.cos %[[ANGLE]]
// CHECK-DAG: %[[SIN:.*]] = math.sin %[[ANGLE]]
// CHECK: %[[Y:.*]] = pith.rope %[[X]], %[[COS]], %[[SIN]] {head_dim = 8 : i64, rotary_dim = 8 : i64} : tensor<?x?x16xf32>, tensor<?x?x4xf32>
// CHECK-NEXT: return %[[Y]]
func.func @half_split(%x: tensor<?x?x16xf32> {pith.dims = ["batch", "sequence", 16]},
                      %pos: tensor<?x?xi64> {pith.dims = ["batch", "sequence"]}) -> tensor<?x?x16xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x16xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x16xf32>
  %split = pith.reshape %x dims(%b, %s) : tensor<?x?x16xf32> -> tensor<?x?x2x8xf32>
  %h = pith.transpose %split [0, 2, 1, 3] : tensor<?x?x2x8xf32> -> tensor<?x2x?x8xf32>
  %inv = pith.load @inv : tensor<1x4x1xf32>
  %invb = pith.broadcast %inv dims(%b) : tensor<1x4x1xf32> -> tensor<?x4x1xf32>
  %p1 = pith.reshape %pos dims(%b, %s) : tensor<?x?xi64> -> tensor<?x1x?xi64>
  %p = arith.sitofp %p1 : tensor<?x1x?xi64> to tensor<?x1x?xf32>
  %m = pith.matmul %invb, %p : tensor<?x4x1xf32>, tensor<?x1x?xf32> -> tensor<?x4x?xf32>
  %t = pith.transpose %m [0, 2, 1] : tensor<?x4x?xf32> -> tensor<?x?x4xf32>
  %tt = tensor.concat dim(2) %t, %t : (tensor<?x?x4xf32>, tensor<?x?x4xf32>) -> tensor<?x?x8xf32>
  %cos = math.cos %tt : tensor<?x?x8xf32>
  %sin = math.sin %tt : tensor<?x?x8xf32>
  %cos1 = pith.reshape %cos dims(%b, %s) : tensor<?x?x8xf32> -> tensor<?x1x?x8xf32>
  %sin1 = pith.reshape %sin dims(%b, %s) : tensor<?x?x8xf32> -> tensor<?x1x?x8xf32>
  %cosb = pith.broadcast %cos1 dims(%b, %s) : tensor<?x1x?x8xf32> -> tensor<?x2x?x8xf32>
  %sinb = pith.broadcast %sin1 dims(%b, %s) : tensor<?x1x?x8xf32> -> tensor<?x2x?x8xf32>
  %xc = arith.mulf %h, %cosb : tensor<?x2x?x8xf32>
  %lo = tensor.extract_slice %h[0, 0, 0, 0] [%b, 2, %s, 4] [1, 1, 1, 1] : tensor<?x2x?x8xf32> to tensor<?x2x?x4xf32>
  %hi = tensor.extract_slice %h[0, 0, 0, 4] [%b, 2, %s, 4] [1, 1, 1, 1] : tensor<?x2x?x8xf32> to tensor<?x2x?x4xf32>
  %neg = arith.negf %hi : tensor<?x2x?x4xf32>
  %r = tensor.concat dim(3) %neg, %lo : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x8xf32>
  %rs = arith.mulf %r, %sinb : tensor<?x2x?x8xf32>
  %y = arith.addf %xc, %rs : tensor<?x2x?x8xf32>
  %yt = pith.transpose %y [0, 2, 1, 3] : tensor<?x2x?x8xf32> -> tensor<?x?x2x8xf32>
  %out = pith.reshape %yt dims(%b, %s) : tensor<?x?x2x8xf32> -> tensor<?x?x16xf32>
  return %out : tensor<?x?x16xf32>
}

// -----

// The halves rotated apart, tables of half width, and only half of the channels.
// CHECK-LABEL: func @chunks_partial
// CHECK-SAME: (%[[X:.*]]: tensor<3x8xf32>, %[[C:.*]]: tensor<3x2xf32>, %[[S:.*]]: tensor<3x2xf32>)
// CHECK-NEXT: %[[Y:.*]] = pith.rope %[[X]], %[[C]], %[[S]] {head_dim = 8 : i64, rotary_dim = 4 : i64}
// CHECK-NEXT: return %[[Y]]
func.func @chunks_partial(%x: tensor<3x8xf32>, %c: tensor<3x2xf32>, %s: tensor<3x2xf32>) -> tensor<3x8xf32> attributes {pith.entry = "invoke"} {
  %r = tensor.extract_slice %x[0, 0] [3, 4] [1, 1] : tensor<3x8xf32> to tensor<3x4xf32>
  %pass = tensor.extract_slice %x[0, 4] [3, 4] [1, 1] : tensor<3x8xf32> to tensor<3x4xf32>
  %x1 = tensor.extract_slice %r[0, 0] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %x2 = tensor.extract_slice %r[0, 2] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %a = arith.mulf %x1, %c : tensor<3x2xf32>
  %b = arith.mulf %x2, %s : tensor<3x2xf32>
  %y1 = arith.subf %a, %b : tensor<3x2xf32>
  %d = arith.mulf %x2, %c : tensor<3x2xf32>
  %e = arith.mulf %x1, %s : tensor<3x2xf32>
  %y2 = arith.addf %d, %e : tensor<3x2xf32>
  %rot = tensor.concat dim(1) %y1, %y2 : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %y = tensor.concat dim(1) %rot, %pass : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x8xf32>
  return %y : tensor<3x8xf32>
}

// Even and odd channels, stacked; tables repeated element by element.
// CHECK-LABEL: func @interleaved
// CHECK-SAME: (%[[X:.*]]: tensor<3x8xf32>, %[[C:.*]]: tensor<3x4xf32>, %[[S:.*]]: tensor<3x4xf32>)
// CHECK: pith.rope %[[X]], {{.*}} {head_dim = 8 : i64, interleaved, rotary_dim = 8 : i64} : tensor<3x8xf32>, tensor<3x4xf32>
func.func @interleaved(%x: tensor<3x8xf32>, %c: tensor<3x4xf32>, %s: tensor<3x4xf32>) -> tensor<3x8xf32> attributes {pith.entry = "invoke"} {
  %c1 = pith.reshape %c : tensor<3x4xf32> -> tensor<3x4x1xf32>
  %s1 = pith.reshape %s : tensor<3x4xf32> -> tensor<3x4x1xf32>
  %c2 = pith.broadcast %c1 : tensor<3x4x1xf32> -> tensor<3x4x2xf32>
  %s2 = pith.broadcast %s1 : tensor<3x4x1xf32> -> tensor<3x4x2xf32>
  %cos = pith.reshape %c2 : tensor<3x4x2xf32> -> tensor<3x8xf32>
  %sin = pith.reshape %s2 : tensor<3x4x2xf32> -> tensor<3x8xf32>
  %even = tensor.extract_slice %x[0, 0] [3, 4] [1, 2] : tensor<3x8xf32> to tensor<3x4xf32>
  %odd = tensor.extract_slice %x[0, 1] [3, 4] [1, 2] : tensor<3x8xf32> to tensor<3x4xf32>
  %neg = arith.negf %odd : tensor<3x4xf32>
  %e1 = pith.reshape %even : tensor<3x4xf32> -> tensor<3x4x1xf32>
  %n1 = pith.reshape %neg : tensor<3x4xf32> -> tensor<3x4x1xf32>
  %st = tensor.concat dim(2) %n1, %e1 : (tensor<3x4x1xf32>, tensor<3x4x1xf32>) -> tensor<3x4x2xf32>
  %r = pith.reshape %st : tensor<3x4x2xf32> -> tensor<3x8xf32>
  %a = arith.mulf %x, %cos : tensor<3x8xf32>
  %b = arith.mulf %r, %sin : tensor<3x8xf32>
  %y = arith.addf %a, %b : tensor<3x8xf32>
  return %y : tensor<3x8xf32>
}

// Complex numbers: one table with cosine and sine side by side.
// CHECK-LABEL: func @complex
// CHECK: pith.rope %arg0, {{.*}} {head_dim = 8 : i64, interleaved, rotary_dim = 8 : i64} : tensor<3x8xf32>, tensor<3x4xf32>
func.func @complex(%x: tensor<3x8xf32>, %f: tensor<3x4x2xf32>) -> tensor<3x8xf32> attributes {pith.entry = "invoke"} {
  %z = pith.reshape %x : tensor<3x8xf32> -> tensor<3x4x2xf32>
  %a = tensor.extract_slice %z[0, 0, 0] [3, 4, 1] [1, 1, 1] : tensor<3x4x2xf32> to tensor<3x4x1xf32>
  %b = tensor.extract_slice %z[0, 0, 1] [3, 4, 1] [1, 1, 1] : tensor<3x4x2xf32> to tensor<3x4x1xf32>
  %c = tensor.extract_slice %f[0, 0, 0] [3, 4, 1] [1, 1, 1] : tensor<3x4x2xf32> to tensor<3x4x1xf32>
  %s = tensor.extract_slice %f[0, 0, 1] [3, 4, 1] [1, 1, 1] : tensor<3x4x2xf32> to tensor<3x4x1xf32>
  %ac = arith.mulf %a, %c : tensor<3x4x1xf32>
  %bs = arith.mulf %b, %s : tensor<3x4x1xf32>
  %as = arith.mulf %a, %s : tensor<3x4x1xf32>
  %bc = arith.mulf %b, %c : tensor<3x4x1xf32>
  %re = arith.subf %ac, %bs : tensor<3x4x1xf32>
  %im = arith.addf %as, %bc : tensor<3x4x1xf32>
  %st = tensor.concat dim(2) %re, %im : (tensor<3x4x1xf32>, tensor<3x4x1xf32>) -> tensor<3x4x2xf32>
  %y = pith.reshape %st : tensor<3x4x2xf32> -> tensor<3x8xf32>
  return %y : tensor<3x8xf32>
}

// -----

// Rows of constant tables whose halves are equal in the data.
pith.weight @cos : tensor<2x4xf32> = dense<[[1.0, 0.9, 1.0, 0.9], [0.5, 0.6, 0.5, 0.6]]> : tensor<2x4xf32>
pith.weight @sin : tensor<2x4xf32> = dense<[[0.0, 0.1, 0.0, 0.1], [0.5, 0.4, 0.5, 0.4]]> : tensor<2x4xf32>
pith.weight @odd : tensor<2x4xf32> = dense<[[0.0, 0.1, 0.0, 0.1], [0.5, 0.4, 0.5, 0.3]]> : tensor<2x4xf32>

// CHECK-LABEL: func @cached
// CHECK: pith.rope %arg0
func.func @cached(%x: tensor<3x4xf32>, %p: tensor<3xi64>) -> tensor<3x4xf32> attributes {pith.entry = "invoke"} {
  %ct = pith.load @cos : tensor<2x4xf32>
  %st = pith.load @sin : tensor<2x4xf32>
  %cos = pith.gather %ct, %p axis 0 : tensor<2x4xf32>, tensor<3xi64> -> tensor<3x4xf32>
  %sin = pith.gather %st, %p axis 0 : tensor<2x4xf32>, tensor<3xi64> -> tensor<3x4xf32>
  %lo = tensor.extract_slice %x[0, 0] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %hi = tensor.extract_slice %x[0, 2] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %neg = arith.negf %hi : tensor<3x2xf32>
  %r = tensor.concat dim(1) %neg, %lo : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %a = arith.mulf %x, %cos : tensor<3x4xf32>
  %b = arith.mulf %r, %sin : tensor<3x4xf32>
  %y = arith.addf %b, %a : tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}

// One element of the table differs.
// REMARK: remark: {{.}}Missed] rotary {{.*}}"halves are exchanged and negated, but their tables are not known to be one cosine and one sine per pair"
// CHECK-LABEL: func @cached_unequal
// CHECK-NOT: pith.rope
func.func @cached_unequal(%x: tensor<3x4xf32>, %p: tensor<3xi64>) -> tensor<3x4xf32> attributes {pith.entry = "invoke"} {
  %ct = pith.load @cos : tensor<2x4xf32>
  %st = pith.load @odd : tensor<2x4xf32>
  %cos = pith.gather %ct, %p axis 0 : tensor<2x4xf32>, tensor<3xi64> -> tensor<3x4xf32>
  %sin = pith.gather %st, %p axis 0 : tensor<2x4xf32>, tensor<3xi64> -> tensor<3x4xf32>
  %lo = tensor.extract_slice %x[0, 0] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %hi = tensor.extract_slice %x[0, 2] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %neg = arith.negf %hi : tensor<3x2xf32>
  %r = tensor.concat dim(1) %neg, %lo : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %a = arith.mulf %x, %cos : tensor<3x4xf32>
  %b = arith.mulf %r, %sin : tensor<3x4xf32>
  %y = arith.addf %b, %a : tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}

// Neither half is negated: no rotation.
// CHECK-LABEL: func @no_sign
// CHECK-NOT: pith.rope
func.func @no_sign(%x: tensor<3x4xf32>, %c: tensor<3x2xf32>, %s: tensor<3x2xf32>) -> tensor<3x4xf32> attributes {pith.entry = "invoke"} {
  %cos = tensor.concat dim(1) %c, %c : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %sin = tensor.concat dim(1) %s, %s : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %lo = tensor.extract_slice %x[0, 0] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %hi = tensor.extract_slice %x[0, 2] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %r = tensor.concat dim(1) %hi, %lo : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %a = arith.mulf %x, %cos : tensor<3x4xf32>
  %b = arith.mulf %r, %sin : tensor<3x4xf32>
  %y = arith.addf %b, %a : tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}

// The tables of the two halves are not the same.
// CHECK-LABEL: func @swapped_tables
// CHECK-NOT: pith.rope
func.func @swapped_tables(%x: tensor<3x4xf32>, %c: tensor<3x2xf32>, %s: tensor<3x2xf32>) -> tensor<3x4xf32> attributes {pith.entry = "invoke"} {
  %cos = tensor.concat dim(1) %c, %s : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %sin = tensor.concat dim(1) %s, %c : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %lo = tensor.extract_slice %x[0, 0] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %hi = tensor.extract_slice %x[0, 2] [3, 2] [1, 1] : tensor<3x4xf32> to tensor<3x2xf32>
  %neg = arith.negf %hi : tensor<3x2xf32>
  %r = tensor.concat dim(1) %neg, %lo : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %a = arith.mulf %x, %cos : tensor<3x4xf32>
  %b = arith.mulf %r, %sin : tensor<3x4xf32>
  %y = arith.addf %b, %a : tensor<3x4xf32>
  return %y : tensor<3x4xf32>
}
