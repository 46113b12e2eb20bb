//===- Views.h - reshape, transpose and broadcast as index maps -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Exporters spell one and the same rearrangement in many ways. A chain of reshapes, transposes and broadcasts
// is read here as one index map from the chain's first value, its base, and written back in as few operations
// as it takes:
//
//   [B, S, 256] -> reshape [B, S, 4, 64] -> transpose [B, 4, S, 64]        dims (B) (4 of dim 2) (S) (64 of
//   dim 2) [B, 2, T, 64] -> reshape -> broadcast [B, 2, 3, T, 64] -> reshape [B, 6, T, 64]     dims (B) (2,
//   new 3) (T) (64)
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_DIALECT_PITH_TRANSFORMS_VIEWS_H
#define PITH_LIB_DIALECT_PITH_TRANSFORMS_VIEWS_H

#include "SymbolicDims.h"

namespace pith {

/// A run of elements of one base dimension: `extent` of them, `stride` apart. Broadcast atoms have no base
/// dimension.
struct Atom {
  static constexpr int64_t kBroadcast = -1;
  int64_t dim;
  Extent stride, extent;

  bool isBroadcast() const { return dim == kBroadcast; }
  friend bool operator==(const Atom &a, const Atom &b) {
    return a.dim == b.dim && a.stride == b.stride && a.extent == b.extent;
  }
};

/// A tensor as an index map from `base`: each dimension a list of atoms, outermost first; none is a dimension
/// of 1.
struct View {
  using Dim = llvm::SmallVector<Atom, 2>;
  mlir::Value base;
  llvm::SmallVector<Dim, 4> dims;
  /// The product of the scalars that were looked through (only if asked for).
  double factor = 1.0;

  Extent extent(int64_t dim) const;
  bool hasBroadcast() const;
};

/// Reads and writes views in one entry. As SymbolicDims, holds on to values.
class Views {
public:
  explicit Views(mlir::func::FuncOp entry) : sizes(entry) {}

  /// The index map that gives `value`. With `throughScale`, multiplication by a scalar constant is looked
  /// through too.
  View of(mlir::Value value, bool throughScale = false);
  /// The view with dimensions regrouped: result dimension i is the concatenation of the dimensions in
  /// `groups[i]`.
  static View regroup(const View &view, llvm::ArrayRef<llvm::SmallVector<int64_t, 2>> groups);
  /// Splits dimension `dim` into its outer part and `inner` elements, if the atoms allow it.
  static bool split(View &view, int64_t dim, const Extent &inner);
  /// The number of operations that `materialize` would make; none if the view cannot be written.
  std::optional<unsigned> cost(const View &view);
  /// Writes the view at the builder's position; null if it cannot be written (atoms that miss part of the
  /// base).
  mlir::Value materialize(mlir::OpBuilder &builder, mlir::Location loc, const View &view);
  /// The type of a tensor with the elements of `like` and these sizes, as static as they are.
  static mlir::RankedTensorType typeFor(mlir::Value like, llvm::ArrayRef<Extent> shape);
  /// `pith.reshape` to these sizes, with a type as static as they are.
  mlir::Value reshape(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value source,
                      llvm::ArrayRef<Extent> shape);
  mlir::Value broadcast(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value source,
                        llvm::ArrayRef<Extent> shape);

  /// Replaces chains of view operations by shorter ones and moves views that keep the last dimension below
  /// row-wise operations (norms, linears, elementwise), where they meet their inverses. Leaves dead
  /// operations behind.
  void normalize(mlir::func::FuncOp entry);
  /// Moves slices of the last dimension above views that keep it. Only when nothing else needs to see the
  /// slices of heads where they were (a rotation is made of them).
  void sinkSlices(mlir::func::FuncOp entry);

  SymbolicDims sizes;

private:
  std::optional<View> apply(mlir::Operation *op, const View &source);
  bool reshapeAtoms(const View &source, llvm::ArrayRef<Extent> shape, View &result);
  bool sink(mlir::Operation *op);
  struct Plan;
  std::optional<Plan> plan(const View &view);
  mlir::Value write(const Plan &plan, mlir::OpBuilder &builder, mlir::Location loc, mlir::Value base);
};

/// True for reshape, transpose, broadcast and casts between tensor types of one shape.
bool isViewOp(mlir::Operation *op);
/// `value` as `type`, which differs only in what is static.
mlir::Value castTo(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value, mlir::Type type);

} // namespace pith

#endif // PITH_LIB_DIALECT_PITH_TRANSFORMS_VIEWS_H
