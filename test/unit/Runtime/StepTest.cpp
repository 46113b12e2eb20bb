//===- StepTest.cpp - steps against a plain reference ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"

#include <atomic>
#include <thread>

using namespace pith::test;

extern std::atomic<size_t> heapAllocations; // AllocationCount.cpp

namespace {

struct StepTest : ::testing::TestWithParam<uint32_t> {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module, GetParam());
  ResultPtr result = makeResult(session);

  pith_status step(std::vector<pith_lane> lanes, pith_error *error = nullptr,
                   const pith_step_options *options = nullptr) {
    return pith_step(session.get(), lanes.data(), lanes.size(), options, result.get(), error);
  }
};

INSTANTIATE_TEST_SUITE_P(Threads, StepTest, ::testing::Values(1u, 2u, 4u));

TEST_P(StepTest, ChunkedPrefillEqualsReference) {
  for (const size_t count : {1, 15, 16, 17, 23, 24, 25, 48, 49, 100, 600}) {
    const SequencePtr sequence = makeSequence(session);
    const std::vector<int32_t> tokens = someTokens(count);
    ASSERT_PITH_OK(step({makeLane(sequence, tokens)}, &error));
    ASSERT_EQ(pith_result_rows(result.get()), 1u);
    EXPECT_EQ(rowLogits(result, 0), expectedLogits(tokens)) << count;
    EXPECT_EQ(tokensOf(sequence), tokens);
  }
}

TEST_P(StepTest, OneByOneEqualsAllAtOnce) {
  const SequencePtr all = makeSequence(session), single = makeSequence(session);
  const std::vector<int32_t> tokens = someTokens(70);
  ASSERT_PITH_OK(step({makeLane(all, tokens, PITH_ROWS_ALL)}, &error));
  ASSERT_EQ(pith_result_rows(result.get()), tokens.size());
  std::vector<std::vector<float>> rows;
  for (size_t i = 0; i < tokens.size(); ++i)
    rows.push_back(rowLogits(result, i));
  for (size_t i = 0; i < tokens.size(); ++i) {
    ASSERT_PITH_OK(step({makeLane(single, {tokens[i]})}, &error));
    EXPECT_EQ(rowLogits(result, 0), rows[i]) << i;
  }
}

TEST_P(StepTest, BatchEqualsEachAlone) {
  // Prompts, single tokens and lanes without logits in one step; more rows than a chunk takes.
  const std::vector<size_t> pasts = {0, 40, 3, 0, 16, 31, 0}, counts = {50, 1, 1, 7, 30, 2, 1};
  const std::vector<pith_rows> wanted = {PITH_ROWS_LAST, PITH_ROWS_LAST, PITH_ROWS_NONE, PITH_ROWS_ALL,
                                         PITH_ROWS_LIST, PITH_ROWS_ALL,  PITH_ROWS_LAST};
  const std::vector<uint32_t> list = {0, 7, 29};
  std::vector<SequencePtr> sequences;
  std::vector<std::vector<int32_t>> before, added;
  std::vector<pith_lane> lanes;
  for (size_t i = 0; i < pasts.size(); ++i) {
    sequences.push_back(makeSequence(session));
    before.push_back(someTokens(pasts[i], 10 + i));
    added.push_back(someTokens(counts[i], 20 + i));
    if (pasts[i])
      ASSERT_PITH_OK(step({makeLane(sequences[i], before[i])}, &error));
  }
  for (size_t i = 0; i < pasts.size(); ++i) {
    lanes.push_back(makeLane(sequences[i], added[i], wanted[i]));
    lanes.back().row_list = list.data();
    lanes.back().row_count = list.size();
  }
  ASSERT_PITH_OK(step(lanes, &error));
  ASSERT_EQ(pith_result_rows(result.get()), 1u + 1 + 0 + 7 + 3 + 2 + 1);
  for (size_t i = 0; i < lanes.size(); ++i) {
    size_t first = 0;
    const size_t count = pith_result_lane_rows(result.get(), i, &first);
    for (size_t j = 0; j < count; ++j) {
      const size_t row = wanted[i] == PITH_ROWS_LIST  ? list[j]
                         : wanted[i] == PITH_ROWS_ALL ? j
                                                      : counts[i] - 1;
      std::vector<int32_t> text = before[i];
      text.insert(text.end(), added[i].begin(), added[i].begin() + row + 1);
      EXPECT_EQ(rowLogits(result, first + j), expectedLogits(text)) << "lane " << i << " row " << row;
    }
  }
  EXPECT_EQ(pith_result_lane_rows(result.get(), lanes.size(), nullptr), 0u);
}

