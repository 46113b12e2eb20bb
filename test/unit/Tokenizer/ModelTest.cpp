//===- ModelTest.cpp - the tokenizer of a real model ------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestTokenizer.h"

#include <nlohmann/json.hpp>

#include <cstdio>

using namespace pith::test;

namespace {

const std::string folder = std::string(PITH_TEST_MODELS_DIR) + "/code-lm";

class CodeLmTest : public testing::Test {
protected:
  void SetUp() override {
    json = readFile(folder + "/tokenizer.json");
    if (json.empty()) {
      std::fprintf(stderr, "WARNING: %s/tokenizer.json is missing: a real tokenizer goes UNTESTED\n",
                   folder.c_str());
      GTEST_SKIP() << folder << "/tokenizer.json is missing";
    }
  }
  std::string json;
};

TEST_F(CodeLmTest, CodeComesBack) {
  TestTokenizer tokenizer(json);
  ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
  const std::string text =
      "def main(argv):\n    \"\"\"Gr\u00FC\u00DFe \u65E5\u672C \U0001F389\"\"\"\n\treturn {k: v for k, v in "
      "argv.items() if k != 'x'}  # 12345\r\n\n   \n";
  const Ids ids = tokenizer.encode(text);
  EXPECT_LT(ids.size(), text.size());
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(tokenizer.encode("<|endoftext|>"), (Ids{pith_tokenizer_end_id(tokenizer.handle)}));
}

TEST_F(CodeLmTest, EqualsTheReference) {
  const std::string reference = readFile(folder + "/reference.json");
  if (reference.empty()) {
    std::fprintf(stderr, "WARNING: %s/reference.json is missing: ids go UNCOMPARED\n", folder.c_str());
    GTEST_SKIP() << folder << "/reference.json is missing";
  }
  TestTokenizer tokenizer(json);
  ASSERT_EQ(tokenizer.status, PITH_TOKENIZER_OK) << tokenizer.message;
  const auto file = nlohmann::json::parse(reference);
  int cases = 0;
  for (const auto &entry : file.at("greedy")) {
    EXPECT_EQ(tokenizer.encode(entry.at("prompt")), entry.at("prompt_ids").get<Ids>());
    if (!entry.contains("text"))
      continue;
    const Ids ids = entry.at("output_ids").get<Ids>();
    const std::string text = entry.at("text");
    EXPECT_EQ(tokenizer.decode(ids), text);
    std::string streamed;
    for (const std::string &part : tokenizer.stream(ids))
      streamed += part;
    EXPECT_EQ(streamed, text);
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

} // namespace
