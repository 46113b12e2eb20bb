//===- Packed.h - elements of less than a byte ------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_PACKED_H
#define PITH_RUNTIME_CORE_PACKED_H

#include "pith/runtime.h"

namespace pith::runtime {

/// Callers hold such elements packed, low bits first; generated code reads and writes a byte for each.
inline bool isPacked(pith_type type) { return pith_type_bits(type) % 8 != 0; }

inline void unpack(pith_type type, const uint8_t *packed, uint64_t count, uint8_t *bytes) {
  const unsigned bits = unsigned(pith_type_bits(type)), unused = 8 - bits, perByte = 8 / bits;
  const bool isSigned = type == PITH_I4 || type == PITH_I2;
  for (uint64_t i = 0; i < count; ++i) {
    const uint8_t top = uint8_t(packed[i / perByte] >> (i % perByte * bits) << unused);
    bytes[i] = isSigned ? uint8_t(int8_t(top) >> unused) : uint8_t(top >> unused);
  }
}

/// In place.
inline void pack(pith_type type, uint8_t *bytes, uint64_t count) {
  const unsigned bits = unsigned(pith_type_bits(type)), perByte = 8 / bits;
  for (uint64_t i = 0; i < count; ++i) {
    const uint8_t piece = uint8_t((bytes[i] & ((1u << bits) - 1)) << (i % perByte * bits));
    bytes[i / perByte] = i % perByte ? uint8_t(bytes[i / perByte] | piece) : piece;
  }
}

} // namespace pith::runtime

#endif // PITH_RUNTIME_CORE_PACKED_H