TEST_P(StepTest, ScoresEqualReference) {
  const SequencePtr sequence = makeSequence(session), other = makeSequence(session);
  const std::vector<int32_t> tokens = someTokens(90), noise = someTokens(40, 5);
  pith_lane scored = makeLane(sequence, tokens, PITH_ROWS_LAST);
  scored.flags = PITH_LANE_SCORE;
  ASSERT_PITH_OK(step({makeLane(other, noise, PITH_ROWS_ALL), scored}, &error));
  size_t count = 0;
  const float *scores = pith_result_scores(result.get(), 1, &count);
  ASSERT_EQ(count, tokens.size() - 1);
  for (size_t i = 0; i < count; ++i)
    EXPECT_NEAR(scores[i], expectedLogprob({tokens.begin(), tokens.begin() + i + 1}, tokens[i + 1]), 1e-4);
  EXPECT_EQ(pith_result_scores(result.get(), 0, &count), nullptr);
  EXPECT_EQ(rowLogits(result, 40), expectedLogits(tokens));
  EXPECT_EQ(rowLogits(result, 39), expectedLogits(noise));

  const pith_memory before = memoryOf(session);
  std::vector<float> again(30);
  ASSERT_PITH_OK(pith_sequence_score(sequence.get(), 41, 71, again.data(), &error));
  for (size_t i = 0; i < again.size(); ++i)
    EXPECT_NEAR(again[i], expectedLogprob({tokens.begin(), tokens.begin() + 41 + i}, tokens[41 + i]), 1e-4);
  EXPECT_EQ(tokensOf(sequence), tokens);
  EXPECT_EQ(memoryOf(session).pages_used, before.pages_used);
  ASSERT_PITH_OK(pith_sequence_score(sequence.get(), 5, 5, nullptr, &error));
  EXPECT_PITH_ERROR(pith_sequence_score(sequence.get(), 0, 5, again.data(), &error), PITH_ERROR_ARGUMENT,
                    "1 <= from");
  EXPECT_PITH_ERROR(pith_sequence_score(sequence.get(), 5, 91, again.data(), &error), PITH_ERROR_ARGUMENT,
                    "<= 90");
}

TEST_P(StepTest, CatchUp) {
  const SequencePtr sequence = makeSequence(session);
  std::vector<int32_t> text = someTokens(60);
  const auto check = [&] {
    ASSERT_PITH_OK(pith_sequence_catch_up(sequence.get(), text.data(), text.size(), &error));
    EXPECT_EQ(tokensOf(sequence), text);
    std::vector<int32_t> next = {3};
    ASSERT_PITH_OK(step({makeLane(sequence, next)}, &error));
    std::vector<int32_t> whole = text;
    whole.push_back(3);
    EXPECT_EQ(rowLogits(result, 0), expectedLogits(whole));
  };
  check();
  text.resize(20); // shorter
  check();
  text[18] = (text[18] + 1) % FAKE_VOCAB; // different, within a page
  text.push_back(1);
  check();
  text.clear();
  check();
}

