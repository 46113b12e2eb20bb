//===- LoadTest.cpp - what a file may say, and what is refused --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestTokenizer.h"

using namespace pith::test;

namespace {

/// A tokenizer over a few letters; `members` are added to the file, `model` to the model.
std::string smallFile(const std::string &members, const std::string &model = "") {
  return R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"c":3," ":4,"▁":5,"▁a":6,"x":7,"1":8,".":9},)"
         R"("merges":[["a","b"],["▁","a"]])" +
         (model.empty() ? "" : "," + model) + "}" + (members.empty() ? "" : "," + members) + "}";
}

void expectRefused(const std::string &json, pith_tokenizer_status status, const std::string &phrase) {
  TestTokenizer tokenizer(json);
  EXPECT_EQ(tokenizer.status, status) << tokenizer.message;
  EXPECT_NE(tokenizer.message.find(phrase), std::string::npos) << tokenizer.message;
}

Ids encoded(const std::string &members, const std::string &text, const std::string &model = "") {
  TestTokenizer tokenizer(smallFile(members, model));
  EXPECT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
  return tokenizer.status == PITH_TOKENIZER_OK ? tokenizer.encode(text) : Ids{};
}

TEST(LoadTest, MergesAsPairsOrText) {
  const std::string vocabulary = R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"abb":3},"merges":)";
  for (const char *merges : {R"(["a b","ab b"])", R"([["a","b"],["ab","b"]])"}) {
    TestTokenizer tokenizer(vocabulary + merges + "}}");
    ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
    EXPECT_EQ(tokenizer.encode("abbab"), (Ids{3, 2}));
  }
}

TEST(LoadTest, IgnoreMerges) {
  const std::string file = R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"aba":3},"merges":["a b"],)"
                           R"("ignore_merges":)";
  EXPECT_EQ(TestTokenizer(file + "false}}").encode("aba"), (Ids{2, 0}));
  EXPECT_EQ(TestTokenizer(file + "true}}").encode("aba"), (Ids{3}));
}

TEST(LoadTest, UnknownCharacters) {
  EXPECT_EQ(encoded("", "aZZb"), (Ids{2})) << "without an unknown token they vanish";
  EXPECT_EQ(encoded("", "aZZb", R"("unk_token":"x")"), (Ids{0, 7, 7, 1}));
  EXPECT_EQ(encoded("", "aZZb", R"("unk_token":"x","fuse_unk":true)"), (Ids{0, 7, 1}));
}

TEST(LoadTest, WordAffixes) {
  TestTokenizer suffix(
      R"({"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{"a":0,"b</w>":1,"ab</w>":2,)"
      R"("a</w>":3},"merges":["a b</w>"]},"pre_tokenizer":{"type":"WhitespaceSplit"}})");
  ASSERT_EQ(suffix.status, PITH_TOKENIZER_OK) << suffix.message;
  EXPECT_EQ(suffix.encode("ab a aab"), (Ids{2, 3, 0, 2}));
  TestTokenizer prefix(
      R"({"model":{"type":"BPE","continuing_subword_prefix":"##","vocab":{"a":0,"##b":1,"ab":2},)"
      R"("merges":["a ##b"]}})");
  ASSERT_EQ(prefix.status, PITH_TOKENIZER_OK) << prefix.message;
  EXPECT_EQ(prefix.encode("abb"), (Ids{2, 1}));
}

TEST(LoadTest, SplitBehaviors) {
  // ids: a 0, b 1, ab 2, " " 4, "." 9: a merge across a cut cannot happen.
  const auto split = [](const std::string &behavior, const std::string &text, const char *invert = "false") {
    return encoded(R"("pre_tokenizer":{"type":"Split","pattern":{"String":"."},"behavior":")" + behavior +
                       R"(","invert":)" + invert + "}",
                   text);
  };
  EXPECT_EQ(split("Removed", "a.ab..b"), (Ids{0, 2, 1}));
  EXPECT_EQ(split("Isolated", "a.ab"), (Ids{0, 9, 2}));
  EXPECT_EQ(split("Removed", "a.ab", "true"), (Ids{9}));
  expectRefused(smallFile(R"("pre_tokenizer":{"type":"Split","pattern":{"String":"."},"behavior":"Gone"})"),
                PITH_TOKENIZER_BAD_FILE, "found 'Gone'");
}

TEST(LoadTest, SplitBehaviorsThatMerge) {
  // Every pair of neighbours would merge if no cut stood between them.
  const auto split = [](const std::string &behavior) {
    TestTokenizer tokenizer(
        R"({"model":{"type":"BPE","vocab":{"a":0,".":1,"a.":2,".a":3,"..":4},"merges":["a .",". a",)"
        R"(". ."]},"pre_tokenizer":{"type":"Split","pattern":{"String":"."},"behavior":")" +
        behavior + "\"}}");
    return tokenizer.encode("..a..a.");
  };
  EXPECT_EQ(split("MergedWithPrevious"), (Ids{1, 1, 2, 1, 2}));
  EXPECT_EQ(split("MergedWithNext"), (Ids{1, 3, 1, 3, 1}));
  EXPECT_EQ(split("Contiguous"), (Ids{4, 0, 4, 0, 1}));
  EXPECT_EQ(split("Isolated"), (Ids{1, 1, 0, 1, 1, 0, 1}));
}

