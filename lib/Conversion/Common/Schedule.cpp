//===- Schedule.cpp - the phase schedule, for every target ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Schedule.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void pith::addSimplification(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void pith::addSchedule(OpPassManager &pm, const ScheduleOptions &options,
                       std::unique_ptr<Pass> chooseKernels) {
  pm.addPass(createMarkTaps());
  pm.addPass(createInlineBlocks());
  LimitRowsOptions limit;
  limit.maxRows = options.maxRows;
  pm.addPass(createLimitRows(limit));
  pm.addPass(std::move(chooseKernels));
  pm.addPass(createConvertPithToLinalg());
  addSimplification(pm);
  pm.addPass(createFuseElementwise());
  addSimplification(pm);
}

void pith::addBuffersAndLoops(OpPassManager &pm, bool grid) {
  pm.addPass(createBufferizeEntries());
  pm.addPass(memref::createResolveRankedShapeTypeResultDimsPass());
  addSimplification(pm);
  LinalgToTeamLoopsOptions loops;
  loops.grid = grid;
  pm.addPass(createLinalgToTeamLoops(loops));
  addSimplification(pm);
  pm.addPass(createPlanBuffers());
}