TEST_P(StepTest, NoAllocationInDecodeAfterWarmUp) {
  const SequencePtr a = makeSequence(session), b = makeSequence(session);
  ASSERT_PITH_OK(step({makeLane(a, someTokens(33)), makeLane(b, someTokens(50))}, &error));
  ASSERT_PITH_OK(pith_sequence_reserve(a.get(), 600, &error));
  ASSERT_PITH_OK(pith_sequence_reserve(b.get(), 600, &error));
  const std::vector<int32_t> one = {7};
  const pith_lane lanes[] = {makeLane(a, one), makeLane(b, one)};
  pith_draw draw = PITH_INIT(pith_draw);
  draw.sequence = a.get();
  pith_sampler *made = nullptr;
  ASSERT_PITH_OK(pith_sampler_new(nullptr, &made, &error));
  const SamplerPtr sampler(made);
  size_t before = 0;
  for (int i = 0; i < 200; ++i) {
    if (i == 3)
      before = heapAllocations;
    int32_t token = -1;
    ASSERT_EQ(pith_step(session.get(), lanes, 2, nullptr, result.get(), nullptr), PITH_OK);
    ASSERT_EQ(pith_sample(sampler.get(), result.get(), &draw, 1, &token, nullptr), PITH_OK);
  }
  EXPECT_EQ(heapAllocations, before);
}

TEST_P(StepTest, WrongLanes) {
  const SequencePtr sequence = makeSequence(session), stranger = makeSequence(makeSession(module));
  const std::vector<int32_t> good = someTokens(3), bad = {1, 37}, negative = {-1}, none;
  EXPECT_PITH_ERROR(step({makeLane(sequence, good), makeLane(stranger, good)}, &error), PITH_ERROR_ARGUMENT,
                    "lane 1: its sequence belongs to another session");
  EXPECT_PITH_ERROR(step({makeLane(sequence, good), makeLane(sequence, good)}, &error), PITH_ERROR_ARGUMENT,
                    "lane 1: its sequence has an earlier lane");
  EXPECT_PITH_ERROR(step({makeLane(sequence, bad)}, &error), PITH_ERROR_ARGUMENT,
                    "token 1 is 37, expected 0 to 36");
  EXPECT_PITH_ERROR(step({makeLane(sequence, negative)}, &error), PITH_ERROR_ARGUMENT, "token 0 is -1");
  EXPECT_PITH_ERROR(step({makeLane(sequence, none)}, &error), PITH_ERROR_ARGUMENT, "no tokens");
  pith_lane lane = makeLane(sequence, good, PITH_ROWS_LIST);
  const uint32_t unsorted[] = {1, 1}, outside[] = {3};
  lane.row_list = unsorted;
  lane.row_count = 2;
  EXPECT_PITH_ERROR(step({lane}, &error), PITH_ERROR_ARGUMENT, "row_list[1] is 1");
  lane.row_list = outside;
  lane.row_count = 1;
  EXPECT_PITH_ERROR(step({lane}, &error), PITH_ERROR_ARGUMENT, "row_list[0] is 3");
  lane = makeLane(sequence, good);
  EXPECT_PITH_ERROR(pith_step(session.get(), &lane, 1, nullptr, nullptr, &error), PITH_ERROR_ARGUMENT,
                    "result is null");
  lane.kv_mode = PITH_KV_WRITE_FOR_LANE;
  EXPECT_PITH_ERROR(step({lane}, &error), PITH_ERROR_UNSUPPORTED, "kv_mode");
  lane = makeLane(sequence, good);
  lane.struct_size = 0;
  EXPECT_PITH_ERROR(step({lane}, &error), PITH_ERROR_ARGUMENT, "struct_size 0");
  EXPECT_EQ(pith_sequence_length(sequence.get()), 0u);
  EXPECT_EQ(memoryOf(session).pages_used, 0u);
  ASSERT_PITH_OK(pith_step(session.get(), nullptr, 0, nullptr, nullptr, &error)); // no lanes: nothing to do
}

