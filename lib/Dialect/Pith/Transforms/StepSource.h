//===- StepSource.h - the copy that a step is derived from ------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_DIALECT_PITH_TRANSFORMS_STEPSOURCE_H
#define PITH_LIB_DIALECT_PITH_TRANSFORMS_STEPSOURCE_H

#include "llvm/ADT/StringRef.h"

namespace pith {

/// A copy of the exported entry, specialized, that lives until the step entry is derived from it.
constexpr llvm::StringLiteral kStepSourceAttr = "pith.step_source";

} // namespace pith

#endif // PITH_LIB_DIALECT_PITH_TRANSFORMS_STEPSOURCE_H
