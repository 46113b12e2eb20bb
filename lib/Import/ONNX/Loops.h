//===- Loops.h - loops over values of the graph -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_LOOPS_H
#define PITH_IMPORT_ONNX_LOOPS_H

#include "Node.h"
#include <functional>

namespace pith::onnx {

/// A loop: values carried from one iteration to the next, and values of all iterations stacked along a new dimension 0.
struct LoopPlan {
  std::optional<Expr> trip;       ///< at most this many iterations
  Val *condition = nullptr;       ///< whether it begins; null: it does
  bool conditional = false;       ///< whether the body decides if it goes on
  bool gives = false;             ///< whether the body's first result is that condition
  llvm::SmallVector<Val *> initial;
  llvm::SmallVector<bool> stacked; ///< one per stacked result: whether the last iteration comes first
  int64_t nodes = 1;              ///< in the body: long ones are not unrolled
  /// One iteration: its results are the condition if it gives one, the carried values, and those to stack.
  std::function<bool(Val *iteration, Val *condition, llvm::ArrayRef<Val *> carried,
                     llvm::SmallVectorImpl<Val *> &results)>
      body;
};

/// The carried values at the end, then the stacked ones. False after an error.
bool importLoop(Node &node, LoopPlan &plan, llvm::SmallVectorImpl<Val *> &results);

/// A value whose unknown dimensions are asked of the tensor.
Val *resultOf(Importer &im, int32_t type, mlir::Value value, llvm::ArrayRef<std::optional<Expr>> shape);
mlir::RankedTensorType joinedType(Importer &im, mlir::Type element, llvm::ArrayRef<std::optional<Expr>> shape);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_LOOPS_H