TEST(LoadTest, Metaspace) {
  const auto metaspace = [](const std::string &scheme, const std::string &text) {
    return encoded(R"("added_tokens":[{"id":7,"content":"x","special":true}],"pre_tokenizer":)"
                   R"({"type":"Metaspace","replacement":"▁","prepend_scheme":")" +
                       scheme + R"("})",
                   text);
  };
  EXPECT_EQ(metaspace("always", "a axa"), (Ids{6, 6, 7, 6}));
  EXPECT_EQ(metaspace("first", "a axa"), (Ids{6, 6, 7, 0}));
  EXPECT_EQ(metaspace("never", "a axa"), (Ids{0, 6, 7, 0}));
}

TEST(LoadTest, MetaspaceDecoder) {
  TestTokenizer tokenizer(
      smallFile(R"("decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"})"));
  ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
  EXPECT_EQ(tokenizer.decode({6, 6}), "a a");
  EXPECT_EQ(tokenizer.decode({6, 6}, PITH_DECODE_CONTINUE), " a a");
}

TEST(LoadTest, NoDecoderJoinsWithSpaces) {
  EXPECT_EQ(TestTokenizer(smallFile("")).decode({0, 2, 3}), "a ab c");
}

TEST(LoadTest, Normalizers) {
  EXPECT_EQ(encoded(R"("normalizer":{"type":"Lowercase"})", "AB"), (Ids{2}));
  EXPECT_EQ(encoded(R"("normalizer":{"type":"Strip","strip_left":true,"strip_right":false})", "  c "),
            (Ids{3, 4}));
  EXPECT_EQ(encoded(R"("normalizer":{"type":"Replace","pattern":{"Regex":"[yz]+"},"content":"a"})", "yzyb"),
            (Ids{2}));
  EXPECT_EQ(encoded(R"("normalizer":{"type":"Prepend","prepend":"a"})", "b"), (Ids{2}));
}

TEST(LoadTest, RefusesByName) {
  const auto unsupported = [](const std::string &json, const std::string &phrase) {
    expectRefused(json, PITH_TOKENIZER_UNSUPPORTED, phrase);
  };
  unsupported(R"({"model":{"type":"Unigram","vocab":[]}})",
              "model: 'Unigram' is not supported; supported is BPE");
  unsupported(smallFile(R"("normalizer":{"type":"NFKC"})"), "normalizer: the normalizer 'NFKC'");
  unsupported(smallFile(R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled"}]})"),
              "normalizer.normalizers[0]: the normalizer 'Precompiled'");
  unsupported(smallFile(R"("pre_tokenizer":{"type":"UnicodeScripts"})"), "pre-tokenizer 'UnicodeScripts'");
  unsupported(smallFile(R"("decoder":{"type":"WordPiece"})"), "decoder 'WordPiece'");
  unsupported(smallFile(R"("post_processor":{"type":"Odd"})"), "post-processor 'Odd'");
  unsupported(smallFile("", R"("dropout":0.1)"), "model.dropout");
  const auto pattern = [](const std::string &regex) {
    return smallFile(R"("pre_tokenizer":{"type":"Split","behavior":"Removed","pattern":{"Regex":")" + regex +
                     "\"}}");
  };
  unsupported(pattern("(a"), "does not compile");
  unsupported(pattern("[a&&b]"), "'&&'");
  unsupported(pattern("[a[b]]"), "a character class inside a character class");
}

TEST(LoadTest, RefusesDamagedFiles) {
  const auto bad = [](const std::string &json, const std::string &phrase) {
    expectRefused(json, PITH_TOKENIZER_BAD_FILE, phrase);
  };
  bad("", "not JSON");
  bad("{\"model\":", "not JSON: ");
  bad("[]", "expected a JSON object");
  bad("{}", "model: missing");
  bad(R"({"model":[]})", "model: expected an object, found array");
  bad(R"({"model":{"type":"BPE","vocab":[],"merges":[]}})", "model.vocab: expected an object");
  bad(R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})", "model.vocab: expected an integer");
  bad(R"({"model":{"type":"BPE","vocab":{"a":4000000000},"merges":[]}})", "found 4000000000");
  bad(R"({"model":{"type":"BPE","vocab":{"a":1e999},"merges":[]}})", "not JSON");
  bad(R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})", "id 0 is given to 'a' and to 'b'");
  bad(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a a"]}})",
      "model.merges[0]: 'aa' is not in the vocabulary");
  bad(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["aa"]}})",
      "with one space between them, found 'aa'");
  bad(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[7]}})", "model.merges[0]: expected");
  bad(smallFile("", R"("unk_token":"?")"), "model.unk_token: '?' is not in the vocabulary");
  bad(smallFile(R"("added_tokens":[{"id":9,"content":"a"}])"), "'a' has id 9, but the vocabulary gives it 0");
  bad(smallFile(R"("added_tokens":[{"id":0,"content":"q"}])"), "id 0 is given to 'q', but is 'a' already");
  bad(smallFile(R"("added_tokens":[{"content":"q"}])"), "added_tokens[0].id: expected an integer");
  bad(smallFile(R"("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"q"}}]})"),
      "post_processor.special_tokens");
  std::string deep = R"({"type":"Lowercase"})";
  for (int i = 0; i < 100; ++i)
    deep = R"({"type":"Sequence","normalizers":[)" + deep + "]}";
  bad(smallFile("\"normalizer\":" + deep), "nested too deeply");
  bad(std::string(200000, '['), "not JSON");
}

} // namespace
