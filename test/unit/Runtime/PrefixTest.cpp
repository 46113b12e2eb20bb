//===- PrefixTest.cpp - cached prefixes -----------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"

#include <chrono>
#include <thread>

using namespace pith::test;

namespace {

using Tokens = std::vector<int32_t>;

struct PrefixTest : ::testing::Test {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module);
  ResultPtr result = makeResult(session);

  void restart(uint64_t limitPages) {
    result.reset();
    session = makeSession(module, 1, limitPages * testPageBytes);
    result = makeResult(session);
  }
  SequencePtr salted(const char *salt) {
    pith_sequence_options options = PITH_INIT(pith_sequence_options);
    options.salt = salt;
    pith_sequence *made = nullptr;
    EXPECT_EQ(pith_sequence_new(session.get(), nullptr, &options, &made, nullptr), PITH_OK);
    return SequencePtr(made);
  }
  pith_status step(const SequencePtr &sequence, const Tokens &tokens, pith_error *error = nullptr) {
    const pith_lane lane = makeLane(sequence, tokens);
    return pith_step(session.get(), &lane, 1, nullptr, result.get(), error);
  }
  SequencePtr filled(const Tokens &tokens) {
    SequencePtr sequence = makeSequence(session);
    EXPECT_EQ(step(sequence, tokens), PITH_OK);
    return sequence;
  }
  size_t match(const SequencePtr &sequence, const Tokens &tokens) {
    size_t hit = 999;
    Error error;
    EXPECT_EQ(pith_sequence_match(sequence.get(), tokens.data(), tokens.size(), &hit, &error), PITH_OK)
        << error.message;
    EXPECT_EQ(tokensOf(sequence), Tokens(tokens.begin(), tokens.begin() + std::min(hit, tokens.size())));
    return hit;
  }
  size_t hitOf(const Tokens &tokens) { return match(makeSequence(session), tokens); }
  void checkNext(const SequencePtr &sequence, int32_t token) {
    Tokens text = tokensOf(sequence);
    text.push_back(token);
    ASSERT_PITH_OK(step(sequence, {token}, &error));
    EXPECT_EQ(rowLogits(result, 0), expectedLogits(text));
  }
  std::string explanation() {
    std::string text(pith_session_explain(session.get(), nullptr, 0) + 1, '\0');
    pith_session_explain(session.get(), &text[0], text.size());
    text.pop_back();
    return text;
  }
};

TEST_F(PrefixTest, FreedTextsAreFoundToTheToken) {
  restart(100);
  const Tokens text = someTokens(41);
  filled(text).reset();
  EXPECT_EQ(memoryOf(session).pages_used, 0u);
  EXPECT_EQ(memoryOf(session).pages_cached, 3u);
  for (const size_t same : {1, 15, 16, 17, 31, 32, 40, 41}) {
    Tokens wanted(text.begin(), text.begin() + same);
    const SequencePtr whole = makeSequence(session);
    EXPECT_EQ(match(whole, wanted), same); // all of it
    wanted.push_back(same < text.size() ? (text[same] + 1) % FAKE_VOCAB : 3);
    wanted.push_back(5);
    const SequencePtr other = makeSequence(session);
    EXPECT_EQ(match(other, wanted), same); // up to where it differs
    checkNext(whole, 7);
    checkNext(other, 8);
  }
  const SequencePtr again = makeSequence(session);
  EXPECT_EQ(match(again, text), 41u); // what was written after the matches did not touch it
  checkNext(again, 9);
  EXPECT_EQ(hitOf({}), 0u);
}

TEST_F(PrefixTest, LivingTextsAreFoundAndGoOn) {
  const Tokens text = someTokens(20);
  const SequencePtr live = filled(text);
  const uint64_t pages = memoryOf(session).pages_used;
  const SequencePtr other = makeSequence(session);
  EXPECT_EQ(match(other, text), 20u);
  EXPECT_EQ(memoryOf(session).pages_used, pages);
  checkNext(live, 1);
  checkNext(other, 2);
  checkNext(live, 3);
  EXPECT_EQ(statsOf(session).pages_copied, 1u);
}

TEST_F(PrefixTest, OverwrittenTextsStayCached) {
  const Tokens text = someTokens(50);
  const SequencePtr sequence = filled(text);
  ASSERT_PITH_OK(pith_sequence_truncate(sequence.get(), 20, &error));
  const Tokens other = someTokens(20, 9);
  ASSERT_PITH_OK(step(sequence, other, &error));
  EXPECT_EQ(hitOf(text), 48u); // the full pages; the last, partial one was dropped by truncate
  const SequencePtr again = makeSequence(session);
  match(again, text);
  checkNext(again, 4);
}

