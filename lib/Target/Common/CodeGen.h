//===- CodeGen.h - LLVM's back ends as a library ----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_TARGET_COMMON_CODEGEN_H
#define PITH_LIB_TARGET_COMMON_CODEGEN_H

#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/CodeGen.h"
#include "llvm/Support/Error.h"
#include "llvm/Target/TargetMachine.h"
#include <memory>
#include <string>

namespace pith::target {

llvm::Error targetError(const llvm::Twine &why);

/// A machine as LLVM knows it. The back end must have been initialized.
struct Description {
  std::string triple, cpu, features;
};

/// A module of LLVM IR with what must outlive it.
struct Compiled {
  std::unique_ptr<llvm::LLVMContext> context = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::TargetMachine> target;
  std::unique_ptr<llvm::Module> module;
  std::string backendErrors;

  /// Emits once: the back end consumes the module.
  llvm::Expected<llvm::SmallVector<char, 0>> emit(llvm::CodeGenFileType type);
  llvm::Expected<std::string> emitText();
  std::string print() const;
};

/// Translates `source`, a module in the LLVM dialect and in those that `registerDialects` adds, and optimizes it. `adjust` sees
/// the module before that.
llvm::Expected<std::unique_ptr<Compiled>>
compile(mlir::Operation *source, const Description &machine,
        llvm::function_ref<void(mlir::DialectRegistry &)> registerDialects,
        llvm::function_ref<void(llvm::Module &)> adjust);

} // namespace pith::target

#endif // PITH_LIB_TARGET_COMMON_CODEGEN_H
