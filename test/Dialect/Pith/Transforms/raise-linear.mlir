// RUN: pith-opt %s --pith-raise-linear --split-input-file | FileCheck %s

pith.weight @kn : tensor<8x6xf16> = #pith.file<"w.bin", 0, 96>
pith.weight @nk : tensor<6x8xf32> = #pith.file<"w.bin", 96, 192>
pith.weight @b : tensor<6xf32> = #pith.file<"w.bin", 288, 24>

// Weights either way; the bias first; the flattened tokens of a Gemm.
// CHECK-LABEL: func @projections
// CHECK-SAME: (%[[X:.*]]: tensor<?x?x8xf32>
// CHECK: %[[Y:.*]] = pith.linear %[[X]], [@kn] bias [@b] {k_major} : tensor<?x?x8xf32> -> tensor<?x?x6xf32>
// CHECK: %[[Z:.*]] = pith.linear %[[X]], [@nk] bias [@b] : tensor<?x?x8xf32> -> tensor<?x?x6xf32>
// CHECK-NEXT: return %[[Y]], %[[Z]]
func.func @projections(%x: tensor<?x?x8xf32> {pith.dims = ["batch", "sequence", 8]}) -> (tensor<?x?x6xf32>, tensor<?x?x6xf32>)
    attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %bd = tensor.dim %x, %c0 : tensor<?x?x8xf32>
  %sd = tensor.dim %x, %c1 : tensor<?x?x8xf32>
  %n = arith.muli %bd, %sd : index
  %kn = pith.load @kn : tensor<8x6xf32>
  %nk = pith.load @nk : tensor<6x8xf32>
  %b = pith.load @b : tensor<6xf32>
  %bb = pith.broadcast %b dims(%bd, %sd) : tensor<6xf32> -> tensor<?x?x6xf32>
  %m = pith.matmul %x, %kn : tensor<?x?x8xf32>, tensor<8x6xf32> -> tensor<?x?x6xf32>
  %y = arith.addf %bb, %m : tensor<?x?x6xf32>
  %flat = pith.reshape %x dims(%n) : tensor<?x?x8xf32> -> tensor<?x8xf32>
  %t = pith.transpose %nk [1, 0] : tensor<6x8xf32> -> tensor<8x6xf32>
  %g = pith.matmul %flat, %t : tensor<?x8xf32>, tensor<8x6xf32> -> tensor<?x6xf32>
  %gb = pith.broadcast %b dims(%n) : tensor<6xf32> -> tensor<?x6xf32>
  %gs = arith.addf %g, %gb : tensor<?x6xf32>
  %z = pith.reshape %gs dims(%bd, %sd) : tensor<?x6xf32> -> tensor<?x?x6xf32>
  return %y, %z : tensor<?x?x6xf32>, tensor<?x?x6xf32>
}

// -----

pith.weight @embed : tensor<16x8xf32> = #pith.file<"w.bin", 0, 512>

// An embedding, scaled, and the head that shares its table.
// CHECK-LABEL: func @tied
// CHECK: %[[E:.*]] = pith.embedding %arg0, @embed {scale = 2.000000e+00 : f32} : tensor<?x?xi64> -> tensor<?x?x8xf32>
// CHECK-NEXT: %[[Y:.*]] = pith.linear %[[E]], [@embed]
// CHECK-NEXT: return %[[Y]]
func.func @tied(%ids: tensor<?x?xi64>) -> tensor<?x?x16xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %bd = tensor.dim %ids, %c0 : tensor<?x?xi64>
  %sd = tensor.dim %ids, %c1 : tensor<?x?xi64>
  %two = arith.constant dense<2.0> : tensor<f32>
  %twos = pith.broadcast %two dims(%bd, %sd) : tensor<f32> -> tensor<?x?x8xf32>
  %w = pith.load @embed : tensor<16x8xf32>
  %e = pith.gather %w, %ids axis 0 : tensor<16x8xf32>, tensor<?x?xi64> -> tensor<?x?x8xf32>
  %s = arith.mulf %e, %twos : tensor<?x?x8xf32>
  %t = pith.transpose %w [1, 0] : tensor<16x8xf32> -> tensor<8x16xf32>
  %y = pith.matmul %s, %t : tensor<?x?x8xf32>, tensor<8x16xf32> -> tensor<?x?x16xf32>
  return %y : tensor<?x?x16xf32>
}

// -----

// Packed rows, with an encoding: one weight per range of bytes.
// CHECK-DAG: pith.weight @qkv.0_4 : tensor<4x64xf32, #pith.block_quant<bits = 4, block = 32, scale = f32, zeros = true>> = #pith.file<"w.bin", 0, 128> scales #pith.file<"w.bin", 256, 32> zeros #pith.file<"w.bin", 320, 4>
// CHECK-DAG: pith.weight @qkv.4_6 : tensor<2x64xf32, #pith.block_quant<bits = 4, block = 32, scale = f32, zeros = true>> = #pith.file<"w.bin", 128, 64> scales #pith.file<"w.bin", 288, 16> zeros #pith.file<"w.bin", 324, 2>
// CHECK-DAG: pith.weight @b.0_4 : tensor<4xf32> = #pith.file<"w.bin", 328, 16>
// CHECK-NOT: pith.weight @qkv :
pith.weight @qkv : tensor<8x64xf32, #pith.block_quant<bits = 4, block = 32, scale = f32, zeros = true>>
    = #pith.file<"w.bin", 0, 256> scales #pith.file<"w.bin", 256, 64> zeros #pith.file<"w.bin", 320, 8>
