//===- EmbedImages.cpp - machine code of kernels in the host module -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/LowerKernels.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Codegen/GPU/Machine.h"
#include "pith/Codegen/GPU/Passes.h"
#include "pith/Conversion/ExecTable.h"
#include "pith/Target/Emulator/Target.h"
#include "pith/Target/NVVM/Target.h"
#include "pith/Target/Passes.h"
#include "pith/Target/ROCDL/Target.h"
#include "pith/emulated.h"
#include "pith/executable.h"

namespace pith {
#define GEN_PASS_DEF_EMBEDIMAGES
#include "pith/Target/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

static ExecKernel describe(mlir::gpu::GPUFuncOp function) {
  ExecKernel kernel;
  kernel.name = function.getName().str();
  if (auto name = dyn_cast<NameLoc>(function.getLoc()); name && name.getName() != kernel.name)
    kernel.origin = name.getName().str();
  if (DenseI32ArrayAttr block = function.getKnownBlockSizeAttr())
    std::copy(block.asArrayRef().begin(), block.asArrayRef().end(), kernel.block);
  if (auto shared = function->getAttrOfType<IntegerAttr>(pith::gpu::kSharedBytesAttr))
    kernel.sharedBytes = static_cast<uint32_t>(shared.getInt());
  if (function->hasAttr(pith::gpu::kWarpGroupsAttr))
    kernel.needs = PITH_EXEC_WARP_GROUPS;
  for (Type type : function.getArgumentTypes())
    kernel.argumentBytes.push_back(isa<LLVM::LLVMPointerType>(type) || type.getIntOrFloatBitWidth() > 32 ? 8
                                                                                                         : 4);
  return kernel;
}

static uint32_t featuresOf(const pith::gpu::Machine &machine) {
  return machine.wgmma ? PITH_EXEC_WARP_GROUPS : 0;
}

namespace {
struct EmbedImages : pith::impl::EmbedImagesBase<EmbedImages> {
  using EmbedImagesBase::EmbedImagesBase;

  llvm::Error addReal(mlir::gpu::GPUModuleOp kernels, const pith::gpu::Machine &machine) {
    if (machine.vendor == pith::gpu::Vendor::HIP) {
      llvm::Expected<SmallVector<char, 0>> object = rocdl::emitHSACO(kernels, machine);
      if (!object)
        return object.takeError();
      images.push_back(
          {machine.name(), PITH_EXEC_IMAGE_HSACO, std::string(object->begin(), object->end()), "", 0});
      return llvm::Error::success();
    }
    llvm::Expected<std::string> ptx = nvvm::emitPTX(kernels, machine);
    if (!ptx)
      return ptx.takeError();
    if (std::string ptxas = nvvm::findPtxas(); !ptxas.empty()) {
      llvm::Expected<nvvm::Cubin> cubin = nvvm::assemble(ptxas, *ptx, machine);
      if (!cubin)
        return cubin.takeError();
      images.push_back({machine.name(), PITH_EXEC_IMAGE_CUBIN,
                        std::string(cubin->bytes.begin(), cubin->bytes.end()), "", featuresOf(machine)});
    }
    images.push_back({machine.name(), PITH_EXEC_IMAGE_PTX, std::move(*ptx), "", featuresOf(machine)});
    return llvm::Error::success();
  }

  /// The kernels as functions of this module, behind the split for the chip that is imitated.
  LogicalResult addEmulated(mlir::gpu::GPUModuleOp kernels, const pith::gpu::Machine &machine) {
    ModuleOp module = getOperation();
    OwningOpRef<ModuleOp> copy = ModuleOp::create(module.getLoc());
    OpBuilder(copy->getBodyRegion()).clone(*kernels);
    target::eraseOthers(*copy, machine);
    PassManager pm(&getContext());
    pm.addNestedPass<mlir::gpu::GPUModuleOp>(createSplitGPU({machine.name()}));
    if (failed(pm.run(*copy)))
      return failure();
    FailureOr<OwningOpRef<ModuleOp>> host = emulator::lowerKernels(*copy);
    if (failed(host))
      return failure();
    for (Operation &op : llvm::make_early_inc_range(*(*host)->getBody()))
      if (auto name = SymbolTable::getSymbolName(&op); name && module.lookupSymbol(name)) {
        // Libraries' functions are declared once.
        if (op.getNumRegions() && !op.getRegion(0).empty())
          return op.emitError("is a second symbol of its name");
      } else {
        op.moveBefore(module.getBody(), module.getBody()->end());
      }
    module.lookupSymbol<LLVM::GlobalOp>(PITH_EMULATED_SYMBOL).setLinkage(LLVM::Linkage::Internal);
    images.push_back(
        {machine.name(), PITH_EXEC_IMAGE_EMULATED, "", PITH_EMULATED_SYMBOL, featuresOf(machine)});
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::Expected<SmallVector<pith::gpu::Machine>> machines = pith::gpu::parseTarget(target);
    auto fail = [&](llvm::Error error) {
      module.emitError(llvm::toString(std::move(error)));
      signalPassFailure();
    };
    if (!machines)
      return fail(machines.takeError());
    if (module.getOps<mlir::gpu::GPUModuleOp>().empty())
      return;
    mlir::gpu::GPUModuleOp kernels = target::kernelsOf(module);
    std::vector<ExecKernel> list;
    for (auto function : kernels.getOps<mlir::gpu::GPUFuncOp>())
      list.push_back(describe(function));
    for (const pith::gpu::Machine &machine : *machines) {
      for (const ExecKernel &kernel : list)
        if ((machine.wgmma || !kernel.needs) && kernel.sharedBytes > machine.sharedBytes) {
          module.emitError("kernel ")
              << kernel.name << " needs " << kernel.sharedBytes << " bytes of shared memory; "
              << machine.name() << " has " << machine.sharedBytes;
          return signalPassFailure();
        }
      if (emulated) {
        if (failed(addEmulated(kernels, machine)))
          return signalPassFailure();
        break; // host code is for one chip
      }
      if (llvm::Error error = addReal(kernels, machine))
        return fail(std::move(error));
    }
    kernels.erase();
    writeTable(module, list, images);
  }

  std::vector<ExecImage> images;
};
} // namespace
