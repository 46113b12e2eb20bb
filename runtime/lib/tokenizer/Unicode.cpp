//===- Unicode.cpp - UTF-8, normal forms, lower case ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Unicode.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace pith::tokenizer {

namespace {

struct Decomposition {
  uint32_t code, first, second; ///< second == 0: a singleton
  uint32_t composes;            ///< 1 if first and second compose to code again
};
struct CombiningRange {
  uint32_t begin, end; ///< inclusive
  uint8_t combiningClass;
};
struct LowerRange {
  uint32_t begin, end; ///< inclusive
  int32_t stride;
  int32_t distance;
};

#include "UnicodeTables.inc"

// Hangul syllables are arithmetic (Unicode Standard, section 3.12).
constexpr uint32_t hangulBase = 0xAC00, leadBase = 0x1100, vowelBase = 0x1161, tailBase = 0x11A7;
constexpr uint32_t leadCount = 19, vowelCount = 21, tailCount = 28;
constexpr uint32_t hangulCount = leadCount * vowelCount * tailCount;

const Decomposition *findDecomposition(uint32_t code) {
  const auto *found = std::lower_bound(std::begin(decompositions), std::end(decompositions), code,
                                       [](const Decomposition &entry, uint32_t c) { return entry.code < c; });
  return found != std::end(decompositions) && found->code == code ? found : nullptr;
}

template <typename Range, size_t N>
const Range *findRange(const Range (&ranges)[N], uint32_t code) {
  const auto *found = std::lower_bound(std::begin(ranges), std::end(ranges), code,
                                       [](const Range &range, uint32_t c) { return range.end < c; });
  return found != std::end(ranges) && found->begin <= code ? found : nullptr;
}

uint8_t combiningClass(uint32_t code) {
  if (code < 0x300)
    return 0;
  const CombiningRange *range = findRange(combiningClasses, code);
  return range ? range->combiningClass : 0;
}

void decompose(uint32_t code, std::vector<uint32_t> &out) {
  if (code < 0xC0) {
    out.push_back(code);
    return;
  }
  if (code - hangulBase < hangulCount) {
    const uint32_t index = code - hangulBase;
    out.push_back(leadBase + index / (vowelCount * tailCount));
    out.push_back(vowelBase + index / tailCount % vowelCount);
    if (index % tailCount)
      out.push_back(tailBase + index % tailCount);
    return;
  }
  if (const Decomposition *entry = findDecomposition(code)) {
    decompose(entry->first, out);
    if (entry->second)
      decompose(entry->second, out);
    return;
  }
  out.push_back(code);
}

/// The pairs that compose, sorted: built once, on first use.
const std::vector<const Decomposition *> &compositions() {
  static const std::vector<const Decomposition *> sorted = [] {
    std::vector<const Decomposition *> entries;
    for (const Decomposition &entry : decompositions)
      if (entry.composes)
        entries.push_back(&entry);
    std::sort(entries.begin(), entries.end(), [](const Decomposition *a, const Decomposition *b) {
      return a->first != b->first ? a->first < b->first : a->second < b->second;
    });
    return entries;
  }();
  return sorted;
}

/// The composite of two code points, or 0.
uint32_t compose(uint32_t first, uint32_t second) {
  if (first - leadBase < leadCount && second - vowelBase < vowelCount)
    return hangulBase + ((first - leadBase) * vowelCount + (second - vowelBase)) * tailCount;
  if (first - hangulBase < hangulCount && (first - hangulBase) % tailCount == 0 && second > tailBase &&
      second < tailBase + tailCount)
    return first + (second - tailBase);
  const auto &entries = compositions();
  const auto found =
      std::lower_bound(entries.begin(), entries.end(), std::make_pair(first, second),
                       [](const Decomposition *entry, const std::pair<uint32_t, uint32_t> &key) {
                         return std::make_pair(entry->first, entry->second) < key;
                       });
  return found != entries.end() && (*found)->first == first && (*found)->second == second ? (*found)->code
                                                                                          : 0;
}

/// The decomposition with every run of marks in canonical order.
std::vector<uint32_t> decomposed(std::string_view text) {
  std::vector<uint32_t> codes;
  codes.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Head head = characterAt(text, i);
    decompose(head.code, codes);
    i += head.size;
  }
  for (size_t i = 0; i < codes.size();) {
    if (!combiningClass(codes[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < codes.size() && combiningClass(codes[end]))
      ++end;
    std::stable_sort(codes.begin() + i, codes.begin() + end,
                     [](uint32_t a, uint32_t b) { return combiningClass(a) < combiningClass(b); });
    i = end;
  }
  return codes;
}

std::string encode(const std::vector<uint32_t> &codes) {
  std::string text;
  text.reserve(codes.size());
  for (uint32_t code : codes)
    appendUtf8(text, code);
  return text;
}

} // namespace

Utf8Head decodeUtf8(std::string_view text) {
  const uint8_t lead = uint8_t(text[0]);
  if (lead < 0x80)
    return {Utf8Head::Character, 1, lead};
  if (lead < 0xC2 || lead > 0xF4)
    return {Utf8Head::Invalid, 1, 0};
  const uint32_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // Overlong forms, surrogates and values past U+10FFFF show in the second byte.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  uint32_t code = lead & (0x7Fu >> size);
  for (uint32_t i = 1; i < size; ++i) {
    if (i == text.size())
      return {Utf8Head::Incomplete, i, 0};
    const uint8_t byte = uint8_t(text[i]);
    if (byte < (i == 1 ? low : 0x80) || byte > (i == 1 ? high : 0xBF))
      return {Utf8Head::Invalid, i, 0};
    code = code << 6 | (byte & 0x3F);
  }
  return {Utf8Head::Character, size, code};
}

size_t findInvalidUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (uint8_t(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const Utf8Head head = characterAt(text, i);
    if (head.kind != Utf8Head::Character)
      return i;
    i += head.size;
  }
  return std::string_view::npos;
}

void appendUtf8(std::string &text, uint32_t code) {
  if (code < 0x80) {
    text += char(code);
  } else if (code < 0x800) {
    text += char(0xC0 | code >> 6);
    text += char(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += char(0xE0 | code >> 12);
    text += char(0x80 | (code >> 6 & 0x3F));
    text += char(0x80 | (code & 0x3F));
  } else {
    text += char(0xF0 | code >> 18);
    text += char(0x80 | (code >> 12 & 0x3F));
    text += char(0x80 | (code >> 6 & 0x3F));
    text += char(0x80 | (code & 0x3F));
  }
}

bool isWhiteSpace(uint32_t code) {
  return (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
         code == 0x205F || code == 0x3000;
}

std::string toNFD(std::string_view text) { return encode(decomposed(text)); }

std::string toNFC(std::string_view text) {
  // Nothing below U+0300 composes or changes, and its lead bytes are all below 0xCC.
  if (std::all_of(text.begin(), text.end(), [](char c) { return uint8_t(c) < 0xCC; }))
    return std::string(text);
  std::vector<uint32_t> codes = decomposed(text);
  std::vector<uint32_t> composed;
  composed.reserve(codes.size());
  constexpr size_t none = size_t(-1);
  size_t starter = none; // the index in `composed` that later marks may join
  int lastClass = -1;    // the class of the last mark kept behind the starter; -1: none kept
  for (uint32_t code : codes) {
    const uint8_t mark = combiningClass(code);
    // A mark is blocked by one of its own or a higher class between it and the starter.
    if (starter != none && lastClass < int(mark)) {
      if (uint32_t composite = compose(composed[starter], code)) {
        composed[starter] = composite;
        continue;
      }
    }
    if (mark == 0) {
      starter = composed.size();
      lastClass = -1;
    } else {
      lastClass = mark;
    }
    composed.push_back(code);
  }
  return encode(composed);
}

std::string toLower(std::string_view text) {
  std::string lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Head head = characterAt(text, i);
    i += head.size;
    const uint32_t code = head.code;
    if (code < 0x80) {
      lower += char(code >= 'A' && code <= 'Z' ? code + 32 : code);
    } else if (code == 0x130) { // the one character whose lower case is two
      lower += "i\xCC\x87";
    } else {
      const LowerRange *range = findRange(lowerRanges, code);
      const bool maps = range && (code - range->begin) % uint32_t(range->stride) == 0;
      appendUtf8(lower, maps ? uint32_t(int32_t(code) + range->distance) : code);
    }
  }
  return lower;
}

} // namespace pith::tokenizer
