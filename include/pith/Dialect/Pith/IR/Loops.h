//===- Loops.h - what loops over tensors promise ----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_IR_LOOPS_H
#define PITH_DIALECT_PITH_IR_LOOPS_H

#include "llvm/ADT/StringRef.h"

namespace pith {
/// On an `scf.for`: the tensors that it carries keep their sizes from round to round.
constexpr llvm::StringLiteral kFixedSizesAttr = "pith.fixed_sizes";
} // namespace pith

#endif // PITH_DIALECT_PITH_IR_LOOPS_H
