//===- WalkTest.cpp - random walks over sequence operations ---------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Sequences are compared with plain vectors of tokens after every operation; page counts are checked
// against what the vectors imply. PITH_WALK_STEPS and PITH_WALK_SEED change length and seed.
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"

#include <cstdlib>
#include <random>

using namespace pith::test;

namespace {

size_t setting(const char *name, size_t otherwise) {
  const char *text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

class Walk {
public:
  Walk(uint32_t threads, uint64_t pageLimit, uint64_t seed)
      : random(seed), module(loadFake()), session(makeSession(module, threads, pageLimit)),
        result(makeResult(session)), limitPages(pageLimit / 4096) {}

  void run(size_t operations) {
    for (size_t i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("operation " + std::to_string(i));
      operate();
      if (i % 16 == 0)
        checkPages();
    }
    checkPages();
    live.clear();
    EXPECT_EQ(memoryOf(session).pages_used, 0u);
    EXPECT_EQ(memoryOf(session).sequences, 0u);
    EXPECT_EQ(statsOf(session).failed, refused);
  }

  size_t refused = 0, steps = 0;

private:
  struct Sequence {
    SequencePtr handle;
    std::vector<int32_t> text;
  };

  size_t below(size_t limit) { return random() % limit; }
  std::vector<int32_t> randomTokens(size_t count) {
    std::vector<int32_t> tokens(count);
    for (int32_t &token : tokens)
      token = int32_t(below(FAKE_VOCAB));
    return tokens;
  }

  void operate() {
    const size_t choice = below(100);
    if (live.empty() || (choice < 8 && live.size() < 24))
      live.push_back({makeSequence(session), {}});
    else if (choice < 20 && live.size() < 24)
      fork();
    else if (choice < 30)
      truncate();
    else if (choice < 36)
      live.erase(live.begin() + below(live.size()));
    else if (choice < 39)
      reserve();
    else if (choice < 44)
      catchUp();
    else if (choice < 46)
      EXPECT_EQ(pith_session_trim(session.get(), nullptr), PITH_OK);
    else
      step();
  }

  void fork() {
    const Sequence &from = live[below(live.size())];
    const size_t at = below(from.text.size() + 1), count = 1 + below(3);
    pith_sequence *made[3] = {};
    ASSERT_PITH_OK(pith_sequence_fork(from.handle.get(), at, count, made, &error));
    const std::vector<int32_t> text(from.text.begin(), from.text.begin() + at);
    for (size_t i = 0; i < count; ++i)
      live.push_back({SequencePtr(made[i]), text});
  }

  void truncate() {
    Sequence &sequence = live[below(live.size())];
    const size_t length = below(sequence.text.size() + 1);
    ASSERT_PITH_OK(pith_sequence_truncate(sequence.handle.get(), length, &error));
    sequence.text.resize(length);
  }

  void reserve() {
    const Sequence &sequence = live[below(live.size())];
    const pith_status status = pith_sequence_reserve(sequence.handle.get(), below(200), nullptr);
    EXPECT_TRUE(status == PITH_OK || (status == PITH_ERROR_LIMIT && limitPages)) << status;
  }

  void catchUp() {
    Sequence &sequence = live[below(live.size())];
    std::vector<int32_t> text = live[below(live.size())].text;
    const std::vector<int32_t> more = randomTokens(below(20));
    text.insert(text.end(), more.begin(), more.end());
    text.resize(std::min<size_t>(text.size(), FAKE_POSITIONS));
    const pith_status status =
        pith_sequence_catch_up(sequence.handle.get(), text.data(), text.size(), nullptr);
    EXPECT_TRUE(status == PITH_OK || (status == PITH_ERROR_LIMIT && limitPages)) << status;
    refused += status != PITH_OK;
    if (status == PITH_OK)
      sequence.text = text;
    EXPECT_EQ(tokensOf(sequence.handle), sequence.text);
  }

  void step() {
    std::shuffle(live.begin(), live.end(), random);
    const size_t count = 1 + below(std::min<size_t>(live.size(), 6));
    std::vector<std::vector<int32_t>> added;
    std::vector<pith_lane> lanes;
    size_t tooLong = 0;
    for (size_t i = 0; i < count; ++i) {
      added.push_back(randomTokens(1 + (below(3) ? 0 : below(60))));
      tooLong += live[i].text.size() + added[i].size() > FAKE_POSITIONS;
    }
    for (size_t i = 0; i < count; ++i)
      lanes.push_back(makeLane(live[i].handle, added[i], below(2) ? PITH_ROWS_LAST : PITH_ROWS_ALL));
    pith_step_options options = PITH_INIT(pith_step_options);
    options.chunk_rows = uint32_t(below(40));
    size_t cancelAt = below(10) ? 0 : 1 + below(3);
    options.progress_context = &cancelAt;
    options.progress = [](void *context, size_t, size_t) {
      size_t &left = *static_cast<size_t *>(context);
      return int(left && --left == 0);
    };
    Error error;
    const pith_status status =
        pith_step(session.get(), lanes.data(), lanes.size(), &options, result.get(), &error);
    if (status != PITH_OK) {
      const bool limited = status == PITH_ERROR_LIMIT && (limitPages || tooLong);
      EXPECT_TRUE(limited || status == PITH_ERROR_CANCELLED) << error.message;
      ++refused;
      return checkTexts(count);
    }
    EXPECT_EQ(tooLong, 0u);
    ++steps;
    for (size_t i = 0; i < count; ++i) {
      size_t first = 0;
      const size_t rows = pith_result_lane_rows(result.get(), i, &first);
      for (size_t j = 0; j < added[i].size(); ++j) {
        live[i].text.push_back(added[i][j]);
        const size_t fromEnd = added[i].size() - 1 - j;
        if (fromEnd < rows) {
          EXPECT_EQ(rowLogits(result, first + rows - 1 - fromEnd), expectedLogits(live[i].text));
        }
      }
    }
    checkTexts(count);
  }

  void checkTexts(size_t count) {
    for (size_t i = 0; i < count; ++i)
      EXPECT_EQ(tokensOf(live[i].handle), live[i].text);
  }

  void checkPages() {
    size_t tables = 0;
    for (const Sequence &sequence : live)
      tables += (sequence.text.size() + FAKE_PAGE_TOKENS - 1) / FAKE_PAGE_TOKENS;
    const pith_memory memory = memoryOf(session);
    EXPECT_EQ(memory.sequences, live.size());
    EXPECT_LE(memory.pages_shared, memory.pages_used);
    EXPECT_GE(memory.pages_used, tables ? 1u : 0u);
    if (limitPages) {
      EXPECT_LE((memory.page_bytes_used + memory.page_bytes_free) / 4096, limitPages);
    }
  }

  std::mt19937_64 random;
  ModulePtr module;
  SessionPtr session;
  ResultPtr result;
  const size_t limitPages;
  std::vector<Sequence> live;
};

TEST(WalkTest, Unlimited) {
  Walk walk(2, 0, setting("PITH_WALK_SEED", 1));
  walk.run(setting("PITH_WALK_STEPS", 3000));
  EXPECT_GT(walk.steps, 0u);
}

TEST(WalkTest, UnderAPageLimit) {
  Walk walk(1, 40 * 4096, setting("PITH_WALK_SEED", 2));
  walk.run(setting("PITH_WALK_STEPS", 3000));
  EXPECT_GT(walk.refused, 0u);
}

TEST(WalkTest, MoreThreadsThanCores) {
  Walk walk(5, 0, setting("PITH_WALK_SEED", 3));
  walk.run(setting("PITH_WALK_STEPS", 3000) / 10);
}

} // namespace
