//===- SymbolicDims.h - sizes as polynomials over symbols -------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Two dynamic sizes are equal if they are the same polynomial in the entry's symbolic dimensions
// (`pith.dims`). What the analysis cannot follow becomes a symbol of its own, so that equality is never
// claimed by mistake. Elementwise code relates the names: its operands have one shape, so where one of them
// has `total` rows and the other `past + length`, these are the same.
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_DIALECT_PITH_TRANSFORMS_SYMBOLICDIMS_H
#define PITH_LIB_DIALECT_PITH_TRANSFORMS_SYMBOLICDIMS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "pith/Dialect/Pith/IR/Pith.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"
#include <map>
#include <optional>
#include <vector>

namespace pith {

/// A polynomial with integer coefficients: monomials (sorted symbols) with their factors, none zero.
class Extent {
public:
  using Monomial = std::vector<unsigned>;

  Extent() = default;
  Extent(int64_t constant) {
    if (constant)
      terms[{}] = constant;
  }
  static Extent symbol(unsigned id) {
    Extent e;
    e.terms[{id}] = 1;
    return e;
  }

  /// The value if it is known.
  std::optional<int64_t> constant() const;
  bool isConstant(int64_t value) const { return constant() == value; }
  /// True if no assignment of non-negative sizes makes it negative (a sufficient test: no negative factor).
  bool isNonNegative() const;
  /// The quotient if `divisor` divides it as a polynomial and is a single term (or the same polynomial).
  std::optional<Extent> dividedBy(const Extent &divisor) const;
  const std::map<Monomial, int64_t> &getTerms() const { return terms; }

  friend Extent operator+(const Extent &a, const Extent &b);
  friend Extent operator-(const Extent &a, const Extent &b);
  friend Extent operator*(const Extent &a, const Extent &b);
  friend bool operator==(const Extent &a, const Extent &b) { return a.terms == b.terms; }
  friend bool operator!=(const Extent &a, const Extent &b) { return !(a == b); }

private:
  std::map<Monomial, int64_t> terms;
};

/// The sizes of the values of one entry. Holds on to values: do not erase operations while it lives.
class SymbolicDims {
public:
  explicit SymbolicDims(mlir::func::FuncOp entry);

  /// The size of a dimension of a tensor.
  Extent of(mlir::Value tensor, int64_t dim);
  /// The sizes of all dimensions.
  llvm::SmallVector<Extent> shape(mlir::Value tensor);
  /// The value of an index (or integer) scalar.
  Extent ofIndex(mlir::Value index);
  /// Code that computes the extent at the builder's position, or null if one of its symbols is not available
  /// there (does not happen for extents of values that dominate the position).
  mlir::Value materialize(mlir::OpBuilder &builder, mlir::Location loc, const Extent &extent);

private:
  Extent compute(mlir::Value tensor, int64_t dim);
  Extent computeIndex(mlir::Value index);
  Extent fromSizes(llvm::ArrayRef<mlir::OpFoldResult> sizes, int64_t dim);
  Extent fromDynamicDims(mlir::RankedTensorType type, mlir::ValueRange dims, int64_t dim);
  Extent opaque(mlir::Value value, int64_t dim);
  std::optional<Extent> parse(llvm::StringRef name);
  void relate(mlir::func::FuncOp entry);
  bool substitute(const Extent &symbol, const Extent &value);

  /// Where a symbol's value comes from: a tensor's dimension, or an index value (dim -1).
  struct Source {
    mlir::Value value;
    int64_t dim;
  };
  llvm::SmallVector<Source> sources;
  llvm::StringMap<unsigned> named;
  llvm::DenseMap<unsigned, Extent> known; // of named symbols: what they equal
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, Extent> cache;
};

} // namespace pith

#endif // PITH_LIB_DIALECT_PITH_TRANSFORMS_SYMBOLICDIMS_H
