//===- Pipelines.cpp - the phases schedule and kernels --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "StepIndices.h"
#include "pith/Conversion/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace pith {
#define GEN_PASS_DEF_LIMITROWS
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

namespace {
struct LimitRows : pith::impl::LimitRowsBase<LimitRows> {
  using LimitRowsBase::LimitRowsBase;
  void runOnOperation() override {
    if (maxRows < 1) {
      getOperation().emitError("a step needs at least 1 row, found max-rows=") << maxRows;
      return signalPassFailure();
    }
    for (auto entry : getOperation().getOps<func::FuncOp>())
      if (auto kind = entry->getAttrOfType<StringAttr>(pith::kEntryAttr); kind && kind.getValue() == "step") {
        OpBuilder b(entry);
        entry->setAttr(pith::kMaxRowsAttr, b.getI64IntegerAttr(maxRows));
        if (!entry->hasAttr(pith::kPositionsAttr))
          entry->setAttr(pith::kPositionsAttr, b.getI64IntegerAttr(pith::positionLimit(entry)));
      }
  }
};
} // namespace

void pith::buildSchedule(OpPassManager &pm, const ScheduleOptions &options) {
  pm.addPass(createInlineBlocks());
  LimitRowsOptions limit;
  limit.maxRows = options.maxRows;
  pm.addPass(createLimitRows(limit));
  ConvertPithToCPUOptions kernels;
  kernels.exact = options.exact;
  kernels.stateOnly = options.reference;
  pm.addPass(createConvertPithToCPU(kernels));
  pm.addPass(createConvertPithToLinalg());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createFuseElementwise());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void pith::buildKernels(OpPassManager &pm) {
  pm.addPass(createBufferizeEntries());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createLinalgToTeamLoops());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createPlanBuffers());
  pm.addPass(createBuildKernelBodies());
  pm.addPass(createFormTeam());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createExportEntries());
}