TEST_F(PrefixTest, AtTheLimitAnOwnPageIsOverwritten) {
  restart(4);
  const Tokens text = someTokens(64);
  const SequencePtr sequence = filled(text);
  ASSERT_PITH_OK(pith_sequence_truncate(sequence.get(), 60, &error));
  checkNext(sequence, (text[60] + 1) % FAKE_VOCAB);
  EXPECT_EQ(hitOf(text), 60u);
}

TEST_F(PrefixTest, SaltsAndModulesKeepTextsApart) {
  const ModulePtr first = loadFake(), second = loadFake("2");
  pith_module *list[] = {first.get(), second.get()};
  pith_session *made = nullptr;
  ASSERT_PITH_OK(pith_session_new(list, 2, nullptr, &made, &error));
  result.reset();
  session.reset(made);
  result = makeResult(session);
  const Tokens text = someTokens(40);
  const auto create = [&](const ModulePtr &of, const char *salt) {
    pith_sequence_options options = PITH_INIT(pith_sequence_options);
    options.salt = salt;
    pith_sequence *sequence = nullptr;
    EXPECT_EQ(pith_sequence_new(session.get(), of.get(), &options, &sequence, nullptr), PITH_OK);
    return SequencePtr(sequence);
  };
  const SequencePtr live = create(first, nullptr);
  ASSERT_PITH_OK(step(live, text, &error));
  ASSERT_PITH_OK(step(create(first, "tenant"), text, &error));
  for (const bool freed : {false, true}) {
    EXPECT_EQ(match(create(first, nullptr), text), 40u) << freed;
    EXPECT_EQ(match(create(first, ""), text), 40u) << freed; // no salt is the empty one
    EXPECT_EQ(match(create(first, "tenant"), text), 40u) << freed;
    EXPECT_EQ(match(create(first, "tenant2"), text), 0u) << freed;
    EXPECT_EQ(match(create(second, nullptr), text), 0u) << freed;
  }
  const SequencePtr fork = create(second, nullptr);
  ASSERT_PITH_OK(step(fork, text, &error));
  EXPECT_EQ(rowLogits(result, 0), expectedLogits(text, 99));
}

TEST_F(PrefixTest, TheLeastRecentlyUsedGoFirst) {
  restart(6);
  const Tokens a = someTokens(32, 1), b = someTokens(32, 2), c = someTokens(32, 3);
  filled(a).reset();
  filled(b).reset();
  filled(c).reset();
  EXPECT_EQ(memoryOf(session).pages_cached, 6u);
  EXPECT_EQ(hitOf(a), 32u); // used now
  const SequencePtr one = filled(someTokens(1, 4));
  EXPECT_EQ(hitOf(b), 16u); // its end went first
  EXPECT_EQ(hitOf(c), 32u);
  const SequencePtr more = filled(someTokens(40, 5));
  EXPECT_EQ(hitOf(a), 0u);
  EXPECT_EQ(hitOf(b), 0u);
  EXPECT_EQ(hitOf(c), 32u);
  EXPECT_EQ(statsOf(session).pages_evicted, 4u);
  EXPECT_EQ(statsOf(session).pages_allocated, 6u);
}

TEST_F(PrefixTest, WithoutALimitMemoryIsBounded) {
  for (uint32_t i = 0; i < 50; ++i)
    filled(someTokens(40, i)).reset();
  EXPECT_LE(statsOf(session).pages_allocated, 6u); // twice what was ever held at once
  EXPECT_EQ(hitOf(someTokens(40, 49)), 40u);
  EXPECT_GE(hitOf(someTokens(40, 48)), 16u);
  EXPECT_EQ(hitOf(someTokens(40, 47)), 0u);
}

TEST_F(PrefixTest, PinsHold) {
  restart(6);
  const Tokens trunk = someTokens(20, 1), other = someTokens(32, 2);
  {
    const SequencePtr sequence = filled(trunk);
    ASSERT_PITH_OK(pith_sequence_pin(sequence.get(), 50, 3600 * 1000, &error));
    checkNext(sequence, 1); // goes on behind the pinned text
    EXPECT_EQ(memoryOf(session).pages_pinned, 2u);
  }
  ASSERT_PITH_OK(pith_session_trim(session.get(), &error));
  EXPECT_EQ(memoryOf(session).pages_cached, 2u);
  const SequencePtr big = filled(someTokens(64, 3));
  EXPECT_EQ(hitOf(trunk), 20u);
  EXPECT_PITH_ERROR(step(big, {1}, &error), PITH_ERROR_LIMIT, "pinned prefixes hold some");
  EXPECT_EQ(hitOf(trunk), 20u);
  const SequencePtr warm = makeSequence(session);
  match(warm, trunk);
  EXPECT_PITH_ERROR(step(warm, {2}, &error), PITH_ERROR_LIMIT, "page limit"); // would overwrite it
}

