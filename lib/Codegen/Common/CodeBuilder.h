//===- CodeBuilder.h - words that kernels are written in -*- C++ -*- ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels are built from pointers and vectors of fixed length. Addresses are byte offsets from a pointer. Constants fold
// while building, so that the IR stays readable. What a machine does in its own way is virtual.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_COMMON_CODEBUILDER_H
#define PITH_LIB_CODEGEN_COMMON_CODEBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Builders.h"
#include "pith/Codegen/Specs.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace pith::kernels {

class CodeBuilder {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;
  using Values = llvm::SmallVector<mlir::Value>;

  /// `addressSpace`: of `ptr`, memory that all kernels see; `indexBits`: of sizes and indices.
  CodeBuilder(mlir::OpBuilder &b, mlir::Location loc, unsigned addressSpace, unsigned indexBits);
  virtual ~CodeBuilder() = default;

  mlir::OpBuilder &b;
  mlir::Location loc;
  Type f32, f16, bf16, i1, i8, i16, i32, i64, ptr, indexType;

  mlir::VectorType vec(int64_t lanes, Type element) const { return mlir::VectorType::get({lanes}, element); }

  // Constants.
  Value index(int64_t value);                  // of indexType
  Value constant(Type type, double value);     // int or float, scalar or splat of a vector
  Value lanes(int64_t count);                  // <0, 1, 2, …> : vector<count x i32>

  // Integers (i64 or i32, both sides alike) and mixed forms with a literal. Sizes are never negative.
  Value add(Value a, Value b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value add(Value a, int64_t b) { return add(a, literal(a, b)); }
  Value sub(Value a, int64_t b) { return sub(a, literal(a, b)); }
  Value mul(Value a, int64_t b) { return mul(a, literal(a, b)); }
  Value div(Value a, Value b);                 // unsigned
  Value rem(Value a, Value b);
  Value div(Value a, int64_t b) { return div(a, literal(a, b)); }
  Value rem(Value a, int64_t b) { return rem(a, literal(a, b)); }
  Value ceilDiv(Value a, int64_t b) { return div(add(a, b - 1), b); }
  Value roundUp(Value a, int64_t b) { return mul(ceilDiv(a, b), b); }
  Value minimum(Value a, Value b);             // signed
  Value maximum(Value a, Value b);
  Value minimum(Value a, int64_t b) { return minimum(a, literal(a, b)); }
  Value maximum(Value a, int64_t b) { return maximum(a, literal(a, b)); }
  Value bitAnd(Value a, Value b);
  Value bitAnd(Value a, int64_t b) { return bitAnd(a, literal(a, b)); }
  Value bitOr(Value a, Value b);
  Value bitOr(Value a, int64_t b) { return bitOr(a, literal(a, b)); }
  Value shiftLeft(Value a, int64_t b);
  Value shiftRight(Value a, int64_t b);        // unsigned
  Value lessThan(Value a, Value b);            // signed, i1
  Value lessThan(Value a, int64_t b) { return lessThan(a, literal(a, b)); }
  Value atLeast(Value a, Value b);
  Value atLeast(Value a, int64_t b) { return atLeast(a, literal(a, b)); }
  Value equal(Value a, Value b);
  Value equal(Value a, int64_t b) { return equal(a, literal(a, b)); }
  Value select(Value condition, Value a, Value b);
  Value zext(Value a, Type type);
  Value sext(Value a, Type type);

  // Memory. Offsets are bytes; `align` is what the address guarantees.
  Value at(Value base, Value bytes);
  Value at(Value base, int64_t bytes);
  Value load(Type type, Value address, int64_t align = 0);      // 0: the element's size
  void store(Value value, Value address, int64_t align = 0);
  /// Lanes where `mask` is false: not read, zero; not written.
  Value maskedLoad(mlir::VectorType type, Value address, Value mask);
  void maskedStore(Value value, Value address, Value mask);
  /// vector<count x i1>: lane < n.
  Value firstLanes(int64_t count, Value n);

  // Vectors of f32 and scalars alike.
  Value splat(Value scalar, int64_t count);
  Value fadd(Value a, Value b);
  Value fsub(Value a, Value b);
  Value fmul(Value a, Value b);
  virtual Value fdiv(Value a, Value b);
  Value fma(Value a, Value b, Value c);                          // a * b + c, one rounding
  virtual Value fmin(Value a, Value b);                                  // of two numbers; NaN is not kept
  virtual Value fmax(Value a, Value b);
  Value sqrt(Value a);
  Value round(Value a);                                          // to nearest even
  Value toF32(Value a);                                          // from f16, bf16, or integer (signed)
  Value fromF32(Value a, Type element);                          // to f16, bf16 (nearest even), or integer (truncates)
  Value bitcast(Value a, Type type);
  Value slice(Value vector, int64_t first, int64_t count);
  Value concat(Value low, Value high);
  Value element(Value vector, int64_t lane);
  Value reduceAdd(Value vector);                                 // in any order
  Value reduceMax(Value vector);
  Value intrinsic(llvm::StringRef name, Type result, llvm::ArrayRef<Value> operands);

  // Functions of f32 vectors by polynomials; errors are stated with the definitions.
  virtual Value exp(Value x);
  virtual Value exp2(Value x, int degree = 6);                           // 4: 2.7e-6, 5: 2e-7, 6: 1e-7
  Value exp2NonPositive(Value x, int degree);                    // the same for x <= 0, shorter
  Value sigmoid(Value x);
  Value tanh(Value x);
  Value erf(Value x);
  Value activation(Activation kind, Value x);

  // Control.
  /// for (i = lower; i < upper; i += step)
  void loop(Value lower, Value upper, Value step, llvm::function_ref<void(Value i)> body);
  void loop(Value lower, Value upper, int64_t step, llvm::function_ref<void(Value i)> body) {
    loop(lower, upper, literal(lower, step), body);
  }
  /// The same with values carried from one iteration to the next.
  Values loop(Value lower, Value upper, int64_t step, llvm::ArrayRef<Value> start,
              llvm::function_ref<Values(Value i, llvm::ArrayRef<Value> carried)> body);
  void ifThen(Value condition, llvm::function_ref<void()> then, llvm::function_ref<void()> otherwise = nullptr);
  Values ifElse(Value condition, llvm::ArrayRef<Type> types, llvm::function_ref<Values()> then,
                llvm::function_ref<Values()> otherwise);

protected:
  Value literal(Value like, int64_t value);
};

} // namespace pith::kernels

#endif // PITH_LIB_CODEGEN_COMMON_CODEBUILDER_H
