//===- EmitObject.cpp - LLVM dialect to x86-64 machine code ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/CodeGen.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "pith/Target/X86/Target.h"
#include "llvm/Support/TargetSelect.h"

using namespace llvm;
using pith::target::Compiled;

namespace {
/// Private functions of the MLIR module stay inside the object.
void internalizePrivate(mlir::ModuleOp source, Module &module) {
  source.walk([&](mlir::LLVM::LLVMFuncOp function) {
    if (function.isExternal() || function.isPublic())
      return;
    if (Function *translated = module.getFunction(function.getName()))
      translated->setLinkage(GlobalValue::InternalLinkage);
  });
}

Expected<std::unique_ptr<Compiled>> compile(mlir::ModuleOp source, const pith::cpu::Machine &machine) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  return pith::target::compile(
      source, {"x86_64-unknown-linux-gnu", machine.cpu, machine.features}, [](mlir::DialectRegistry &) {},
      [&](Module &module) {
        internalizePrivate(source, module);
        module.setPICLevel(PICLevel::BigPIC);
        for (Function &function : module)
          if (!function.isDeclaration() && machine.vectorBytes == 64)
            function.addFnAttr("prefer-vector-width", "512");
      });
}
} // namespace

Expected<SmallVector<char, 0>> pith::x86::emitObject(mlir::ModuleOp module, const cpu::Machine &machine) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  return (*compiled)->emit(CodeGenFileType::ObjectFile);
}

Expected<std::string> pith::x86::emitText(mlir::ModuleOp module, const cpu::Machine &machine, bool assembly) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  if (!assembly)
    return (*compiled)->print();
  return (*compiled)->emitText();
}
