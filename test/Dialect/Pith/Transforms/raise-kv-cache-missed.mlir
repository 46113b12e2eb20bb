// RUN: pith-opt %s -split-input-file -pith-raise-kv-cache -remarks-filter=pith-raise-kv-cache 2>&1 >%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=IR < %t
// RUN: not pith-opt %s -split-input-file -pith-raise-kv-cache=cache-element=i8 2>&1 | FileCheck %s --check-prefix=OPTION

// What cannot be shown to work row by row stays as exported, and the remark names the culprit.

// IR-NOT: pith.entry = "step"
// OPTION: pith-raise-kv-cache: cache-element must be auto, f32, f16 or bf16, found 'i8'

// A mask one token too wide.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.attention: attention is not causal: token 0 sees token 1
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
  %one = arith.constant dense<1> : tensor<i64>
  %ones = pith.broadcast %one dims(%s, %s) : tensor<i64> -> tensor<?x?xi64>
  %io = arith.addi %i, %ones : tensor<?x?xi64>
  %keep = arith.cmpi sle, %j, %io : tensor<?x?xi64>
  %m = pith.reshape %keep dims(%s, %s) : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %a = pith.attention %x, %x, %x mask %m : tensor<1x1x?x?xi1>
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// -----

// One token too narrow.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.attention: mask hides token 1 from token 1
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
  %keep = arith.cmpi slt, %j, %i : tensor<?x?xi64>
  %m = pith.reshape %keep dims(%s, %s) : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %a = pith.attention %x, %x, %x mask %m : tensor<1x1x?x?xi1>
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// -----

// No mask.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.attention: attention is not causal: token 0 sees token 1
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %a = pith.attention %x, %x, %x
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// -----

// A mean over all tokens.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.reduce: combines tokens of the sequence outside of causal attention
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %a = pith.attention %x, %x, %x
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %mean = pith.reduce mean %a [1] : tensor<?x?x16xf32> -> tensor<?x1x16xf32>
  %means = pith.broadcast %mean dims(%b, %s) : tensor<?x1x16xf32> -> tensor<?x?x16xf32>
  %y = arith.addf %a, %means : tensor<?x?x16xf32>
  return %y : tensor<?x?x16xf32>
}

// -----

// Each token with the one before it.
// CHECK: [Missed] step-entry {{.*}} Reason="tensor.concat: joins tokens along the sequence that are not a past input and the new tokens
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %less = arith.subi %s, %c1 : index
  %first = tensor.extract_slice %x[0, 0, 0] [%b, 1, 16] [1, 1, 1] : tensor<?x?x16xf32> to tensor<?x1x16xf32>
  %rest = tensor.extract_slice %x[0, 0, 0] [%b, %less, 16] [1, 1, 1] : tensor<?x?x16xf32> to tensor<?x?x16xf32>
  %shifted = tensor.concat dim(1) %first, %rest : (tensor<?x1x16xf32>, tensor<?x?x16xf32>) -> tensor<?x?x16xf32>
  %y = arith.addf %x, %shifted : tensor<?x?x16xf32>
  %a = pith.attention %y, %y, %y
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// -----

// Scores left as products of tensors.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.matmul: combines tokens of the sequence outside of causal attention
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %a = pith.attention %x, %x, %x
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %t = pith.transpose %a [0, 2, 1] : tensor<?x?x16xf32> -> tensor<?x16x?xf32>
  %scores = pith.matmul %t, %a : tensor<?x16x?xf32>, tensor<?x?x16xf32> -> tensor<?x16x16xf32>
  %y = pith.matmul %a, %scores : tensor<?x?x16xf32>, tensor<?x16x16xf32> -> tensor<?x?x16xf32>
  return %y : tensor<?x?x16xf32>
}

// -----

// The factor grows with the number of tokens.
// CHECK: [Missed] step-entry {{.*}} Reason="arith.index_cast: depends on the number of tokens
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %a = pith.attention %x, %x, %x
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %n = arith.index_cast %s : index to i64
  %f = arith.sitofp %n : i64 to f32
  %f1 = tensor.from_elements %f : tensor<f32>
  %fs = pith.broadcast %f1 dims(%b, %s) : tensor<f32> -> tensor<?x?x16xf32>
  %y = arith.mulf %a, %fs : tensor<?x?x16xf32>
  return %y : tensor<?x?x16xf32>
}

// -----

// Positions that begin at 0 in every step.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.iota: counts the tokens of a step instead of their positions
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
  %iota = pith.iota 1 dims(%b, %s) : tensor<?x?xi64>
  %pe = pith.embedding %iota, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %y = arith.addf %x, %pe : tensor<?x?x16xf32>
  %k4 = pith.reshape %y dims(%b, %s) : tensor<?x?x16xf32> -> tensor<?x?x2x8xf32>
  %kh = pith.transpose %k4 [0, 2, 1, 3] : tensor<?x?x2x8xf32> -> tensor<?x2x?x8xf32>
  %present = tensor.concat dim(2) %past, %kh : (tensor<?x2x?x8xf32>, tensor<?x2x?x8xf32>) -> tensor<?x2x?x8xf32>
  %kt = pith.transpose %present [0, 2, 1, 3] : tensor<?x2x?x8xf32> -> tensor<?x?x2x8xf32>
  %k = pith.reshape %kt dims(%b, %t) : tensor<?x?x2x8xf32> -> tensor<?x?x16xf32>
  %a = pith.attention %y, %k, %k
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a, %present : tensor<?x?x16xf32>, tensor<?x2x?x8xf32>
}

// -----

// Keys that are no output are lost for the next step.
// CHECK: [Missed] step-entry {{.*}} Reason="tensor.concat: keys and values of the new tokens are not an output: no state to keep
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}, %past: tensor<?x2x?x8xf32> {pith.name = "past"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
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
  %a = pith.attention %x, %k, %k
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}

// -----

// The new tokens see only themselves.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.attention: keys are not all tokens of the sequence
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
  %a = pith.attention %x, %x, %x
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a, %present : tensor<?x?x16xf32>, tensor<?x2x?x8xf32>
}

// -----

// Encoder states.
// CHECK: [Missed] step-entry {{.*}} Reason="combines tokens and positions of the encoder's output outside of cross-attention
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}, %enc: tensor<?x?x16xf32> {pith.name = "encoder_hidden_states"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %y = arith.addf %x, %enc : tensor<?x?x16xf32>
  %a = pith.attention %y, %y, %y
    {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32, causal} : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %a : tensor<?x?x16xf32>
}
