// RUN: pith-opt %s -canonicalize -split-input-file | FileCheck %s

// CHECK-LABEL: @transposes_cancel
// CHECK-NEXT: return %arg0
func.func @transposes_cancel(%x: tensor<?x4x?x64xf32>) -> tensor<?x4x?x64xf32> {
  %0 = pith.transpose %x [0, 2, 1, 3] : tensor<?x4x?x64xf32> -> tensor<?x?x4x64xf32>
  %1 = pith.transpose %0 [0, 2, 1, 3] : tensor<?x?x4x64xf32> -> tensor<?x4x?x64xf32>
  return %1 : tensor<?x4x?x64xf32>
}

// -----

// CHECK-LABEL: @reshapes_cancel
// CHECK-NEXT: return %arg0
func.func @reshapes_cancel(%x: tensor<?x?x256xf32>) -> tensor<?x?x256xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x256xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x256xf32>
  %0 = pith.reshape %x dims(%b, %s) : tensor<?x?x256xf32> -> tensor<?x?x4x64xf32>
  %1 = pith.reshape %0 dims(%b, %s) : tensor<?x?x4x64xf32> -> tensor<?x?x256xf32>
  return %1 : tensor<?x?x256xf32>
}

// -----

// Sizes from elsewhere may differ from the source's own.
// CHECK-LABEL: @reshapes_stay
// CHECK: pith.reshape
func.func @reshapes_stay(%x: tensor<?x?x256xf32>, %b: index, %s: index) -> tensor<?x?x256xf32> {
  %1 = pith.reshape %x dims(%s, %b) : tensor<?x?x256xf32> -> tensor<?x?x256xf32>
  return %1 : tensor<?x?x256xf32>
}

// -----

// CHECK-LABEL: @static_dims
// CHECK: pith.reshape %arg0 : tensor<256xf32> -> tensor<4x64xf32>
func.func @static_dims(%x: tensor<256xf32>) -> tensor<?x64xf32> {
  %c4 = arith.constant 4 : index
  %0 = pith.reshape %x dims(%c4) : tensor<256xf32> -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// -----

// CHECK-LABEL: @broadcasts_compose
// CHECK-NEXT: pith.broadcast %arg0 dims(%arg1) : tensor<64xf32> -> tensor<?x4x64xf32>
func.func @broadcasts_compose(%x: tensor<64xf32>, %b: index) -> tensor<?x4x64xf32> {
  %0 = pith.broadcast %x : tensor<64xf32> -> tensor<4x64xf32>
  %1 = pith.broadcast %0 dims(%b) : tensor<4x64xf32> -> tensor<?x4x64xf32>
  return %1 : tensor<?x4x64xf32>
}

// -----

// CHECK-LABEL: @broadcast_constant
// CHECK-NEXT: arith.constant dense<1.000000e+00> : tensor<4x64xf32>
func.func @broadcast_constant() -> tensor<4x64xf32> {
  %c = arith.constant dense<1.0> : tensor<f32>
  %0 = pith.broadcast %c : tensor<f32> -> tensor<4x64xf32>
  return %0 : tensor<4x64xf32>
}
