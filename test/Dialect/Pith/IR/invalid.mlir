// RUN: pith-opt %s -split-input-file -verify-diagnostics

// expected-error @+1 {{data has 100 bytes, expected 131072 for 'tensor<256x256xf16>'}}
pith.weight @w : tensor<256x256xf16> = #pith.file<"m", 0, 100>

// -----

// expected-error @+1 {{encoding needs scales of 1024 bytes}}
pith.weight @w : tensor<32x256xf32, #pith.block_quant<bits = 4, block = 32, scale = f32>> = #pith.file<"m", 0, 4096>

// -----

// expected-error @+1 {{has scales, which its encoding does not use}}
pith.weight @w : tensor<4xf32> = #pith.file<"m", 0, 16> scales #pith.file<"m", 0, 16>

// -----

// expected-error @+1 {{block_quant: bits must be 2, 4 or 8, found 3}}
pith.weight @w : tensor<32x256xf32, #pith.block_quant<bits = 3, block = 32, scale = f32>> = #pith.file<"m", 0, 4096>

// -----

// expected-error @+1 {{block_quant: rows of 3 codes of 4 bits are not whole bytes}}
pith.weight @w : tensor<2x3xf32, #pith.block_quant<bits = 4, block = 0, scale = f32>> = #pith.file<"m", 0, 3>

// -----

// expected-error @+1 {{block_quant: k_major needs a matrix, found 'tensor<2x4x8xf32}}
pith.weight @w : tensor<2x4x8xf32, #pith.block_quant<bits = 4, block = 0, scale = f32, k_major = true>> = #pith.file<"m", 0, 32>

// -----

// expected-error @+1 {{scales has 64 bytes, expected 128}}
pith.weight @w : tensor<64x16xf32, #pith.block_quant<bits = 4, block = 32, scale = f32, is_signed = true, k_major = true>> = #pith.file<"m", 0, 512> scales #pith.file<"m", 0, 64>

// -----

func.func @load() {
  // expected-error @+1 {{no weight @missing}}
  %0 = pith.load @missing : tensor<4xf32>
  return
}

// -----

pith.weight @w : tensor<4xf32> = dense<1.0> : tensor<4xf32>
func.func @load_narrow() {
  // expected-error @+1 {{result element type 'f16' is not the weight's 'f32' or a wider float}}
  %0 = pith.load @w : tensor<4xf16>
  return
}

// -----

func.func @reshape_c2(%x: tensor<4x4xf32>) {
  // expected-error @+1 {{cannot give the 16 elements of 'tensor<4x4xf32>' the shape of 'tensor<5x3xf32>'}}
  %0 = pith.reshape %x : tensor<4x4xf32> -> tensor<5x3xf32>
  return
}

// -----

func.func @reshape_dims(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{has 0 sizes for the 1 dynamic dimensions}}
  %0 = pith.reshape %x : tensor<?x4xf32> -> tensor<?x2x2xf32>
  return
}

// -----

func.func @broadcast_c3(%x: tensor<3xf32>) {
  // expected-error @+1 {{source dimension 0 of size 3 does not fit result dimension 1 of size 4}}
  %0 = pith.broadcast %x : tensor<3xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @transpose_c1(%x: tensor<3x4xf32>) {
  // expected-error @+1 {{is not a permutation of rank 2}}
  %0 = pith.transpose %x [0, 0] : tensor<3x4xf32> -> tensor<4x3xf32>
  return
}

// -----

func.func @matmul_c2(%a: tensor<3x4xf32>, %b: tensor<5x6xf32>) {
  // expected-error @+1 {{inner sizes differ: 4 and 5}}
  %0 = pith.matmul %a, %b : tensor<3x4xf32>, tensor<5x6xf32> -> tensor<3x6xf32>
  return
}

// -----

func.func @softmax_axis(%a: tensor<3x4xf32>) {
  // expected-error @+1 {{axis 2 is outside rank 2}}
  %0 = pith.softmax %a axis 2 : tensor<3x4xf32>
  return
}

// -----

pith.weight @w : tensor<8x4xf32> = #pith.file<"m", 0, 128>
func.func @linear_c1(%x: tensor<?x5xf32>) {
  // expected-error @+1 {{weight @w has 4 input channels, x has 5}}
  %0 = pith.linear %x, [@w] : tensor<?x5xf32> -> tensor<?x8xf32>
  return
}

// -----

pith.weight @w : tensor<8x4xf32> = #pith.file<"m", 0, 128>
func.func @linear_c2(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{weights have 8 output channels, the result has 16}}
  %0 = pith.linear %x, [@w] : tensor<?x4xf32> -> tensor<?x16xf32>
  return
}

