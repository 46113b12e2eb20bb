//===- EmitHSACO.cpp - GPU kernels to AMD code objects --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/CodeGen.h"
#include "../Common/Linker.h"
#include "../Common/LowerKernels.h"
#include "mlir/Conversion/GPUToROCDL/GPUToROCDLPass.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/AMDGPU/Utils/Chipset.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/ROCDL/ROCDLToLLVMIRTranslation.h"
#include "pith/Target/ROCDL/Target.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"

using namespace llvm;
using pith::target::Compiled;

namespace {
struct ConvertToROCDL : mlir::PassWrapper<ConvertToROCDL, mlir::OperationPass<mlir::gpu::GPUModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertToROCDL)
  explicit ConvertToROCDL(const pith::gpu::Machine &machine) : machine(machine) {}
  void getDependentDialects(mlir::DialectRegistry &registry) const override {
    registry.insert<mlir::LLVM::LLVMDialect, mlir::ROCDL::ROCDLDialect>();
  }
  void runOnOperation() override {
    mlir::LLVMTypeConverter converter(&getContext());
    mlir::RewritePatternSet patterns(&getContext());
    mlir::FailureOr<mlir::amdgpu::Chipset> chipset = mlir::amdgpu::Chipset::parse(machine.chip);
    if (failed(chipset))
      return signalPassFailure();
    mlir::populateGpuToROCDLConversionPatterns(converter, patterns, mlir::gpu::amd::Runtime::HIP, *chipset);
    mlir::ConversionTarget target(getContext());
    mlir::configureGpuToROCDLConversionLegality(target);
    pith::target::allowIntrinsics(target);
    if (failed(mlir::applyPartialConversion(getOperation(), target, std::move(patterns))))
      return signalPassFailure();
    // The back end counts registers for this many threads.
    auto *dialect = getContext().getLoadedDialect<mlir::ROCDL::ROCDLDialect>();
    getOperation().walk([&](mlir::LLVM::LLVMFuncOp function) {
      mlir::DenseI32ArrayAttr block = dialect->getReqdWorkGroupSizeAttrHelper().getAttr(function);
      if (!block)
        return;
      std::string threads = std::to_string(block[0]);
      dialect->getFlatWorkGroupSizeAttrHelper().setAttr(
          function, mlir::StringAttr::get(&getContext(), threads + "," + threads));
    });
  }
  const pith::gpu::Machine &machine;
};
} // namespace

static Expected<std::unique_ptr<Compiled>> compile(mlir::gpu::GPUModuleOp module,
                                                   const pith::gpu::Machine &machine) {
  if (machine.vendor != pith::gpu::Vendor::HIP)
    return pith::target::targetError("'" + machine.name() + "' takes no AMD code");
  LLVMInitializeAMDGPUTargetInfo();
  LLVMInitializeAMDGPUTarget();
  LLVMInitializeAMDGPUTargetMC();
  LLVMInitializeAMDGPUAsmPrinter();
  Expected<mlir::OwningOpRef<mlir::ModuleOp>> lowered =
      pith::target::lowerKernels(module, machine, [&](mlir::OpPassManager &pm) {
        pm.addPass(std::make_unique<ConvertToROCDL>(machine));
      });
  if (!lowered)
    return lowered.takeError();
  return pith::target::compile(
      pith::target::kernelsOf(**lowered), {"amdgcn-amd-amdhsa", machine.chip.str(), machine.features.str()},
      [](mlir::DialectRegistry &registry) {
        mlir::registerGPUDialectTranslation(registry);
        mlir::registerROCDLDialectTranslation(registry);
      },
      [](Module &) {});
}

Expected<std::string> pith::rocdl::emitLLVM(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  return (*compiled)->print();
}

Expected<std::string> pith::rocdl::emitISA(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  return (*compiled)->emitText();
}

Expected<SmallVector<char, 0>> pith::rocdl::emitHSACO(mlir::gpu::GPUModuleOp module,
                                                      const gpu::Machine &machine) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  Expected<SmallVector<char, 0>> object = (*compiled)->emit(CodeGenFileType::ObjectFile);
  if (!object)
    return object.takeError();
  SmallString<128> objectPath, outputPath;
  if (Error error = target::writeTemporary(*object, "o", objectPath))
    return error;
  FileRemover removeObject(objectPath);
  if (Error error = target::writeTemporary({}, "hsaco", outputPath))
    return error;
  FileRemover removeOutput(outputPath);
  if (Error error =
          target::runLinker(outputPath, {"ld.lld", "-m", "elf64_amdgpu", "-shared", "--no-undefined", "-o",
                                         outputPath.c_str(), objectPath.c_str()}))
    return error;
  ErrorOr<std::unique_ptr<MemoryBuffer>> linked = MemoryBuffer::getFile(outputPath);
  if (!linked)
    return target::linkError(outputPath, linked.getError().message());
  return SmallVector<char, 0>((*linked)->getBufferStart(), (*linked)->getBufferEnd());
}

std::vector<pith::rocdl::KernelUse> pith::rocdl::readUse(StringRef isa) {
  // The metadata at the end: one "key: value" a line, the keys of a kernel in alphabetical order.
  std::vector<KernelUse> kernels;
  SmallVector<StringRef> lines;
  isa.split(".amdgpu_metadata").second.split(lines, '\n');
  for (StringRef line : lines) {
    auto [key, value] = line.trim().split(':');
    value = value.trim();
    if (key == ".name") {
      kernels.emplace_back();
      kernels.back().name = value.str();
    }
    int number = 0;
    if (kernels.empty() || value.getAsInteger(10, number))
      continue;
    KernelUse &use = kernels.back();
    if (key == ".vgpr_count")
      use.vectorRegisters = number;
    else if (key == ".sgpr_count")
      use.scalarRegisters = number;
    else if (key == ".vgpr_spill_count" || key == ".sgpr_spill_count")
      use.spilled += number;
    else if (key == ".private_segment_fixed_size")
      use.scratchBytes = number;
  }
  return kernels;
}
