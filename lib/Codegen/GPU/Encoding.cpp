//===- Encoding.cpp - weight formats --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Encoding.h"

using namespace mlir;
using namespace pith::gpu;
using namespace pith::kernels;

Encoding::Row::Row(const Source &source) : view(*source.part), row(source.row) {
  if (hasCodes(view))
    codes.emplace(view);
}

float Encoding::Row::value(int64_t k) const {
  if (codes)
    return codes->value(row, k);
  return loadFloat(view.format, view.data, view.kMajor ? k * view.n + row : row * view.k + k);
}

/// Exact values (integers up to 8 bits and the like) from vector<…xf16>.
static Value fromHalves(KernelBuilder &k, Value halves, Element element) {
  if (element == Element::F16)
    return halves;
  Value wide = k.toF32(halves);
  if (element == Element::F32)
    return wide;
  // The lower half of an exact value's f32 is zero.
  int64_t count = cast<VectorType>(halves.getType()).getNumElements();
  Value high = k.shiftRight(k.bitcast(wide, k.vec(count, k.i32)), 16);
  return k.bitcast(arith::TruncIOp::create(k.b, k.loc, k.vec(count, k.i16), high), k.vec(count, k.bf16));
}

static Value concatAll(KernelBuilder &k, ArrayRef<Value> parts) {
  Value all = parts.front();
  for (Value part : parts.drop_front())
    all = k.concat(all, part);
  return all;
}

namespace {
//===----------------------------------------------------------------------===//
// Floats: as they are
//===----------------------------------------------------------------------===//

class Floats : public Encoding {
public:
  explicit Floats(Element stored) : Encoding(16 / elementBytes(stored), 0, 0, false), stored(stored) {}

  void packChunk(const Row &row, int64_t firstK, uint8_t *out) const override {
    for (int64_t i = 0; i < elements && firstK + i < row.view.k; ++i) {
      float value = row.value(firstK + i);
      if (stored == Element::F32) {
        std::memcpy(out + i * 4, &value, 4);
        continue;
      }
      uint16_t bits = stored == Element::F16 ? floatToHalf(value) : floatToBfloat(value);
      std::memcpy(out + i * 2, &bits, 2);
    }
  }

  Value decode(KernelBuilder &k, Value word, ArrayRef<Value>, Element element) const override {
    Value values = k.bitcast(word, k.vec(wordElements(), k.typeOf(stored)));
    return stored == element ? values : k.fromF32(k.toF32(values), k.typeOf(element));
  }

private:
  Element stored;
};

//===----------------------------------------------------------------------===//
// Integers with scales and zero points
//===----------------------------------------------------------------------===//

/// Codes of `bits` bits. A block's side data is its scale (f16, or f32 if wide) and behind it, in a place of
/// equal size, its zero point; without zero points and with one block per row the scale is the row's factor.
class Integers : public Encoding {
public:
  Integers(const LinearWeights &w, int64_t bits)
      : Encoding(128 / bits, w.block > 0 && w.block < w.k ? w.block : w.k, sideOf(w), true), bits(bits),
        zeroPoints(w.zeroPoints), wide(w.wideScales) {}

  float packFactor(const Row &row) const override {
    return side == 0 ? row.codes->scale(row.row, 0) : rowFactor(*row.codes, row.row, block, !wide);
  }

  void packSide(const Row &row, float factor, int64_t firstK, uint8_t *out) const override {
    float scale = row.codes->scale(row.row, firstK) / factor;
    uint16_t half = floatToHalf(scale);
    int64_t bytes = wide ? 4 : 2;
    std::memcpy(out, wide ? static_cast<const void *>(&scale) : &half, bytes);
    if (zeroPoints)
      out[bytes] = uint8_t(row.codes->zero(row.row, firstK) + shiftOf(row));
  }

  void packChunk(const Row &row, int64_t firstK, uint8_t *out) const override {
    for (int64_t i = 0; i < elements && firstK + i < row.view.k; ++i) {
      unsigned code = row.codes->code(row.row, firstK + i) + shiftOf(row);
      int64_t at = positionOf(i % wordElements()), bit = i / wordElements() * 32 + at * bits;
      out[bit / 8] |= uint8_t(code << bit % 8);
    }
  }

