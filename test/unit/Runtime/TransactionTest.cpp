//===- TransactionTest.cpp - forks, limits, failures ----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"

#include <atomic>
#include <chrono>
#include <thread>

using namespace pith::test;

namespace {

struct TransactionTest : ::testing::Test {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module);
  ResultPtr result = makeResult(session);

  pith_status step(std::vector<pith_lane> lanes, pith_error *error = nullptr,
                   const pith_step_options *options = nullptr) {
    return pith_step(session.get(), lanes.data(), lanes.size(), options, result.get(), error);
  }
  SequencePtr fork(const SequencePtr &sequence, size_t at) {
    pith_sequence *made = nullptr;
    EXPECT_EQ(pith_sequence_fork(sequence.get(), at, 1, &made, nullptr), PITH_OK);
    return SequencePtr(made);
  }
  /// Steps one token and compares with the reference.
  void checkNext(const SequencePtr &sequence, int32_t token) {
    std::vector<int32_t> text = tokensOf(sequence);
    text.push_back(token);
    ASSERT_PITH_OK(step({makeLane(sequence, {token})}, &error));
    EXPECT_EQ(rowLogits(result, 0), expectedLogits(text));
  }
};

TEST_F(TransactionTest, ForkSharesPagesUntilDivergence) {
  for (const size_t at : {0, 1, 15, 16, 17, 32, 39, 40}) {
    const SequencePtr trunk = makeSequence(session);
    const std::vector<int32_t> tokens = someTokens(40);
    ASSERT_PITH_OK(step({makeLane(trunk, tokens)}, &error));
    const uint64_t pages = memoryOf(session).pages_used, copied = statsOf(session).pages_copied;
    const SequencePtr branch = fork(trunk, at);
    EXPECT_EQ(memoryOf(session).pages_used, pages);
    EXPECT_EQ(tokensOf(branch), std::vector<int32_t>(tokens.begin(), tokens.begin() + at));
    EXPECT_EQ(memoryOf(session).pages_shared, (at + 15) / 16);
    checkNext(branch, 3);
    EXPECT_EQ(statsOf(session).pages_copied - copied, at % 16 ? 1u : 0u) << at;
    checkNext(trunk, 4);
    checkNext(branch, 5);
    checkNext(trunk, 6);
    EXPECT_EQ(statsOf(session).pages_copied - copied, at % 16 ? 1u : 0u) << at;
  }
  EXPECT_EQ(memoryOf(session).pages_used, 0u);
}

TEST_F(TransactionTest, BranchesStepTogether) {
  const SequencePtr trunk = makeSequence(session);
  const std::vector<int32_t> tokens = someTokens(21);
  ASSERT_PITH_OK(step({makeLane(trunk, tokens)}, &error));
  pith_sequence *made[3] = {};
  ASSERT_PITH_OK(pith_sequence_fork(trunk.get(), 21, 3, made, &error));
  const SequencePtr a(made[0]), b(made[1]), c(made[2]);
  const std::vector<int32_t> one = {1}, two = {2}, three = {3};
  ASSERT_PITH_OK(
      step({makeLane(a, one), makeLane(b, two), makeLane(c, three), makeLane(trunk, one)}, &error));
  for (int32_t i = 0; i < 4; ++i) {
    std::vector<int32_t> text = tokens;
    text.push_back(i == 3 ? 1 : i + 1);
    EXPECT_EQ(rowLogits(result, i), expectedLogits(text));
  }
  EXPECT_PITH_ERROR(pith_sequence_fork(trunk.get(), 23, 3, made, &error), PITH_ERROR_ARGUMENT,
                    "fork at token 23 of a sequence of 22");
}

TEST_F(TransactionTest, TruncateThenAppendEqualsNeverTruncated) {
  for (const size_t keep : {0, 1, 15, 16, 17, 31, 32}) {
    const SequencePtr sequence = makeSequence(session);
    ASSERT_PITH_OK(step({makeLane(sequence, someTokens(50))}, &error));
    const SequencePtr witness = fork(sequence, 50);
    ASSERT_PITH_OK(pith_sequence_truncate(sequence.get(), keep, &error));
    EXPECT_EQ(pith_sequence_length(sequence.get()), keep);
    checkNext(sequence, 9);
    checkNext(witness, 8);
  }
  const SequencePtr sequence = makeSequence(session);
  EXPECT_PITH_ERROR(pith_sequence_truncate(sequence.get(), 1, &error), PITH_ERROR_ARGUMENT, "truncate to 1");
}

