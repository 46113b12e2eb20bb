//===- KernelBuilder.h - words that CPU kernels are written in---*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A `vector<16xf32>` is one zmm register or two ymm registers, LLVM splits it as the machine needs; so most
// kernels are written once, for 16 lanes. Sizes and indices are i64.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_CPU_KERNELBUILDER_H
#define PITH_LIB_CODEGEN_CPU_KERNELBUILDER_H

#include "../Common/CodeBuilder.h"
#include "pith/Codegen/CPU/Kernels.h"

namespace pith::cpu {

class KernelBuilder : public kernels::CodeBuilder {
public:
  KernelBuilder(mlir::OpBuilder &b, mlir::Location loc)
      : CodeBuilder(b, loc, /*addressSpace=*/0, /*indexBits=*/64) {}

  void prefetch(Value address);     // read, into all levels
  Value stackBuffer(int64_t bytes); // 64-byte aligned; call at a kernel's start only

  // The team. Contiguous shares whose sizes differ by at most one.
  struct Range {
    Value begin, end;
  };
  Range share(Value context, Value thread, Value count);
  Value threads(Value context); // i64
  /// A pointer of the context that an older runtime's struct does not reach; null there.
  Value laterPointer(Value context, int64_t offset);
  Value isNull(Value pointer);
  void barrier(Value context, Value thread);
};

/// Builds a private kernel `name(%ctx: !llvm.ptr, %thread: i32, !llvm.ptr × pointers, i64 × sizes)`, or
/// returns the one that the module has already.
mlir::func::FuncOp
getOrCreateKernel(mlir::ModuleOp module, llvm::StringRef name, unsigned pointers, unsigned sizes,
                  llvm::function_ref<void(KernelBuilder &, llvm::ArrayRef<mlir::Value>)> body);

} // namespace pith::cpu

#endif // PITH_LIB_CODEGEN_CPU_KERNELBUILDER_H
