//===- AddedTokens.h - tokens that are found before words ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_ADDEDTOKENS_H
#define PITH_RUNTIME_TOKENIZER_ADDEDTOKENS_H

#include "Json.h"
#include "Pattern.h"

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

namespace pith::tokenizer {

struct AddedToken {
  int32_t id;
  std::string content;
  bool special;    ///< left out when a text is decoded for people
  bool singleWord; ///< only where no letter, digit or connector touches it
  bool lstrip;     ///< takes white space in front of it along
  bool rstrip;     ///< takes white space behind it along
  bool normalized; ///< looked for in the normalized text, not in the user's
};

/// The file's added_tokens; those of empty content are left out.
std::vector<AddedToken> readAddedTokens(const Node &node);

/// Finds a set of tokens in a text.
class TokenFinder {
public:
  /// A part of a text: a token, or text between tokens (id -1).
  struct Part {
    size_t begin, end;
    int32_t id;
  };

  TokenFinder();

  /// `written` is how the token looks in the texts that are searched. `token` must outlive the finder.
  void add(const AddedToken &token, std::string written);
  /// After the last `add`.
  void finish();

  bool empty() const { return entries.empty(); }

  /// Replaces `parts` by the whole of a valid text, cut at its tokens: at each place the longest token,
  /// searched from left to right. With `plain`, special tokens are text.
  void cut(std::string_view text, bool plain, std::vector<Part> &parts) const;

private:
  struct Entry {
    std::string written;
    const AddedToken *token;
  };
  const Entry *longestAt(std::string_view text) const;
  bool standsAlone(std::string_view text, size_t begin, size_t end) const;

  std::vector<Entry> entries; ///< sorted by `written`
  std::bitset<256> firstBytes;
  Pattern wordCharacter;
};

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_ADDEDTOKENS_H
