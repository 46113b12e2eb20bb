//===- TokenizerTest.cpp - encoding and decoding through the C face ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestTokenizer.h"

#include <cstring>

using namespace pith::test;

namespace {

// data/byte-level.json: Llama-3-style; the ids of the bytes are the bytes. data/sentencepiece.json:
// Llama-2-style, with byte fallback. The ids below were checked against the reference implementation.
class ByteLevelTest : public testing::Test {
protected:
  TestTokenizer tokenizer{readFile(dataFile("byte-level.json"))};
};

class SentencePieceTest : public testing::Test {
protected:
  TestTokenizer tokenizer{readFile(dataFile("sentencepiece.json"))};
};

TEST_F(ByteLevelTest, MergesInOrderOfRank) {
  ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
  EXPECT_EQ(tokenizer.encode("hello world"), (Ids{259, 264}));
  EXPECT_EQ(tokenizer.encode(" wor"), (Ids{262}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
}

TEST_F(ByteLevelTest, PreTokenizerCutsFirst) {
  // Numbers in groups of three; a space stays with the word behind it, so two spaces never merge here.
  EXPECT_EQ(tokenizer.encode("hello123456 world"), (Ids{259, 266, 52, 53, 54, 264}));
  EXPECT_EQ(tokenizer.encode("  hello"), (Ids{32, 32, 259}));
  EXPECT_EQ(tokenizer.encode("I'LL"), (Ids{73, 39, 76, 76}));
  EXPECT_EQ(tokenizer.encode("\r\n\r\n x"), (Ids{13, 10, 13, 10, 32, 120}));
}

TEST_F(ByteLevelTest, NormalizerComposes) {
  EXPECT_EQ(tokenizer.encode("a\xCC\x88\xC3\xA4"), (Ids{267, 267}));
}

TEST_F(ByteLevelTest, AddedTokens) {
  EXPECT_EQ(tokenizer.encode("<|eot_id|>hello<tool>x"), (Ids{271, 259, 274})) << "the longest must win";
  EXPECT_EQ(tokenizer.encode("<tool>y"), (Ids{273, 121}));
  EXPECT_EQ(tokenizer.encode("hi  <mask> x"), (Ids{104, 105, 272, 32, 120})) << "lstrip takes spaces along";
  EXPECT_EQ(tokenizer.encode("word sword word."), (Ids{275, 32, 115, 119, 261, 100, 32, 275, 46}));
}

TEST_F(ByteLevelTest, PlainTextCannotForgeSpecialTokens) {
  const Ids ids = tokenizer.encode("<|eot_id|><tool>", PITH_ENCODE_PLAIN);
  ASSERT_EQ(ids.size(), 11u);
  for (size_t i = 0; i < 10; ++i)
    EXPECT_FALSE(pith_tokenizer_is_special(tokenizer.handle, ids[i]));
  EXPECT_EQ(ids.back(), 273); // not a special token
}

TEST_F(ByteLevelTest, AddSpecial) {
  EXPECT_EQ(tokenizer.encode("hello", PITH_ENCODE_ADD_SPECIAL), (Ids{269, 259}));
  EXPECT_EQ(tokenizer.encode("", PITH_ENCODE_ADD_SPECIAL), (Ids{269}));
}

TEST_F(ByteLevelTest, Decode) {
  EXPECT_EQ(tokenizer.decode({269, 259, 264, 271}), "<|begin_of_text|>hello world<|eot_id|>");
  EXPECT_EQ(tokenizer.decode({269, 259, 264, 271}, PITH_DECODE_SKIP_SPECIAL), "hello world");
  EXPECT_EQ(tokenizer.decode({273}, PITH_DECODE_SKIP_SPECIAL), "<tool>");
  EXPECT_EQ(tokenizer.decode({}), "");
}

TEST_F(ByteLevelTest, DecodeReplacesBrokenCharacters) {
  EXPECT_EQ(tokenizer.decode({230, 151, 165}), "\xE6\x97\xA5");
  EXPECT_EQ(tokenizer.decode({230, 151, 120}), "\xEF\xBF\xBDx"); // one for the maximal part E6 97
  EXPECT_EQ(tokenizer.decode({151, 165}), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(tokenizer.decode({240, 159}), "\xEF\xBF\xBD");
  EXPECT_EQ(tokenizer.decode({240, 159, 0}, PITH_DECODE_BYTES), std::string("\xF0\x9F\0", 3));
}

TEST_F(ByteLevelTest, StreamHoldsIncompleteCharactersBack) {
  const std::string party = "\xF0\x9F\x8E\x89";
  EXPECT_EQ(tokenizer.stream({104, 240, 159, 142, 137, 105}),
            (std::vector<std::string>{"h", "", "", "", party, "i", ""}));
  EXPECT_EQ(tokenizer.stream({240, 159}), (std::vector<std::string>{"", "", "\xEF\xBF\xBD"}));
  EXPECT_EQ(tokenizer.stream({240, 104}), (std::vector<std::string>{"", "\xEF\xBF\xBDh", ""}));
}

TEST_F(ByteLevelTest, StreamIsAsNewAfterFlushAndReset) {
  pith_detokenizer *stream = nullptr;
  const char *text;
  size_t size;
  ASSERT_EQ(pith_detokenizer_create(tokenizer.handle, 0, &stream, nullptr, 0), PITH_TOKENIZER_OK);
  // The stream keeps what it needs of the tokenizer.
  pith_tokenizer_destroy(tokenizer.handle);
  tokenizer.handle = nullptr;
  ASSERT_EQ(pith_detokenizer_push(stream, 240, &text, &size, nullptr, 0), PITH_TOKENIZER_OK);
  pith_detokenizer_reset(stream);
  ASSERT_EQ(pith_detokenizer_push(stream, 259, &text, &size, nullptr, 0), PITH_TOKENIZER_OK);
  EXPECT_EQ(std::string(text, size), "hello");
  char message[64];
  EXPECT_EQ(pith_detokenizer_push(stream, 276, &text, &size, message, sizeof message),
            PITH_TOKENIZER_BAD_ARGUMENT);
  EXPECT_STREQ(message, "id 276 is outside the vocabulary of 276");
  ASSERT_EQ(pith_detokenizer_flush(stream, &text, &size, nullptr, 0), PITH_TOKENIZER_OK);
  EXPECT_EQ(size, 0u);
  pith_detokenizer_destroy(stream);
}

TEST_F(ByteLevelTest, Questions) {
  const pith_tokenizer *t = tokenizer.handle;
  EXPECT_EQ(pith_tokenizer_vocabulary_size(t), 276);
  EXPECT_EQ(pith_tokenizer_find(t, "hello", 5), 259);
  EXPECT_EQ(pith_tokenizer_find(t, "<tool>", 6), 273);
  EXPECT_EQ(pith_tokenizer_find(t, "nothing", 7), -1);
  EXPECT_EQ(pith_tokenizer_find(t, "", 0), -1);
  size_t size;
  EXPECT_EQ(std::string(pith_tokenizer_token(t, 264, &size)), "\xC4\xA0world");
  EXPECT_EQ(size, 7u);
  EXPECT_EQ(pith_tokenizer_token(t, 276, &size), nullptr);
  EXPECT_EQ(pith_tokenizer_token(t, -1, nullptr), nullptr);
  EXPECT_TRUE(pith_tokenizer_is_special(t, 271));
  EXPECT_FALSE(pith_tokenizer_is_special(t, 273));
  EXPECT_FALSE(pith_tokenizer_is_special(t, -5));
  EXPECT_EQ(pith_tokenizer_begin_id(t), 269);
  EXPECT_EQ(pith_tokenizer_end_id(t), 270);
  int32_t ends[1] = {-1};
  EXPECT_EQ(pith_tokenizer_end_ids(t, ends, 1), 2u);
  EXPECT_EQ(ends[0], 270);
}

TEST_F(ByteLevelTest, TextMustBeUtf8) {
  tokenizer.encode("abc\xFFxyz");
  EXPECT_EQ(tokenizer.status, PITH_TOKENIZER_BAD_TEXT);
  EXPECT_EQ(tokenizer.message, "the text is not UTF-8 at byte 3");
  tokenizer.encode("\xED\xA0\x80"); // a surrogate
  EXPECT_EQ(tokenizer.status, PITH_TOKENIZER_BAD_TEXT);
  tokenizer.encode("a\xE6\x97");
  EXPECT_EQ(tokenizer.message, "the text is not UTF-8 at byte 1");
  EXPECT_EQ(tokenizer.encode(std::string("\0h", 2)), (Ids{0, 104}));
}

TEST_F(ByteLevelTest, TooSmallBuffersSayHowMuch) {
  int32_t ids[1] = {-7};
  size_t count = 0;
  EXPECT_EQ(pith_tokenizer_encode(tokenizer.handle, "hello world", 11, 0, ids, 1, &count, nullptr, 0),
            PITH_TOKENIZER_TOO_SMALL);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(ids[0], -7);
  EXPECT_EQ(pith_tokenizer_encode(tokenizer.handle, "hello world", 11, 0, nullptr, 0, &count, nullptr, 0),
            PITH_TOKENIZER_TOO_SMALL);
  const int32_t hello = 259;
  EXPECT_EQ(pith_tokenizer_decode(tokenizer.handle, &hello, 1, 0, nullptr, 0, &count, nullptr, 0),
            PITH_TOKENIZER_TOO_SMALL);
  EXPECT_EQ(count, 5u);
}

TEST_F(ByteLevelTest, BadArguments) {
  size_t count;
  char message[16];
  pith_tokenizer *other;
  EXPECT_EQ(pith_tokenizer_encode(nullptr, "", 0, 0, nullptr, 0, &count, message, sizeof message),
            PITH_TOKENIZER_BAD_ARGUMENT);
  EXPECT_EQ(std::strlen(message), 15u) << "a message is cut to its buffer";
  EXPECT_EQ(pith_tokenizer_encode(tokenizer.handle, nullptr, 1, 0, nullptr, 0, &count, nullptr, 0),
            PITH_TOKENIZER_BAD_ARGUMENT);
  EXPECT_EQ(pith_tokenizer_encode(tokenizer.handle, "", 0, 64, nullptr, 0, &count, nullptr, 0),
            PITH_TOKENIZER_BAD_ARGUMENT);
  EXPECT_EQ(pith_tokenizer_decode(tokenizer.handle, nullptr, 1, 0, nullptr, 0, &count, nullptr, 0),
            PITH_TOKENIZER_BAD_ARGUMENT);
  EXPECT_EQ(pith_tokenizer_load_memory("{}", 2, nullptr, nullptr, 0), PITH_TOKENIZER_BAD_ARGUMENT);
  EXPECT_EQ(pith_tokenizer_load_file(nullptr, &other, nullptr, 0), PITH_TOKENIZER_BAD_ARGUMENT);
  pith_tokenizer_destroy(nullptr);
  pith_detokenizer_destroy(nullptr);
  pith_detokenizer_reset(nullptr);
  EXPECT_EQ(pith_tokenizer_vocabulary_size(nullptr), 0);
  EXPECT_EQ(pith_tokenizer_begin_id(nullptr), -1);
  EXPECT_EQ(pith_tokenizer_end_ids(nullptr, nullptr, 0), 0u);
}

TEST_F(ByteLevelTest, LongTextsTakeNoQuadraticTime) {
  // Quadratic merging or matching would take minutes here.
  for (const std::string piece : {"a", "hell", " ", "\n", "12", "\xCC\x88"}) {
    std::string text;
    while (text.size() < 1000000)
      text += piece;
    const Ids ids = tokenizer.encode(text);
    ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST_F(SentencePieceTest, Encode) {
  ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
  EXPECT_EQ(tokenizer.encode("the cat in"), (Ids{292, 296, 259, 293}));
  EXPECT_EQ(tokenizer.encode(" the"), (Ids{259, 292}));
  EXPECT_EQ(tokenizer.encode("Zer"), (Ids{259, 93, 298})) << "Z is not in the vocabulary: its byte is";
  EXPECT_EQ(tokenizer.encode("\xE6\x97\xA5 in<s>the</s> the"),
            (Ids{259, 233, 154, 168, 259, 293, 1, 292, 2, 259, 292}));
  EXPECT_EQ(tokenizer.encode("the", PITH_ENCODE_ADD_SPECIAL), (Ids{1, 292, 2}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
}

TEST_F(SentencePieceTest, Decode) {
  EXPECT_EQ(tokenizer.decode({292, 296, 259, 293}), "the cat in");
  EXPECT_EQ(tokenizer.decode({292, 296}, PITH_DECODE_CONTINUE), " the cat");
  EXPECT_EQ(tokenizer.decode({1, 292, 2}, PITH_DECODE_SKIP_SPECIAL), "the");
  EXPECT_EQ(tokenizer.decode({259, 233, 154, 168}), "\xE6\x97\xA5");
  EXPECT_EQ(tokenizer.decode({259, 233, 154}), "\xEF\xBF\xBD");
}

TEST_F(SentencePieceTest, Stream) {
  EXPECT_EQ(tokenizer.stream({259, 233, 154, 168, 296}),
            (std::vector<std::string>{"", "", "", "\xE6\x97\xA5", " cat", ""}));
}

TEST(LoadFileTest, Errors) {
  pith_tokenizer *tokenizer = nullptr;
  char message[512];
  EXPECT_EQ(pith_tokenizer_load_file("no/such/file.json", &tokenizer, message, sizeof message),
            PITH_TOKENIZER_IO);
  EXPECT_EQ(tokenizer, nullptr);
  EXPECT_NE(std::string(message).find("no/such/file.json"), std::string::npos);
  EXPECT_EQ(pith_tokenizer_load_file(PITH_TOKENIZER_TEST_DATA, &tokenizer, message, sizeof message),
            PITH_TOKENIZER_IO)
      << "a folder";
  ASSERT_EQ(
      pith_tokenizer_load_file(dataFile("byte-level.json").c_str(), &tokenizer, message, sizeof message),
      PITH_TOKENIZER_OK)
      << message;
  EXPECT_STREQ(message, "");
  pith_tokenizer_destroy(tokenizer);
}

} // namespace
