//===- Specs.h - what kernels compute, for every machine --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The mathematics of a kernel and the logical layout of its data. How bytes are arranged within a panel or a page, and
// how a kernel is called, is each machine's: Codegen/CPU/Kernels.h, Codegen/GPU/Kernels.h.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CODEGEN_SPECS_H
#define PITH_CODEGEN_SPECS_H

#include <cstdint>

namespace pith::kernels {

enum class Element { F32, F16, BF16 };
constexpr int64_t elementBytes(Element element) { return element == Element::F32 ? 4 : 2; }

enum class WeightFormat { F32, F16, BF16, Int8, Int4 };

/// Weights of a linear layer, without their arrangement.
struct LinearWeights {
  WeightFormat format = WeightFormat::F32;
  int64_t n = 0;            // output features, all parts together (with glu: gate and up together)
  int64_t k = 0;            // input features
  int64_t block = 0;        // Int4/Int8: elements of K that share a scale; 0: one scale per output feature
  bool zeroPoints = false;  // Int4/Int8: a zero point per block; else the middle (8, 128)
  bool wideScales = false;  // Int4/Int8: scales stay f32; else the machine may round them to f16
  bool glu = false;         // panels alternate gate, up, gate, up, …
};

/// Unpacked weights as they lie in a model file (mapped memory, never copied as a whole).
struct WeightView {
  WeightFormat format = WeightFormat::F32;
  int64_t n = 0, k = 0;
  bool kMajor = false;              // stored [k][n] (ONNX MatMul) instead of [n][k]
  const void *data = nullptr;       // F32/F16/BF16: elements. Int4: [n][ceil(k/block)][block/2], low nibble
                                    // first, as MatMulNBits. Int8: [n][ceil(k/block)*block] unsigned bytes
  const void *scales = nullptr;     // Int4/Int8: [n][ceil(k/block)], element type below
  WeightFormat scaleFormat = WeightFormat::F32;
  const uint8_t *zeros = nullptr;   // Int4: packed nibbles, each row padded to whole bytes. Int8: bytes.
  int64_t block = 0;
  bool isSigned = false;            // codes and zero points in two's complement
};

enum class Norm { None, RMS, Layer };
enum class Activation { None, Relu, Silu, Gelu, GeluTanh, QuickGelu };

/// What a linear kernel does besides the product: a norm in front, behind it bias, activation (with glu: of the gate, times
/// up) and residual sum.
struct LinearFusion {
  Norm norm = Norm::None;
  float normEpsilon = 0;
  bool normBias = false;    // Layer norm with a bias vector
  bool bias = false;
  Activation activation = Activation::None;
  bool residual = false;
};

/// `heads` groups of `k` columns, each normalized by itself.
struct NormSpec {
  Norm kind = Norm::RMS;
  int64_t k = 0, heads = 1;
  float epsilon = 0;
  bool bias = false;
};

/// Rotary embedding of the first `rotaryDim` channels of each head: split-half pairs (i, i + r/2) or interleaved (2i, 2i + 1).
struct RopeSpec {
  int64_t heads = 0, headDim = 0, rotaryDim = 0;
  bool interleaved = false;
};

/// Where one layer's keys and values lie in a page. A page holds `pageTokens` tokens of all layers. For one layer: for
/// each kv head, first K, then V; their order is the machine's.
struct CacheLayout {
  using Element = kernels::Element;
  Element element = Element::F32;
  int64_t kvHeads = 0, headDim = 0, valueDim = 0;
  int64_t layerOffset = 0;                 // bytes from the page's start, a multiple of 64
  static constexpr int64_t pageTokens = 64;
  int64_t headBytes() const {              // of one kv head: K and V
    return pageTokens * (headDim + valueDim) * elementBytes(element);
  }
  int64_t layerBytes() const { return kvHeads * headBytes(); }
};

/// What a mask of [batch, heads, queries, tokens] does to scores.
enum class Mask { None, Add, Keep };

/// Causal attention over a paged cache; or over tensors.
struct AttentionSpec {
  CacheLayout cache;
  int64_t heads = 0;
  float scale = 1, softcap = 0;
  int64_t window = 0;
  bool sinks = false, alibi = false;
  int64_t bias = 0;       // distances that have a bias of their own; 0: none
  bool condition = false; // over the sequences' conditions, all of each
  // Over keys and values that are given as tensors; `cache` says what they consist of. No alibi or bias.
  bool tensors = false;
  bool causal = true;     // with tensors: the last query stands at the last token
  Mask mask = Mask::None; // with tensors
};

/// Floats of one head's bias by distance as kernels read it: `biasFront` times the farthest distance's, those of all
/// distances from the farthest to 0, then zeros, so that 64 consecutive keys are one run of it.
inline constexpr int64_t biasFront = 64;
inline int64_t biasStride(int64_t distances) { return (biasFront + distances + 128 + 15) / 16 * 16; }

} // namespace pith::kernels

#endif // PITH_CODEGEN_SPECS_H
