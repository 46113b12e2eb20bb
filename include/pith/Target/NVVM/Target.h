//===- Target.h - GPU kernels to PTX and cubin ------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TARGET_NVVM_TARGET_H
#define PITH_TARGET_NVVM_TARGET_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "pith/Codegen/GPU/Machine.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace pith::nvvm {

/// LLVM IR or PTX of all kernels of a module, which may be split for the machine's vendor or not, and stays as it is. Any
/// machine of CUDA's; needs nothing but LLVM.
llvm::Expected<std::string> emitLLVM(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine);
llvm::Expected<std::string> emitPTX(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine);

/// What ptxas says that a kernel takes.
struct KernelUse {
  std::string name;
  int registers = 0, stackBytes = 0, spillStores = 0, spillLoads = 0, sharedBytes = 0;
};

struct Cubin {
  llvm::SmallVector<char, 0> bytes;
  std::vector<KernelUse> kernels;
  std::string messages; // warnings
};

/// The toolkit's assembler, in CUDA_PATH/bin or on PATH; empty: there is none.
std::string findPtxas();

/// Assembles in a child process. The error holds the assembler's words.
llvm::Expected<Cubin> assemble(llvm::StringRef ptxas, llvm::StringRef ptx, const gpu::Machine &machine);

} // namespace pith::nvvm

#endif // PITH_TARGET_NVVM_TARGET_H