TEST_F(PrefixTest, PrioritiesOutliveTheirTime) {
  restart(4);
  const Tokens high = someTokens(16, 1), low = someTokens(16, 2), none = someTokens(16, 3);
  for (const auto &[text, priority] : {std::pair(high, 9u), std::pair(low, 1u)}) {
    const SequencePtr sequence = filled(text);
    ASSERT_PITH_OK(pith_sequence_pin(sequence.get(), priority, 0, &error));
  }
  filled(none).reset();
  EXPECT_EQ(memoryOf(session).pages_pinned, 0u);
  const SequencePtr a = filled(someTokens(32, 4));
  EXPECT_EQ(hitOf(none), 0u);
  EXPECT_EQ(hitOf(low), 16u);
  const SequencePtr b = filled(someTokens(16, 5));
  EXPECT_EQ(hitOf(low), 0u);
  EXPECT_EQ(hitOf(high), 16u);
  const SequencePtr c = filled(someTokens(16, 6));
  EXPECT_EQ(hitOf(high), 0u);
}

TEST_F(PrefixTest, PinsEnd) {
  restart(2);
  {
    const SequencePtr sequence = filled(someTokens(32, 1));
    ASSERT_PITH_OK(pith_sequence_pin(sequence.get(), 100, 30, &error));
  }
  const SequencePtr next = makeSequence(session);
  EXPECT_EQ(step(next, someTokens(32, 2)), PITH_ERROR_LIMIT);
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  EXPECT_EQ(step(next, someTokens(32, 2)), PITH_OK);
}

TEST_F(PrefixTest, ExplainsAndCounts) {
  const Tokens text = someTokens(20);
  filled(text).reset();
  Tokens wanted = text;
  wanted[18] = (text[18] + 1) % FAKE_VOCAB;
  hitOf(wanted);
  EXPECT_EQ(explanation(), "match: 18 of 20 tokens are cached; token 18 is " + std::to_string(wanted[18]) +
                               ", the nearest cached text goes on with " + std::to_string(text[18]));
  wanted = text;
  wanted.push_back(1);
  hitOf(wanted);
  EXPECT_EQ(explanation(), "match: 20 of 21 tokens are cached; no cached text of this module and salt goes "
                           "further (0 pages have been evicted so far)");
  match(salted("x"), text);
  const pith_stats stats = statsOf(session);
  EXPECT_EQ(stats.matches, 3u);
  EXPECT_EQ(stats.match_hits, 2u);
  EXPECT_EQ(stats.match_tokens, 38u);
  EXPECT_EQ(memoryOf(session).page_bytes_cached, 2 * testPageBytes);
  ASSERT_PITH_OK(pith_session_trim(session.get(), &error));
  EXPECT_EQ(memoryOf(session).page_bytes_free, 0u);
  EXPECT_EQ(hitOf(text), 0u);
}

TEST_F(PrefixTest, ChunksThatFailAreNotCached) {
  const SequencePtr sequence = makeSequence(session);
  pith_step_options options = PITH_INIT(pith_step_options);
  options.chunk_rows = 16;
  options.progress = [](void *, size_t done, size_t) { return int(done >= 32); };
  const Tokens text = someTokens(50);
  const pith_lane lane = makeLane(sequence, text);
  EXPECT_PITH_ERROR(pith_step(session.get(), &lane, 1, &options, result.get(), &error), PITH_ERROR_CANCELLED,
                    "32 of 50");
  EXPECT_EQ(hitOf(text), 0u);
}

TEST_F(PrefixTest, WrongCalls) {
  const SequencePtr sequence = filled({1, 2, 3}), empty = makeSequence(session);
  const Tokens good = {1, 2}, bad = {1, 37}, negative = {-1};
  size_t hit = 7;
  EXPECT_PITH_ERROR(pith_sequence_match(sequence.get(), good.data(), 2, &hit, &error), PITH_ERROR_ARGUMENT,
                    "match into a sequence of 3 tokens");
  EXPECT_PITH_ERROR(pith_sequence_match(empty.get(), bad.data(), 2, &hit, &error), PITH_ERROR_ARGUMENT,
                    "token 1 is 37, expected 0 to 36");
  EXPECT_PITH_ERROR(pith_sequence_match(empty.get(), negative.data(), 1, &hit, &error), PITH_ERROR_ARGUMENT,
                    "token 0 is -1");
  EXPECT_PITH_ERROR(pith_sequence_pin(sequence.get(), 101, 1, &error), PITH_ERROR_ARGUMENT,
                    "priority is 101");
  EXPECT_PITH_ERROR(pith_sequence_pin(empty.get(), 1, 1, &error), PITH_ERROR_ARGUMENT, "is empty");
  EXPECT_EQ(hit, 7u);
}

} // namespace
