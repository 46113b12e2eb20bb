// RUN: pith-opt %s --pith-raise-norms --split-input-file | FileCheck %s

pith.weight @g : tensor<8xf32> = dense<2.0> : tensor<8xf32>

// x * (1 / sqrt(mean(x^2) + eps)), the scale first.
// CHECK-LABEL: func @pow_mean_sqrt_div
// CHECK-SAME: (%[[X:.*]]: tensor<?x3x8xf32>
// CHECK: %[[G:.*]] = pith.load @g
// CHECK: %[[Y:.*]] = pith.rms_norm %[[X]], %[[G]] {epsilon = 9.99999974E-6 : f32}
// CHECK-NEXT: return %[[Y]]
func.func @pow_mean_sqrt_div(%x: tensor<?x3x8xf32> {pith.dims = ["b", 3, 8]}) -> tensor<?x3x8xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %b = tensor.dim %x, %c0 : tensor<?x3x8xf32>
  %two = arith.constant dense<2.0> : tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %eps = arith.constant dense<1.0e-5> : tensor<f32>
  %twos = pith.broadcast %two dims(%b) : tensor<f32> -> tensor<?x3x8xf32>
  %ones = pith.broadcast %one dims(%b) : tensor<f32> -> tensor<?x3x1xf32>
  %epss = pith.broadcast %eps dims(%b) : tensor<f32> -> tensor<?x3x1xf32>
  %sq = math.powf %x, %twos : tensor<?x3x8xf32>
  %m = pith.reduce mean %sq [2] : tensor<?x3x8xf32> -> tensor<?x3x1xf32>
  %a = arith.addf %m, %epss : tensor<?x3x1xf32>
  %r = math.sqrt %a : tensor<?x3x1xf32>
  %i = arith.divf %ones, %r : tensor<?x3x1xf32>
  %ib = pith.broadcast %i dims(%b) : tensor<?x3x1xf32> -> tensor<?x3x8xf32>
  %n = arith.mulf %x, %ib : tensor<?x3x8xf32>
  %g = pith.load @g : tensor<8xf32>
  %gb = pith.broadcast %g dims(%b) : tensor<8xf32> -> tensor<?x3x8xf32>
  %y = arith.mulf %gb, %n : tensor<?x3x8xf32>
  return %y : tensor<?x3x8xf32>
}

