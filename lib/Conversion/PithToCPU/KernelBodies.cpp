//===- KernelBodies.cpp - generate the bodies of declared kernels ---------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/EntryRun.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "pith/Conversion/KernelSpec.h"
#include "pith/Conversion/Passes.h"

namespace pith {
#define GEN_PASS_DEF_BUILDKERNELBODIES
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
struct BuildKernelBodies : pith::impl::BuildKernelBodiesBase<BuildKernelBodies> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<func::FuncOp> declared;
    for (auto function : module.getOps<func::FuncOp>())
      if (function.isExternal() && function->hasAttr(kKernelAttr))
        declared.push_back(function);
    if (declared.empty())
      return;
    FailureOr<cpu::Machine> machine = getMachine(module);
    if (failed(machine))
      return signalPassFailure();
    llvm::DenseMap<StringAttr, FlatSymbolRefAttr> built;
    for (func::FuncOp function : declared) {
      DictionaryAttr spec = specOf(function);
      if (!spec)
        return signalPassFailure();
      StringAttr name = function.getSymNameAttr();
      Location loc = function.getLoc();
      function.erase();
      func::FuncOp kernel = buildKernel(module, *machine, spec, [&] { return mlir::emitError(loc); });
      if (!kernel)
        return signalPassFailure();
      kernel->setAttr(kKernelAttr, spec);
      built[name] = FlatSymbolRefAttr::get(kernel);
    }
    module.walk([&](LaunchOp op) {
      if (FlatSymbolRefAttr kernel = built.lookup(op.getKernelAttr().getAttr()))
        op.setKernelAttr(kernel);
    });
  }
};
} // namespace
