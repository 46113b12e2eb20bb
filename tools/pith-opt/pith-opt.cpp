//===- pith-opt.cpp - pass driver ------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/Transforms/Passes.h"
#ifdef PITH_HAVE_CONVERSION
#include "pith/Conversion/Passes.h"
#endif
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<pith::PithDialect>();
  mlir::registerAllPasses();
  pith::registerPithTransformsPasses();
#ifdef PITH_HAVE_CONVERSION
  pith::registerPithConversionPasses();
#endif
  mlir::PassPipelineRegistration<>("pith-raise", "the phase raise: tensors to blocks, attention and state",
                                   [](mlir::OpPassManager &pm) { pith::buildRaisePipeline(pm); });
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Pith pass driver\n", registry));
}
