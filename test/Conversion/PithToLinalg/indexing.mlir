// RUN: pith-opt %s -convert-pith-to-linalg -canonicalize -cse | FileCheck %s

// Negative indices count from the end, one outside gives zero and reads nothing.
// CHECK-LABEL: func @gather
// CHECK: linalg.generic
// CHECK: %[[I:.*]] = arith.select
// CHECK: %[[IN:.*]] = arith.cmpi ult, %[[I]], %{{.*}} : index
// CHECK: scf.if %[[IN]]
// CHECK: tensor.extract %{{.*}}[%[[I]], %{{.*}}]
func.func @gather(%t: tensor<?x8xf32>, %i: tensor<?xi64>) -> tensor<?x8xf32> {
  %y = pith.gather %t, %i axis 0 : tensor<?x8xf32>, tensor<?xi64> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// Tuples are written one after the other.
// CHECK-LABEL: func @scatter
// CHECK: scf.for
// CHECK: tensor.insert_slice
func.func @scatter(%x: tensor<4x8xf32>, %i: tensor<2x1xi64>, %u: tensor<2x8xf32>) -> tensor<4x8xf32> {
  %y = pith.scatter_nd %x, %i, %u : tensor<4x8xf32>, tensor<2x1xi64>, tensor<2x8xf32> -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// CHECK-LABEL: func @cumsum
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]
// CHECK: linalg.yield %{{.*}}, %{{.*}} : i64, i64
func.func @cumsum(%x: tensor<?x?xi64>) -> tensor<?x?xi64> {
  %y = pith.cumsum %x axis 1 : tensor<?x?xi64>
  return %y : tensor<?x?xi64>
}

// CHECK-LABEL: func @cache_update
// CHECK: linalg.generic
// CHECK: scf.if
// CHECK: else
// CHECK: scf.if
func.func @cache_update(%p: tensor<?x2x?x4xf32>, %u: tensor<?x2x?x4xf32>, %s: tensor<?xi64>, %b: index, %t: index) -> tensor<?x2x?x4xf32> {
  %y = pith.cache_update %p, %u, %s dims(%b, %t) : tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>, tensor<?xi64> -> tensor<?x2x?x4xf32>
  return %y : tensor<?x2x?x4xf32>
}
