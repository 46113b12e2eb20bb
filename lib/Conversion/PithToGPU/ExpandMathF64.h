//===- ExpandMathF64.h - functions of f64 in kernels ------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_PITHTOGPU_EXPANDMATHF64_H
#define PITH_LIB_CONVERSION_PITHTOGPU_EXPANDMATHF64_H

#include "mlir/IR/PatternMatch.h"

namespace pith {

/// exp, expm1, log, log1p, log2, log10, tanh, atan, asin, acos and erf of f64 as arithmetic.
void populateMathF64Patterns(mlir::RewritePatternSet &patterns);

} // namespace pith

#endif // PITH_LIB_CONVERSION_PITHTOGPU_EXPANDMATHF64_H
