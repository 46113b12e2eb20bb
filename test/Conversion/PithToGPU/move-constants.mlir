// RUN: pith-opt %s -pith-move-constants | FileCheck %s

// CHECK: pith.packed @[[PACKED:.*]] [@[[WEIGHT:.*]]] {element = f32, kind = "plain"} at 0 size 12
// CHECK: pith.weight @[[WEIGHT]] : tensor<3xf32> = dense<[1.000000e+00, 2.000000e+00, 3.000000e+00]>
// CHECK-LABEL: func @main
// CHECK: %[[A:.*]] = pith.packed_address @[[PACKED]] : memref<3xf32>
// CHECK: bufferization.to_tensor %[[A]] restrict
// CHECK: linalg.fill
func.func @main() -> (tensor<3xf32>, tensor<4xi64>) {
  %0 = arith.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %1 = arith.constant dense<7> : tensor<4xi64>
  return %0, %1 : tensor<3xf32>, tensor<4xi64>
}
