//===- PithToCPU.cpp - choose CPU kernels ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelChooser.h"
#include "StepCost.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "pith/Conversion/Passes.h"

namespace pith {
#define GEN_PASS_DEF_CONVERTPITHTOCPU
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
struct ConvertPithToCPU : pith::impl::ConvertPithToCPUBase<ConvertPithToCPU> {
  using ConvertPithToCPUBase::ConvertPithToCPUBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FailureOr<cpu::Machine> machine = getMachine(module, cpu);
    if (failed(machine))
      return signalPassFailure();
    KernelChooser chooser(module, *machine, exact);
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (!function.isExternal())
        convert(function, chooser);
  }

  void convert(func::FuncOp function, KernelChooser &chooser) {
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
        chooser.chooseLinear(cast<LinearOp>(op));
      ops.clear();
      function.walk([&](Operation *op) {
        if (isa<EmbeddingOp, RMSNormOp, LayerNormOp, RopeOp>(op) && isTop(op))
          ops.push_back(op);
      });
      for (Operation *op : ops) {
        if (auto embedding = dyn_cast<EmbeddingOp>(op))
          chooser.chooseEmbedding(embedding);
        else if (auto rope = dyn_cast<RopeOp>(op))
          chooser.chooseRope(rope);
        else
          chooser.chooseNorm(op);
      }
    }
    function.walk([&](Operation *op) {
      if (isa<KVAppendOp, CacheAttentionOp, CacheOp, TapOp>(op))
        states.push_back(op);
    });
    SmallVector<Operation *> done;
    for (Operation *op : states) {
      if (auto append = dyn_cast<KVAppendOp>(op)) {
        if (chooser.chooseAppend(append))
          done.push_back(op);
      } else if (auto attention = dyn_cast<CacheAttentionOp>(op)) {
        chooser.chooseCacheAttention(attention);
      } else if (auto tap = dyn_cast<TapOp>(op)) {
        chooser.chooseTap(tap);
      } else {
        done.push_back(op);
      }
    }
    for (Operation *op : llvm::reverse(done))
      if (op->use_empty())
        op->erase();
    if (function->getAttr(kEntryAttr) == StringAttr::get(&getContext(), "step"))
      noteStepCost(getOperation(), function);
  }
};
} // namespace
