// RUN: pith-opt %s -split-input-file -pith-simplify-gathers -canonicalize -cse | FileCheck %s

// GatherElements along the positions of a table that is repeated for every sequence, as GPT-J's exports have it.
// CHECK-LABEL: func.func @elements
// CHECK-SAME: (%[[P:.*]]: tensor<?x?xi64>, %[[T:.*]]: tensor<64x4xf32>)
// CHECK: %[[Y:.*]] = pith.gather %[[T]], %[[P]] axis 0 : tensor<64x4xf32>, tensor<?x?xi64> -> tensor<?x?x4xf32>
// CHECK: return %[[Y]]
func.func @elements(%pos: tensor<?x?xi64>, %table: tensor<64x4xf32>) -> tensor<?x?x4xf32> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %pos, %c0 : tensor<?x?xi64>
  %s = tensor.dim %pos, %c1 : tensor<?x?xi64>
  %all = pith.broadcast %table dims(%b) : tensor<64x4xf32> -> tensor<?x64x4xf32>
  %i0 = pith.iota 0 dims(%b, %s) : tensor<?x?x4x1xi64>
  %i2 = pith.iota 2 dims(%b, %s) : tensor<?x?x4x1xi64>
  %p = pith.reshape %pos dims(%b, %s) : tensor<?x?xi64> -> tensor<?x?x1x1xi64>
  %i1 = pith.broadcast %p dims(%b, %s) : tensor<?x?x1x1xi64> -> tensor<?x?x4x1xi64>
  %at = tensor.concat dim(3) %i0, %i1, %i2 : (tensor<?x?x4x1xi64>, tensor<?x?x4x1xi64>, tensor<?x?x4x1xi64>) -> tensor<?x?x4x3xi64>
  %y = pith.gather_nd %all, %at : tensor<?x64x4xf32>, tensor<?x?x4x3xi64> -> tensor<?x?x4xf32>
  return %y : tensor<?x?x4xf32>
}

// -----

// The batch is counted, and the index is one for all sequences: a gather along the second dimension.
// CHECK-LABEL: func.func @rows
// CHECK-SAME: (%[[M:.*]]: tensor<?x?xi1>, %[[K:.*]]: tensor<?xi64>)
// CHECK: pith.gather %[[M]], %[[K]] axis 1 : tensor<?x?xi1>, tensor<?xi64> -> tensor<?x?xi1>
func.func @rows(%m: tensor<?x?xi1>, %k: tensor<?xi64>) -> tensor<?x?xi1> attributes {pith.entry = "invoke"} {
  %c0 = arith.constant 0 : index
  %b = tensor.dim %m, %c0 : tensor<?x?xi1>
  %t = tensor.dim %k, %c0 : tensor<?xi64>
  %i0 = pith.iota 0 dims(%b, %t) : tensor<?x?x1xi64>
  %r = pith.reshape %k dims(%t) : tensor<?xi64> -> tensor<1x?x1xi64>
  %i1 = pith.broadcast %r dims(%b, %t) : tensor<1x?x1xi64> -> tensor<?x?x1xi64>
  %at = tensor.concat dim(2) %i0, %i1 : (tensor<?x?x1xi64>, tensor<?x?x1xi64>) -> tensor<?x?x2xi64>
  %y = pith.gather_nd %m, %at : tensor<?x?xi1>, tensor<?x?x2xi64> -> tensor<?x?xi1>
  return %y : tensor<?x?xi1>
}

// -----

