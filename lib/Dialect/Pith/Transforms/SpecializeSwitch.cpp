//===- SpecializeSwitch.cpp - one side of a merged graph ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Exporters merge a decoder with and one without earlier keys and values into one graph, an `If` on a boolean
// input. A step is derived from the one without: it computes all keys and values, an encoder's too, and the
// rest of it is what it is at the first token. So the entry is copied with the switch off, for the passes
// that follow to raise; raising the cache takes the copy, and with it the copy goes.
//
//===----------------------------------------------------------------------===//

#include "Matchers.h"
#include "StepSource.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"

namespace pith {
#define GEN_PASS_DEF_SPECIALIZESWITCH
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

/// True if an operation with branches reads what is made of `value` by reading elements and negation alone.
bool decidesBranch(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    if (user->getNumRegions() > 0)
      return true;
    return isa<tensor::ExtractOp, tensor::CastOp, ReshapeOp, arith::XOrIOp>(user) &&
           decidesBranch(user->getResult(0));
  });
}

bool isSwitch(BlockArgument argument) {
  auto type = dyn_cast<RankedTensorType>(argument.getType());
  return type && type.getElementType().isInteger(1) && type.hasStaticShape() && type.getNumElements() == 1 &&
         decidesBranch(argument);
}

struct SpecializeSwitch : pith::impl::SpecializeSwitchBase<SpecializeSwitch> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> entries = entryFunctions(getOperation());
    if (entries.size() != 1 || !llvm::hasSingleElement(entries.front().getBody()) ||
        !llvm::any_of(entries.front().getArguments(), isSwitch))
      return;
    func::FuncOp copy = entries.front().clone();
    copy.setName((copy.getName() + "_without_past").str());
    SymbolTable(getOperation()).insert(copy, std::next(entries.front()->getIterator()));
    copy->setAttr(kStepSourceAttr, UnitAttr::get(&getContext()));
    OpBuilder builder = OpBuilder::atBlockBegin(&copy.getBody().front());
    for (BlockArgument argument : copy.getArguments())
      if (isSwitch(argument)) {
        auto off = DenseElementsAttr::get(cast<RankedTensorType>(argument.getType()), false);
        argument.replaceAllUsesWith(arith::ConstantOp::create(builder, copy.getLoc(), off));
      }
  }
};

} // namespace
