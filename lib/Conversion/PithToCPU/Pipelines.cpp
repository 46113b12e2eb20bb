//===- Pipelines.cpp - the phases schedule and kernels --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/Schedule.h"
#include "mlir/Conversion/MathToFuncs/MathToFuncs.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassOptions.h"
#include "mlir/Transforms/Passes.h"
#include "pith/Conversion/Passes.h"

using namespace mlir;

void pith::buildSchedule(OpPassManager &pm, const ScheduleOptions &options) {
  ConvertPithToCPUOptions kernels;
  kernels.exact = options.exact;
  kernels.stateOnly = options.reference;
  addSchedule(pm, options, createConvertPithToCPU(kernels));
}

void pith::buildKernels(OpPassManager &pm) {
  addBuffersAndLoops(pm, /*grid=*/false);
  pm.addPass(createBuildKernelBodies());
  pm.addPass(createFormTeam());
  pm.addPass(createCanonicalizerPass());
  // What has no instruction of its own, as integer powers, becomes a function.
  pm.addPass(createConvertMathToFuncs());
  pm.addPass(createExportEntries());
}

namespace {
struct ScheduleFlags : PassPipelineOptions<ScheduleFlags> {
  Option<bool> reference{*this, "reference", llvm::cl::desc("plain loops for everything but the cache"),
                         llvm::cl::init(false)};
  Option<bool> exact{*this, "exact", llvm::cl::desc("multiply in f32 whatever the weights' format"),
                     llvm::cl::init(true)};
  Option<int64_t> maxRows{*this, "max-rows", llvm::cl::desc("rows of a step"), llvm::cl::init(512)};
};
} // namespace

void pith::registerConversionPipelines() {
  PassPipelineRegistration<ScheduleFlags>(
      "pith-schedule", "the phase schedule: kernels chosen, weights packed, the rest in linalg",
      [](OpPassManager &pm, const ScheduleFlags &flags) {
        ScheduleOptions options;
        options.reference = flags.reference;
        options.exact = flags.exact;
        options.maxRows = flags.maxRows;
        buildSchedule(pm, options);
      });
  PassPipelineRegistration<>("pith-kernels",
                             "the phase kernels: kernel bodies, planned buffers, one team of threads",
                             [](OpPassManager &pm) { buildKernels(pm); });
}
