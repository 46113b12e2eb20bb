//===- ChooseKernels.cpp - the order in which kernels are chosen ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelChooser.h"
#include "StepCost.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "pith/Conversion/Passes.h"

using namespace mlir;
using namespace pith;

void KernelChooser::choose(func::FuncOp function, bool stateOnly) {
  // The cache's operations and taps have no plain form: kernels run them in the reference pipeline, too.
  SmallVector<Operation *> ops, states;
  if (!stateOnly) {
    // Linears first, so that they can take the norms before them.
    // A kernel runs on the whole team, which a loop or a branch inside the entry does not.
    auto isTop = [&](Operation *op) { return op->getBlock() == &function.front(); };
    function.walk([&](LinearOp op) {
      if (isTop(op))
        ops.push_back(op);
    });
    for (Operation *op : ops)
      chooseLinear(cast<LinearOp>(op));
    ops.clear();
    function.walk([&](Operation *op) {
      if (isa<EmbeddingOp, RMSNormOp, LayerNormOp, RopeOp, AttentionOp>(op) && isTop(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      if (auto embedding = dyn_cast<EmbeddingOp>(op))
        chooseEmbedding(embedding);
      else if (auto rope = dyn_cast<RopeOp>(op))
        chooseRope(rope);
      else if (auto attention = dyn_cast<AttentionOp>(op))
        chooseAttention(attention);
      else
        chooseNorm(op);
    }
  }
  function.walk([&](Operation *op) {
    if (isa<KVAppendOp, CacheAttentionOp, CacheOp, TapOp>(op))
      states.push_back(op);
  });
  SmallVector<Operation *> done;
  for (Operation *op : states) {
    if (auto append = dyn_cast<KVAppendOp>(op)) {
      if (chooseAppend(append))
        done.push_back(op);
    } else if (auto attention = dyn_cast<CacheAttentionOp>(op)) {
      chooseCacheAttention(attention);
    } else if (auto tap = dyn_cast<TapOp>(op)) {
      chooseTap(tap);
    } else {
      done.push_back(op);
    }
  }
  for (Operation *op : llvm::reverse(done))
    if (op->use_empty())
      op->erase();
  if (function->getAttr(kEntryAttr) == StringAttr::get(module.getContext(), "step"))
    noteStepCost(module, function);
}
