//===- Matchers.h - questions about values that raising asks ----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Raising works on values, not on an exporter's node patterns: constants are compared by value, commutative
// operands are tried both ways, and what does not change a value (casts to the same type, broadcasts) is
// looked through.
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_DIALECT_PITH_TRANSFORMS_MATCHERS_H
#define PITH_LIB_DIALECT_PITH_TRANSFORMS_MATCHERS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "pith/Dialect/Pith/IR/Pith.h"
#include <optional>

namespace pith {

/// The entries of a module, in order.
llvm::SmallVector<mlir::func::FuncOp> entryFunctions(mlir::ModuleOp module);

/// The rank and size of a tensor value; `lastDim` is kDynamic if it is not static.
int64_t rankOf(mlir::Value value);
int64_t lastDim(mlir::Value value);
bool isFloatTensor(mlir::Value value);

/// The source behind broadcasts and casts that keep the element type.
mlir::Value stripBroadcast(mlir::Value value);

/// The scalar that every element of `value` equals, if it is known: a splat constant or a one-element weight,
/// broadcast or reshaped.
std::optional<double> scalarConstant(mlir::Value value);
bool isScalar(mlir::Value value, double expected, double relative = 1e-4);

/// If `op` multiplies or divides a tensor by a scalar constant: the tensor and the factor.
std::optional<std::pair<mlir::Value, double>> scaledBy(mlir::Operation *op);

/// The values of a dense constant or a weight that `value` loads (at most `maxElements`), as f32.
std::optional<llvm::SmallVector<float>> constantElements(mlir::Value value, int64_t maxElements = 1 << 22);
/// The weight that `value` loads, or null.
WeightOp loadedWeight(mlir::Value value);
/// The name of a weight with the value of `value`: of the one it loads, or a new one for a dense constant;
/// null if it is neither. `shape`, if given, is what the weight must have (a load reshaped to it counts if
/// only units were added).
mlir::FlatSymbolRefAttr weightSymbol(mlir::Value value, llvm::ArrayRef<int64_t> shape = {});

/// If `value` is a vector over the last dimension broadcast along all others: that vector as [channels], made
/// at the builder's position where its constant has unit dimensions in front. Null otherwise.
mlir::Value channelVector(mlir::OpBuilder &builder, mlir::Value value, int64_t channels);
bool isChannelVector(mlir::Value value, int64_t channels);

/// Says why something that looked like `what` was left as tensor code.
void reportMissed(mlir::Operation *op, llvm::StringRef pass, llvm::StringRef what, llvm::StringRef reason);

/// Erases pure operations without users, and canonicalizes.
mlir::LogicalResult cleanUp(mlir::ModuleOp module);
/// Erases pure operations without users.
void eraseDead(mlir::func::FuncOp entry);

} // namespace pith

#endif // PITH_LIB_DIALECT_PITH_TRANSFORMS_MATCHERS_H
