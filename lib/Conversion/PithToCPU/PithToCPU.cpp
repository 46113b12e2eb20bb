//===- PithToCPU.cpp - choose CPU kernels ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/KernelChooser.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
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
class CPUKernels : public KernelFamily {
public:
  explicit CPUKernels(const cpu::Machine &machine) : machine(machine) {}
  std::string lacks(const cpu::LinearLayout &) const override { return ""; }
  std::string lacks(const cpu::AttentionSpec &spec) const override {
    return spec.tensors ? "attention over tensors" : "";
  }
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
