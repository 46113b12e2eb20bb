//===- Pipelines.cpp - the phases schedule and kernels for devices --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"

using namespace mlir;

static void simplify(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void pith::buildGPUSchedule(OpPassManager &pm, const ScheduleOptions &options) {
  pm.addPass(createMarkTaps());
  pm.addPass(createInlineBlocks());
  LimitRowsOptions limit;
  limit.maxRows = options.maxRows;
  pm.addPass(createLimitRows(limit));
  ConvertPithToGPUOptions kernels;
  kernels.exact = options.exact;
  kernels.stateOnly = options.reference;
  pm.addPass(createConvertPithToGPU(kernels));
  pm.addPass(createConvertPithToLinalg());
  simplify(pm);
  pm.addPass(createFuseElementwise());
  simplify(pm);
  pm.addPass(createMoveConstants());
}

void pith::buildGPUKernels(OpPassManager &pm, StringRef target) {
  pm.addPass(createBufferizeEntries());
  pm.addPass(memref::createResolveRankedShapeTypeResultDimsPass());
  simplify(pm);
  LinalgToTeamLoopsOptions loops;
  loops.grid = true;
  pm.addPass(createLinalgToTeamLoops(loops));
  simplify(pm);
  pm.addPass(createPlanBuffers());
  pm.addPass(createBuildGPULaunchers({target.str()}));
  pm.addPass(createFormGrid());
  simplify(pm);
  pm.addNestedPass<mlir::gpu::GPUModuleOp>(createExpandGPUMath());
  pm.addPass(createExportEntries());
}
