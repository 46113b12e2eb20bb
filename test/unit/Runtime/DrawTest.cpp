//===- DrawTest.cpp - tokens drawn from results, wherever they are --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Where a session draws on a device, the law is `pith_sample_logits`', which always draws on the host.
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"

#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace pith::test;

namespace {

SamplerPtr makeSampler(const pith_sampler_options &options) {
  pith_sampler *made = nullptr;
  Error error;
  EXPECT_EQ(pith_sampler_new(&options, &made, &error), PITH_OK) << error.message;
  return SamplerPtr(made);
}

pith_sampler_options makeOptions(float temperature, uint32_t topK, float topP, float minP, uint64_t seed) {
  pith_sampler_options options = PITH_INIT(pith_sampler_options);
  options.temperature = temperature;
  options.top_k = topK;
  options.top_p = topP;
  options.min_p = minP;
  options.seed = seed;
  return options;
}

/// Of all rows, in this order.
std::vector<int32_t> drawRows(const ResultPtr &result, pith_sampler *sampler,
                              const std::vector<uint32_t> &rows) {
  std::vector<pith_draw> draws(rows.size(), PITH_INIT(pith_draw));
  for (size_t i = 0; i < rows.size(); ++i) {
    draws[i].row = rows[i];
    draws[i].position = 100 + i;
    draws[i].branch = uint32_t(i % 3);
  }
  std::vector<int32_t> tokens(rows.size(), -1);
  Error error;
  EXPECT_EQ(pith_sample(sampler, result.get(), draws.data(), draws.size(), tokens.data(), &error), PITH_OK)
      << error.message;
  return tokens;
}

/// The same from logits that the test knows.
std::vector<int32_t> drawPlainly(const std::vector<std::vector<float>> &logits, pith_sampler *sampler,
                                 const std::vector<uint32_t> &rows) {
  std::vector<int32_t> tokens(rows.size(), -1);
  for (size_t i = 0; i < rows.size(); ++i)
    EXPECT_EQ(pith_sample_logits(sampler, logits[rows[i]].data(), FAKE_VOCAB, nullptr, 0, uint32_t(i % 3),
                                 100 + i, &tokens[i], nullptr),
              PITH_OK);
  return tokens;
}

struct DrawTest : ::testing::Test {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module);
  ResultPtr result = makeResult(session);
  SequencePtr sequence = makeSequence(session);
  std::vector<int32_t> text = someTokens(9);
  std::vector<std::vector<float>> logits; // of its rows

  void SetUp() override {
    step(result, sequence);
    for (size_t i = 1; i <= text.size(); ++i)
      logits.push_back(expectedLogits({text.begin(), text.begin() + long(i)}));
  }
  void step(const ResultPtr &to, const SequencePtr &from, uint32_t flags = 0) {
    pith_lane lane = makeLane(from, text, PITH_ROWS_ALL);
    lane.flags = flags;
    ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, to.get(), &error));
  }
  void expectTheHostsTokens(const ResultPtr &from) {
    const std::vector<uint32_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 3, 0};
    for (uint64_t seed = 0; seed < 20; ++seed)
      for (const pith_sampler_options &options :
           {makeOptions(0, 0, 0, 0, seed), makeOptions(1, 0, 0, 0, seed), makeOptions(0.7f, 5, 0, 0, seed),
            makeOptions(2, 0, 0.9f, 0, seed), makeOptions(3, 0, 0, 0.2f, seed),
            makeOptions(1.5f, 12, 0.8f, 0.05f, seed), makeOptions(1e-30f, 0, 0, 0, seed),
            makeOptions(1e30f, 100, 1, 0, seed), makeOptions(1, 1, 0, 0, seed),
            makeOptions(5, 0, 1e-6f, 0, seed)}) {
        const SamplerPtr sampler = makeSampler(options);
        EXPECT_EQ(drawRows(from, sampler.get(), rows), drawPlainly(logits, sampler.get(), rows))
            << "temperature " << options.temperature << ", top_k " << options.top_k << ", top_p "
            << options.top_p << ", min_p " << options.min_p << ", seed " << seed;
      }
  }
};

TEST_F(DrawTest, EqualsTheHost) { expectTheHostsTokens(result); }

