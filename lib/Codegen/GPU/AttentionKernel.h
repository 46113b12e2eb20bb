//===- AttentionKernel.h - what all forms of attention share ----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_ATTENTIONKERNEL_H
#define PITH_LIB_CODEGEN_GPU_ATTENTIONKERNEL_H

#include "PagedCache.h"
#include <string>

namespace pith::gpu {

inline constexpr double log2e = 1.44269504088896340736;
/// Below every score, and finite: a difference of two is a number.
inline constexpr double lowest = -1e30;

/// The arguments of attention over the cache, and what happens to a score and to a result.
struct AttentionArguments {
  AttentionArguments(const AttentionSpec &spec, llvm::ArrayRef<mlir::Value> arguments);
  static llvm::SmallVector<Argument> of(const AttentionSpec &spec);

  mlir::Value q, rowLanes, lanes, sinks, slopes, out, rows, ldq, ldo, layer, splits;

  /// The score, capped, times log2 e; without a cap the queries had the factor.
  static mlir::Value softcap(KernelBuilder &k, const AttentionSpec &spec, mlir::Value score);
  void store(KernelBuilder &k, const AttentionSpec &spec, mlir::Value row, mlir::Value head, mlir::Value channel,
             mlir::Value value) const;
};

/// out[row, head, channel] of a row of `ldo` elements.
void storeAttention(KernelBuilder &k, const AttentionSpec &spec, mlir::Value out, mlir::Value ldo, mlir::Value row,
                    mlir::Value head, mlir::Value channel, mlir::Value value);

std::string attentionName(const AttentionSpec &spec);

/// For many rows, on matrix units (AttentionTile.cpp).
mlir::gpu::GPUFuncOp getOrCreateAttentionTile(mlir::gpu::GPUModuleOp module, const AttentionSpec &spec);
/// An error for what the matrix units' kernel does not take.
llvm::Error checkAttentionTile(const AttentionSpec &spec);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_ATTENTIONKERNEL_H
