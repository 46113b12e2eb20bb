//===- Pipelines.cpp - the phases schedule and kernels for devices --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/Schedule.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"

using namespace mlir;

void pith::buildGPUSchedule(OpPassManager &pm, const ScheduleOptions &options, StringRef target) {
  ConvertPithToGPUOptions kernels;
  kernels.exact = options.exact;
  kernels.stateOnly = options.reference;
  kernels.target = target.str();
  addSchedule(pm, options, createConvertPithToGPU(kernels));
  pm.addPass(createMoveConstants());
}

void pith::buildGPUKernels(OpPassManager &pm, StringRef target) {
  addBuffersAndLoops(pm, /*grid=*/true);
  pm.addPass(createAddSampling());
  pm.addPass(createBuildGPULaunchers({target.str()}));
  pm.addPass(createFormGrid());
  addSimplification(pm);
  pm.addNestedPass<mlir::gpu::GPUModuleOp>(createExpandGPUMath());
  pm.addPass(createExportEntries());
}
