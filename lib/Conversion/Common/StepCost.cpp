//===- StepCost.cpp - what a token of a step reads and multiplies -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepCost.h"
#include "pith/Conversion/Passes.h"

#include "mlir/Analysis/SliceAnalysis.h"

using namespace mlir;
using namespace pith;

void pith::noteStepCost(ModuleOp module, func::FuncOp step) {
  if (step.getNumArguments() < 3)
    return;
  // What depends on the choice of output rows runs for those rows only.
  SetVector<Operation *> chosen;
  getForwardSlice(step.getArgument(2), &chosen);
  SymbolTable symbols(module);
  int64_t bytes[2] = {0, 0}, products[2] = {0, 0};
  step.walk([&](LaunchOp launch) {
    auto kernel = symbols.lookup<func::FuncOp>(launch.getKernel());
    auto spec = kernel ? kernel->getAttrOfType<DictionaryAttr>(kKernelAttr) : DictionaryAttr();
    if (!spec || spec.getAs<StringAttr>("kind") != StringAttr::get(module.getContext(), "linear"))
      return;
    for (Value operand : launch.getOperands()) {
      auto address = operand.getDefiningOp<PackedAddressOp>();
      auto packed = address ? symbols.lookup<PackedOp>(address.getPacked()) : PackedOp();
      auto n = packed ? packed.getLayout().getAs<IntegerAttr>("n") : IntegerAttr();
      auto k = packed ? packed.getLayout().getAs<IntegerAttr>("k") : IntegerAttr();
      if (!n || !k)
        continue; // a bias or a norm's scale
      bool out = chosen.contains(launch);
      bytes[out] += packed.getSize();
      products[out] += n.getInt() * k.getInt();
    }
  });
  Builder b(module.getContext());
  module->setAttr("pith.model", b.getDictionaryAttr({
                                    b.getNamedAttr("out_multiply_adds", b.getI64IntegerAttr(products[1])),
                                    b.getNamedAttr("out_weight_bytes", b.getI64IntegerAttr(bytes[1])),
                                    b.getNamedAttr("row_multiply_adds", b.getI64IntegerAttr(products[0])),
                                    b.getNamedAttr("row_weight_bytes", b.getI64IntegerAttr(bytes[0])),
                                }));
}
