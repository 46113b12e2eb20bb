//===- Scalar.h - code on single elements -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the dialect has no tensor operation for is one `linalg.generic` whose body says how an element of the result is
// computed, reading its operands wherever it likes.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_SCALAR_H
#define PITH_IMPORT_ONNX_SCALAR_H

#include "Importer.h"

namespace pith::onnx {

/// Towards zero; beyond the range, the nearest integer.
int64_t toInteger(double value);

/// A scalar of the program. Operands of an operator have one type; a number takes the other operand's. Integers are
/// signed, i1 is a truth value.
class Scalar {
public:
  Scalar() = default;
  Scalar(Importer &im, mlir::Value value) : im(&im), value(value) {}
  static Scalar number(Importer &im, mlir::Type type, double value);
  static Scalar index(Importer &im, const Expr &e) { return {im, im.index(e)}; }

  mlir::Type type() const { return value.getType(); }
  bool isFloat() const { return llvm::isa<mlir::FloatType>(type()); }
  /// A constant of this scalar's type.
  Scalar like(double number) const { return Scalar::number(*im, type(), number); }
  /// Conversions between index, integers and floats (towards zero).
  Scalar to(mlir::Type type) const;
  Scalar toIndex() const;
  template <typename OpTy> Scalar call() const { return {*im, OpTy::create(im->builder, im->loc, value)}; }
  template <typename OpTy> Scalar call(Scalar other) const {
    return {*im, OpTy::create(im->builder, im->loc, value, other.value)};
  }

  Scalar operator+(Scalar b) const;
  Scalar operator-(Scalar b) const;
  Scalar operator*(Scalar b) const;
  Scalar operator/(Scalar b) const; ///< integers: towards zero
  Scalar operator%(Scalar b) const; ///< sign of the dividend
  Scalar operator+(double b) const { return *this + like(b); }
  Scalar operator-(double b) const { return *this - like(b); }
  Scalar operator*(double b) const { return *this * like(b); }
  Scalar operator/(double b) const { return *this / like(b); }
  Scalar operator%(double b) const { return *this % like(b); }
  Scalar max(Scalar b) const;
  Scalar min(Scalar b) const;
  Scalar clamp(Scalar low, Scalar high) const { return max(low).min(high); }

  Scalar operator<(Scalar b) const;
  Scalar operator<=(Scalar b) const;
  Scalar operator>(Scalar b) const { return b < *this; }
  Scalar operator>=(Scalar b) const { return b <= *this; }
  Scalar operator==(Scalar b) const;
  Scalar operator!=(Scalar b) const;
  Scalar operator<(double b) const { return *this < like(b); }
  Scalar operator<=(double b) const { return *this <= like(b); }
  Scalar operator>(double b) const { return *this > like(b); }
  Scalar operator>=(double b) const { return *this >= like(b); }
  Scalar operator==(double b) const { return *this == like(b); }
  Scalar operator!=(double b) const { return *this != like(b); }
  Scalar operator&(Scalar b) const; ///< of truth values and bits
  Scalar operator|(Scalar b) const;
  Scalar operator!() const { return *this == like(0); }
  /// This truth value chooses; both sides are computed.
  Scalar select(Scalar yes, Scalar no) const;

  Importer *im = nullptr;
  mlir::Value value;
};

using Point = llvm::ArrayRef<Scalar>;
using Scalars = llvm::SmallVector<Scalar>;

/// A tensor whose element at each point (indices) is what `code` gives there.
Tensor compute(Importer &im, mlir::Type element, llvm::ArrayRef<Expr> shape, llvm::function_ref<Scalar(Point)> code);
/// An element; the point must lie inside.
Scalar at(Importer &im, const Tensor &tensor, Point point);
/// An element, or `otherwise` unless `inside`; nothing outside is read.
Scalar atOr(Importer &im, const Tensor &tensor, Point point, Scalar inside, Scalar otherwise);
/// One of two computations.
Scalars choose(Scalar condition, llvm::function_ref<Scalars()> yes, llvm::function_ref<Scalars()> no);
/// code(0), code(1), … code(count - 1), each given what the one before gave.
Scalars repeat(Scalar count, llvm::ArrayRef<Scalar> first, llvm::function_ref<Scalars(Scalar, Point)> code);
/// The same with tensors, in order: a recurrence. The values may be given other static sizes than they came with, which
/// must then hold in each round.
llvm::SmallVector<Tensor> repeat(Importer &im, const Expr &count, llvm::ArrayRef<Tensor> first,
                                 llvm::function_ref<llvm::SmallVector<Tensor>(Scalar, llvm::ArrayRef<Tensor>)> code);

/// The slice at a position that is computed, of size 1 along `axis`; and a copy with such a slice replaced.
Tensor readSlice(Importer &im, const Tensor &source, int64_t axis, Scalar position);
Tensor writeSlice(Importer &im, const Tensor &target, const Tensor &slice, int64_t axis, Scalar position);

/// A tensor whose rank is 0, of a scalar.
Tensor fromScalar(Scalar scalar);
/// The element of a tensor of one element.
Scalar toScalar(Importer &im, const Tensor &tensor);
/// An element of a small tensor of constant shape. Where that is possible its code only reads the graph's inputs, so
/// that sizes may depend on it.
Scalar element(Importer &im, const Tensor &tensor, int64_t number);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_SCALAR_H