TEST_F(DrawTest, EqualsTheHostWhereTheRowsAreThere) {
  for (size_t row = 0; row < text.size(); row += 2)
    EXPECT_EQ(rowLogits(result, row), logits[row]);
  expectTheHostsTokens(result);
  const SequencePtr scored = makeSequence(session);
  step(result, scored, PITH_LANE_SCORE); // the rows come to the host with the scores
  expectTheHostsTokens(result);
  EXPECT_EQ(rowLogits(result, 4), logits[4]);
}

TEST_F(DrawTest, WhatOnlyTheHostDoes) {
  const std::vector<uint32_t> rows = {5, 0, 8};
  pith_sampler_options typical = makeOptions(1, 0, 0, 0, 3), biased = typical, masked = typical;
  typical.typical_p = 0.5f;
  const int32_t token = 11;
  const float bias = 1000;
  biased.bias_tokens = &token;
  biased.bias_values = &bias;
  biased.bias_count = 1;
  masked.mask = [](void *, const int32_t *, size_t, float *all, size_t vocab) {
    for (size_t i = 0; i < vocab; ++i)
      all[i] = i == 13 ? 0 : -INFINITY;
  };
  const SamplerPtr sampler = makeSampler(typical);
  EXPECT_EQ(drawRows(result, sampler.get(), rows), drawPlainly(logits, sampler.get(), rows));
  EXPECT_EQ(drawRows(result, makeSampler(biased).get(), rows), std::vector<int32_t>(3, 11));
  EXPECT_EQ(drawRows(result, makeSampler(masked).get(), rows), std::vector<int32_t>(3, 13));
}

/// Each holds what its own step computed, and lives longer than its session.
TEST_F(DrawTest, ResultsLiveSideBySide) {
  const std::vector<uint32_t> last = {8};
  const SamplerPtr greedy = makeSampler(PITH_INIT(pith_sampler_options));
  std::vector<ResultPtr> results;
  std::vector<std::vector<float>> expected;
  std::vector<int32_t> longer = text;
  for (int32_t i = 0; i < 5; ++i) {
    results.push_back(makeResult(session));
    const std::vector<int32_t> one = {i};
    const pith_lane lane = makeLane(sequence, one);
    ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, results.back().get(), &error));
    longer.push_back(i);
    expected.push_back(expectedLogits(longer));
  }
  EXPECT_EQ(drawRows(result, greedy.get(), last), drawPlainly(logits, greedy.get(), last));
  ASSERT_PITH_OK(pith_session_trim(session.get(), &error));
  sequence.reset();
  session.reset();
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(drawRows(results[i], greedy.get(), {0}), drawPlainly({expected[i]}, greedy.get(), {0}));
    EXPECT_EQ(rowLogits(results[i], 0), expected[i]);
  }
  EXPECT_EQ(rowLogits(result, 8), logits[8]);
}

/// Reading and drawing wait for other threads' steps.
TEST_F(DrawTest, SeveralThreads) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; ++i)
    threads.emplace_back([this, i] {
      const SequencePtr own = makeSequence(session);
      const ResultPtr results[] = {makeResult(session), makeResult(session)};
      const SamplerPtr sampler = makeSampler(makeOptions(i % 2 ? 1.5f : 0, 0, 0, 0, i));
      std::vector<int32_t> read;
      for (int32_t round = 0; round < 30; ++round) {
        const std::vector<int32_t> one = {(round + int32_t(i)) % FAKE_VOCAB};
        const pith_lane lane = makeLane(own, one);
        const ResultPtr &to = results[round % 2];
        ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, to.get(), &error));
        read.push_back(one[0]);
        const std::vector<std::vector<float>> expected = {expectedLogits(read)};
        EXPECT_EQ(drawRows(to, sampler.get(), {0}), drawPlainly(expected, sampler.get(), {0}));
        if (round % 3 == 0) {
          EXPECT_EQ(rowLogits(to, 0), expected[0]);
        }
      }
    });
  for (std::thread &thread : threads)
    thread.join();
}

