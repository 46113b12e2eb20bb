//===- LowerReshapes.h - reshaped buffers as sizes and strides --*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_LOWERRESHAPES_H
#define PITH_LIB_CONVERSION_COMMON_LOWERRESHAPES_H

#include "mlir/IR/Operation.h"

namespace pith {
/// Replaces every `memref.expand_shape` and `memref.collapse_shape` under `root`.
void lowerReshapes(mlir::Operation *root);
} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_LOWERRESHAPES_H