// -----

pith.weight @w : tensor<8x4xf32> = #pith.file<"m", 0, 128>
pith.weight @b : tensor<7xf32> = #pith.file<"m", 0, 28>
func.func @linear_c4(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{bias @b must have shape [8]}}
  %0 = pith.linear %x, [@w] bias [@b] : tensor<?x4xf32> -> tensor<?x8xf32>
  return
}

// -----

func.func @rope_c2(%x: tensor<?x128xf32>, %t: tensor<?x40xf32>) {
  // expected-error @+1 {{rotary_dim 80 must be even and at most head_dim 64}}
  %0 = pith.rope %x, %t, %t {head_dim = 64 : i64, rotary_dim = 80 : i64} : tensor<?x128xf32>, tensor<?x40xf32>
  return
}

// -----

func.func @rope_c3(%x: tensor<?x128xf32>, %t: tensor<?x16xf32>) {
  // expected-error @+1 {{tables must have the tokens of 'tensor<?x128xf32>' and 32 channels}}
  %0 = pith.rope %x, %t, %t {head_dim = 64 : i64, rotary_dim = 64 : i64} : tensor<?x128xf32>, tensor<?x16xf32>
  return
}

// -----

func.func @attention_c1(%q: tensor<?x?x256xf32>) {
  // expected-error @+1 {{heads 4 is not a multiple of kv_heads 3}}
  %0 = pith.attention %q, %q, %q {heads = 4 : i64, kv_heads = 3 : i64, scale = 1.0 : f32}
      : tensor<?x?x256xf32>, tensor<?x?x256xf32>, tensor<?x?x256xf32> -> tensor<?x?x256xf32>
  return
}

// -----

func.func @attention_c3(%q: tensor<?x?x256xf32>, %m: tensor<?x2x?x?xi1>) {
  // expected-error @+1 {{mask dimension 1 has size 2, expected 1 or 4}}
  %0 = pith.attention %q, %q, %q mask %m : tensor<?x2x?x?xi1> {heads = 4 : i64, kv_heads = 4 : i64, scale = 1.0 : f32}
      : tensor<?x?x256xf32>, tensor<?x?x256xf32>, tensor<?x?x256xf32> -> tensor<?x?x256xf32>
  return
}

// -----

func.func @block_c1(%x: tensor<?x4xf32>, %y: tensor<?x5xf32>) {
  // expected-error @+1 {{yielded values must have types ('tensor<?x4xf32>'), found ('tensor<?x5xf32>')}}
  %0 = pith.block 0(%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%h: tensor<?x4xf32>):
    pith.yield %y : tensor<?x5xf32>
  }
  return
}

// -----

func.func @cache() {
  // expected-error @+1 {{no state @kv7}}
  %c = pith.cache @kv7 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
  return
}

// -----

pith.state @cross : !pith.kv<kv_heads = 2, head_dim = 4, value_dim = 4, element = f32> {condition}
func.func @condition_window(%q: tensor<?x8xf32>) {
  %c = pith.cache @cross : <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>
  // expected-error @+1 {{attention over a condition has no window, alibi or bias}}
  %o = pith.cache_attention %q, %c {condition, heads = 2 : i64, scale = 1.0 : f32, window = 3 : i64} : tensor<?x8xf32>, <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32> -> tensor<?x8xf32>
  return
}

// -----

pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>
func.func @bias_shape(%q: tensor<?x8xf32>, %b: tensor<3x5xf32>) {
  %c = pith.cache @kv0 : <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32>
  // expected-error @+1 {{bias must be f32 [2, distances], found 'tensor<3x5xf32>'}}
  %o = pith.cache_attention %q, %c bias %b : tensor<3x5xf32> {heads = 2 : i64, scale = 1.0 : f32} : tensor<?x8xf32>, <kv_heads = 2, head_dim = 4, value_dim = 4, element = f32> -> tensor<?x8xf32>
  return
}

// -----

func.func @tap_c2(%x: tensor<?x8xf32>, %s: tensor<8xf32>) {
  // expected-error @+1 {{norm is "batch", expected "rms" or "layer"}}
  pith.tap 0(%x) scale %s {norm = "batch", epsilon = 1.0e-5 : f32} : tensor<?x8xf32>, tensor<8xf32>
  return
}

// -----

func.func @tap_c3(%x: tensor<?x8xf32>, %s: tensor<8xf32>) {
  // expected-error @+1 {{takes norm, scale and epsilon together or not at all}}
  pith.tap 0(%x) scale %s {norm = "rms"} : tensor<?x8xf32>, tensor<8xf32>
  return
}