pith.weight @b : tensor<8xf32> = #pith.file<"w.bin", 328, 32>

// CHECK-LABEL: func @packed
// CHECK-DAG: %[[Q:.*]] = pith.linear %arg0, [@qkv.0_4] bias [@b.0_4]
// CHECK-DAG: %[[K:.*]] = pith.linear %arg0, [@qkv.4_6] bias [@b.4_6]
// CHECK: return %[[Q]], %[[K]]
func.func @packed(%x: tensor<3x64xf32>) -> (tensor<3x4xf32>, tensor<3x2xf32>) attributes {pith.entry = "invoke"} {
  %y = pith.linear %x, [@qkv] bias [@b] : tensor<3x64xf32> -> tensor<3x8xf32>
  %q = tensor.extract_slice %y[0, 0] [3, 4] [1, 1] : tensor<3x8xf32> to tensor<3x4xf32>
  %k = tensor.extract_slice %y[0, 4] [3, 2] [1, 1] : tensor<3x8xf32> to tensor<3x2xf32>
  return %q, %k : tensor<3x4xf32>, tensor<3x2xf32>
}

// -----

pith.weight @w : tensor<64x8xf32> = #pith.file<"w.bin", 0, 2048>

// A k-major weight has no ranges of bytes for channels; neither have rows taken with a stride.
// CHECK-LABEL: func @stays_packed
// CHECK: pith.linear %arg0, [@w] {k_major} : tensor<3x64xf32> -> tensor<3x8xf32>
// CHECK-COUNT-2: tensor.extract_slice
func.func @stays_packed(%x: tensor<3x64xf32>) -> (tensor<3x4xf32>, tensor<3x4xf32>) attributes {pith.entry = "invoke"} {
  %y = pith.linear %x, [@w] {k_major} : tensor<3x64xf32> -> tensor<3x8xf32>
  %q = tensor.extract_slice %y[0, 0] [3, 4] [1, 1] : tensor<3x8xf32> to tensor<3x4xf32>
  %k = tensor.extract_slice %y[0, 1] [3, 4] [1, 2] : tensor<3x8xf32> to tensor<3x4xf32>
  return %q, %k : tensor<3x4xf32>, tensor<3x4xf32>
}

// -----

pith.weight @qkv : tensor<24x8xf32> = #pith.file<"w.bin", 0, 768>

// The parts of a row seen as [3, heads, 4], moved ahead of the batch, one taken by each slice.
// CHECK-LABEL: func @packed_views
// CHECK: %[[Q:.*]] = pith.linear %arg0, [@qkv.0_8] : tensor<?x5x8xf32> -> tensor<?x5x8xf32>
// CHECK: %[[V:.*]] = pith.linear %arg0, [@qkv.16_24] : tensor<?x5x8xf32> -> tensor<?x5x8xf32>
// CHECK-NOT: tensor.extract_slice
func.func @packed_views(%x: tensor<?x5x8xf32>) -> (tensor<?x2x5x4xf32>, tensor<?x2x5x4xf32>) attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %b = tensor.dim %x, %c0 : tensor<?x5x8xf32>
  %y = pith.linear %x, [@qkv] : tensor<?x5x8xf32> -> tensor<?x5x24xf32>
  %h = pith.reshape %y dims(%b) : tensor<?x5x24xf32> -> tensor<?x5x3x2x4xf32>
  %t = pith.transpose %h [2, 0, 3, 1, 4] : tensor<?x5x3x2x4xf32> -> tensor<3x?x2x5x4xf32>
  %q1 = tensor.extract_slice %t[0, 0, 0, 0, 0] [1, %b, 2, 5, 4] [1, 1, 1, 1, 1] : tensor<3x?x2x5x4xf32> to tensor<1x?x2x5x4xf32>
  %v1 = tensor.extract_slice %t[2, 0, 0, 0, 0] [1, %b, 2, 5, 4] [1, 1, 1, 1, 1] : tensor<3x?x2x5x4xf32> to tensor<1x?x2x5x4xf32>
  %q = pith.reshape %q1 dims(%b) : tensor<1x?x2x5x4xf32> -> tensor<?x2x5x4xf32>
  %v = pith.reshape %v1 dims(%b) : tensor<1x?x2x5x4xf32> -> tensor<?x2x5x4xf32>
  return %q, %v : tensor<?x2x5x4xf32>, tensor<?x2x5x4xf32>
}
