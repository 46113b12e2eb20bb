//===- Quantization.h - arithmetic on quantized numbers -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_QUANTIZATION_H
#define PITH_IMPORT_ONNX_QUANTIZATION_H

#include "Blocks.h"

namespace pith::onnx {

/// saturate(round(scaled) + zero), of the integer type `type`. `zero`: i32, may have no value.
Tensor toIntegers(Importer &im, const Tensor &scaled, const Tensor &zero, int32_t type);

/// As DynamicQuantizeLinear: u8 values, the scale (f32) and the zero point (u8) of all of x.
struct DynamicQuantized {
  Tensor values, scale, zero;
};
DynamicQuantized dynamicQuantize(Importer &im, const Tensor &x);

/// Input `i`, a parameter of the matrix `of`, for all elements: one; one per row (`rows`) or column; or of a shape that
/// broadcasts. Nothing after an error.
std::optional<Tensor> spreadMatrix(Node &node, size_t i, Tensor given, llvm::ArrayRef<Expr> of, bool rows);
/// Input `at`, 8-bit integers, as i32, less its zero points; nothing after an error.
std::optional<Tensor> centered(Node &node, size_t at, size_t zeroAt, bool rows);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_QUANTIZATION_H
