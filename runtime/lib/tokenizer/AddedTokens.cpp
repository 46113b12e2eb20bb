//===- AddedTokens.cpp - tokens that are found before words -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "AddedTokens.h"
#include "Unicode.h"

#include <algorithm>

namespace pith::tokenizer {

std::vector<AddedToken> readAddedTokens(const Node &node) {
  std::vector<AddedToken> tokens;
  if (node.isNull())
    return tokens;
  for (size_t i = 0; i < node.size(); ++i) {
    const Node entry = node.at(i);
    AddedToken token;
    token.id = int32_t(entry.at("id").integer(largestVocabulary));
    token.content = entry.at("content").string();
    token.special = entry.at("special").boolean(false);
    token.singleWord = entry.at("single_word").boolean(false);
    token.lstrip = entry.at("lstrip").boolean(false);
    token.rstrip = entry.at("rstrip").boolean(false);
    token.normalized = entry.at("normalized").boolean(!token.special);
    if (!token.content.empty())
      tokens.push_back(std::move(token));
  }
  return tokens;
}

TokenFinder::TokenFinder() : wordCharacter(Pattern::regex(R"([\w\p{Join_Control}])", "added_tokens")) {}

void TokenFinder::add(const AddedToken &token, std::string written) {
  if (written.empty())
    return;
  firstBytes.set(uint8_t(written[0]));
  entries.push_back({std::move(written), &token});
}

void TokenFinder::finish() {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry &a, const Entry &b) { return a.written < b.written; });
}

/// Narrows the sorted entries byte by byte to those that the text begins with.
const TokenFinder::Entry *TokenFinder::longestAt(std::string_view text) const {
  const Entry *longest = nullptr;
  const Entry *low = entries.data(), *high = low + entries.size();
  for (size_t depth = 0; low != high; ++depth) {
    if (low->written.size() == depth) {
      longest = low;
      while (low != high && low->written.size() == depth)
        ++low;
    }
    if (depth == text.size())
      break;
    const uint8_t byte = uint8_t(text[depth]);
    low = std::lower_bound(low, high, byte, [depth](const Entry &entry, uint8_t b) {
      return uint8_t(entry.written[depth]) < b;
    });
    high = std::upper_bound(low, high, byte, [depth](uint8_t b, const Entry &entry) {
      return b < uint8_t(entry.written[depth]);
    });
  }
  return longest;
}

bool TokenFinder::standsAlone(std::string_view text, size_t begin, size_t end) const {
  std::vector<Span> matches;
  if (begin > 0) {
    const size_t previous = previousCharacter(text, begin);
    wordCharacter.findAll(text.substr(previous, begin - previous), matches);
    if (!matches.empty())
      return false;
  }
  if (end < text.size()) {
    wordCharacter.findAll(text.substr(end, utf8Size(text[end])), matches);
    if (!matches.empty())
      return false;
  }
  return true;
}

void TokenFinder::cut(std::string_view text, bool plain, std::vector<Part> &parts) const {
  parts.clear();
  size_t done = 0; // the text before is in `parts`
  for (size_t at = 0; !entries.empty() && at < text.size();) {
    if (!firstBytes[uint8_t(text[at])]) {
      ++at;
      continue;
    }
    const Entry *entry = longestAt(text.substr(at));
    if (!entry) {
      ++at;
      continue;
    }
    const AddedToken &token = *entry->token;
    size_t begin = at, end = at + entry->written.size();
    at = end;
    if ((plain && token.special) || (token.singleWord && !standsAlone(text, begin, end)))
      continue;
    while (token.lstrip && begin > done) {
      const size_t previous = previousCharacter(text, begin);
      if (!isWhiteSpace(characterAt(text, previous).code))
        break;
      begin = previous;
    }
    while (token.rstrip && end < text.size()) {
      const Utf8Head head = characterAt(text, end);
      if (!isWhiteSpace(head.code))
        break;
      end += head.size;
    }
    if (begin > done)
      parts.push_back({done, begin, -1});
    parts.push_back({begin, end, token.id});
    // A token inside white space that its predecessor took along makes `done` go back: the reference
    // reads that white space twice, and ids must equal the reference's.
    done = end;
  }
  if (done < text.size())
    parts.push_back({done, text.size(), -1});
}

} // namespace pith::tokenizer
