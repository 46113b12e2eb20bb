//===- Unicode.h - UTF-8, normal forms, lower case --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_UNICODE_H
#define PITH_RUNTIME_TOKENIZER_UNICODE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pith::tokenizer {

constexpr std::string_view replacementCharacter = "\xEF\xBF\xBD";

/// What stands at the front of a byte sequence.
struct Utf8Head {
  enum Kind {
    Character,  ///< a whole character of `size` bytes
    Incomplete, ///< all the bytes there are begin a character, but more are needed
    Invalid,    ///< `size` bytes that belong to no character: the longest prefix that began one, or one byte
  };
  Kind kind;
  uint32_t size;
  uint32_t code; ///< the code point of a Character
};

/// Looks at the front of a text that is not empty.
Utf8Head decodeUtf8(std::string_view text);

/// The offset of the first byte that is not UTF-8, or npos.
size_t findInvalidUtf8(std::string_view text);

void appendUtf8(std::string &text, uint32_t code);

/// The bytes of the character at `position` of a valid text.
inline uint32_t utf8Size(char lead) {
  const uint8_t byte = uint8_t(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The code point of the character at `position` of a valid text, and its size.
inline Utf8Head characterAt(std::string_view text, size_t position) {
  return decodeUtf8(text.substr(position));
}

/// The start of the character that ends at `end` > 0 of a valid text.
inline size_t previousCharacter(std::string_view text, size_t end) {
  do
    --end;
  while (end > 0 && (uint8_t(text[end]) & 0xC0) == 0x80);
  return end;
}

/// The White_Space property.
bool isWhiteSpace(uint32_t code);

/// Canonical decomposition, or composition, of a valid text (Unicode Standard Annex 15).
std::string toNFD(std::string_view text);
std::string toNFC(std::string_view text);

/// Each character's own lower case, whatever stands around it.
std::string toLower(std::string_view text);

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_UNICODE_H
