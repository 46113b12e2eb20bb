//===- RowKernel.h - a block for a row --------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_ROWKERNEL_H
#define PITH_LIB_CODEGEN_GPU_ROWKERNEL_H

#include "KernelBuilder.h"

namespace pith::gpu {

/// The largest of values of the block's threads, in all of them. Uses subgroups() * 4 bytes of shared memory at 0.
mlir::Value maxBlock(KernelBuilder &k, mlir::Value value);
/// The largest of the f32 at x[0 .. n), in all threads of the block.
mlir::Value rowMax(KernelBuilder &k, mlir::Value x, int64_t n);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_ROWKERNEL_H
