//===- FuzzTest.cpp - damaged files, random texts, random ids ---------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Nothing here has an expected result beyond this: no crash, no leak (run under sanitizers), a status
// that exists, and output that keeps the promises of tokenizer.h. Seeds are fixed.
//
//===----------------------------------------------------------------------------------===//
#include "TestTokenizer.h"
#include "Unicode.h"

#include <chrono>
#include <random>

using namespace pith::test;
using pith::tokenizer::findInvalidUtf8;

namespace {

using Random = std::mt19937_64;

size_t below(Random &random, size_t limit) { return size_t(random() % limit); }

/// The vocabulary makes most of a file; without it, mutations meet the parts that are read with care.
std::vector<std::string> seeds() {
  return {
      readFile(dataFile("byte-level.json")), readFile(dataFile("sentencepiece.json")),
      R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"<0x0A>":3},"merges":["a b"],"unk_token":"a",)"
      R"("byte_fallback":true,"end_of_word_suffix":""},"added_tokens":[{"id":4,"content":"<x>","lstrip":true,)"
      R"("rstrip":true,"normalized":true,"special":true,"single_word":true}],"normalizer":{"type":"Sequence",)"
      R"("normalizers":[{"type":"NFD"},{"type":"Lowercase"},{"type":"Strip"},{"type":"ByteLevel"}]},)"
      R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
      R"({"type":"Punctuation"},{"type":"Whitespace"},{"type":"Metaspace","replacement":"_"}]},)"
      R"("decoder":{"type":"Metaspace","replacement":"_","prepend_scheme":"first"},)"
      R"("post_processor":{"type":"BertProcessing","sep":["b",1],"cls":["a",0]}})"};
}

std::string mutate(std::string json, Random &random) {
  static const char *const tokens[] = {"null",      "-1",    "0",
                                       "1e9",       "\"\"",  "{}",
                                       "[]",        "\"a\"", "true",
                                       "],[",       "},{",   "\\u0",
                                       "\"type\":", "[[[",   "\"Sequence\"",
                                       "\xFF",      "\\",    "18446744073709551616",
                                       ",",         ":",     "\"String\"",
                                       "16777215"};
  const size_t edits = 1 + below(random, 4);
  for (size_t i = 0; i < edits && !json.empty(); ++i) {
    const size_t at = below(random, json.size());
    switch (below(random, 6)) {
    case 0:
      json[at] = char(random());
      break;
    case 1:
      json.erase(at, 1 + below(random, 40));
      break;
    case 2:
      json.insert(at, tokens[below(random, std::size(tokens))]);
      break;
    case 3: { // one value for another: stays JSON, means something else
      const size_t colon = json.find(':', at);
      if (colon == json.npos)
        break;
      const size_t end = json.find_first_of(",}]", colon);
      json.replace(colon + 1, end == json.npos ? json.npos : end - colon - 1,
                   tokens[below(random, std::size(tokens))]);
      break;
    }
    case 4: {
      const size_t from = below(random, json.size());
      json.insert(at, json.substr(from, below(random, 60)));
      break;
    }
    case 5:
      json.resize(at);
      break;
    }
  }
  return json;
}

std::string randomText(Random &random, size_t length, bool valid) {
  static const char *const pieces[] = {
      "a",          "b",      " ",      "\n", "hello",        " world", "<x>",    "<s>",    "</s>",
      "<|eot_id|>", "<mask>", "12",     "'s", "\u0301",       "\u00E9", "\u2581", "\u65E5", "\U0001F389",
      "\u3000",     "word",   "<tool>", "A",  "\u1112\u1161", "_",      "!"};
  std::string text;
  while (text.size() < length) {
    if (!valid)
      text += char(random());
    else if (below(random, 4))
      text += pieces[below(random, std::size(pieces))];
    else if (const uint32_t code = uint32_t(below(random, 0x110000)); code < 0xD800 || code > 0xDFFF)
      pith::tokenizer::appendUtf8(text, code);
  }
  return text;
}

/// Encodes and decodes at random; every promise of the header that can be checked without knowing the file.
void exercise(TestTokenizer &tokenizer, Random &random) {
  const int32_t size = pith_tokenizer_vocabulary_size(tokenizer.handle);
  for (int round = 0; round < 4; ++round) {
    const bool valid = round != 3;
    const std::string text = randomText(random, below(random, 60), valid);
    for (int32_t id : tokenizer.encode(text, uint32_t(below(random, 4))))
      ASSERT_TRUE(id >= 0 && id < size);
    ASSERT_TRUE(tokenizer.status == PITH_TOKENIZER_OK || tokenizer.status == PITH_TOKENIZER_INTERNAL ||
                (tokenizer.status == PITH_TOKENIZER_BAD_TEXT && !valid))
        << tokenizer.message;

    Ids ids(size ? below(random, 30) : 0);
    for (int32_t &id : ids)
      id = int32_t(below(random, size_t(size)));
    const uint32_t flags = uint32_t(below(random, 8));
    const std::string whole = tokenizer.decode(ids, flags);
    ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
    std::string joined;
    for (const std::string &part : tokenizer.stream(ids, flags)) {
      if (!(flags & PITH_DECODE_BYTES)) {
        ASSERT_EQ(findInvalidUtf8(part), std::string::npos);
      }
      joined += part;
    }
    ASSERT_EQ(joined, whole);
  }
  tokenizer.decode({size});
  ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_BAD_ARGUMENT);
  tokenizer.decode({-1});
  ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_BAD_ARGUMENT);
}

TEST(FuzzTest, IntactFiles) {
  Random random(1);
  for (const std::string &seed : seeds()) {
    TestTokenizer tokenizer(seed);
    ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
    for (int i = 0; i < 300; ++i)
      exercise(tokenizer, random);
  }
}

TEST(FuzzTest, DamagedFiles) {
  Random random(2);
  const auto files = seeds();
  int loaded = 0, refused = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  for (int i = 0; i < 6000 && std::chrono::steady_clock::now() < end; ++i) {
    TestTokenizer tokenizer(mutate(files[below(random, files.size())], random));
    if (tokenizer.status == PITH_TOKENIZER_OK) {
      ++loaded;
      exercise(tokenizer, random);
    } else {
      ++refused;
      ASSERT_TRUE(tokenizer.status == PITH_TOKENIZER_BAD_FILE ||
                  tokenizer.status == PITH_TOKENIZER_UNSUPPORTED)
          << tokenizer.status << ": " << tokenizer.message;
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(loaded, 0);
}

TEST(FuzzTest, RandomBytesAreNotAFile) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    TestTokenizer tokenizer(randomText(random, below(random, 200), i % 2));
    ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_BAD_FILE) << tokenizer.message;
  }
}

TEST(FuzzTest, ByteLevelTextsComeBack) {
  Random random(4);
  TestTokenizer tokenizer(readFile(dataFile("byte-level.json")));
  for (int i = 0; i < 2000; ++i) {
    // Without added tokens (which may take spaces along), in normal form: composed again if it was not.
    std::string text = pith::tokenizer::toNFC(randomText(random, below(random, 80), true));
    for (size_t at; (at = text.find('<')) != text.npos;)
      text.erase(at, 1);
    text = pith::tokenizer::toNFC(text);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

} // namespace
