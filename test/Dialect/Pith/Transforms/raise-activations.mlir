// RUN: pith-opt %s --pith-raise-activations | FileCheck %s

// CHECK-LABEL: func @silu
// CHECK: %[[Y:.*]] = pith.activation silu %{{.*}} : tensor<?x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @silu(%x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %ones = pith.broadcast %one dims(%n) : tensor<f32> -> tensor<?x8xf32>
  %m = arith.negf %x : tensor<?x8xf32>
  %e = math.exp %m : tensor<?x8xf32>
  %d = arith.addf %e, %ones : tensor<?x8xf32>
  %s = arith.divf %ones, %d : tensor<?x8xf32>
  %y = arith.mulf %x, %s : tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// CHECK-LABEL: func @gelu
// CHECK: pith.activation gelu %arg0
// CHECK-NOT: math
func.func @gelu(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %root = arith.constant dense<1.4142135> : tensor<4x8xf32>
  %one = arith.constant dense<1.0> : tensor<4x8xf32>
  %half = arith.constant dense<0.5> : tensor<4x8xf32>
  %a = arith.divf %x, %root : tensor<4x8xf32>
  %b = math.erf %a : tensor<4x8xf32>
  %c = arith.addf %b, %one : tensor<4x8xf32>
  %d = arith.mulf %x, %c : tensor<4x8xf32>
  %y = arith.mulf %d, %half : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// CHECK-LABEL: func @gelu_tanh
// CHECK: pith.activation gelu_tanh %arg0
// CHECK-NOT: math
func.func @gelu_tanh(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %k0 = arith.constant dense<0.044715> : tensor<4x8xf32>
  %k1 = arith.constant dense<0.797885> : tensor<4x8xf32>
  %one = arith.constant dense<1.0> : tensor<4x8xf32>
  %half = arith.constant dense<0.5> : tensor<4x8xf32>
  %three = arith.constant dense<3.0> : tensor<4x8xf32>
  %h = arith.mulf %x, %half : tensor<4x8xf32>
  %a = math.powf %x, %three : tensor<4x8xf32>
  %b = arith.mulf %a, %k0 : tensor<4x8xf32>
  %c = arith.addf %x, %b : tensor<4x8xf32>
  %d = arith.mulf %c, %k1 : tensor<4x8xf32>
  %e = math.tanh %d : tensor<4x8xf32>
  %f = arith.addf %e, %one : tensor<4x8xf32>
  %y = arith.mulf %h, %f : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// 0.05 is not 0.044715.
// CHECK-LABEL: func @not_gelu
// CHECK-NOT: pith.activation
func.func @not_gelu(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %k0 = arith.constant dense<0.05> : tensor<4x8xf32>
  %k1 = arith.constant dense<0.797885> : tensor<4x8xf32>
  %one = arith.constant dense<1.0> : tensor<4x8xf32>
  %half = arith.constant dense<0.5> : tensor<4x8xf32>
  %sq = arith.mulf %x, %x : tensor<4x8xf32>
  %a = arith.mulf %sq, %x : tensor<4x8xf32>
  %b = arith.mulf %a, %k0 : tensor<4x8xf32>
  %c = arith.addf %x, %b : tensor<4x8xf32>
  %d = arith.mulf %c, %k1 : tensor<4x8xf32>
  %e = math.tanh %d : tensor<4x8xf32>
  %f = arith.addf %e, %one : tensor<4x8xf32>
  %h = arith.mulf %x, %half : tensor<4x8xf32>
  %y = arith.mulf %h, %f : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// CHECK-LABEL: func @quick_gelu_and_relu
// CHECK: pith.activation relu
// CHECK: pith.activation quick_gelu
func.func @quick_gelu_and_relu(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %zero = arith.constant dense<0.0> : tensor<4x8xf32>
  %one = arith.constant dense<1.0> : tensor<4x8xf32>
  %a = arith.constant dense<-1.702> : tensor<4x8xf32>
  %r = arith.maximumf %x, %zero : tensor<4x8xf32>
  %m = arith.mulf %r, %a : tensor<4x8xf32>
  %e = math.exp %m : tensor<4x8xf32>
  %d = arith.addf %one, %e : tensor<4x8xf32>
  %y = arith.divf %r, %d : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// The gate may be the other factor, and the product associated as gate * (sigmoid(gate) * up).
// CHECK-LABEL: func @gated
// CHECK-SAME: (%[[G:.*]]: tensor<4x8xf32>, %[[U:.*]]: tensor<4x8xf32>)
// CHECK: pith.glu silu %[[G]], %[[U]]
// CHECK: pith.glu silu %[[U]], %[[G]]
func.func @gated(%g: tensor<4x8xf32>, %u: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) attributes {pith.entry = "invoke"} {
  %one = arith.constant dense<1.0> : tensor<4x8xf32>
  %m = arith.negf %g : tensor<4x8xf32>
  %e = math.exp %m : tensor<4x8xf32>
  %d = arith.addf %one, %e : tensor<4x8xf32>
  %s = arith.divf %one, %d : tensor<4x8xf32>
  %a = arith.mulf %g, %s : tensor<4x8xf32>
  %y = arith.mulf %u, %a : tensor<4x8xf32>
  %m2 = arith.negf %u : tensor<4x8xf32>
  %e2 = math.exp %m2 : tensor<4x8xf32>
  %d2 = arith.addf %one, %e2 : tensor<4x8xf32>
  %s2 = arith.divf %one, %d2 : tensor<4x8xf32>
  %p = arith.mulf %s2, %g : tensor<4x8xf32>
  %z = arith.mulf %u, %p : tensor<4x8xf32>
  return %y, %z : tensor<4x8xf32>, tensor<4x8xf32>
}
