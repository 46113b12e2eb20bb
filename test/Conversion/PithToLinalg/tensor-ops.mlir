// RUN: pith-opt %s -convert-pith-to-linalg -canonicalize -cse | FileCheck %s

// A reshape is a view: dimensions that stay are kept apart from those that are split.
// CHECK-LABEL: func @split_heads
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0], [1], [2, 3]] output_shape [%[[B:.*]], %[[S:.*]], 4, 64]
func.func @split_heads(%x: tensor<?x?x256xf32>) -> tensor<?x?x4x64xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x256xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x256xf32>
  %y = pith.reshape %x dims(%b, %s) : tensor<?x?x256xf32> -> tensor<?x?x4x64xf32>
  return %y : tensor<?x?x4x64xf32>
}

// What cannot be told apart goes through one dimension.
// CHECK-LABEL: func @regroup
// CHECK: tensor.collapse_shape %{{.*}} {{\[}}[0, 1]]
// CHECK: tensor.expand_shape %{{.*}} {{\[}}[0, 1]]
func.func @regroup(%x: tensor<?x6xf32>, %n: index) -> tensor<?x4xf32> {
  %y = pith.reshape %x dims(%n) : tensor<?x6xf32> -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func @matmul
// The innermost loop runs along rows of both the right side and the result.
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction", "parallel"]
// CHECK: arith.addf {{.*}} fastmath<reassoc>
func.func @matmul(%a: tensor<?x?x8xf32>, %b: tensor<?x8x?xf32>) -> tensor<?x?x?xf32> {
  %y = pith.matmul %a, %b : tensor<?x?x8xf32>, tensor<?x8x?xf32> -> tensor<?x?x?xf32>
  return %y : tensor<?x?x?xf32>
}

// Narrow floats are summed in f32.
// CHECK-LABEL: func @mean
// CHECK: linalg.generic {{.*}}"reduction"{{.*}} outs(%{{.*}} : tensor<?x1xf32>)
// CHECK: arith.extf
// CHECK: arith.truncf
func.func @mean(%x: tensor<?x16xf16>) -> tensor<?x1xf16> {
  %y = pith.reduce mean %x [1] : tensor<?x16xf16> -> tensor<?x1xf16>
  return %y : tensor<?x1xf16>
}

// CHECK-LABEL: func @elementwise
// CHECK-SAME: %[[X:.*]]: tensor<?x4xi1>, %[[A:.*]]: tensor<?x4xf32>
// CHECK: linalg.generic
// CHECK: arith.select %{{.*}}, %{{.*}}, %{{.*}} : f32
func.func @elementwise(%c: tensor<?x4xi1>, %a: tensor<?x4xf32>, %b: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = arith.select %c, %a, %b : tensor<?x4xi1>, tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// Each piece is written into its place of the result.
// CHECK-LABEL: func @concat
// CHECK: %[[E:.*]] = tensor.empty(%{{.*}}) : tensor<2x?xf32>
// CHECK: %[[F:.*]] = tensor.insert_slice %{{.*}} into %[[E]][0, 0]
// CHECK: tensor.insert_slice %{{.*}} into %[[F]][0, %{{.*}}]
func.func @concat(%a: tensor<2x?xf32>, %b: tensor<2x3xf32>) -> tensor<2x?xf32> {
  %y = tensor.concat dim(1) %a, %b : (tensor<2x?xf32>, tensor<2x3xf32>) -> tensor<2x?xf32>
  return %y : tensor<2x?xf32>
}
