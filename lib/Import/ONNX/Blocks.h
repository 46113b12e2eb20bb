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

/// The convolution of x [batch, channels, sizes…] with weights [filters, channels / group, kernel…] that the node's
/// attributes describe; `bias` has a value per filter, or is null. Nothing after an error.
std::optional<Tensor> convolve(Node &node, Tensor x, const Tensor &weights, Val *bias);

/// As DynamicQuantizeLinear: u8 values, the scale (f32) and the zero point (u8) of all of x.
struct DynamicQuantized {
  Tensor values, scale, zero;
};
DynamicQuantized dynamicQuantize(Importer &im, const Tensor &x);

/// x / sqrt(mean(x^2) + epsilon) * scale over the dimensions from `axis` on.
Tensor rmsNorm(Node &node, const Tensor &x, const Tensor &scale, int64_t axis, float epsilon);
/// As LayerNormalization; bias may have no value.
Tensor layerNorm(Node &node, const Tensor &x, const Tensor &scale, const Tensor &bias, int64_t axis, float epsilon);
/// Mean and 1 / sqrt(variance + epsilon) over the dimensions from `axis` on, in f32.
std::pair<Tensor, Tensor> moments(Node &node, const Tensor &x, int64_t axis, float epsilon, bool centered);

/// log(softmax(x)) along an axis.
Tensor logSoftmax(Importer &im, const Tensor &x, int64_t axis);

/// A function that recurrent ops name, and how many parameters it takes; -1: there is no such.
Tensor applyActivation(Node &node, llvm::StringRef name, const Tensor &x, std::optional<double> alpha,
                       std::optional<double> beta);
int activationParameters(llvm::StringRef name);

/// [batch, heads, length, channels] as [batch, length, heads * channels], and back.
Tensor toTokenMajor(Importer &im, const Tensor &x);
Tensor toHeadMajor(Importer &im, const Tensor &x, int64_t heads);

/// Rotary embedding of x [batch, length, heads * head_dim]; cos and sin broadcast to [batch, length, rotary_dim / 2].
std::optional<Tensor> rotate(Node &node, const Tensor &x, Tensor cos, Tensor sin, int64_t headDim, bool interleaved);

/// What pith.attention takes; values of q, k, v are [batch, tokens, channels].
struct AttentionParts {
  Tensor q, k, v;
  int64_t heads = 1, kvHeads = 1;
  double scale = 0; ///< 0: 1 / sqrt(head_dim)
  bool causal = false;
  float softcap = 0;
  Tensor keep;  ///< i1 [B|1, heads|1, S|1, T|1]: false hides; may have no value
  Tensor bias;  ///< float of such a shape, added; may have no value
  Tensor sinks; ///< [heads]; may have no value

  void hide(Importer &im, Node &node, const Tensor &alsoKeep);
};
std::optional<Tensor> attend(Node &node, AttentionParts parts);

/// Keys that the query at position p [B|1, S] may see of `length`: j <= p, and j > p - window if there is one.
Tensor keepUpTo(Importer &im, const Tensor &p, const Expr &length, std::optional<int64_t> window);

void addGroupQueryAttention(OpTable &table);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_BLOCKS_H
