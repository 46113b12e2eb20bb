//===- ByteLevel.h - bytes written as characters ------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A byte-level vocabulary is a text file, so each byte is written as a visible character: the printable
// bytes of Latin-1 as themselves, the other 68 as U+0100 and up, in order.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_BYTELEVEL_H
#define PITH_RUNTIME_TOKENIZER_BYTELEVEL_H

#include "Unicode.h"

#include <string>
#include <string_view>

namespace pith::tokenizer {

inline bool standsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

/// The code point that a byte is written as.
inline uint32_t byteToCode(uint8_t byte) {
  if (standsForItself(byte))
    return byte;
  // 0x00-0x20 come first, then 0x7F-0xA0, then 0xAD.
  return byte <= 0x20 ? 0x100 + byte : byte == 0xAD ? 0x143 : 0x100 + 0x21 + (byte - 0x7F);
}

/// The byte that a code point is written for, or -1.
inline int codeToByte(uint32_t code) {
  if (code <= 0xFF)
    return standsForItself(code) ? int(code) : -1;
  const uint32_t index = code - 0x100;
  return index <= 0x20 ? int(index) : index <= 0x42 ? int(0x7F + index - 0x21) : index == 0x43 ? 0xAD : -1;
}

inline void appendByteLevel(std::string &out, std::string_view bytes) {
  for (char byte : bytes)
    appendUtf8(out, byteToCode(uint8_t(byte)));
}

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_BYTELEVEL_H
