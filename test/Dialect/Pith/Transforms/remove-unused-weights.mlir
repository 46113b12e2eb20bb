// RUN: pith-opt %s -pith-remove-unused-weights | FileCheck %s

// CHECK: pith.weight @used
// CHECK-NOT: pith.weight @unused
// CHECK: pith.weight @stacked
pith.weight @used : tensor<8xf32> = dense<1.0> : tensor<8xf32>
pith.weight @unused : tensor<8xf32> = dense<1.0> : tensor<8xf32>
pith.weight @stacked : tensor<8x8xf32> = dense<1.0> : tensor<8x8xf32>
func.func @main(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %w = pith.load @used : tensor<8xf32>
  %n = pith.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x8xf32>, tensor<8xf32>
  %y = pith.linear %n, [@stacked] : tensor<?x8xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
