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
      if (isa<EmbeddingOp, RMSNormOp, LayerNormOp, RopeOp>(op) && isTop(op))
        ops.push_back(op);
    });
    for (Operation *op : ops) {
      if (auto embedding = dyn_cast<EmbeddingOp>(op))
        chooseEmbedding(embedding);
      else if (auto rope = dyn_cast<RopeOp>(op))
        chooseRope(rope);
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

namespace {
class CPUKernels : public KernelFamily {
public:
  explicit CPUKernels(const cpu::Machine &machine) : machine(machine) {}
  std::string lacks(const cpu::LinearLayout &) const override { return ""; }
  std::string lacks(const cpu::AttentionSpec &) const override { return ""; }
  bool normsInFront(cpu::Norm) const override { return true; }
  int64_t packedBytes(const cpu::LinearLayout &weights) const override { return weights.sizeBytes(); }
  std::optional<Scratch> scratch(const cpu::LinearSpec &spec) const override {
    cpu::LinearSpec::Scratch bytes = cpu::linearScratch(machine, spec);
    return Scratch{bytes.perRow, bytes.fixed};
  }
  std::optional<Scratch> scratch(const cpu::AttentionSpec &) const override { return std::nullopt; }
  DictionaryAttr finish(DictionaryAttr spec) const override { return spec; }
  DictionaryAttr finishLayout(DictionaryAttr layout) const override { return layout; }

private:
  const cpu::Machine &machine;
};

struct ConvertPithToCPU : pith::impl::ConvertPithToCPUBase<ConvertPithToCPU> {
  using ConvertPithToCPUBase::ConvertPithToCPUBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    FailureOr<cpu::Machine> machine = getMachine(module, cpu);
    if (failed(machine))
      return signalPassFailure();
    CPUKernels family(*machine);
    KernelChooser chooser(module, family, exact);
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (!function.isExternal())
        chooser.choose(function, stateOnly);
  }
};
} // namespace