/// Of two modules, one of which has no code to draw on a device.
TEST_F(DrawTest, RowsOfTwoModules) {
  const ModulePtr other = loadFake("2");
  pith_module *modules[] = {module.get(), other.get()};
  pith_session_options options = PITH_INIT(pith_session_options);
  options.threads = 1;
  pith_session *made = nullptr;
  ASSERT_PITH_OK(pith_session_new(modules, 2, &options, &made, &error));
  const SessionPtr both(made);
  pith_sequence *handles[2] = {};
  for (int i = 0; i < 2; ++i)
    ASSERT_PITH_OK(pith_sequence_new(both.get(), modules[i], nullptr, &handles[i], &error));
  const SequencePtr sequences[] = {SequencePtr(handles[0]), SequencePtr(handles[1])};
  const pith_lane lanes[] = {makeLane(sequences[1], text), makeLane(sequences[0], text)};
  const ResultPtr results = makeResult(both);
  ASSERT_PITH_OK(pith_step(both.get(), lanes, 2, nullptr, results.get(), &error));
  const std::vector<std::vector<float>> expected = {expectedLogits(text, 99), expectedLogits(text)};
  for (const float temperature : {0.f, 2.f}) {
    const SamplerPtr sampler = makeSampler(makeOptions(temperature, 0, 0, 0, 5));
    for (const std::vector<uint32_t> &rows : std::vector<std::vector<uint32_t>>{{1}, {0}, {1, 0, 1}, {0, 1}})
      EXPECT_EQ(drawRows(results, sampler.get(), rows), drawPlainly(expected, sampler.get(), rows));
  }
  EXPECT_EQ(rowLogits(results, 0), expected[0]);
  EXPECT_EQ(rowLogits(results, 1), expected[1]);
}

TEST_F(DrawTest, AllOrNothing) {
  const SamplerPtr sampler = makeSampler(makeOptions(1, 0, 0, 0, 5));
  pith_draw draws[] = {PITH_INIT(pith_draw), PITH_INIT(pith_draw)};
  draws[1].row = 9;
  int32_t tokens[] = {-7, -7};
  EXPECT_PITH_ERROR(pith_sample(sampler.get(), result.get(), draws, 2, tokens, &error), PITH_ERROR_ARGUMENT,
                    "draw 1: row 9, the result has 9");
  EXPECT_EQ(tokens[0], -7);
  EXPECT_EQ(tokens[1], -7);
}

TEST_F(DrawTest, RowsThatCannotBeDrawnFrom) {
  const struct {
    uint64_t weights;
    const char *words;
  } cases[] = {
      {FAKE_NOT_A_NUMBER, "draw 1: sampling: a logit is not a number or is plus infinity"},
      {FAKE_NOTHING_ALLOWED, "draw 1: sampling: every token is banned: all logits are minus infinity"}};
  for (const auto &[weights, words] : cases) {
    TestFile file;
    std::memcpy(&file.weights[0], &weights, sizeof weights);
    const ModulePtr bad = loadModule(TemporaryFile(file.bytes()).path());
    pith_module *modules[] = {module.get(), bad.get()};
    pith_session *made = nullptr;
    ASSERT_PITH_OK(pith_session_new(modules, 2, nullptr, &made, &error));
    const SessionPtr both(made);
    pith_sequence *handles[2] = {};
    for (int i = 0; i < 2; ++i)
      ASSERT_PITH_OK(pith_sequence_new(both.get(), modules[i], nullptr, &handles[i], &error));
    const SequencePtr good(handles[0]), wrong(handles[1]);
    const pith_lane lanes[] = {makeLane(good, text), makeLane(wrong, text)};
    const ResultPtr results = makeResult(both);
    ASSERT_PITH_OK(pith_step(both.get(), lanes, 2, nullptr, results.get(), &error));
    for (const pith_sampler_options &options : {makeOptions(0, 0, 0, 0, 1), makeOptions(1, 5, 0.9f, 0, 1)}) {
      const SamplerPtr sampler = makeSampler(options);
      pith_draw draws[] = {PITH_INIT(pith_draw), PITH_INIT(pith_draw)};
      draws[1].row = 1;
      int32_t tokens[] = {-7, -7};
      EXPECT_PITH_ERROR(pith_sample(sampler.get(), results.get(), draws, 2, tokens, &error),
                        PITH_ERROR_EXECUTION, words);
      EXPECT_EQ(tokens[0], -7);
    }
  }
}

} // namespace
