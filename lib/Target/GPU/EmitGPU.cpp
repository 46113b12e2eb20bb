//===- EmitGPU.cpp - print the machine code of GPU kernels ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Target/NVVM/Target.h"
#include "pith/Target/Passes.h"
#include "pith/Target/ROCDL/Target.h"
#include "llvm/Support/raw_ostream.h"

namespace pith {
#define GEN_PASS_DEF_EMITGPU
#include "pith/Target/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
struct EmitGPU : pith::impl::EmitGPUBase<EmitGPU> {
  using EmitGPUBase::EmitGPUBase;

  llvm::Expected<std::string> emit() {
    if (format != "isa" && format != "llvm")
      return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                     "format '" + format + "' should be 'isa' or 'llvm'");
    llvm::Expected<SmallVector<pith::gpu::Machine>> machines = pith::gpu::parseTarget(target);
    if (!machines)
      return machines.takeError();
    if (machines->size() != 1)
      return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                     "target '" + target + "' should name one chip");
    const pith::gpu::Machine &machine = machines->front();
    bool text = format == "isa";
    if (machine.vendor == pith::gpu::Vendor::CUDA)
      return text ? nvvm::emitPTX(getOperation(), machine) : nvvm::emitLLVM(getOperation(), machine);
    return text ? rocdl::emitISA(getOperation(), machine) : rocdl::emitLLVM(getOperation(), machine);
  }

  void runOnOperation() override {
    llvm::Expected<std::string> text = emit();
    if (!text) {
      getOperation().emitError(toString(text.takeError()));
      return signalPassFailure();
    }
    llvm::outs() << *text;
    markAllAnalysesPreserved();
  }
};
} // namespace
