//===- pith-opt.cpp - pass driver ------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Conversion/Passes.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"
#include "pith/Driver/Driver.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  pith::registerDialects(registry);
  mlir::registerAllPasses();
  pith::registerPithTransformsPasses();
  pith::registerPithConversionPasses();
  pith::registerConversionPipelines();
  mlir::PassPipelineRegistration<>("pith-raise", "the phase raise: tensors to blocks, attention and state",
                                   [](mlir::OpPassManager &pm) { pith::buildRaisePipeline(pm); });
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Pith pass driver\n", registry));
}
