//===- Encoding.h - how a weight format meets the kernels -------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels move chunks: 16 bytes that hold E input features of one output feature (Kernels.h). What the bytes mean is
// known here only, twice: on the host, which packs them, and in IR, which decodes a 32-bit word at a time in registers.
//
// A weight is factor(row) * scale(block) * value. Values are small numbers that f16 holds exactly; scale and whatever
// else a block of E input features or more needs (a zero point, planes' magnitudes) is the block's side data. A format
// whose side data enters the values (binary codes) leaves scale() empty.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_ENCODING_H
#define PITH_LIB_CODEGEN_GPU_ENCODING_H

#include "../Common/WeightReader.h"
#include "KernelBuilder.h"
#include <memory>
#include <optional>

namespace pith::gpu {

class Encoding {
public:
  static constexpr int64_t chunkBytes = 16, chunkWords = 4;
  using Value = mlir::Value;
  using Values = KernelBuilder::Values;

  static std::unique_ptr<Encoding> create(const kernels::LinearWeights &weights);
  virtual ~Encoding() = default;

  /// Input features of a chunk and of one of its words.
  int64_t chunkElements() const { return elements; }
  int64_t wordElements() const { return elements / chunkWords; }
  /// Input features that share side data, and its size for one output feature; 0: there is none.
  int64_t blockElements() const { return block; }
  int64_t sideBytes() const { return side; }
  /// Whether panels begin with a factor per output feature.
  bool hasFactors() const { return factors; }

  // On the host: one output feature of one part.
  struct Row {
    explicit Row(const kernels::Source &source);
    float value(int64_t k) const; // dequantized
    const WeightView &view;
    int64_t row;
    std::optional<kernels::Codes> codes;
  };
  virtual float packFactor(const Row &) const { return 1; }
  virtual void packSide(const Row &, float factor, int64_t firstK, uint8_t *out) const {}
  /// Writes into zeros.
  virtual void packChunk(const Row &, int64_t firstK, uint8_t *out) const = 0;

  // In IR.
  virtual Values loadSide(KernelBuilder &, Value address) const { return {}; }
  /// vector<wordElements x element> of an i32 word. `element` is f32, f16 or bf16.
  virtual Value decode(KernelBuilder &, Value word, llvm::ArrayRef<Value> side, Element element) const = 0;
  /// Whether there is something that sums over a block are to be multiplied by.
  virtual bool hasScale() const { return false; }
  /// What sums over the block are to be multiplied by (f32), or null.
  virtual Value scale(KernelBuilder &, llvm::ArrayRef<Value> side) const { return {}; }

protected:
  Encoding(int64_t elements, int64_t block, int64_t side, bool factors)
      : elements(elements), block(block), side(side), factors(factors) {}
  const int64_t elements, block, side;
  const bool factors;
};

/// Where things stand in a panel.
struct PanelShape {
  explicit PanelShape(const LinearLayout &layout);
  std::unique_ptr<Encoding> encoding;
  int64_t fullChunks;       // that lie within K
  int64_t chunks;           // an even number: a subgroup reads two of each of 16 features
  int64_t blocks;           // with side data
  int64_t sideOffset, chunksOffset, bytes;
  static constexpr int64_t chunkStride = LinearLayout::panelRows * Encoding::chunkBytes;
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_ENCODING_H
