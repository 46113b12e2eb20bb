//===- Numbers.h - the elements that matrix units multiply ------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_NUMBERS_H
#define PITH_RUNTIME_EMULATOR_NUMBERS_H

#include "pith/emulated.h"

#include <cmath>
#include <cstdint>
#include <cstring>

namespace pith::runtime::emulator {

inline float floatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline float halfToFloat(uint32_t half) {
  // The exponent moves by a multiplication, which is right for denormals too; infinities and NaNs are not
  // reached by it.
  const uint32_t shifted = (half & 0x7fff) << 13;
  const float value = shifted >= 0x0f800000 ? floatOf(shifted | 0x7f800000) : floatOf(shifted) * 0x1p112f;
  return half & 0x8000 ? -value : value;
}

/// Rounds to nearest, ties to even.
inline uint32_t floatToHalf(float value) {
  const uint32_t bits = bitsOf(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return sign | 0x7e00;
  if (magnitude >= 0x477ff000) // rounds beyond 65504
    return sign | 0x7c00;
  if (magnitude < 0x38800000) // denormal: an addition aligns and rounds
    return sign | (bitsOf(floatOf(magnitude) + 0.5f) - bitsOf(0.5f));
  return sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

/// A float of `exponent` and 7 - exponent mantissa bits. `fnuz`: no infinities, no negative zero, bias larger
/// by one.
inline float byteToFloat(uint32_t byte, int exponent, bool fnuz) {
  const int mantissa = 7 - exponent, bias = (1 << (exponent - 1)) - (fnuz ? 0 : 1);
  const uint32_t sign = byte >> 7, field = byte >> mantissa & ((1u << exponent) - 1),
                 low = byte & ((1u << mantissa) - 1);
  if (fnuz ? byte == 0x80 : exponent == 4 ? (byte & 0x7f) == 0x7f : (byte & 0x7f) > 0x7c)
    return NAN;
  if (!fnuz && exponent == 5 && (byte & 0x7f) == 0x7c)
    return sign ? -INFINITY : INFINITY;
  const float value = field ? std::ldexp(float(low | 1u << mantissa), int(field) - bias - mantissa)
                            : std::ldexp(float(low), 1 - bias - mantissa);
  return sign ? -value : value;
}

constexpr uint32_t bitsOfType(uint32_t type) {
  switch (type) {
  case PITH_EMU_F16:
  case PITH_EMU_BF16:
    return 16;
  case PITH_EMU_TF32:
  case PITH_EMU_F32:
  case PITH_EMU_S32:
    return 32;
  case PITH_EMU_S4:
  case PITH_EMU_U4:
    return 4;
  default:
    return 8;
  }
}

constexpr bool isIntegerType(uint32_t type) { return type >= PITH_EMU_S8 && type <= PITH_EMU_S32; }

/// Element i of a packed array, as a float; exact for all types but s32.
inline float elementAsFloat(uint32_t type, const uint32_t *words, uint32_t i) {
  switch (type) {
  case PITH_EMU_F16:
    return halfToFloat(words[i / 2] >> 16 * (i % 2) & 0xffff);
  case PITH_EMU_BF16:
    return floatOf(words[i / 2] >> 16 * (i % 2) << 16);
  case PITH_EMU_TF32:
    return floatOf(words[i] & ~0x1fffu);
  case PITH_EMU_E4M3:
  case PITH_EMU_E4M3_FNUZ:
    return byteToFloat(words[i / 4] >> 8 * (i % 4) & 0xff, 4, type == PITH_EMU_E4M3_FNUZ);
  case PITH_EMU_E5M2:
  case PITH_EMU_E5M2_FNUZ:
    return byteToFloat(words[i / 4] >> 8 * (i % 4) & 0xff, 5, type == PITH_EMU_E5M2_FNUZ);
  default:
    return floatOf(words[i]);
  }
}

/// Element i of a packed array of integers.
inline int32_t elementAsInteger(uint32_t type, const uint32_t *words, uint32_t i) {
  switch (type) {
  case PITH_EMU_S8:
    return int8_t(words[i / 4] >> 8 * (i % 4));
  case PITH_EMU_U8:
    return uint8_t(words[i / 4] >> 8 * (i % 4));
  case PITH_EMU_S4:
    return int32_t(words[i / 8] >> 4 * (i % 8) << 28) >> 28;
  case PITH_EMU_U4:
    return int32_t(words[i / 8] >> 4 * (i % 8) & 15);
  default:
    return int32_t(words[i]);
  }
}

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_NUMBERS_H
