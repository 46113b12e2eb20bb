//===- Axes.h - axes that may be known only at run time ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_AXES_H
#define PITH_IMPORT_ONNX_AXES_H

#include "Node.h"
#include "Scalar.h"

namespace pith::onnx {

/// A set of axes of a tensor: constants, or as many integers as are read at run time.
class Axes {
public:
  /// From an attribute or, since some version, an input. An absent list is empty. Reports what cannot be a list of axes.
  static std::optional<Axes> read(Node &node, llvm::StringRef name, size_t input, int64_t rank);
  /// One axis, from an input.
  static std::optional<Axes> readOne(Node &node, size_t input, int64_t rank);

  bool present = false;
  bool known() const { return unknown.empty(); }
  size_t size() const { return known() ? list.size() : unknown.size(); }
  llvm::SmallVector<int64_t> list; ///< in [0, rank), in the order given; only if known

  // For axes that are read at run time, as code:
  Scalar get(size_t n) const { return unknown[n]; } ///< in [0, rank), unless the input is wrong
  /// Whether dimension i is one of them.
  Scalar has(Importer &im, int64_t i) const;
  /// How many of the dimensions before i are not.
  Scalar othersBefore(Importer &im, int64_t i) const;
  /// The number of the dimension that is the n-th axis in order, or the n-th that is none; -1 if there is no such.
  Scalar find(Importer &im, int64_t rank, int64_t n, bool isAxis) const;
  /// The sizes of the dimensions that are none.
  Shape otherSizes(Importer &im, llvm::ArrayRef<Expr> shape) const;

private:
  Scalars unknown;
};

/// A size that code computes. A negative one makes the call fail.
Expr sizeOf(Scalar index);
/// sizes[n], or -1 if n is outside.
Scalar pick(Importer &im, llvm::ArrayRef<Expr> sizes, Scalar n);

/// x with the dimensions of `axes`, read at run time, behind all others.
Tensor moveLast(Importer &im, const Tensor &x, const Axes &axes);
/// x as [sizes before the axis, its size, sizes behind it], for any axis.
Tensor splitAt(Importer &im, const Tensor &x, const Axes &axis);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_AXES_H
