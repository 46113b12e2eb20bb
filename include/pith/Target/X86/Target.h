//===- Target.h - MLIR in the LLVM dialect to x86-64 machine code -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TARGET_X86_TARGET_H
#define PITH_TARGET_X86_TARGET_H

#include "pith/Codegen/CPU/Kernels.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

namespace pith::x86 {

/// Lowers what is left of scf, cf, arith, math, vector, memref, func, index and ub to the LLVM dialect.
void buildLowerToLLVM(mlir::OpPassManager &pm);

/// Translates a module in the LLVM dialect, optimizes it for `machine` and emits a position-independent ELF
/// object. Errors name the function that could not be compiled.
llvm::Expected<llvm::SmallVector<char, 0>> emitObject(mlir::ModuleOp module, const cpu::Machine &machine);

/// The same as LLVM IR or assembly text (`--emit=llvm`, `--emit=asm`).
llvm::Expected<std::string> emitText(mlir::ModuleOp module, const cpu::Machine &machine, bool assembly);

/// Links one object into an ELF shared object (ld.lld as a library) at `path`.
llvm::Error linkShared(llvm::ArrayRef<char> object, llvm::StringRef path);

} // namespace pith::x86

#endif // PITH_TARGET_X86_TARGET_H
