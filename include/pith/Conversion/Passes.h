//===- Passes.h - conversions out of the pith dialect -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CONVERSION_PASSES_H
#define PITH_CONVERSION_PASSES_H

#include "mlir/Pass/Pass.h"
#include "pith/Dialect/Pith/IR/Pith.h"

namespace pith {

#define GEN_PASS_DECL
#include "pith/Conversion/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "pith/Conversion/Passes.h.inc"

} // namespace pith

#endif // PITH_CONVERSION_PASSES_H
