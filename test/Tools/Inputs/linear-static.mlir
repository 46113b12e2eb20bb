pith.weight @w : tensor<64x64xf32> = dense<0.5> : tensor<64x64xf32>
func.func @main(%x: tensor<4x64xf32>) -> tensor<4x64xf32> attributes {pith.entry = "invoke"} {
  %y = pith.linear %x, [@w] : tensor<4x64xf32> -> tensor<4x64xf32>
  return %y : tensor<4x64xf32>
}
