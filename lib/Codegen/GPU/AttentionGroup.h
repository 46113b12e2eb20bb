//===- AttentionGroup.h - attention's products by wgmma ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A lane's sums of wgmma are those of mma.sync in another order (tile.place): queries and weights are in
// registers, keys and values are read from shared memory, values with their rows as k. So a block on matrix
// units needs other products only.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_ATTENTIONGROUP_H
#define PITH_LIB_CODEGEN_GPU_ATTENTIONGROUP_H

#include "AttentionKernel.h"
#include "WarpGroup.h"

namespace pith::gpu {

/// Both products of a step of `tokens` tokens.
class AttentionGroup {
public:
  using Value = mlir::Value;
  using Values = KernelBuilder::Values;
  AttentionGroup(KernelBuilder &k, const AttentionSpec &spec, int64_t tokens)
      : k(k), spec(spec), tokens(tokens), keys(k, spec.product, tokens),
        values(k, spec.product, spec.cache.valueDim, /*columns=*/true) {}

  /// Of keys or values with `channels` channels: [64 channels][token][64].
  static int64_t bytes(int64_t tokens, int64_t channels) { return tokens * channels * 2; }
  /// Where octet `octet` of a token stands.
  Value place(Value token, Value octet) const;

  /// Words of the lane's two query rows, at `rows`, times `factor`.
  Values loadQueries(llvm::ArrayRef<Value> rows, double factor) const;
  /// Scores, 8 sums for every 16 tokens, with keys at `offset` in shared memory.
  Values scores(llvm::ArrayRef<Value> queries, int64_t offset);
  /// Adds the values at `offset`, weighted; 8 weights for every 16 tokens, 8 sums for every 16 channels.
  void addValues(llvm::ArrayRef<Value> weights, int64_t offset, Values &sums);

  /// What threads have written to shared memory is for wgmma to read behind the next barrier.
  static void publish(KernelBuilder &k);

private:
  KernelBuilder &k;
  const AttentionSpec &spec;
  int64_t tokens;
  WarpGroup keys, values;
};

/// An error for what wgmma's form does not take.
llvm::Error checkAttentionGroup(const AttentionSpec &spec);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_ATTENTIONGROUP_H
