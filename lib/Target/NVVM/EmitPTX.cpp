//===- EmitPTX.cpp - GPU kernels to PTX -----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/CodeGen.h"
#include "../Common/LowerKernels.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "pith/Target/NVVM/Target.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/TargetSelect.h"

using namespace llvm;
using pith::target::Compiled;

namespace {
struct ConvertToNVVM : mlir::PassWrapper<ConvertToNVVM, mlir::OperationPass<mlir::gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertToNVVM)
  void getDependentDialects(mlir::DialectRegistry &registry) const override {
    registry.insert<mlir::LLVM::LLVMDialect, mlir::NVVM::NVVMDialect>();
  }
  void runOnOperation() override {
    mlir::LLVMTypeConverter converter(&getContext());
    mlir::configureGpuToNVVMTypeConverter(converter);
    mlir::RewritePatternSet patterns(&getContext());
    mlir::populateGpuToNVVMConversionPatterns(converter, patterns);
    mlir::ConversionTarget target(getContext());
    mlir::configureGpuToNVVMConversionLegality(target);
    pith::target::allowIntrinsics(target);
    if (failed(mlir::applyPartialConversion(getOperation(), target, std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace

/// Instructions that kernels write as text may be a warp's or a group's together, which the dialect cannot
/// say: they stay in the branch where they stand, and next to what they order.
static void markConvergent(Module &module) {
  for (Function &function : module)
    for (BasicBlock &block : function)
      for (Instruction &instruction : block)
        if (auto *call = dyn_cast<CallBase>(&instruction); call && call->isInlineAsm())
          call->setConvergent();
}

static Expected<std::unique_ptr<Compiled>> compile(mlir::gpu::GPUModuleOp module,
                                                   const pith::gpu::Machine &machine) {
  if (machine.vendor != pith::gpu::Vendor::CUDA)
    return pith::target::targetError("'" + machine.name() + "' takes no PTX");
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  Expected<mlir::OwningOpRef<mlir::ModuleOp>> lowered =
      pith::target::lowerKernels(module, machine, [](mlir::OpPassManager &pm) {
        pm.addPass(std::make_unique<ConvertToNVVM>());
        pm.addPass(mlir::createConvertNVVMToLLVMPass());
      });
  if (!lowered)
    return lowered.takeError();
  return pith::target::compile(
      pith::target::kernelsOf(**lowered), {"nvptx64-nvidia-cuda", machine.chip.str(), machine.features.str()},
      [](mlir::DialectRegistry &registry) {
        mlir::registerGPUDialectTranslation(registry);
        mlir::registerNVVMDialectTranslation(registry);
      },
      markConvergent);
}

Expected<std::string> pith::nvvm::emitLLVM(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  return (*compiled)->print();
}

Expected<std::string> pith::nvvm::emitPTX(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  return (*compiled)->emitText();
}
