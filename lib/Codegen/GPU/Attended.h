//===- Attended.h - the tokens that rows attend to --------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels go through tokens; where keys and values stand is said here: in a sequence's pages, in its
// condition's, or in tensors.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_ATTENDED_H
#define PITH_LIB_CODEGEN_GPU_ATTENDED_H

#include "AttentionKernel.h"

namespace pith::gpu {

/// The tokens that the rows of one sequence attend to.
class Attended {
public:
  Attended() = default;
  /// Those of row `row`'s sequence. `spec` and `a` are kept.
  Attended(KernelBuilder &k, const AttentionSpec &spec, const AttentionArguments &a, mlir::Value row);

  mlir::Value firstRow, rows; // the sequence's rows in the batch
  /// A row's place among the tokens.
  mlir::Value positionOf(KernelBuilder &k, mlir::Value row) const;
  /// Behind the last token that the row sees; not above 0 where it sees none.
  mlir::Value endOf(KernelBuilder &k, mlir::Value row) const;
  /// The first token that the row sees, or an earlier one.
  mlir::Value beginOf(KernelBuilder &k, mlir::Value row) const;

  /// A kv head's tokens from one token on: all that a page has of them, or the sequence.
  struct Run {
    mlir::Value keys, values; // of the page or the sequence
    mlir::Value slot;         // the first token's there
  };
  /// `end`, if given, is behind the last token to be read: what follows has addresses, but no tokens.
  Run from(KernelBuilder &k, mlir::Value token, mlir::Value kvHead, mlir::Value end = {}) const;
  /// Where the key or the value of the run's token number `offset` (null: 0) stands.
  mlir::Value key(KernelBuilder &k, const Run &run, mlir::Value offset = {}) const;
  mlir::Value value(KernelBuilder &k, const Run &run, mlir::Value offset = {}) const;
  /// What their addresses are multiples of, up to `wanted`.
  int64_t keyAlign(int64_t wanted) const;
  int64_t valueAlign(int64_t wanted) const;

private:
  mlir::Value place(KernelBuilder &k, mlir::Value base, mlir::Value slot, mlir::Value offset, int64_t width,
                    mlir::Value stride) const;
  const AttentionSpec *spec = nullptr;
  const AttentionArguments *a = nullptr;
  mlir::Value past, pages;
  mlir::Value tokens;   // of a condition or a tensor
  mlir::Value sequence; // of tensors: its number
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_ATTENDED_H
