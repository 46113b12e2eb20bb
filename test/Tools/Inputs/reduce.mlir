func.func @unused(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = arith.addf %x, %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func @kept(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = pith.softmax %x axis 0 : tensor<2xf32>
  return %0 : tensor<2xf32>
}
