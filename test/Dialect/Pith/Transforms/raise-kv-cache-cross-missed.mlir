// RUN: pith-opt %s -split-input-file -pith-raise-kv-cache -remarks-filter=pith-raise-kv-cache 2>&1 >%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=IR < %t

// Decoders that take an encoder's output, but not as keys and values that every token sees whole.

// IR-NOT: pith.entry = "step"
// IR-NOT: pith.entry = "condition"
// IR-NOT: pith.state

// -----

// Cross-attention through a mask that lets token i see the encoder's positions up to i.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.attention: mask treats the encoder's positions differently
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids", pith.dims = ["batch", "tokens"]},
                %source: tensor<?x?x16xf32> {pith.name = "encoder_hidden_states", pith.dims = ["batch", "source", 16]})
    -> (tensor<?x?x16xf32> {pith.name = "logits"}) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %n = tensor.dim %source, %c1 : tensor<?x?x16xf32>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %a = pith.attention %x, %x, %x {causal, heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %i = pith.iota 0 dims(%s, %n) : tensor<?x?xi64>
  %j = pith.iota 1 dims(%s, %n) : tensor<?x?xi64>
  %keep = arith.cmpi sle, %j, %i : tensor<?x?xi64>
  %m = pith.reshape %keep dims(%s, %n) : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %r = pith.attention %a, %source, %source mask %m : tensor<1x1x?x?xi1> {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %r : tensor<?x?x16xf32>
}

// -----

// Keys that mix the encoder's positions.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.reduce: combines positions of the encoder's output
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids", pith.dims = ["batch", "tokens"]},
                %source: tensor<?x?x16xf32> {pith.name = "encoder_hidden_states", pith.dims = ["batch", "source", 16]})
    -> (tensor<?x?x16xf32> {pith.name = "logits"}) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %n = tensor.dim %source, %c1 : tensor<?x?x16xf32>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %a = pith.attention %x, %x, %x {causal, heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %mean = pith.reduce mean %source [1] : tensor<?x?x16xf32> -> tensor<?x1x16xf32>
  %means = pith.broadcast %mean dims(%b, %n) : tensor<?x1x16xf32> -> tensor<?x?x16xf32>
  %k = arith.subf %source, %means : tensor<?x?x16xf32>
  %r = pith.attention %a, %k, %source {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %r : tensor<?x?x16xf32>
}

// -----

// An encoder's output that is added to the tokens.
// CHECK: [Missed] step-entry {{.*}} Reason="combines tokens and positions of the encoder's output outside of cross-attention
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids", pith.dims = ["batch", "tokens"]},
                %source: tensor<?x?x16xf32> {pith.name = "encoder_hidden_states", pith.dims = ["batch", "source", 16]})
    -> (tensor<?x?x16xf32> {pith.name = "logits"}) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %n = tensor.dim %source, %c1 : tensor<?x?x16xf32>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %a = pith.attention %x, %x, %x {causal, heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  %r = arith.addf %a, %source : tensor<?x?x16xf32>
  return %r : tensor<?x?x16xf32>
}

// -----

// Keys and values of cross-attention that come in: nothing here can make them of an encoder's output.
// CHECK: [Missed] step-entry {{.*}} Reason="the keys and values of cross-attention come in as 'past.encoder.key': only a graph
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}, %pk: tensor<?x2x?x8xf32> {pith.name = "past.encoder.key"},
                %pv: tensor<?x2x?x8xf32> {pith.name = "past.encoder.value"})
    -> (tensor<?x?x16xf32> {pith.name = "logits"}) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %n = tensor.dim %pk, %c2 : tensor<?x2x?x8xf32>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %kt = pith.transpose %pk [0, 2, 1, 3] : tensor<?x2x?x8xf32> -> tensor<?x?x2x8xf32>
  %k = pith.reshape %kt dims(%b, %n) : tensor<?x?x2x8xf32> -> tensor<?x?x16xf32>
  %vt = pith.transpose %pv [0, 2, 1, 3] : tensor<?x2x?x8xf32> -> tensor<?x?x2x8xf32>
  %v = pith.reshape %vt dims(%b, %n) : tensor<?x?x2x8xf32> -> tensor<?x?x16xf32>
  %r = pith.attention %x, %k, %v {heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %r : tensor<?x?x16xf32>
}

// -----

// A bias by distance that never ends to change.
// CHECK: [Missed] step-entry {{.*}} Reason="pith.attention: mask adds a bias that still changes 2048 tokens away
pith.weight @embed : tensor<64x16xf32> = dense<0.5> : tensor<64x16xf32>
func.func @main(%ids: tensor<?x?xi64> {pith.name = "input_ids"}) -> (tensor<?x?x16xf32> {pith.name = "logits"})
    attributes {pith.entry = "invoke"} {
  %c1 = arith.constant 1 : index
  %s = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %x = pith.embedding %ids, @embed : tensor<?x?xi64> -> tensor<?x?x16xf32>
  %i = pith.iota 0 dims(%s, %s) : tensor<?x?xi64>
  %j = pith.iota 1 dims(%s, %s) : tensor<?x?xi64>
  %d = arith.subi %i, %j : tensor<?x?xi64>
  %f = arith.sitofp %d : tensor<?x?xi64> to tensor<?x?xf32>
  %a = math.absf %f : tensor<?x?xf32>
  %bias = math.sqrt %a : tensor<?x?xf32>
  %m = pith.reshape %bias dims(%s, %s) : tensor<?x?xf32> -> tensor<1x1x?x?xf32>
  %r = pith.attention %x, %x, %x mask %m : tensor<1x1x?x?xf32> {causal, heads = 2 : i64, kv_heads = 2 : i64, scale = 0.5 : f32}
    : tensor<?x?x16xf32>, tensor<?x?x16xf32>, tensor<?x?x16xf32> -> tensor<?x?x16xf32>
  return %r : tensor<?x?x16xf32>
}
