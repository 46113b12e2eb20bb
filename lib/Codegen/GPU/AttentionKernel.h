//===- AttentionKernel.h - what all forms of attention share ----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_ATTENTIONKERNEL_H
#define PITH_LIB_CODEGEN_GPU_ATTENTIONKERNEL_H

#include "KernelBuilder.h"
#include <string>

namespace pith::gpu {

inline constexpr double log2e = 1.44269504088896340736;
/// Below every score, and finite: a difference of two is a number. A score that is not above it is none.
inline constexpr double lowest = -1e30;

/// The arguments of attention; null where a specification has none.
struct AttentionArguments {
  AttentionArguments(const AttentionSpec &spec, llvm::ArrayRef<mlir::Value> arguments);
  static llvm::SmallVector<Argument> of(const AttentionSpec &spec);

  mlir::Value q, sinks, out, rows, ldq, ldo;
  mlir::Value rowLanes, lanes, conditions, slopes, bias, layer, splits; // over the cache
  mlir::Value keys, values, mask, ldk, ldv, queries, tokens;            // over tensors
  mlir::Value maskSteps[4]; // from one sequence, head, query and token to the next

  void store(KernelBuilder &k, const AttentionSpec &spec, mlir::Value row, mlir::Value head,
             mlir::Value channel, mlir::Value value) const;
};

/// out[row, head, channel] of a row of `ldo` elements.
void storeAttention(KernelBuilder &k, const AttentionSpec &spec, mlir::Value out, mlir::Value ldo,
                    mlir::Value row, mlir::Value head, mlir::Value channel, mlir::Value value);

/// 2^(score - largest), or 0 for a score that is none.
mlir::Value weightOf(KernelBuilder &k, mlir::Value score, mlir::Value largest);
/// What weighted values come to where `sum` is that of the weights: 0 where a row saw no token.
mlir::Value dividedBy(KernelBuilder &k, const AttentionSpec &spec, mlir::Value value, mlir::Value sum);

/// What one row and one of its heads do to their scores.
class ScoreRow {
public:
  ScoreRow(KernelBuilder &k, const AttentionSpec &spec, const AttentionArguments &a, mlir::Value row,
           mlir::Value head);
  /// The score of `token` times log2 e: capped, with what stands for the distance from `position`, with the
  /// mask's; `lowest` where the token is not `seen` or hidden. Without a cap the queries had the factor.
  mlir::Value finish(KernelBuilder &k, const AttentionSpec &spec, mlir::Value score, mlir::Value position,
                     mlir::Value token, mlir::Value seen) const;

private:
  mlir::Value slope;                    // times log2 e
  mlir::Value bias;                     // the head's
  mlir::Value mask, maskStep, maskLast; // the row's and head's; the last token
};

std::string attentionName(const AttentionSpec &spec);

/// For many rows, on matrix units (AttentionTile.cpp).
mlir::gpu::GPUFuncOp getOrCreateAttentionTile(mlir::gpu::GPUModuleOp module, const AttentionSpec &spec);
/// An error for what the matrix units' kernel does not take.
llvm::Error checkAttentionTile(const AttentionSpec &spec);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_ATTENTIONKERNEL_H
