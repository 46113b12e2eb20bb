// RUN: pith-opt %s -convert-pith-to-linalg -canonicalize -cse -pith-fuse-elementwise | FileCheck %s

// CHECK-LABEL: func @chain
// CHECK: linalg.generic
// CHECK: arith.addf
// CHECK: math.exp
// CHECK-NOT: linalg.generic
func.func @chain(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  %a = arith.addf %x, %y : tensor<?xf32>
  %b = math.exp %a : tensor<?xf32>
  return %b : tensor<?xf32>
}

// A transpose merges into the product that reads it; an exponential would be computed for each row of the result.
// CHECK-LABEL: func @product
// CHECK: math.exp
// CHECK: linalg.yield
// CHECK: linalg.generic
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: linalg.yield
// CHECK-NOT: linalg.generic
func.func @product(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x?xf32> {
  %a = math.exp %x : tensor<?x8xf32>
  %b = pith.transpose %y [1, 0] : tensor<?x8xf32> -> tensor<8x?xf32>
  %c = pith.matmul %a, %b : tensor<?x8xf32>, tensor<8x?xf32> -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
