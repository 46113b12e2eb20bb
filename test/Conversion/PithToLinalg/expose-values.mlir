// RUN: pith-opt --split-input-file --pith-expose-values %s | FileCheck %s --check-prefixes=CHECK,ALL
// RUN: pith-opt --split-input-file --pith-expose-values=blocks-only %s | FileCheck %s --check-prefixes=CHECK,BLOCKS

// Blocks are put in their place, or are what is shown; constants and views are not.
// CHECK-LABEL: func.func @main
// ALL-SAME: -> (tensor<4x8xf32> {pith.name = "y"}, tensor<4x8xf32> {pith.name = "arith.addf sum"}, tensor<4x8xf32> {pith.name = "math.exp"})
// ALL-NOT: pith.block
// BLOCKS-SAME: -> (tensor<4x8xf32> {pith.name = "y"}, tensor<4x8xf32> {pith.name = "pith.block 3"})
// BLOCKS: pith.block
func.func @main(%x: tensor<4x8xf32>) -> (tensor<4x8xf32> {pith.name = "y"}) attributes {pith.entry = "invoke"} {
  %one = arith.constant dense<1.0> : tensor<4x8xf32>
  %0 = pith.block 3(%x) : (tensor<4x8xf32>) -> tensor<4x8xf32> {
  ^bb0(%stream: tensor<4x8xf32>):
    %1 = arith.addf %stream, %one : tensor<4x8xf32> loc("sum")
    %2 = math.exp %1 : tensor<4x8xf32>
    pith.yield %2 : tensor<4x8xf32>
  }
  %3 = math.absf %0 : tensor<4x8xf32>
  return %3 : tensor<4x8xf32>
}

// -----

// Only exported graphs: a step's results are what the runtime expects.
// CHECK-LABEL: func.func @step
// CHECK-SAME: -> tensor<4xf32>
func.func @step(%x: tensor<4xf32>) -> tensor<4xf32> attributes {pith.entry = "step"} {
  %0 = math.exp %x : tensor<4xf32>
  %1 = math.absf %0 : tensor<4xf32>
  return %1 : tensor<4xf32>
}
