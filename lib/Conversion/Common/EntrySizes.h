//===- EntrySizes.h - what an entry knows before it runs --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_ENTRYSIZES_H
#define PITH_LIB_CONVERSION_COMMON_ENTRYSIZES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseSet.h"

namespace pith {

/// Moves what sizes are computed from to the entry's start: arithmetic on the dimensions of its arguments,
/// and on elements of its inputs.
class SizeHoister {
public:
  explicit SizeHoister(mlir::func::FuncOp entry);
  ~SizeHoister();
  /// Fails if `size` depends on the contents of a buffer or on the iteration of a loop.
  mlir::LogicalResult hoist(mlir::Value size);
  /// Everything hoisted stands before this operation.
  mlir::Operation *marker;

private:
  mlir::Block *block;
  unsigned inputs;
  llvm::DenseSet<mlir::Operation *> done;
};

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_ENTRYSIZES_H
