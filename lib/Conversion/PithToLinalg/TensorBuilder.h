//===- TensorBuilder.h - words that plain lowerings are written in -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every lowering here takes tensors and gives tensors, as `linalg.generic` over dynamic shapes. Sizes are
// taken from where they come from (an argument's dimension, a `dims` operand), never from an intermediate
// tensor, so that equal sizes are the same SSA value and buffers can be planned.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_PITHTOLINALG_TENSORBUILDER_H
#define PITH_LIB_CONVERSION_PITHTOLINALG_TENSORBUILDER_H

#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Builders.h"
#include "pith/Dialect/Pith/IR/Pith.h"

namespace pith {

/// The size of dimension `i` of `tensor`, as a constant or as the value it was computed from.
mlir::OpFoldResult getDim(mlir::OpBuilder &b, mlir::Location loc, mlir::Value tensor, int64_t i);

using Dims = llvm::SmallVector<mlir::OpFoldResult>;

class TensorBuilder {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;
  using AffineMap = mlir::AffineMap;
  /// A body gets one scalar per input, then one per output, and gives one per output.
  using Body = llvm::function_ref<llvm::SmallVector<Value>(mlir::ValueRange)>;

  TensorBuilder(mlir::OpBuilder &b, mlir::Location loc);

  mlir::OpBuilder &b;
  mlir::Location loc;
  Type f32, index, i1;

  // Sizes.
  Dims dims(Value tensor);
  mlir::OpFoldResult dim(Value tensor, int64_t i) { return getDim(b, loc, tensor, i); }
  /// The sizes of an op's result: constants from its type, values from `dynamic` in order.
  Dims dims(Type type, mlir::ValueRange dynamic);
  Value size(mlir::OpFoldResult dim); // as an index value
  mlir::OpFoldResult product(llvm::ArrayRef<mlir::OpFoldResult> dims);
  mlir::OpFoldResult sum(mlir::OpFoldResult x, mlir::OpFoldResult y);
  mlir::OpFoldResult fixed(int64_t value) { return b.getIndexAttr(value); }

  // Constants and scalars.
  Value idx(int64_t value);
  Value number(Type type, double value); // of an integer, index or float type
  Value lowest(Type type);               // neutral element of max
  Value highest(Type type);
  Value convert(Value scalar, Type type); // between numeric types; integers are signed, i1 is not
  Value add(Value x, Value y);
  Value sub(Value x, Value y);
  Value mul(Value x, Value y);
  Value div(Value x, Value y);
  Value maximum(Value x, Value y);
  Value minimum(Value x, Value y);
  Value lessThan(Value x, Value y); // signed
  Value atLeast(Value x, Value y);
  Value select(Value condition, Value x, Value y);
  /// x + y, where the order of a whole sum is free.
  Value accumulate(Value x, Value y);

  // Tensors.
  Value empty(llvm::ArrayRef<mlir::OpFoldResult> dims, Type element);
  Value filled(llvm::ArrayRef<mlir::OpFoldResult> dims, Value scalar);
  /// General form. `iterators` is a character per loop, outermost first: 'p'arallel or 'r'eduction.
  llvm::SmallVector<Value> generic(llvm::StringRef iterators, mlir::ValueRange ins, mlir::ValueRange outs,
                                   llvm::ArrayRef<AffineMap> maps, Body body);
  /// One element of the result per point of `dims`; inputs by `maps`.
  Value compute(llvm::ArrayRef<mlir::OpFoldResult> dims, Type element, mlir::ValueRange ins,
                llvm::ArrayRef<AffineMap> maps, llvm::function_ref<Value(mlir::ValueRange)> body);
  /// The same where all inputs have the result's shape.
  Value elementwise(mlir::ValueRange ins, Type element, llvm::function_ref<Value(mlir::ValueRange)> body);
  Value elementwise(Value in, Type element, llvm::function_ref<Value(Value)> body);
  Value cast(Value tensor, Type element); // elementwise conversion
  Value loopIndex(int64_t loop);          // inside a body
  Value extract(Value tensor, mlir::ValueRange indices);
  Value reshape(Value tensor, llvm::ArrayRef<mlir::OpFoldResult> dims);
  /// The value with the exact type wanted (a cast where static sizes are known on one side only).
  Value as(Value tensor, Type type);

  // Affine maps over `loops` loops.
  AffineMap map(int64_t loops, llvm::ArrayRef<int64_t> results); // -1: the constant 0
  AffineMap identity(int64_t rank);
  /// `tensor` aligned at the right with a result of `rank` dimensions; static unit dimensions are repeated.
  AffineMap broadcast(Value tensor, int64_t rank);
};

/// The plain forms, one op at a time; null if the op is not this file's. `failure` after a diagnostic.
mlir::FailureOr<mlir::Value> lowerTensorOp(TensorBuilder &t, mlir::Operation *op);
mlir::FailureOr<mlir::Value> lowerIndexingOp(TensorBuilder &t, mlir::Operation *op);
mlir::FailureOr<mlir::Value> lowerTransformerOp(TensorBuilder &t, mlir::Operation *op);
mlir::FailureOr<mlir::Value> lowerAttention(TensorBuilder &t, AttentionOp op);

/// Softmax over the last dimension's elements, in f32. `allHidden`: what a row of only -inf gives (zeros, or
/// NaN).
mlir::Value softmax(TensorBuilder &t, mlir::Value scores, int64_t axis, bool zerosIfHidden, mlir::Value sinks,
                    mlir::AffineMap sinkMap);
mlir::Value activationOf(TensorBuilder &t, ActivationKind kind, mlir::Value x);

} // namespace pith

#endif // PITH_LIB_CONVERSION_PITHTOLINALG_TENSORBUILDER_H
