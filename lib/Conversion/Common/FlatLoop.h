//===- FlatLoop.h - a nest of parallel loops as one -------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_FLATLOOP_H
#define PITH_LIB_CONVERSION_COMMON_FLATLOOP_H

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace pith {

/// Asks LLVM to vectorize this loop, which is innermost and whose elements lie side by side.
void markVectorizable(mlir::scf::ForOp loop);

bool isConstant(mlir::Value value);

/// What a loop's bounds and body use from outside, constants left out.
llvm::SetVector<mlir::Value> capturedBy(mlir::scf::ParallelOp loop);

/// The iterations of a loop as one number, the last dimension's neighbours side by side.
class FlatLoop {
public:
  /// `outside` gives the value that stands for one from outside where the code is built.
  FlatLoop(mlir::OpBuilder &b, mlir::scf::ParallelOp loop,
           llvm::function_ref<mlir::Value(mlir::Value)> outside);
  /// Maps the loop's indices to those of iteration `flat`.
  void bind(mlir::OpBuilder &b, mlir::Value flat, mlir::IRMapping &map) const;
  size_t dimensions() const { return counts.size(); }
  mlir::Value total; // index

private:
  mlir::scf::ParallelOp loop;
  llvm::SmallVector<mlir::Value> lower, counts, steps;
};

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_FLATLOOP_H
