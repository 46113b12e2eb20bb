//===- RemoveUnusedWeights.cpp - weights that nothing names ------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/Transforms/Passes.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseSet.h"

namespace pith {
#define GEN_PASS_DEF_REMOVEUNUSEDWEIGHTS
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

struct RemoveUnusedWeights : pith::impl::RemoveUnusedWeightsBase<RemoveUnusedWeights> {
  void runOnOperation() override {
    std::optional<SymbolTable::UseRange> uses = SymbolTable::getSymbolUses(&getOperation().getBodyRegion());
    if (!uses)
      return;
    DenseSet<StringAttr> named;
    for (SymbolTable::SymbolUse use : *uses)
      named.insert(use.getSymbolRef().getRootReference());
    for (WeightOp weight : llvm::make_early_inc_range(getOperation().getOps<WeightOp>()))
      if (!named.contains(weight.getSymNameAttr()))
        weight.erase();
  }
};

} // namespace