  Values loadSide(KernelBuilder &k, Value address) const override {
    if (!zeroPoints)
      return {k.loadFloats(wide ? Element::F32 : Element::F16, address, 1, 0)};
    if (wide)
      return {k.loadFloats(Element::F32, address, 1, 0), k.load(k.i32, k.at(address, 4))};
    Value both = k.load(k.i32, address);
    Value half = k.bitcast(arith::TruncIOp::create(k.b, k.loc, k.i16, both), k.f16);
    return {k.toF32(half), k.shiftRight(both, 16)};
  }

  bool hasScale() const override { return side > 0; }
  Value scale(KernelBuilder &, ArrayRef<Value> sideData) const override {
    return sideData.empty() ? Value() : sideData[0];
  }

  /// 0x6400 | c is the f16 1024 + c, and 0x6400 | c << 4 is 1024 + 16 c: pairs of codes that stand 16 bits
  /// apart become pairs of f16 by an `and` and an `or`.
  Value decode(KernelBuilder &k, Value word, ArrayRef<Value> sideData, Element element) const override {
    Value zero = zeroPoints ? sideData[1] : k.constant(k.i32, bits == 4 ? 8 : 128);
    Value zeros = k.bitOr(zero, shifted(k, zero, 16));
    Value offset = halves(k, k.bitOr(zeros, 0x64006400));
    Value high = k.shiftRight(word, 8);
    if (bits == 8)
      return fromHalves(k,
                        concatAll(k, {k.fsub(codesOf(k, word, 0x00ff00ff), offset),
                                      k.fsub(codesOf(k, high, 0x00ff00ff), offset)}),
                        element);
    // (1024 + 16 c) / 16 - (64 + zero): exact with one rounding as with two.
    Value sixteenth = k.constant(k.vec(2, k.f16), 1.0 / 16);
    Value minus = halves(k, k.bitOr(shifted(k, zeros, 4), int64_t(int32_t(0xd400d400))));
    auto low = [&](Value w) { return k.fsub(codesOf(k, w, 0x000f000f), offset); };
    auto up = [&](Value w) {
      return LLVM::FMulAddOp::create(k.b, k.loc, codesOf(k, w, 0x00f000f0), sixteenth, minus).getResult();
    };
    return fromHalves(k, concatAll(k, {low(word), up(word), low(high), up(high)}), element);
  }

private:
  static int64_t sideOf(const LinearWeights &w) {
    bool perRow = w.block <= 0 || w.block >= w.k;
    if (perRow && !w.zeroPoints)
      return 0;
    return (w.wideScales ? 4 : 2) * (w.zeroPoints ? 2 : 1);
  }
  /// Elements 2i and 2i + 1 of a word stand 16 bits apart.
  int64_t positionOf(int64_t i) const { return i / 2 + i % 2 * (wordElements() / 2); }
  /// Codes of 4 bits may be stored as 8 bits, about the other middle.
  unsigned shiftOf(const Row &row) const { return row.codes->nibbles && bits == 8 ? 128 - 8 : 0; }

  static Value halves(KernelBuilder &k, Value bits) { return k.bitcast(bits, k.vec(2, k.f16)); }
  static Value shifted(KernelBuilder &k, Value value, int64_t by) { return k.shiftLeft(value, by); }
  static Value codesOf(KernelBuilder &k, Value word, int64_t mask) {
    return halves(k, k.bitOr(k.bitAnd(word, mask), 0x64006400));
  }

  int64_t bits;
  bool zeroPoints, wide;
};
} // namespace

std::unique_ptr<Encoding> Encoding::create(const LinearWeights &weights) {
  switch (weights.format) {
  case WeightFormat::F32:
    return std::make_unique<Floats>(Element::F32);
  case WeightFormat::F16:
    return std::make_unique<Floats>(Element::F16);
  case WeightFormat::BF16:
    return std::make_unique<Floats>(Element::BF16);
  case WeightFormat::Int8:
    return std::make_unique<Integers>(weights, 8);
  case WeightFormat::Int4:
    return std::make_unique<Integers>(weights, 4);
  }
  return nullptr;
}
