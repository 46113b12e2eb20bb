// RUN: pith-opt %s --pith-widen-floats | FileCheck %s

pith.weight @w : tensor<8xf16> = dense<2.0> : tensor<8xf16>

// Casts vanish, weights are read as f32, constants keep their value, and the signature stays.
// CHECK-LABEL: func @main
// CHECK-SAME: (%[[ARG:.*]]: tensor<4x8xf16>) -> (tensor<4x8xf16>, tensor<4x8xf32>)
// CHECK-DAG: %[[X:.*]] = arith.extf %[[ARG]] : tensor<4x8xf16> to tensor<4x8xf32>
// CHECK-DAG: %[[HALF:.*]] = arith.constant dense<5.000000e-01> : tensor<4x8xf32>
// CHECK-DAG: %[[W:.*]] = pith.load @w : tensor<8xf32>
// CHECK: %[[WB:.*]] = pith.broadcast %[[W]] : tensor<8xf32> -> tensor<4x8xf32>
// CHECK: %[[Y:.*]] = arith.mulf %[[X]], %[[WB]] : tensor<4x8xf32>
// CHECK: %[[Z:.*]] = arith.mulf %[[Y]], %[[HALF]] : tensor<4x8xf32>
// CHECK: %[[OUT:.*]] = arith.truncf %[[Z]] : tensor<4x8xf32> to tensor<4x8xf16>
// CHECK: return %[[OUT]], %[[Y]]
func.func @main(%x: tensor<4x8xf16>) -> (tensor<4x8xf16>, tensor<4x8xf32>) attributes {pith.entry = "invoke"} {
  %half = arith.constant dense<0.5> : tensor<4x8xf16>
  %w = pith.load @w : tensor<8xf16>
  %wide = arith.extf %x : tensor<4x8xf16> to tensor<4x8xf32>
  %narrow = arith.truncf %wide : tensor<4x8xf32> to tensor<4x8xf16>
  %wb = pith.broadcast %w : tensor<8xf16> -> tensor<4x8xf16>
  %y = arith.mulf %narrow, %wb : tensor<4x8xf16>
  %z = arith.mulf %y, %half : tensor<4x8xf16>
  %yw = arith.extf %y : tensor<4x8xf16> to tensor<4x8xf32>
  return %z, %yw : tensor<4x8xf16>, tensor<4x8xf32>
}

// Through control flow.
// CHECK-LABEL: func @branches
// CHECK: scf.if %{{.*}} -> (tensor<4xf32>)
// CHECK-NOT: bf16
// CHECK: return
func.func @branches(%c: i1, %x: tensor<4xf32>) -> tensor<4xf32> attributes {pith.entry = "invoke"} {
  %n = arith.truncf %x : tensor<4xf32> to tensor<4xbf16>
  %r = scf.if %c -> tensor<4xbf16> {
    %a = arith.addf %n, %n : tensor<4xbf16>
    scf.yield %a : tensor<4xbf16>
  } else {
    scf.yield %n : tensor<4xbf16>
  }
  %w = arith.extf %r : tensor<4xbf16> to tensor<4xf32>
  return %w : tensor<4xf32>
}
