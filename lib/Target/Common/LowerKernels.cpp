//===- LowerKernels.cpp - GPU kernels to the LLVM dialect -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "LowerKernels.h"
#include "CodeGen.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Transforms/Passes.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Codegen/GPU/Passes.h"

using namespace mlir;

mlir::gpu::GPUModuleOp pith::target::kernelsOf(ModuleOp module) {
  return *module.getOps<mlir::gpu::GPUModuleOp>().begin();
}

void pith::target::eraseOthers(ModuleOp module, const gpu::Machine &machine) {
  module.walk([&](mlir::gpu::GPUFuncOp function) {
    if (function->hasAttr(gpu::kWarpGroupsAttr) && !machine.wgmma)
      function.erase();
  });
}

void pith::target::allowIntrinsics(ConversionTarget &target) {
  target.addLegalOp<LLVM::CopySignOp, LLVM::Exp2Op, LLVM::FAbsOp, LLVM::FCeilOp, LLVM::FFloorOp,
                    LLVM::RoundEvenOp, LLVM::SqrtOp>();
}

llvm::Expected<OwningOpRef<ModuleOp>>
pith::target::lowerKernels(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine,
                           llvm::function_ref<void(OpPassManager &)> addConversion) {
  OwningOpRef<ModuleOp> copy = ModuleOp::create(module.getLoc());
  OpBuilder(copy->getBodyRegion()).clone(*module);
  eraseOthers(*copy, machine);
  copy->walk([&](mlir::gpu::GPUFuncOp function) {
    // What a launch needs to know is not for the device.
    function->removeAttr(gpu::kGridAttr);
    function->removeAttr(gpu::kSharedBytesAttr);
    function->removeAttr(gpu::kWarpGroupsAttr);
    if (function->removeAttr(gpu::kOneBlockAttr) && machine.vendor == gpu::Vendor::CUDA)
      function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), OpBuilder(function).getI32IntegerAttr(1));
  });

  PassManager pm(module.getContext());
  pm.enableVerifier(true);
  OpPassManager &kernels = pm.nest<mlir::gpu::GPUModuleOp>();
  kernels.addPass(createSplitGPU({machine.name()}));
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
  kernels.addPass(createSCFToControlFlowPass());
  addConversion(kernels);
  kernels.addPass(createConvertVectorToLLVMPass());
  kernels.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());

  std::string why;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
      return failure();
    llvm::raw_string_ostream(why) << (why.empty() ? "" : "; ") << diagnostic;
    return success();
  });
  if (failed(pm.run(*copy)))
    return targetError("cannot lower kernels for " + machine.name() + ": " + why);
  return copy;
}
