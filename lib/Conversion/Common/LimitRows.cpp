//===- LimitRows.cpp - how many rows and positions a step takes -----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "StepIndices.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "pith/Conversion/Passes.h"

namespace pith {
#define GEN_PASS_DEF_LIMITROWS
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;

namespace {
struct LimitRows : pith::impl::LimitRowsBase<LimitRows> {
  using LimitRowsBase::LimitRowsBase;
  void runOnOperation() override {
    if (maxRows < 1) {
      getOperation().emitError("a step needs at least 1 row, found max-rows=") << maxRows;
      return signalPassFailure();
    }
    for (auto entry : getOperation().getOps<func::FuncOp>())
      if (auto kind = entry->getAttrOfType<StringAttr>(pith::kEntryAttr);
          kind && kind.getValue() != "invoke") {
        OpBuilder b(entry);
        entry->setAttr(pith::kMaxRowsAttr, b.getI64IntegerAttr(maxRows));
        if (kind.getValue() != "step")
          continue;
        // Raising may have found a limit of its own; 0 is none.
        int64_t limit = pith::positionLimit(entry);
        if (auto known = entry->getAttrOfType<IntegerAttr>(pith::kPositionsAttr); known && known.getInt() > 0)
          limit = limit > 0 ? std::min(limit, known.getInt()) : known.getInt();
        entry->setAttr(pith::kPositionsAttr, b.getI64IntegerAttr(limit));
      }
  }
};
} // namespace
