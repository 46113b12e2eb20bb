//===- WeightReader.h - elements of unpacked weights ------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_COMMON_WEIGHTREADER_H
#define PITH_LIB_CODEGEN_COMMON_WEIGHTREADER_H

#include "pith/Codegen/Specs.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/MathExtras.h"
#include <cstring>

namespace pith::kernels {

float halfToFloat(uint16_t half);
/// To nearest even; what is too large becomes infinity, NaN stays NaN.
uint16_t floatToHalf(float value);
float bfloatToFloat(uint16_t value);
uint16_t floatToBfloat(float value);

/// Model files align nothing.
template <typename T>
T loadAt(const void *data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const uint8_t *>(data) + index * int64_t(sizeof(T)), sizeof(T));
  return value;
}

float loadFloat(WeightFormat format, const void *data, int64_t index);

/// One part's quantized numbers by (row, input feature). k-major parts have data [k][n], scales and zero
/// points [ceil(k/block)][n].
struct Codes {
  explicit Codes(const WeightView &view)
      : view(view), nibbles(view.format == WeightFormat::Int4), block(view.block > 0 ? view.block : view.k),
        blocks(llvm::divideCeil(view.k, block)) {
    int64_t blockElements = view.block > 0 ? block : nibbles ? llvm::alignTo(view.k, 2) : view.k;
    rowElements = view.kMajor ? (nibbles ? llvm::alignTo(view.n, 2) : view.n) : blocks * blockElements;
    int64_t zeroElements = view.kMajor ? view.n : blocks;
    zeroRow = nibbles ? int64_t(llvm::alignTo(zeroElements, 2)) : zeroElements;
  }
  unsigned at(const void *data, int64_t index) const {
    const uint8_t *bytes = static_cast<const uint8_t *>(data);
    unsigned code = nibbles ? bytes[index / 2] >> (index % 2 * 4) & 15 : bytes[index];
    return view.isSigned ? code ^ (nibbles ? 8 : 128) : code; // plus the middle
  }
  unsigned code(int64_t row, int64_t k) const {
    return at(view.data, view.kMajor ? k * rowElements + row : row * rowElements + k);
  }
  float scale(int64_t row, int64_t k) const {
    int64_t b = k / block;
    return loadFloat(view.scaleFormat, view.scales, view.kMajor ? b * view.n + row : row * blocks + b);
  }
  unsigned zero(int64_t row, int64_t k) const {
    if (!view.zeros)
      return nibbles ? 8 : 128;
    int64_t b = k / block;
    return at(view.zeros, view.kMajor ? b * zeroRow + row : row * zeroRow + b);
  }
  float value(int64_t row, int64_t k) const {
    return (float(code(row, k)) - float(zero(row, k))) * scale(row, k);
  }
  const WeightView &view;
  bool nibbles;
  int64_t block, blocks, rowElements, zeroRow;
};

inline bool hasCodes(const WeightView &view) {
  return view.format == WeightFormat::Int4 || view.format == WeightFormat::Int8;
}

/// A power of two that brings the row's largest scale near the top of f16, so that its scales divided by it keep their digits
/// as f16, or 1 where they are not f16.
float rowFactor(const Codes &codes, int64_t row, int64_t block, bool halfScales);

/// Where a row of a panel comes from; no part: padding.
struct Source {
  const WeightView *part = nullptr;
  int64_t row = 0;
};

/// Row `lane` of panel number `panel` of `panelRows` rows: of the parts stacked in order, or with glu of gate and up in turn.
Source findSource(bool glu, int64_t panelRows, llvm::ArrayRef<WeightView> parts, int64_t panel, int64_t lane);

} // namespace pith::kernels

#endif // PITH_LIB_CODEGEN_COMMON_WEIGHTREADER_H
