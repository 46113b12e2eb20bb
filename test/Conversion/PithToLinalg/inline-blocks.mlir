// RUN: pith-opt %s -pith-inline-blocks | FileCheck %s

// CHECK-LABEL: func @f
// CHECK-NOT: pith.block
// CHECK: %[[Y:.*]] = arith.addf
// CHECK: return %[[Y]]
func.func @f(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = pith.block 0(%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%h: tensor<?x4xf32>):
    %z = arith.addf %h, %h : tensor<?x4xf32>
    pith.yield %z : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
