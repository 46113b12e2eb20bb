//===- Registration.cpp - what the tools on IR know -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Registration.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassRegistry.h"
#include "pith/Codegen/GPU/Passes.h"
#include "pith/Codegen/GPU/TileOps.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"
#include "pith/Driver/Driver.h"
#include "pith/Target/Passes.h"

void pith::registerAllDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registerDialects(registry);
  registry.insert<tile::TileDialect>();
}

void pith::registerAllPasses() {
  mlir::registerAllPasses();
  registerPithTransformsPasses();
  registerPithConversionPasses();
  registerPithToGPUPasses();
  registerPithCodegenGPUPasses();
  registerPithTargetPasses();
  registerConversionPipelines();
  static mlir::PassPipelineRegistration<> raise("pith-raise",
                                                "the phase raise: tensors to blocks, attention and state",
                                                [](mlir::OpPassManager &pm) { buildRaisePipeline(pm); });
}
