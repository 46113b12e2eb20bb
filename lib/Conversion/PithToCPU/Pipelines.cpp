//===- Pipelines.cpp - the phases schedule and kernels --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Conversion/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void pith::buildSchedule(OpPassManager &pm, const ScheduleOptions &options) {
  pm.addPass(createInlineBlocks());
  if (!options.reference) {
    ConvertPithToCPUOptions kernels;
    kernels.exact = options.exact;
    pm.addPass(createConvertPithToCPU(kernels));
  }
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
