//===- LinearKernel.h - what all forms of linear layers share ---*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_LINEARKERNEL_H
#define PITH_LIB_CODEGEN_GPU_LINEARKERNEL_H

#include "Encoding.h"
#include <string>
#include <utility>

namespace pith::gpu {

/// A linear kernel's arguments, and what happens to a sum behind the product.
struct LinearArguments {
  LinearArguments(const LinearSpec &spec, llvm::ArrayRef<mlir::Value> arguments);
  static llvm::SmallVector<Argument> of(const LinearSpec &spec);

  mlir::Value x, weights, out, normScale, bias, residual, rows;

  /// out[row, n] of its sum, factors applied; `up`: the sum of the other half, with glu.
  void store(KernelBuilder &k, const LinearSpec &spec, mlir::Value row, mlir::Value n, mlir::Value sum,
             llvm::function_ref<mlir::Value()> up) const;
};

/// The RMS norm's factor of a row, from the sum of its squares.
mlir::Value rowFactor(KernelBuilder &k, int64_t columns, float epsilon, mlir::Value squares);

std::string linearName(const LinearSpec &spec);

/// For many rows, on matrix units (LinearTile.cpp).
mlir::gpu::GPUFuncOp getOrCreateLinearTile(mlir::gpu::GPUModuleOp module, const LinearSpec &spec);
/// An error for what the matrix units' kernels do not take.
llvm::Error checkLinearTile(const LinearSpec &spec);
/// Into how many parts weights are split where rows have several.
int64_t weightPartsOf(const LinearSpec &spec);
/// Parts (of weights, of rows) whose products matter, the smallest first.
llvm::SmallVector<std::pair<int64_t, int64_t>> partPairs(int64_t parts, int64_t weightParts);

/// By wgmma (LinearGroup.cpp): what passes checkLinearTile.
mlir::gpu::GPUFuncOp getOrCreateLinearGroup(mlir::gpu::GPUModuleOp module, const LinearSpec &spec);
llvm::Error checkLinearGroup(const LinearSpec &spec);
/// Stages that fit into so much shared memory.
int64_t groupStages(const LinearSpec &spec, int64_t sharedBytes);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_LINEARKERNEL_H
