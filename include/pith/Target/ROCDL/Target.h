//===- Target.h - GPU kernels to AMD code objects ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TARGET_ROCDL_TARGET_H
#define PITH_TARGET_ROCDL_TARGET_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "pith/Codegen/GPU/Machine.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace pith::rocdl {

/// LLVM IR or assembly of all kernels of a module, which may be split for the machine's vendor or not, and stays as it is.
/// Any machine of HIP's; needs nothing but LLVM.
llvm::Expected<std::string> emitLLVM(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine);
llvm::Expected<std::string> emitISA(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine);

/// A linked code object, as hipModuleLoadData takes it.
llvm::Expected<llvm::SmallVector<char, 0>> emitHSACO(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine);

/// What a kernel takes, from the metadata of its assembly.
struct KernelUse {
  std::string name;
  int vectorRegisters = 0, scalarRegisters = 0, spilled = 0, scratchBytes = 0;
};
std::vector<KernelUse> readUse(llvm::StringRef isa);

} // namespace pith::rocdl

#endif // PITH_TARGET_ROCDL_TARGET_H
