// RUN: pith-opt %s | pith-opt | FileCheck %s

// Every op prints what it parses.

// CHECK: pith.weight @table : tensor<512x256xf16> = #pith.file<"model.onnx", 2048, 262144>
pith.weight @table : tensor<512x256xf16> = #pith.file<"model.onnx", 2048, 262144>
// CHECK: pith.weight @head : tensor<512x256xf32, #pith.block_quant<bits = 4, block = 32, scale = f32, zeros = true>> = #pith.file<"m", 0, 65536> scales #pith.file<"m", 65536, 16384> zeros #pith.file<"m", 81920, 2048>
pith.weight @head : tensor<512x256xf32, #pith.block_quant<bits = 4, block = 32, scale = f32, zeros = true>>
    = #pith.file<"m", 0, 65536> scales #pith.file<"m", 65536, 16384> zeros #pith.file<"m", 81920, 2048>
// CHECK: pith.weight @scale : tensor<256xf32> = dense<1.000000e+00> : tensor<256xf32>
pith.weight @scale : tensor<256xf32> = dense<1.0> : tensor<256xf32>
// CHECK: pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>

// CHECK-LABEL: @tensors
func.func @tensors(%x: tensor<?x?x256xf32>, %ids: tensor<?x?xi64>, %b: index, %s: index) {
  // CHECK: pith.reshape %{{.*}} dims(%{{.*}}, %{{.*}}) : tensor<?x?x256xf32> -> tensor<?x?x4x64xf32>
  %heads = pith.reshape %x dims(%b, %s) : tensor<?x?x256xf32> -> tensor<?x?x4x64xf32>
  // CHECK: pith.transpose %{{.*}} [0, 2, 1, 3]
  %t = pith.transpose %heads [0, 2, 1, 3] : tensor<?x?x4x64xf32> -> tensor<?x4x?x64xf32>
  // CHECK: pith.transpose %{{.*}} [0, 1, 3, 2]
  %k = pith.transpose %t [0, 1, 3, 2] : tensor<?x4x?x64xf32> -> tensor<?x4x64x?xf32>
  // CHECK: pith.matmul
  %scores = pith.matmul %t, %k : tensor<?x4x?x64xf32>, tensor<?x4x64x?xf32> -> tensor<?x4x?x?xf32>
  // CHECK: pith.softmax %{{.*}} axis 3 : tensor<?x4x?x?xf32>
  %p = pith.softmax %scores axis 3 : tensor<?x4x?x?xf32>
  // CHECK: pith.reduce mean %{{.*}} [2] : tensor<?x?x256xf32> -> tensor<?x?x1xf32>
  %m = pith.reduce mean %x [2] : tensor<?x?x256xf32> -> tensor<?x?x1xf32>
  // CHECK: pith.broadcast
  %f = pith.broadcast %m dims(%b, %s) : tensor<?x?x1xf32> -> tensor<?x?x256xf32>
  // CHECK: pith.iota 1 dims(%{{.*}}, %{{.*}}) : tensor<?x?xi64>
  %i = pith.iota 1 dims(%b, %s) : tensor<?x?xi64>
  // CHECK: pith.cumsum %{{.*}} axis 1 {exclusive} : tensor<?x?xi64>
  %c = pith.cumsum %ids axis 1 {exclusive} : tensor<?x?xi64>
  %table = pith.load @table : tensor<512x256xf32>
  // CHECK: pith.gather %{{.*}}, %{{.*}} axis 0
  %g = pith.gather %table, %ids axis 0 : tensor<512x256xf32>, tensor<?x?xi64> -> tensor<?x?x256xf32>
  return
}

// CHECK-LABEL: @step
func.func @step(%rows: index, %tokens: tensor<?xi32>, %cos: tensor<?x32xf32>, %sin: tensor<?x32xf32>) -> tensor<?x512xf32> {
  // CHECK: pith.embedding %{{.*}}, @table
  %x = pith.embedding %tokens, @table : tensor<?xi32> -> tensor<?x256xf32>
  %scale = pith.load @scale : tensor<256xf32>
  // CHECK: pith.cache @kv0
  %c0 = pith.cache @kv0 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
  // CHECK: pith.block 0(%{{.*}}) states(%{{.*}})
  %y, %c1 = pith.block 0(%x) states(%c0) : (tensor<?x256xf32>, !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>)
      -> (tensor<?x256xf32>, !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>) {
  ^bb0(%h: tensor<?x256xf32>, %c: !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>):
    // CHECK: pith.rms_norm
    %n = pith.rms_norm %h, %scale {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32>
    // CHECK: pith.linear %{{.*}}, [@table]
    %q0 = pith.linear %n, [@table] : tensor<?x256xf32> -> tensor<?x512xf32>
    %q1 = tensor.extract_slice %q0[0, 0] [%rows, 256] [1, 1] : tensor<?x512xf32> to tensor<?x256xf32>
    %k1 = tensor.extract_slice %q0[0, 256] [%rows, 128] [1, 1] : tensor<?x512xf32> to tensor<?x128xf32>
    // CHECK: pith.rope
    %q = pith.rope %q1, %cos, %sin {head_dim = 64 : i64, rotary_dim = 64 : i64} : tensor<?x256xf32>, tensor<?x32xf32>
    // CHECK: pith.kv_append
    %ca = pith.kv_append %c, %k1, %k1 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>, tensor<?x128xf32>, tensor<?x128xf32>
    // CHECK: pith.cache_attention
    %o = pith.cache_attention %q, %ca {heads = 4 : i64, scale = 0.125 : f32} : tensor<?x256xf32>, !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16> -> tensor<?x256xf32>
    // CHECK: pith.glu silu
    %u = pith.glu silu %o, %n : tensor<?x256xf32>
    // CHECK: pith.activation gelu_tanh
    %a = pith.activation gelu_tanh %u : tensor<?x256xf32>
    // CHECK: pith.tap 3(%{{.*}}) : tensor<?x256xf32>
    pith.tap 3(%a) : tensor<?x256xf32>
    // CHECK: pith.tap 4(%{{.*}}) scale %{{.*}} bias %{{.*}} {epsilon
    pith.tap 4(%a) scale %scale bias %scale {norm = "layer", epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32>, tensor<256xf32>
    // CHECK: pith.layer_norm %{{.*}} scale %{{.*}} bias %{{.*}} {epsilon
    %l = pith.layer_norm %a scale %scale bias %scale {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32>, tensor<256xf32>
    pith.yield %l, %ca : tensor<?x256xf32>, !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
  }
  // CHECK: pith.linear %{{.*}}, [@head]
  %logits = pith.linear %y, [@head] : tensor<?x256xf32> -> tensor<?x512xf32>
  return %logits : tensor<?x512xf32>
}

// CHECK-LABEL: @attention
func.func @attention(%q: tensor<?x?x256xf32>, %k: tensor<?x?x128xf32>, %mask: tensor<?x1x?x?xi1>, %sinks: tensor<4xf32>) {
  // CHECK: pith.attention %{{.*}}, %{{.*}}, %{{.*}} mask %{{.*}} : tensor<?x1x?x?xi1> sinks %{{.*}} : tensor<4xf32>
  %o = pith.attention %q, %k, %k mask %mask : tensor<?x1x?x?xi1> sinks %sinks : tensor<4xf32>
      {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.125 : f32, causal, softcap = 50.0 : f32, window = 128 : i64}
      : tensor<?x?x256xf32>, tensor<?x?x128xf32>, tensor<?x?x128xf32> -> tensor<?x?x256xf32>
  return
}
