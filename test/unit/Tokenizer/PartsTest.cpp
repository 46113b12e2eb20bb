//===- PartsTest.cpp - the tokenizer's parts --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "ByteLevel.h"
#include "Decoder.h"
#include "Failure.h"
#include "Pattern.h"
#include "Unicode.h"

#include "gtest/gtest.h"

#include <set>

using namespace pith::tokenizer;

namespace {

std::vector<std::string> findAll(const Pattern &pattern, const std::string &text) {
  std::vector<Span> spans;
  pattern.findAll(text, spans);
  std::vector<std::string> found;
  for (const Span &span : spans)
    found.push_back(text.substr(span.begin, span.end - span.begin));
  return found;
}

std::vector<std::string> findRegex(const std::string &regex, const std::string &text) {
  return findAll(Pattern::regex(regex, "test"), text);
}

using Strings = std::vector<std::string>;

TEST(UnicodeTest, Utf8) {
  for (uint32_t code : {0u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string text;
    appendUtf8(text, code);
    const Utf8Head head = decodeUtf8(text);
    EXPECT_EQ(head.kind, Utf8Head::Character);
    EXPECT_EQ(head.size, text.size());
    EXPECT_EQ(head.code, code);
    for (size_t cut = 1; cut < text.size(); ++cut)
      EXPECT_EQ(decodeUtf8(text.substr(0, cut)).kind, Utf8Head::Incomplete);
  }
  for (const char *text : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                           "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"})
    EXPECT_EQ(decodeUtf8(text).kind, Utf8Head::Invalid) << text;
  EXPECT_EQ(decodeUtf8("\xF0\x9F\x8Ex").size, 3u); // the maximal part is one error
}

TEST(UnicodeTest, NormalForms) {
  EXPECT_EQ(toNFC("e\u0301"), "\u00E9");
  EXPECT_EQ(toNFD("\u00E9"), "e\u0301");
  EXPECT_EQ(toNFC("q\u0307\u0323"), "q\u0323\u0307"); // canonical order
  EXPECT_EQ(toNFC("\u1E0B\u0323"), "\u1E0D\u0307");
  EXPECT_EQ(toNFC("\u1112\u1161\u11AB"), "\uD55C"); // Hangul
  EXPECT_EQ(toNFD("\uD55C"), "\u1112\u1161\u11AB");
  EXPECT_EQ(toNFC("\u212B"), "\u00C5");       // a singleton
  EXPECT_EQ(toNFC("\u0958"), "\u0915\u093C"); // excluded from composition
  EXPECT_EQ(toNFC("\u0301e"), "\u0301e");
  EXPECT_EQ(toNFC(""), "");
}

TEST(UnicodeTest, Lower) {
  EXPECT_EQ(toLower("AbZ\u00C4\u0394\u0416\u1E9E\u0130\U00010400"),
            "abz\u00E4\u03B4\u0436\u00DFi\u0307\U00010428");
  EXPECT_EQ(toLower("\u0100\u0101\u0178"), "\u0101\u0101\u00FF");
}

TEST(ByteLevelMapTest, IsOneToOne) {
  std::set<uint32_t> codes;
  for (int byte = 0; byte < 256; ++byte) {
    const uint32_t code = byteToCode(uint8_t(byte));
    codes.insert(code);
    EXPECT_EQ(codeToByte(code), byte);
    EXPECT_TRUE(code > 0x20 && code < 0x144);
  }
  EXPECT_EQ(codes.size(), 256u);
  EXPECT_EQ(byteToCode(' '), 0x120u);
  EXPECT_EQ(byteToCode('\n'), 0x10Au);
  for (uint32_t code : {0u, 0x20u, 0x7Fu, 0xADu, 0x144u, 0x2581u})
    EXPECT_EQ(codeToByte(code), -1);
}

TEST(PatternTest, Literal) {
  EXPECT_EQ(findAll(Pattern::literal("aa"), "aaaaab"), (Strings{"aa", "aa"}));
  EXPECT_EQ(findAll(Pattern::literal(""), "abc"), Strings{});
  EXPECT_EQ(Pattern::literal(" ").replaceAll(" a  b", "\u2581"), "\u2581a\u2581\u2581b");
}

TEST(PatternTest, OnigurumaReadings) {
  EXPECT_EQ(findRegex(R"(\s+)", "a \u3000\u180E\u0085b"), (Strings{" \u3000", "\u0085"})); // not U+180E
  EXPECT_EQ(findRegex(R"(\w+)", "e\u0301_\u203F 1"), (Strings{"e\u0301_\u203F", "1"}));
  EXPECT_EQ(findRegex(R"([^\s\p{L}]+)", "a1\u00E9!?"), (Strings{"1", "!?"}));
  EXPECT_EQ(findRegex(R"(\u0041+)", "xAA"), (Strings{"AA"}));
  EXPECT_EQ(findRegex(R"(\h+)", "xF0y"), (Strings{"F0"}));
  EXPECT_EQ(findRegex(R"([]a]+)", "b]a"), (Strings{"]a"}));
  EXPECT_EQ(findRegex(R"(^b)", "a\nb"), (Strings{"b"})); // lines, as in Ruby
  EXPECT_EQ(findRegex(R"([[:digit:]\]]+)", "a1]"), (Strings{"1]"}));
}

TEST(PatternTest, EmptyMatchesAdvance) {
  EXPECT_EQ(findRegex("x*", "\u00E9xx"), (Strings{"", "xx", ""}));
  EXPECT_EQ(findRegex("(?=a)", "aa"), (Strings{"", ""}));
}

TEST(PatternTest, DeepBacktrackingIsAnErrorOrAnAnswer) {
  const std::string text(200000, 'a');
  EXPECT_EQ(findRegex("(?:a|b)*c|a+", text), (Strings{text}));
  try {
    findRegex("(a+)+$b", std::string(60, 'a'));
  } catch (const Failure &failure) {
    EXPECT_EQ(failure.status, PITH_TOKENIZER_INTERNAL);
  }
}

TEST(CharacterStreamTest, EqualsOneShotWhereverItIsCut) {
  const std::string bytes = "a\xE6\x97\xA5\xF0\x9F\x8E\x89\xF0\x9F"
                            "b\x80\xC3\xA9\xE6\x97";
  const std::string expected = "a\u65E5\U0001F389\uFFFDb\uFFFD\u00E9\uFFFD";
  for (size_t first = 0; first <= bytes.size(); ++first)
    for (size_t second = first; second <= bytes.size(); ++second) {
      CharacterStream stream;
      std::string text;
      stream.push(bytes.substr(0, first), text);
      EXPECT_EQ(findInvalidUtf8(text), std::string::npos);
      stream.push(bytes.substr(first, second - first), text);
      EXPECT_EQ(findInvalidUtf8(text), std::string::npos);
      stream.push(bytes.substr(second), text);
      stream.flush(text);
      EXPECT_EQ(text, expected);
    }
}

} // namespace
