//===- ResultTest.cpp - rows, sampling, stop strings ----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace pith::test;

namespace {

struct ResultTest : ::testing::Test {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module);
  ResultPtr result = makeResult(session);
  SequencePtr sequence = makeSequence(session);
  std::vector<int32_t> text = someTokens(12);
  std::vector<float> logits = expectedLogits(text);

  void SetUp() override {
    const pith_lane lane = makeLane(sequence, text);
    ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
  }
  SamplerPtr sampler(const pith_sampler_options &options) {
    pith_sampler *made = nullptr;
    Error error;
    EXPECT_EQ(pith_sampler_new(&options, &made, &error), PITH_OK) << error.message;
    return SamplerPtr(made);
  }
};

TEST_F(ResultTest, LogitsForSomeTokens) {
  const std::vector<int32_t> tokens = {36, 0, 5}, bad = {37};
  float some[3];
  ASSERT_PITH_OK(pith_result_logits_for(result.get(), 0, tokens.data(), 3, some, &error));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(some[i], logits[tokens[i]]);
  EXPECT_PITH_ERROR(pith_result_logits_for(result.get(), 0, bad.data(), 1, some, &error), PITH_ERROR_ARGUMENT,
                    "token 37, expected 0 to 36");
  EXPECT_PITH_ERROR(pith_result_logits_for(result.get(), 1, tokens.data(), 1, some, &error),
                    PITH_ERROR_ARGUMENT, "row 1, the result has 1");
  EXPECT_EQ(pith_result_logits(result.get(), 1), nullptr);
}

TEST_F(ResultTest, TopK) {
  std::vector<int32_t> order(FAKE_VOCAB);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  for (const size_t k : {1, 2, 5, 36, 37}) {
    std::vector<int32_t> tokens(k);
    std::vector<float> logprobs(k);
    ASSERT_PITH_OK(pith_result_top_k(result.get(), 0, k, tokens.data(), logprobs.data(), &error));
    EXPECT_EQ(tokens, std::vector<int32_t>(order.begin(), order.begin() + k));
    for (size_t i = 0; i < k; ++i)
      EXPECT_NEAR(logprobs[i], expectedLogprob(text, tokens[i]), 1e-5);
  }
  int32_t token;
  EXPECT_PITH_ERROR(pith_result_top_k(result.get(), 0, 38, &token, nullptr, &error), PITH_ERROR_ARGUMENT,
                    "38");
  EXPECT_PITH_ERROR(pith_result_top_k(result.get(), 0, 0, &token, nullptr, &error), PITH_ERROR_ARGUMENT,
                    "0 most");
}

TEST_F(ResultTest, LogprobAndConfidence) {
  double entropy = 0;
  for (int32_t token = 0; token < FAKE_VOCAB; ++token) {
    float logprob = 0;
    ASSERT_PITH_OK(pith_result_logprob(result.get(), 0, token, &logprob, &error));
    const double expected = expectedLogprob(text, token);
    EXPECT_NEAR(logprob, expected, 1e-5);
    entropy -= expected * std::exp(expected);
  }
  pith_confidence confidence = PITH_INIT(pith_confidence);
  ASSERT_PITH_OK(pith_result_confidence(result.get(), 0, &confidence, &error));
  std::vector<float> sorted = logits;
  std::sort(sorted.rbegin(), sorted.rend());
  EXPECT_EQ(logits[confidence.token], sorted[0]);
  EXPECT_EQ(confidence.logit_margin, sorted[0] - sorted[1]);
  EXPECT_NEAR(confidence.entropy, entropy, 1e-4);
  EXPECT_NEAR(confidence.probability, std::exp(expectedLogprob(text, confidence.token)), 1e-6);
  EXPECT_GT(confidence.margin, 0);
}

TEST_F(ResultTest, Sampling) {
  pith_draw draw = PITH_INIT(pith_draw);
  int32_t token = -1;
  pith_sampler_options options = PITH_INIT(pith_sampler_options);
  ASSERT_PITH_OK(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error));
  EXPECT_EQ(token, std::max_element(logits.begin(), logits.end()) - logits.begin());

  // The same seed, branch and position draw the same token, wherever the row stands.
  options.temperature = 1;
  options.seed = 3;
  std::vector<int32_t> counts(FAKE_VOCAB);
  for (uint64_t position = 1; position < 2000; ++position) {
    int32_t again = -2;
    draw.position = position;
    ASSERT_PITH_OK(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error));
    ASSERT_PITH_OK(pith_sample_logits(sampler(options).get(), logits.data(), logits.size(), nullptr, 0, 0,
                                      position, &again, &error));
    EXPECT_EQ(token, again);
    ++counts[token];
  }
  for (int32_t i = 0; i < FAKE_VOCAB; ++i)
    EXPECT_NEAR(counts[i] / 2000.0, std::exp(expectedLogprob(text, i)), 0.05);
  draw.position = 0; // the position after the row: token 12
  int32_t explicitly = -2;
  ASSERT_PITH_OK(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error));
  draw.position = 12;
  ASSERT_PITH_OK(pith_sample(sampler(options).get(), result.get(), &draw, 1, &explicitly, &error));
  EXPECT_EQ(token, explicitly);
}