TEST(SessionTest, SeveralModulesShareAStep) {
  const ModulePtr first = loadFake(), second = loadFake("2");
  pith_module *list[] = {first.get(), second.get()};
  pith_session *made = nullptr;
  ASSERT_PITH_OK(pith_session_new(list, 2, nullptr, &made, &error));
  const SessionPtr session(made);
  const ResultPtr result = makeResult(session);
  pith_sequence *one = nullptr, *two = nullptr;
  EXPECT_PITH_ERROR(pith_sequence_new(session.get(), nullptr, nullptr, &one, &error), PITH_ERROR_ARGUMENT,
                    "2 of the session's modules");
  ASSERT_PITH_OK(pith_sequence_new(session.get(), first.get(), nullptr, &one, &error));
  ASSERT_PITH_OK(pith_sequence_new(session.get(), second.get(), nullptr, &two, &error));
  const SequencePtr a(one), b(two), c = [&] {
    pith_sequence *three = nullptr;
    pith_sequence_new(session.get(), first.get(), nullptr, &three, nullptr);
    return SequencePtr(three);
  }();
  const std::vector<int32_t> tokens = someTokens(30);
  const pith_lane lanes[] = {makeLane(a, tokens), makeLane(b, tokens), makeLane(c, tokens)};
  ASSERT_PITH_OK(pith_step(session.get(), lanes, 3, nullptr, result.get(), &error));
  EXPECT_EQ(rowLogits(result, 0), expectedLogits(tokens));
  EXPECT_EQ(rowLogits(result, 1), expectedLogits(tokens, 99));
  EXPECT_EQ(rowLogits(result, 2), expectedLogits(tokens));
}

TEST(SessionTest, SessionsRunInParallelAndShareThreads) {
  const ModulePtr module = loadFake();
  pith_thread_pool *pool = nullptr;
  ASSERT_PITH_OK(pith_thread_pool_new(2, &pool, &error));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      pith_session_options options = PITH_INIT(pith_session_options);
      options.threads = 2;
      if (i % 2) {
        options.pool = pool;
        options.threads = 0;
      }
      pith_session *made = nullptr;
      pith_module *list[] = {module.get()};
      if (pith_session_new(list, 1, &options, &made, nullptr) != PITH_OK)
        return void(++wrong);
      const SessionPtr session(made);
      const ResultPtr result = makeResult(session);
      for (int round = 0; round < 20; ++round) {
        const SequencePtr sequence = makeSequence(session);
        const std::vector<int32_t> tokens = someTokens(20 + round, i);
        const pith_lane lane = makeLane(sequence, tokens);
        wrong += pith_step(session.get(), &lane, 1, nullptr, result.get(), nullptr) != PITH_OK ||
                 rowLogits(result, 0) != expectedLogits(tokens);
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  pith_thread_pool_free(pool);
  EXPECT_EQ(wrong, 0);
}

TEST(SessionTest, ThreadsOfOneSessionTakeTurns) {
  const ModulePtr module = loadFake();
  const SessionPtr session = makeSession(module);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      const ResultPtr result = makeResult(session);
      for (int round = 0; round < 20; ++round) {
        const SequencePtr sequence = makeSequence(session);
        const std::vector<int32_t> tokens = someTokens(20 + round, i);
        const pith_lane lane = makeLane(sequence, tokens);
        wrong += pith_step(session.get(), &lane, 1, nullptr, result.get(), nullptr) != PITH_OK ||
                 rowLogits(result, 0) != expectedLogits(tokens) || tokensOf(sequence) != tokens;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(memoryOf(session).pages_used, 0u);
}

TEST(SessionTest, HandlesMayBeFreedInAnyOrder) {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module);
  const SequencePtr sequence = makeSequence(session);
  const ResultPtr result = makeResult(session);
  const std::vector<int32_t> tokens = someTokens(5);
  const pith_lane lane = makeLane(sequence, tokens);
  ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
  module.reset();
  session.reset();
  EXPECT_EQ(pith_sequence_length(sequence.get()), 5u);
  std::vector<float> scores(4);
  ASSERT_PITH_OK(pith_sequence_score(sequence.get(), 1, 5, scores.data(), &error));
  EXPECT_EQ(rowLogits(result, 0), expectedLogits(tokens));
}

} // namespace