TEST_F(TransactionTest, PageLimitLeavesEverythingAsItWas) {
  // Room for five pages.
  session = makeSession(module, 2, 5 * testPageBytes);
  result = makeResult(session);
  const SequencePtr a = makeSequence(session), b = makeSequence(session);
  ASSERT_PITH_OK(step({makeLane(a, someTokens(20))}, &error)); // two pages
  const SequencePtr c = fork(a, 18);                           // none
  const std::vector<int32_t> text = someTokens(20);
  const std::vector<int32_t> longText = someTokens(60), shortText = {1, 2};
  // The copy of c's last page and two pages for b fit, four for b do not.
  EXPECT_PITH_ERROR(step({makeLane(c, shortText), makeLane(b, longText)}, &error), PITH_ERROR_LIMIT,
                    "lane 1: the page limit of " + std::to_string(5 * testPageBytes) + " bytes is reached");
  EXPECT_EQ(pith_result_rows(result.get()), 0u);
  EXPECT_EQ(tokensOf(a), text);
  EXPECT_EQ(pith_sequence_length(b.get()), 0u);
  EXPECT_EQ(pith_sequence_length(c.get()), 18u);
  EXPECT_EQ(memoryOf(session).pages_used, 2u);
  EXPECT_EQ(memoryOf(session).pages_shared, 2u);
  EXPECT_LE(memoryOf(session).page_bytes_used + memoryOf(session).page_bytes_free, 5 * testPageBytes);
  char reason[200];
  EXPECT_GT(pith_session_explain(session.get(), reason, sizeof reason), 0u);
  EXPECT_NE(std::string(reason).find("page limit"), std::string::npos);
  checkNext(c, 7);
  checkNext(a, 8);
  EXPECT_PITH_ERROR(pith_sequence_reserve(b.get(), 200, &error), PITH_ERROR_LIMIT, "page limit");
  EXPECT_EQ(memoryOf(session).pages_used, 3u);
  ASSERT_PITH_OK(pith_session_trim(session.get(), &error));
  expectTrimmed(session, 0);
  checkNext(a, 1);
}

TEST_F(TransactionTest, PositionsEnd) {
  const SequencePtr sequence = makeSequence(session);
  ASSERT_PITH_OK(step({makeLane(sequence, someTokens(599))}, &error));
  EXPECT_PITH_ERROR(step({makeLane(sequence, {1, 2})}, &error), PITH_ERROR_LIMIT,
                    "2 tokens after 599 exceed the 600 positions");
  checkNext(sequence, 1);
  EXPECT_PITH_ERROR(step({makeLane(sequence, {1})}, &error), PITH_ERROR_LIMIT, "600 positions");
  EXPECT_PITH_ERROR(pith_sequence_reserve(sequence.get(), 601, &error), PITH_ERROR_LIMIT, "600 positions");
}