// The product x * x, a sum over the channels scaled, rsqrt, no scale.
// CHECK-LABEL: func @mul_sum_rsqrt
// CHECK: %[[ONES:.*]] = pith.load @constant
// CHECK: pith.rms_norm %{{.*}}, %[[ONES]] {epsilon = 9.99999997E-7 : f32}
// CHECK-NOT: pith.reduce
func.func @mul_sum_rsqrt(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %eighth = arith.constant dense<0.125> : tensor<4x1xf32>
  %eps = arith.constant dense<1.0e-6> : tensor<4x1xf32>
  %sq = arith.mulf %x, %x : tensor<4x8xf32>
  %s = pith.reduce sum %sq [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %m = arith.mulf %s, %eighth : tensor<4x1xf32>
  %a = arith.addf %eps, %m : tensor<4x1xf32>
  %r = math.rsqrt %a : tensor<4x1xf32>
  %rb = pith.broadcast %r : tensor<4x1xf32> -> tensor<4x8xf32>
  %y = arith.mulf %rb, %x : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// x / sqrt(…), and x * (…)^-0.5.
// CHECK-LABEL: func @quotient_and_power
// CHECK-COUNT-2: pith.rms_norm
// CHECK-NOT: math
func.func @quotient_and_power(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) attributes {pith.entry = "invoke"} {
  %eps = arith.constant dense<1.0e-6> : tensor<4x1xf32>
  %eps2 = arith.constant dense<2.0e-6> : tensor<4x1xf32>
  %half = arith.constant dense<-0.5> : tensor<4x1xf32>
  %sq = arith.mulf %x, %x : tensor<4x8xf32>
  %m = pith.reduce mean %sq [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %a = arith.addf %m, %eps : tensor<4x1xf32>
  %a2 = arith.addf %m, %eps2 : tensor<4x1xf32>
  %r = math.sqrt %a : tensor<4x1xf32>
  %p = math.powf %a2, %half : tensor<4x1xf32>
  %rb = pith.broadcast %r : tensor<4x1xf32> -> tensor<4x8xf32>
  %pb = pith.broadcast %p : tensor<4x1xf32> -> tensor<4x8xf32>
  %y = arith.divf %x, %rb : tensor<4x8xf32>
  %z = arith.mulf %x, %pb : tensor<4x8xf32>
  return %y, %z : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

pith.weight @g : tensor<8xf32> = dense<2.0> : tensor<8xf32>
pith.weight @b : tensor<8xf32> = dense<3.0> : tensor<8xf32>

// CHECK-LABEL: func @layer_norm
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>
// CHECK-DAG: %[[G:.*]] = pith.load @g
// CHECK-DAG: %[[B:.*]] = pith.load @b
// CHECK: %[[Y:.*]] = pith.layer_norm %[[X]] scale %[[G]] bias %[[B]] {epsilon = 9.99999996E-13 : f32}
// CHECK-NEXT: return %[[Y]]
func.func @layer_norm(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %eps = arith.constant dense<1.0e-12> : tensor<4x1xf32>
  %mean = pith.reduce mean %x [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %meanb = pith.broadcast %mean : tensor<4x1xf32> -> tensor<4x8xf32>
  %c = arith.subf %x, %meanb : tensor<4x8xf32>
  %sq = arith.mulf %c, %c : tensor<4x8xf32>
  %v = pith.reduce mean %sq [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %a = arith.addf %v, %eps : tensor<4x1xf32>
  %r = math.sqrt %a : tensor<4x1xf32>
  %rb = pith.broadcast %r : tensor<4x1xf32> -> tensor<4x8xf32>
  %n = arith.divf %c, %rb : tensor<4x8xf32>
  %g = pith.load @g : tensor<8xf32>
  %gb = pith.broadcast %g : tensor<8xf32> -> tensor<4x8xf32>
  %s = arith.mulf %n, %gb : tensor<4x8xf32>
  %b = pith.load @b : tensor<8xf32>
  %bb = pith.broadcast %b : tensor<8xf32> -> tensor<4x8xf32>
  %y = arith.addf %s, %bb : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// Variance as E[x^2] - E[x]^2.
// CHECK-LABEL: func @two_moments
// CHECK-SAME: (%[[X:.*]]: tensor<4x8xf32>
// CHECK: pith.layer_norm %[[X]] {epsilon
// CHECK-NOT: pith.reduce
func.func @two_moments(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %eps = arith.constant dense<1.0e-5> : tensor<4x1xf32>
  %mean = pith.reduce mean %x [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %meanb = pith.broadcast %mean : tensor<4x1xf32> -> tensor<4x8xf32>
  %c = arith.subf %x, %meanb : tensor<4x8xf32>
  %sq = arith.mulf %x, %x : tensor<4x8xf32>
  %m2 = pith.reduce mean %sq [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %mm = arith.mulf %mean, %mean : tensor<4x1xf32>
  %v = arith.subf %m2, %mm : tensor<4x1xf32>
  %a = arith.addf %v, %eps : tensor<4x1xf32>
  %r = math.rsqrt %a : tensor<4x1xf32>
  %rb = pith.broadcast %r : tensor<4x1xf32> -> tensor<4x8xf32>
  %n = arith.mulf %c, %rb : tensor<4x8xf32>
  return %n : tensor<4x8xf32>
}

// -----

// Not norms: another tensor is scaled; the mean is over tokens; the root is not the square root.
// CHECK-LABEL: func @other_tensor
// CHECK-NOT: pith.rms_norm
func.func @other_tensor(%x: tensor<4x8xf32>, %z: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %eps = arith.constant dense<1.0e-5> : tensor<4x1xf32>
  %sq = arith.mulf %x, %x : tensor<4x8xf32>
  %m = pith.reduce mean %sq [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %a = arith.addf %m, %eps : tensor<4x1xf32>
  %r = math.rsqrt %a : tensor<4x1xf32>
  %rb = pith.broadcast %r : tensor<4x1xf32> -> tensor<4x8xf32>
  %y = arith.mulf %rb, %z : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// CHECK-LABEL: func @other_axis
// CHECK-NOT: pith.rms_norm
func.func @other_axis(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %eps = arith.constant dense<1.0e-5> : tensor<1x8xf32>
  %sq = arith.mulf %x, %x : tensor<4x8xf32>
  %m = pith.reduce mean %sq [0] : tensor<4x8xf32> -> tensor<1x8xf32>
  %a = arith.addf %m, %eps : tensor<1x8xf32>
  %r = math.rsqrt %a : tensor<1x8xf32>
  %rb = pith.broadcast %r : tensor<1x8xf32> -> tensor<4x8xf32>
  %y = arith.mulf %rb, %x : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// CHECK-LABEL: func @other_power
// CHECK-NOT: pith.rms_norm
func.func @other_power(%x: tensor<4x8xf32>) -> tensor<4x8xf32> attributes {pith.entry = "invoke"} {
  %eps = arith.constant dense<1.0e-5> : tensor<4x1xf32>
  %third = arith.constant dense<-0.4> : tensor<4x1xf32>
  %sq = arith.mulf %x, %x : tensor<4x8xf32>
  %m = pith.reduce mean %sq [1] : tensor<4x8xf32> -> tensor<4x1xf32>
  %a = arith.addf %m, %eps : tensor<4x1xf32>
  %r = math.powf %a, %third : tensor<4x1xf32>
  %rb = pith.broadcast %r : tensor<4x1xf32> -> tensor<4x8xf32>
  %y = arith.mulf %rb, %x : tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
