//===- StepEntry.h - attributes of a step entry -----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_IR_STEPENTRY_H
#define PITH_DIALECT_PITH_IR_STEPENTRY_H

#include "llvm/ADT/StringRef.h"

namespace pith {

/// Rows of one step at most; and the largest number of positions that the model's tables allow (0: any).
constexpr llvm::StringLiteral kMaxRowsAttr = "pith.max_rows";
constexpr llvm::StringLiteral kPositionsAttr = "pith.positions";

} // namespace pith

#endif // PITH_DIALECT_PITH_IR_STEPENTRY_H