TEST_F(TransactionTest, ProgressCancelsAtEveryChunk) {
  const SequencePtr sequence = makeSequence(session), other = makeSequence(session);
  const std::vector<int32_t> before = someTokens(21), added = someTokens(100, 7), one = {4};
  ASSERT_PITH_OK(step({makeLane(sequence, before)}, &error));
  const SequencePtr witness = fork(sequence, 21);
  struct Watch {
    size_t stopAfter, calls, last, total;
  };
  pith_step_options options = PITH_INIT(pith_step_options);
  options.chunk_rows = 10;
  options.progress = [](void *context, size_t done, size_t total) {
    Watch &watch = *static_cast<Watch *>(context);
    EXPECT_GT(done, watch.last);
    watch.last = done;
    watch.total = total;
    return int(++watch.calls == watch.stopAfter);
  };
  for (size_t stopAfter = 1; stopAfter <= 11; ++stopAfter) {
    Watch watch = {stopAfter, 0, 0, 0};
    options.progress_context = &watch;
    EXPECT_PITH_ERROR(step({makeLane(other, one), makeLane(sequence, added)}, &error, &options),
                      PITH_ERROR_CANCELLED, "of 101 rows");
    EXPECT_EQ(watch.total, 101u);
    EXPECT_EQ(tokensOf(sequence), before);
    EXPECT_EQ(pith_sequence_length(other.get()), 0u);
    EXPECT_EQ(memoryOf(session).pages_used, 2u);
  }
  Watch watch = {0, 0, 0, 0};
  options.progress_context = &watch;
  ASSERT_PITH_OK(step({makeLane(sequence, added)}, &error, &options));
  EXPECT_EQ(watch.calls, 10u);
  checkNext(sequence, 3);
  checkNext(witness, 3);
}

TEST_F(TransactionTest, CancelFromAnotherThread) {
  const SequencePtr sequence = makeSequence(session);
  pith_session_cancel(session.get()); // nothing runs: no effect
  checkNext(sequence, 1);
  pith_step_options options = PITH_INIT(pith_step_options);
  options.chunk_rows = 1;
  std::atomic<bool> running{false};
  options.progress_context = &running;
  options.progress = [](void *context, size_t, size_t) {
    *static_cast<std::atomic<bool> *>(context) = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return 0;
  };
  std::thread canceller([&] {
    while (!running)
      std::this_thread::yield();
    pith_session_cancel(session.get());
  });
  EXPECT_PITH_ERROR(step({makeLane(sequence, someTokens(590))}, &error, &options), PITH_ERROR_CANCELLED,
                    "cancelled");
  canceller.join();
  EXPECT_EQ(pith_sequence_length(sequence.get()), 1u);
  checkNext(sequence, 2);
  EXPECT_EQ(statsOf(session).failed, 1u);
}

TEST_F(TransactionTest, RecycledPagesAreClean) {
  // A page that held something else must not show it behind a sequence's end.
  { // fill and free
    const SequencePtr sequence = makeSequence(session);
    ASSERT_PITH_OK(step({makeLane(sequence, someTokens(64))}, &error));
  }
  EXPECT_EQ(memoryOf(session).page_bytes_free, 4 * testPageBytes);
  const SequencePtr sequence = makeSequence(session);
  checkNext(sequence, 1);
  EXPECT_EQ(statsOf(session).pages_recycled, 1u);
}

TEST_F(TransactionTest, MemoryDoesNotDependOnTheMaximum) {
  uint64_t bytes = 0;
  for (const char *positions : {"\"positions\":101", "\"positions\":2147483647", "\"positions\":0"}) {
    TestFile file;
    file.manifest = fakeManifest("\"positions\":600", positions);
    const ModulePtr large = loadModule(TemporaryFile(file.bytes()).path());
    session = makeSession(large, 2);
    result = makeResult(session);
    const SequencePtr sequence = makeSequence(session);
    ASSERT_PITH_OK(step({makeLane(sequence, someTokens(100))}, &error));
    const pith_memory memory = memoryOf(session);
    EXPECT_EQ(memory.pages_used, 7u);
    const uint64_t all = memory.page_bytes_used + memory.page_bytes_free + memory.workspace_bytes;
    EXPECT_TRUE(!bytes || all == bytes) << all << " bytes, " << bytes << " with another maximum";
    bytes = all;
  }
}

TEST_F(TransactionTest, MemoryGrowsWithUse) {
  const SequencePtr sequence = makeSequence(session);
  EXPECT_EQ(memoryOf(session).pages_used, 0u);
  for (size_t i = 0; i < 100; ++i) {
    ASSERT_PITH_OK(step({makeLane(sequence, {1}, PITH_ROWS_NONE)}, &error));
    EXPECT_EQ(memoryOf(session).pages_used, i / 16 + 1);
  }
  EXPECT_EQ(memoryOf(session).weights_bytes, 5000u);
  EXPECT_EQ(memoryOf(session).sequences, 1u);
}

} // namespace