// Two indices of their own, a count that ends before the dimension does, an index that differs along a counted
// dimension: all stay.
// CHECK-LABEL: func.func @stay
// CHECK-COUNT-3: pith.gather_nd
func.func @stay(%m: tensor<8x8xf32>, %k: tensor<8x1xi64>, %l: tensor<8x1xi64>, %n: tensor<4x1xi64>)
    -> (tensor<8xf32>, tensor<4xf32>, tensor<8xf32>) attributes {pith.entry = "invoke"} {
  %two = tensor.concat dim(1) %k, %l : (tensor<8x1xi64>, tensor<8x1xi64>) -> tensor<8x2xi64>
  %a = pith.gather_nd %m, %two : tensor<8x8xf32>, tensor<8x2xi64> -> tensor<8xf32>
  %i4 = pith.iota 0 : tensor<4x1xi64>
  %short = tensor.concat dim(1) %i4, %n : (tensor<4x1xi64>, tensor<4x1xi64>) -> tensor<4x2xi64>
  %b = pith.gather_nd %m, %short : tensor<8x8xf32>, tensor<4x2xi64> -> tensor<4xf32>
  %i8 = pith.iota 0 : tensor<8x1xi64>
  %diagonal = tensor.concat dim(1) %i8, %k : (tensor<8x1xi64>, tensor<8x1xi64>) -> tensor<8x2xi64>
  %c = pith.gather_nd %m, %diagonal : tensor<8x8xf32>, tensor<8x2xi64> -> tensor<8xf32>
  return %a, %b, %c : tensor<8xf32>, tensor<4xf32>, tensor<8xf32>
}

// -----

// Constant runs are slices, negative indices and steps included; anything else is not.
// CHECK-LABEL: func.func @runs
// CHECK: tensor.extract_slice %{{.*}}[0, 5] [3, 1] [1, 1]
// CHECK: tensor.extract_slice %{{.*}}[0, 1] [3, 3] [1, 2]
// CHECK: pith.gather %{{.*}} axis 1
func.func @runs(%x: tensor<3x6xf32>) -> (tensor<3xf32>, tensor<3x3xf32>, tensor<3x3xf32>) attributes {pith.entry = "invoke"} {
  %last = arith.constant dense<-1> : tensor<i64>
  %a = pith.gather %x, %last axis 1 : tensor<3x6xf32>, tensor<i64> -> tensor<3xf32>
  %odd = arith.constant dense<[1, 3, 5]> : tensor<3xi64>
  %b = pith.gather %x, %odd axis 1 : tensor<3x6xf32>, tensor<3xi64> -> tensor<3x3xf32>
  %mixed = arith.constant dense<[1, 2, 4]> : tensor<3xi64>
  %c = pith.gather %x, %mixed axis 1 : tensor<3x6xf32>, tensor<3xi64> -> tensor<3x3xf32>
  return %a, %b, %c : tensor<3xf32>, tensor<3x3xf32>, tensor<3x3xf32>
}

// -----

// A scatter to every element, in order, gives its updates; to half of them it stays.
// CHECK-LABEL: func.func @scatter
// CHECK-SAME: %[[U:[a-z0-9]*]]: tensor<1x?x4xf32>
// CHECK: %[[S:.*]] = pith.scatter_nd
// CHECK: return %[[U]], %[[S]]
func.func @scatter(%u: tensor<1x?x4xf32>, %m: tensor<8xf32>, %v: tensor<4xf32>) -> (tensor<1x?x4xf32>, tensor<8xf32>)
    attributes {pith.entry = "invoke"} {
  %c1 = arith.constant 1 : index
  %n = tensor.dim %u, %c1 : tensor<1x?x4xf32>
  %z = arith.constant dense<0.0> : tensor<f32>
  %m0 = pith.broadcast %z dims(%n) : tensor<f32> -> tensor<1x?x4xf32>
  %k = arith.constant dense<0> : tensor<i64>
  %i0 = pith.broadcast %k dims(%n) : tensor<i64> -> tensor<1x?x4x1xi64>
  %i1 = pith.iota 1 dims(%n) : tensor<1x?x4x1xi64>
  %i2 = pith.iota 2 dims(%n) : tensor<1x?x4x1xi64>
  %at = tensor.concat dim(3) %i0, %i1, %i2 : (tensor<1x?x4x1xi64>, tensor<1x?x4x1xi64>, tensor<1x?x4x1xi64>) -> tensor<1x?x4x3xi64>
  %a = pith.scatter_nd %m0, %at, %u : tensor<1x?x4xf32>, tensor<1x?x4x3xi64>, tensor<1x?x4xf32> -> tensor<1x?x4xf32>
  %i4 = pith.iota 0 : tensor<4x1xi64>
  %b = pith.scatter_nd %m, %i4, %v : tensor<8xf32>, tensor<4x1xi64>, tensor<4xf32> -> tensor<8xf32>
  return %a, %b : tensor<1x?x4xf32>, tensor<8xf32>
}
