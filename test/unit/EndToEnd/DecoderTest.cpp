//===- DecoderTest.cpp - the bundled decoder through the runtime -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// However tokens are given to a sequence (at once, one by one, in chunks, beside other sequences, after a fork), its
// logits are the same but for the order of f32 sums: few rows and many rows go through different loops.
//
//===----------------------------------------------------------------------===//

#include "pith/Driver/Driver.h"
#include "pith/runtime.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstdio>
#include <unistd.h>

namespace {

constexpr float kTolerance = 2e-3f; // logits are up to about 20, sums of 704 products

class Decoder : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    path = ::testing::TempDir() + "pith-decoder-" + std::to_string(getpid()) + ".pith";
    pith::CompileOptions options;
    options.input = PITH_TEST_MODELS_DIR "/code-lm/model.onnx";
    options.output = path;
    std::string log;
    llvm::raw_string_ostream os(log);
    compiled = pith::compile(options, os);
    EXPECT_TRUE(compiled) << log;
  }
  static void TearDownTestSuite() { std::remove(path.c_str()); }

  void SetUp() override {
    ASSERT_TRUE(compiled);
    ASSERT_EQ(pith_module_load(path.c_str(), nullptr, &module, &error), PITH_OK) << error.message;
    pith_session_options options = PITH_INIT(pith_session_options);
    options.threads = 2;
    ASSERT_EQ(pith_session_new(&module, 1, &options, &session, &error), PITH_OK) << error.message;
    ASSERT_EQ(pith_result_new(session, &result, &error), PITH_OK) << error.message;
    pith_step_info info = PITH_INIT(pith_step_info);
    ASSERT_EQ(pith_module_step_info(module, &info, &error), PITH_OK) << error.message;
    vocab = info.vocab;
  }
  void TearDown() override {
    for (pith_sequence *sequence : sequences)
      pith_sequence_free(sequence);
    pith_result_free(result);
    pith_session_free(session);
    pith_module_free(module);
  }

  pith_sequence *sequence() {
    pith_sequence *made = nullptr;
    EXPECT_EQ(pith_sequence_new(session, module, nullptr, &made, &error), PITH_OK) << error.message;
    sequences.push_back(made);
    return made;
  }
  std::vector<int32_t> tokens(size_t count, uint32_t seed) const {
    std::vector<int32_t> list;
    for (size_t i = 0; i < count; ++i)
      list.push_back((seed = seed * 1664525 + 1013904223) / 7 % vocab);
    return list;
  }
  static pith_lane lane(pith_sequence *sequence, const std::vector<int32_t> &tokens, size_t from, size_t count) {
    pith_lane made = PITH_INIT(pith_lane);
    made.sequence = sequence;
    made.tokens = tokens.data() + from;
    made.token_count = count;
    return made;
  }
  /// The last row's logits of a step over `lanes`, one after the other.
  std::vector<std::vector<float>> step(std::vector<pith_lane> lanes, uint32_t chunk = 0) {
    pith_step_options options = PITH_INIT(pith_step_options);
    options.chunk_rows = chunk;
    EXPECT_EQ(pith_step(session, lanes.data(), lanes.size(), &options, result, &error), PITH_OK) << error.message;
    std::vector<std::vector<float>> rows;
    for (size_t row = 0; row < pith_result_rows(result); ++row) {
      const float *logits = pith_result_logits(result, row);
      rows.emplace_back(logits, logits + vocab);
    }
    return rows;
  }
  void expectClose(const std::vector<float> &found, const std::vector<float> &expected, const char *what) {
    ASSERT_EQ(found.size(), expected.size());
    float worst = 0;
    for (size_t i = 0; i < found.size(); ++i)
      worst = std::max(worst, std::fabs(found[i] - expected[i]));
    EXPECT_LE(worst, kTolerance) << what;
    EXPECT_EQ(std::max_element(found.begin(), found.end()) - found.begin(),
              std::max_element(expected.begin(), expected.end()) - expected.begin())
        << what;
  }

  static std::string path;
  static bool compiled;
  pith_module *module = nullptr;
  pith_session *session = nullptr;
  pith_result *result = nullptr;
  std::vector<pith_sequence *> sequences;
  pith_error error = PITH_INIT(pith_error);
  uint32_t vocab = 0;
};
std::string Decoder::path;
bool Decoder::compiled = false;

TEST_F(Decoder, DecodeEqualsRecomputation) {
  std::vector<int32_t> text = tokens(150, 1); // crosses two page borders
  pith_sequence *cached = sequence();
  for (size_t i = 0; i < text.size(); ++i) {
    std::vector<float> logits = step({lane(cached, text, i, 1)})[0];
    if (i % 37 == 0 || i + 1 == text.size())
      expectClose(logits, step({lane(sequence(), text, 0, i + 1)})[0], "token by token against all at once");
  }
}

TEST_F(Decoder, ChunksEqualOneStep) {
  std::vector<int32_t> text = tokens(700, 2); // more than the code takes at once
  std::vector<float> whole = step({lane(sequence(), text, 0, text.size())})[0];
  for (uint32_t chunk : {1u, 7u, 64u, 100u, 512u})
    expectClose(step({lane(sequence(), text, 0, text.size())}, chunk)[0], whole, "chunks");
}

TEST_F(Decoder, BatchEqualsAlone) {
  // A long prompt, a decode step, a short prompt and three rows to verify, all in one step.
  const size_t past[] = {0, 130, 0, 63}, fresh[] = {90, 1, 5, 3};
  std::vector<std::vector<int32_t>> texts;
  std::vector<std::vector<float>> alone;
  std::vector<pith_lane> lanes;
  for (size_t i = 0; i < 4; ++i) {
    texts.push_back(tokens(past[i] + fresh[i], 10 + i));
    alone.push_back(step({lane(sequence(), texts[i], 0, texts[i].size())})[0]);
  }
  for (size_t i = 0; i < 4; ++i) {
    pith_sequence *made = sequence();
    if (past[i])
      step({lane(made, texts[i], 0, past[i])});
    lanes.push_back(lane(made, texts[i], past[i], fresh[i]));
  }
  std::vector<std::vector<float>> together = step(lanes);
  ASSERT_EQ(together.size(), 4u);
  for (size_t i = 0; i < 4; ++i)
    expectClose(together[i], alone[i], "in a batch against alone");
}

TEST_F(Decoder, ForkAndTruncate) {
  std::vector<int32_t> text = tokens(100, 3), other = tokens(20, 4);
  pith_sequence *trunk = sequence();
  step({lane(trunk, text, 0, 80)});
  pith_sequence *branch = nullptr;
  ASSERT_EQ(pith_sequence_fork(trunk, 70, 1, &branch, &error), PITH_OK) << error.message;
  sequences.push_back(branch);
  std::vector<float> branched = step({lane(branch, other, 0, 20)})[0];
  std::vector<float> continued = step({lane(trunk, text, 80, 20)})[0];
  std::vector<int32_t> joined(text.begin(), text.begin() + 70);
  joined.insert(joined.end(), other.begin(), other.end());
  expectClose(branched, step({lane(sequence(), joined, 0, joined.size())})[0], "the branch");
  expectClose(continued, step({lane(sequence(), text, 0, text.size())})[0], "the trunk");
  ASSERT_EQ(pith_sequence_truncate(trunk, 70, &error), PITH_OK) << error.message;
  expectClose(step({lane(trunk, other, 0, 20)})[0], branched, "the trunk, truncated and continued as the branch");
}

} // namespace