TEST_F(ResultTest, SamplingOptions) {
  pith_draw draw = PITH_INIT(pith_draw);
  draw.sequence = sequence.get();
  pith_sampler_options options = PITH_INIT(pith_sampler_options);
  int32_t token = -1;
  // A mask that leaves one token; it sees the sequence as history.
  size_t seen = 0;
  options.mask_context = &seen;
  options.mask = [](void *context, const int32_t *, size_t count, float *row, size_t vocab) {
    *static_cast<size_t *>(context) = count;
    for (size_t i = 0; i < vocab; ++i)
      if (i != 17)
        row[i] = -INFINITY;
  };
  ASSERT_PITH_OK(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error));
  EXPECT_EQ(token, 17);
  EXPECT_EQ(seen, text.size());
  options.mask = [](void *, const int32_t *, size_t, float *row, size_t vocab) {
    std::fill(row, row + vocab, -INFINITY);
  };
  EXPECT_PITH_ERROR(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error),
                    PITH_ERROR_EXECUTION, "draw 0: sampling");
  options.mask = nullptr;
  const int32_t biased[] = {9};
  const float bias[] = {1000};
  options.bias_tokens = biased;
  options.bias_values = bias;
  options.bias_count = 1;
  ASSERT_PITH_OK(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error));
  EXPECT_EQ(token, 9);
  options.bias_count = 0;
  // A strong penalty on the whole history, then on its last token only.
  options.presence_penalty = 10000;
  ASSERT_PITH_OK(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error));
  EXPECT_EQ(std::count(text.begin(), text.end(), token), 0);

  pith_sampler *made = nullptr;
  const auto refused = [&](auto member, float value, const char *words) {
    pith_sampler_options wrong = PITH_INIT(pith_sampler_options);
    wrong.*member = value;
    EXPECT_PITH_ERROR(pith_sampler_new(&wrong, &made, &error), PITH_ERROR_ARGUMENT, words);
  };
  refused(&pith_sampler_options::temperature, -1, "temperature is -1");
  refused(&pith_sampler_options::temperature, NAN, "temperature is nan");
  refused(&pith_sampler_options::top_p, 1.5, "top_p is 1.5, expected 0 to 1");
  refused(&pith_sampler_options::min_p, -0.5, "min_p");
  refused(&pith_sampler_options::repetition_penalty, -2, "repetition_penalty");
  draw.row = 4;
  options = PITH_INIT(pith_sampler_options);
  EXPECT_PITH_ERROR(pith_sample(sampler(options).get(), result.get(), &draw, 1, &token, &error),
                    PITH_ERROR_ARGUMENT, "draw 0: row 4, the result has 1");
}

TEST_F(ResultTest, FailureEmptiesTheResult) {
  const pith_lane lane = makeLane(sequence, {});
  EXPECT_NE(pith_step(session.get(), &lane, 1, nullptr, result.get(), nullptr), PITH_OK);
  EXPECT_EQ(pith_result_rows(result.get()), 0u);
  EXPECT_EQ(pith_result_lane_rows(result.get(), 0, nullptr), 0u);
}

struct StopsTest : ::testing::Test {
  pith_stops *stops = nullptr;
  ~StopsTest() override { pith_stops_free(stops); }
  void make(const std::vector<std::string> &strings) {
    std::vector<const char *> pointers;
    std::vector<size_t> sizes;
    for (const std::string &string : strings) {
      pointers.push_back(string.data());
      sizes.push_back(string.size());
    }
    ASSERT_PITH_OK(pith_stops_new(pointers.data(), sizes.data(), sizes.size(), &stops, &error));
  }
};

TEST_F(StopsTest, EqualsPlainSearchForEveryCut) {
  const std::vector<std::string> strings = {"he", "she", "his", "hers", "\n\n", "aab"};
  make(strings);
  const std::string text = "ushers aaab\n\nthis she";
  // The first end of any match, the longest string there.
  size_t end = 0, which = 0;
  for (size_t i = 1; i <= text.size() && !end; ++i)
    for (size_t s = 0; s < strings.size(); ++s)
      if (i >= strings[s].size() && text.compare(i - strings[s].size(), strings[s].size(), strings[s]) == 0)
        if (!end || strings[s].size() > strings[which].size()) {
          end = i;
          which = s;
        }
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    uint32_t state = 0;
    size_t held = 99;
    pith_stop_match match = PITH_INIT(pith_stop_match);
    int found = pith_stops_feed(stops, &state, text.data(), cut, &match, &held);
    EXPECT_EQ(found, cut >= end);
    if (!found) {
      EXPECT_LE(held, cut);
      ASSERT_EQ(pith_stops_feed(stops, &state, text.data() + cut, text.size() - cut, &match, &held), 1);
      match.end += cut;
    }
    EXPECT_EQ(match.end, end);
    EXPECT_EQ(match.string, which);
    EXPECT_EQ(match.length, strings[which].size());
    EXPECT_EQ(state, 0u);
  }
}

TEST_F(StopsTest, HeldBytes) {
  make({"</think>", "<|end|>"});
  uint32_t state = 0;
  size_t held = 0;
  EXPECT_EQ(pith_stops_feed(stops, &state, "abc</thi", 8, nullptr, &held), 0);
  EXPECT_EQ(held, 5u);
  EXPECT_EQ(pith_stops_feed(stops, &state, "<|", 2, nullptr, &held), 0);
  EXPECT_EQ(held, 2u);
  EXPECT_EQ(pith_stops_feed(stops, &state, "x", 1, nullptr, &held), 0);
  EXPECT_EQ(held, 0u);
  state = 1000000; // not one of this set's states
  EXPECT_EQ(pith_stops_feed(stops, &state, "</think>", 8, nullptr, &held), 0);
}

TEST_F(StopsTest, EmptyStringsAreRefused) {
  const char *strings[] = {"a", ""};
  const size_t sizes[] = {1, 0};
  EXPECT_PITH_ERROR(pith_stops_new(strings, sizes, 2, &stops, &error), PITH_ERROR_ARGUMENT,
                    "stop string 1 is empty");
}

} // namespace
