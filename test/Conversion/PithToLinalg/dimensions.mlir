// RUN: pith-opt %s -convert-pith-to-linalg -canonicalize -cse | FileCheck %s

// Two arguments' dimensions of one name are one value, so that buffers of equal sizes can be planned as such.
// CHECK-LABEL: func @main
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<?x4xf32>
// CHECK: %[[S:.*]] = tensor.dim %[[X]],
// CHECK-NOT: tensor.dim
// CHECK: tensor.empty(%[[S]]) : tensor<?x4xf32>
func.func @main(%x: tensor<?x4xf32> {pith.dims = ["s", 4]}, %y: tensor<?x4xf32> {pith.dims = ["s", 4]}) -> tensor<?x4xf32> {
  %z = arith.addf %y, %x : tensor<?x4xf32>
  %a = math.exp %z : tensor<?x4xf32>
  return %a : tensor<?x4xf32>
}
