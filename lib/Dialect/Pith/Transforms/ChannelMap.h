//===- ChannelMap.h - tensor code read channel by channel -------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// A rotary embedding is linear in x with one small matrix per token. This analysis writes a piece of tensor
// code out channel by channel, each as a sum of terms factor * expression * x[channel]: slices,
// concatenations, reshapes of the last dimensions, negation, sums and products become index maps and
// coefficients, whatever the exporter's way to spell them. Expressions are interned, so that two channels of
// the tables are known to be equal where they are the same function of the same elements.
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_DIALECT_PITH_TRANSFORMS_CHANNELMAP_H
#define PITH_LIB_DIALECT_PITH_TRANSFORMS_CHANNELMAP_H

#include "SymbolicDims.h"

namespace pith {

/// factor * expression * x[channel]; without the expression or the x where they are kNone.
struct Term {
  static constexpr int64_t kNone = -1;
  double factor = 1.0;
  int64_t expression = kNone;
  int64_t x = kNone;
};
using Sum = llvm::SmallVector<Term, 2>;
/// One sum per channel (the last dimensions, flattened).
using Channels = std::vector<Sum>;

class ChannelMap {
public:
  ChannelMap(SymbolicDims &sizes, mlir::Value x) : sizes(sizes), x(x) {}

  /// The channels of `value`, its last `trailing` dimensions flattened; null if x enters other than linearly.
  const Channels *of(mlir::Value value, int64_t trailing = 1);
  /// A value free of x whose channels first, first + stride, … are these expressions times one factor.
  struct Table {
    mlir::Value value;
    int64_t trailing; // dimensions that are channels
    int64_t first, stride;
    double factor;
  };
  std::optional<Table> find(llvm::ArrayRef<Term> wanted);

private:
  using Key = std::pair<mlir::Value, int64_t>;
  std::optional<Channels> compute(mlir::Value value, int64_t trailing);
  std::optional<Channels> computeView(mlir::Operation *op, int64_t trailing);
  std::optional<Channels> computeSlice(mlir::Operation *op, int64_t trailing);
  std::optional<Channels> computeConcat(mlir::Operation *op, int64_t trailing);
  std::optional<Channels> computeElementwise(mlir::Operation *op, int64_t trailing);
  std::optional<Channels> leaf(mlir::Value value, int64_t trailing);
  std::optional<Channels> through(mlir::Operation *op, const Channels *source);
  std::optional<llvm::SmallVector<int64_t>> equalColumns(mlir::Value value);
  int64_t intern(std::vector<int64_t> node);
  int64_t expressionOf(const Sum &sum);

  SymbolicDims &sizes;
  mlir::Value x;
  std::map<std::vector<int64_t>, int64_t> nodes;
  llvm::DenseMap<Key, std::unique_ptr<Channels>> cache; // null: cannot be read
  llvm::SmallVector<Key> order;
};

} // namespace pith

#endif // PITH_LIB_DIALECT_PITH_TRANSFORMS_CHANNELMAP_H
