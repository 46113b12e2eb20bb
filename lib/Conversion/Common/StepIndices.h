//===- StepIndices.h - which rows of tables a step reads --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_STEPINDICES_H
#define PITH_LIB_CONVERSION_COMMON_STEPINDICES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace pith {

/// Indices that are an argument's elements plus a constant.
struct ArgumentIndex {
  unsigned argument;
  int64_t offset;
};
std::optional<ArgumentIndex> traceIndex(mlir::Value indices);

/// The number of positions that every table which a step entry indexes by position has; 0 if it indexes none.
int64_t positionLimit(mlir::func::FuncOp step);

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_STEPINDICES_H
