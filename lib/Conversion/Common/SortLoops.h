//===- SortLoops.h - sorting as loops ---------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_SORTLOOPS_H
#define PITH_LIB_CONVERSION_COMMON_SORTLOOPS_H

#include "pith/Dialect/Pith/IR/PithDataOps.h"

namespace pith {

/// Sorts buffers; the team divides the rows.
mlir::LogicalResult lowerSort(ArgSortOp op);

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_SORTLOOPS_H
