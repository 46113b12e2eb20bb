//===- Blocks.h - pieces that several op families share -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_BLOCKS_H
#define PITH_IMPORT_ONNX_BLOCKS_H

#include "Node.h"

namespace pith::onnx {

/// Matrix product with the meaning of numpy.matmul: vectors, and batch dimensions that broadcast. Nothing after an
/// error.
std::optional<Tensor> multiply(Node &node, Tensor a, Tensor b);

/// x / sqrt(mean(x^2) + epsilon) * scale over the dimensions from `axis` on.
Tensor rmsNorm(Node &node, const Tensor &x, const Tensor &scale, int64_t axis, float epsilon);
/// As LayerNormalization; bias may have no value.
Tensor layerNorm(Node &node, const Tensor &x, const Tensor &scale, const Tensor &bias, int64_t axis, float epsilon);
/// Mean and 1 / sqrt(variance + epsilon) over the dimensions from `axis` on, in f32.
std::pair<Tensor, Tensor> moments(Node &node, const Tensor &x, int64_t axis, float epsilon, bool centered);

/// [batch, heads, length, channels] as [batch, length, heads * channels], and back.
Tensor toTokenMajor(Importer &im, const Tensor &x);
Tensor toHeadMajor(Importer &im, const Tensor &x, int64_t heads);

/// Rotary embedding of x [batch, length, heads * head_dim]; cos and sin broadcast to [batch, length, rotary_dim / 2].
std::optional<Tensor> rotate(Node &node, const Tensor &x, Tensor cos, Tensor sin, int64_t headDim, bool interleaved);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_BLOCKS_H
