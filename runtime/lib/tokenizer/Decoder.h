//===- Decoder.h - from tokens to text ----------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_DECODER_H
#define PITH_RUNTIME_TOKENIZER_DECODER_H

#include "Json.h"
#include "Pattern.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pith::tokenizer {

/// A tokenizer.json's decoder, as far as it can work token by token: what a token writes depends on the
/// token and on whether it is the text's first, and on nothing else.
class Decoder {
public:
  explicit Decoder(const Node &node);

  /// The bytes that a token writes when it is not the first of its text. The bytes of one token need not
  /// be whole characters.
  std::string bytesOf(const std::string &token, bool added) const;
  /// The bytes of a text's first token.
  std::string bytesOfFirst(const std::string &token, bool added) const;

  /// A text's first token may write other bytes than a later one.
  bool firstDiffers() const { return joinWithSpaces || !dropInFirst.empty(); }

  bool isByteLevel() const { return byteLevel; }

  /// Of this character (none if empty), as many as `stripCount` are dropped at the front of a text.
  const std::string &stripped() const { return stripCharacter; }
  uint32_t stripCount() const { return stripLimit; }

private:
  void add(const Node &node, bool alone, int depth);

  std::vector<std::function<std::string(std::string)>> steps; ///< for one token
  bool byteLevel = false;
  bool fused = false;          ///< while reading: the tokens are one text from here on
  bool bytes = false;          ///< while reading: the steps so far no longer give characters
  bool joinWithSpaces = false; ///< a file without a decoder
  std::string dropInFirst;     ///< Metaspace: this character writes nothing in a text's first token
  std::string stripCharacter;
  uint32_t stripLimit = 0;
};

/// Turns a stream of bytes into whole characters.
class CharacterStream {
public:
  /// Appends to `text` what is certain by now.
  void push(std::string_view bytes, std::string &text);
  /// Ends the stream: what is held back becomes one U+FFFD.
  void flush(std::string &text);

private:
  std::string held; ///< the first bytes of a character, at most three
};

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_DECODER_H
