//===- WeightReader.cpp - elements of unpacked weights --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "WeightReader.h"
#include <algorithm>
#include <cmath>

using namespace pith::kernels;

static float bitsToFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static uint32_t floatToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

float pith::kernels::halfToFloat(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 0)
    return bitsToFloat(sign | floatToBits(float(mantissa) * 0x1p-24f));
  return bitsToFloat(sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | mantissa << 13);
}

uint16_t pith::kernels::floatToHalf(float value) {
  uint32_t bits = floatToBits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return uint16_t(sign | 0x7e00);
  if (magnitude >= 0x477ff000)
    return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) // subnormal: adding 1/2 leaves a multiple of 2^-24 in the low bits
    return uint16_t(sign | (floatToBits(bitsToFloat(magnitude) + 0.5f) - floatToBits(0.5f)));
  return uint16_t(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

float pith::kernels::bfloatToFloat(uint16_t value) { return bitsToFloat(uint32_t(value) << 16); }

uint16_t pith::kernels::floatToBfloat(float value) {
  uint32_t bits = floatToBits(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float pith::kernels::loadFloat(WeightFormat format, const void *data, int64_t index) {
  if (format == WeightFormat::F32)
    return loadAt<float>(data, index);
  uint16_t bits = loadAt<uint16_t>(data, index);
  return format == WeightFormat::F16 ? halfToFloat(bits) : bfloatToFloat(bits);
}

Source pith::kernels::findSource(bool glu, int64_t panelRows, llvm::ArrayRef<WeightView> parts, int64_t panel,
                                 int64_t lane) {
  if (glu) {
    int64_t row = panel / 2 * panelRows + lane;
    const WeightView &part = parts[panel % 2];
    return row < part.n ? Source{&part, row} : Source{};
  }
  int64_t row = panel * panelRows + lane;
  for (const WeightView &part : parts) {
    if (row < part.n)
      return {&part, row};
    row -= part.n;
  }
  return {};
}

float pith::kernels::rowFactor(const Codes &codes, int64_t row, int64_t block, bool halfScales) {
  float largest = 0;
  for (int64_t first = 0; first < codes.view.k; first += block)
    largest = std::max(largest, std::fabs(codes.scale(row, first)));
  int exponent = 0;
  std::frexp(largest, &exponent); // largest = m 2^exponent with m in [1/2, 1)
  if (!halfScales || !(largest > 0) || !std::isfinite(largest))
    return 1;
  // The largest scale lands in [2^14, 2^15), near the top of f16. The bound keeps the factor a normal f32.
  return std::ldexp(1.0f, std::max(exponent - 15, -126));
}
