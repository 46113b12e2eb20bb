//===- Target.h - GPU kernels to host code for the emulator -----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Takes kernels as a GPU's code generator would get them (`gpu.func … kernel` over arith, math, scf, cf,
// vector, llvm, and the operations of one vendor: nvvm or rocdl and amdgpu) and makes one host function of
// each, which is called once per GPU thread. Every access to global and shared memory is preceded by a check;
// what involves other threads or asynchronous units becomes a call (pith/emulated.h). Operations that the
// emulator does not know are errors.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TARGET_EMULATOR_TARGET_H
#define PITH_TARGET_EMULATOR_TARGET_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "pith/Codegen/CPU/Kernels.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace pith::emulator {

/// Threads of a warp, where neither the kernel (`pith.subgroup`) nor its module's target says it.
inline constexpr unsigned defaultWarpSize = 32;
inline constexpr llvm::StringLiteral kSubgroupAttr = "pith.subgroup";

/// The kernels of all gpu.modules in `source` as functions of a new module in the LLVM dialect, with the
/// table `pith_emulated_module`.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> lowerKernels(mlir::ModuleOp source);

/// The same as machine code: an object file. Errors say which kernel and operation could not be compiled.
llvm::Expected<llvm::SmallVector<char, 0>> compileKernels(mlir::ModuleOp source, const cpu::Machine &machine);

} // namespace pith::emulator

#endif // PITH_TARGET_EMULATOR_TARGET_H
