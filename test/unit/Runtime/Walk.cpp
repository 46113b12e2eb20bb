//===- Walk.cpp - random walks over sequence operations -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Walk.h"
#include "FakeModel.h"
#include "Stream.h"

#include <chrono>
#include <thread>

namespace pith::test {
namespace {

constexpr size_t maxLive = 24;
constexpr size_t usualLength = 120; // longer texts are cut back now and then, to keep walks quick

size_t pagesFor(size_t tokens) { return (tokens + FAKE_PAGE_TOKENS - 1) / FAKE_PAGE_TOKENS; }

} // namespace

void WalkText::append(int32_t token) {
  const uint64_t before = states.empty() ? fakeState({}) : states.back();
  states.push_back(fake_next(before, token, int32_t(tokens.size())));
  tokens.push_back(token);
}

void WalkText::resize(size_t count) {
  tokens.resize(count);
  states.resize(count);
}

Walk::Walk(const ModulePtr &module, uint32_t threads, uint64_t pageLimitBytes,
           std::function<uint64_t()> source)
    : choose(std::move(source)), limitPages(pageLimitBytes / testPageBytes) {
  pith_session_options options = PITH_INIT(pith_session_options);
  options.threads = threads;
  options.page_limit_bytes = pageLimitBytes;
  pith_executor executor = PITH_INIT(pith_executor);
  executor.threads = 1;
  executor.context = &refuseToRun;
  executor.run = [](void *context, uint32_t, void (*task)(void *, uint32_t), void *argument) {
    if (std::exchange(*static_cast<bool *>(context), false))
      return 1;
    task(argument, 0);
    return 0;
  };
  if (threads == 1)
    options.executor = &executor;
  pith_session *made = nullptr;
  pith_module *list[] = {module.get()};
  Error error;
  EXPECT_EQ(pith_session_new(list, 1, &options, &made, &error), PITH_OK) << error.message;
  session.reset(made);
  result = makeResult(session);
}

std::vector<int32_t> Walk::randomTokens(size_t count) {
  // Few different ones, so that texts begin alike.
  const size_t kinds = below(2) ? 2 : FAKE_VOCAB;
  std::vector<int32_t> tokens(count);
  for (int32_t &token : tokens)
    token = int32_t(below(kinds));
  return tokens;
}

SequencePtr Walk::makeSalted(int salt) {
  static const char *const salts[] = {nullptr, "one", "two"};
  pith_sequence_options options = PITH_INIT(pith_sequence_options);
  options.salt = salts[salt];
  pith_sequence *made = nullptr;
  EXPECT_EQ(pith_sequence_new(session.get(), nullptr, &options, &made, nullptr), PITH_OK);
  return SequencePtr(made);
}

void Walk::operate() {
  const size_t choice = below(100);
  if (live.empty() || (choice < 6 && live.size() < maxLive))
    create();
  else if (choice < 16 && live.size() < maxLive)
    fork();
  else if (choice < 26)
    truncate();
  else if (choice < 34)
    live.erase(live.begin() + below(live.size()));
  else if (choice < 36)
    reserve();
  else if (choice < 41)
    catchUp();
  else if (choice < 51 && live.size() < maxLive)
    match();
  else if (choice < 53)
    pin();
  else if (choice < 56 && live.size() < maxLive)
    transfer();
  else if (choice < 58)
    score();
  else if (choice < 59)
    EXPECT_EQ(pith_session_trim(session.get(), nullptr), PITH_OK);
  else
    step();
  if (++operations % 16 == 0)
    checkPages();
}

void Walk::finish() {
  checkPages();
  live.clear();
  const pith_memory memory = memoryOf(session);
  EXPECT_EQ(memory.pages_used, 0u);
  EXPECT_EQ(memory.sequences, 0u);
  EXPECT_EQ(statsOf(session).failed, failed);
  EXPECT_EQ(statsOf(session).match_tokens, hitTokens);
  if (limitPages)
    std::this_thread::sleep_for(std::chrono::milliseconds(4)); // the last pins end
  EXPECT_EQ(pith_session_trim(session.get(), nullptr), PITH_OK);
  expectTrimmed(session, memoryOf(session).pages_pinned);
}

void Walk::remember(const WalkText &text, size_t from) {
  for (size_t i = from; i < text.states.size(); ++i)
    known.insert(keyOf(text.salt, text.states[i]));
}

void Walk::create() {
  const int salt = below(4) ? 0 : int(below(3));
  live.push_back({makeSalted(salt), {salt, {}, {}}});
}

void Walk::fork() {
  const Sequence &from = any();
  const size_t at = below(from.text.tokens.size() + 1), count = 1 + below(3);
  const pith_memory before = memoryOf(session);
  pith_sequence *made[3] = {};
  ASSERT_PITH_OK(pith_sequence_fork(from.handle.get(), at, count, made, &error));
  EXPECT_EQ(memoryOf(session).pages_used, before.pages_used);
  WalkText text = from.text;
  text.resize(at);
  for (size_t i = 0; i < count; ++i)
    live.push_back({SequencePtr(made[i]), text});
}

void Walk::truncate() {
  Sequence &sequence = any();
  const size_t length = below(sequence.text.tokens.size() + 1);
  ASSERT_PITH_OK(pith_sequence_truncate(sequence.handle.get(), length, &error));
  sequence.text.resize(length);
}

void Walk::reserve() {
  const pith_status status = pith_sequence_reserve(any().handle.get(), below(200), nullptr);
  EXPECT_TRUE(mayFail(status)) << status;
}

void Walk::catchUp() {
  Sequence &sequence = any();
  std::vector<int32_t> tokens = any().text.tokens;
  const std::vector<int32_t> more = randomTokens(below(20));
  tokens.insert(tokens.end(), more.begin(), more.end());
  tokens.resize(std::min<size_t>(tokens.size(), FAKE_POSITIONS));
  const pith_status status =
      pith_sequence_catch_up(sequence.handle.get(), tokens.data(), tokens.size(), nullptr);
  EXPECT_TRUE(mayFail(status)) << status;
  failed += status != PITH_OK;
  refused += status != PITH_OK;
  if (status == PITH_OK) {
    sequence.text.resize(0);
    for (const int32_t token : tokens)
      sequence.text.append(token);
    remember(sequence.text, 0);
  }
  checkText(sequence);
}

/// A hit is at least what a living sequence has, and never anything that no text of that salt ever had.
void Walk::match() {
  std::vector<int32_t> wanted = any().text.tokens;
  wanted.resize(below(wanted.size() + 1));
  const std::vector<int32_t> more = randomTokens(below(40));
  wanted.insert(wanted.end(), more.begin(), more.end());
  const int salt = below(4) ? 0 : int(below(3));
  Sequence made = {makeSalted(salt), {salt, {}, {}}};
  size_t hit = 0, least = 0;
  ASSERT_PITH_OK(pith_sequence_match(made.handle.get(), wanted.data(), wanted.size(), &hit, &error));
  for (const Sequence &other : live) {
    const std::vector<int32_t> &text = other.text.tokens;
    const size_t count = other.text.salt == salt ? std::min(text.size(), wanted.size()) : 0;
    const size_t common =
        std::mismatch(text.begin(), text.begin() + count, wanted.begin()).first - text.begin();
    least = std::max(least, common);
  }
  EXPECT_GE(hit, least);
  ASSERT_LE(hit, wanted.size());
  for (size_t i = 0; i < hit; ++i)
    made.text.append(wanted[i]);
  if (hit) {
    EXPECT_TRUE(known.count(keyOf(salt, made.text.states.back()))) << "a hit on a text that never was";
  }
  checkText(made);
  hits += hit > 0;
  hitTokens += hit;
  live.push_back(std::move(made));
}

void Walk::pin() {
  Sequence &sequence = any();
  if (sequence.text.tokens.empty())
    return;
  const uint64_t time = limitPages ? below(3) : below(20) ? 0 : 3600000;
  ASSERT_PITH_OK(pith_sequence_pin(sequence.handle.get(), uint32_t(below(101)), time, &error));
}

/// Out to a stream and back in, or into a stream that is damaged.
void Walk::transfer() {
  const Sequence &from = any();
  const size_t upto = below(from.text.tokens.size() + 1);
  Stream stream;
  ASSERT_PITH_OK(pith_sequence_export(from.handle.get(), upto, Stream::write, &stream, &error));
  const bool damage = below(4) == 0;
  if (damage)
    stream.bytes[below(stream.bytes.size())] ^= 1 << below(8);
  pith_sequence *made = nullptr;
  const pith_status status =
      pith_sequence_import(session.get(), nullptr, Stream::read, &stream, &made, nullptr);
  if (status != PITH_OK) {
    EXPECT_EQ(made, nullptr);
    EXPECT_TRUE(damage || mayFail(status)) << status;
    return;
  }
  EXPECT_FALSE(damage);
  WalkText text = from.text;
  text.salt = 0;
  text.resize(upto);
  remember(text, 0);
  live.push_back({SequencePtr(made), text});
  checkText(live.back());
  ++imports;
}

void Walk::score() {
  const Sequence &sequence = any();
  const size_t length = sequence.text.tokens.size();
  if (length < 2)
    return;
  const size_t from = 1 + below(length - 1), to = from + 1;
  float found = 0;
  const pith_status status = pith_sequence_score(sequence.handle.get(), from, to, &found, nullptr);
  EXPECT_TRUE(mayFail(status)) << status;
  failed += status != PITH_OK;
  if (status == PITH_OK) {
    EXPECT_NEAR(found, logprobAt(sequence.text.states[from - 1], sequence.text.tokens[from]), 1e-4);
  }
  checkText(sequence);
}

void Walk::step() {
  const size_t count = 1 + below(std::min<size_t>(live.size(), 6));
  for (size_t i = 0; i < count; ++i)
    std::swap(live[i], live[i + below(live.size() - i)]);
  std::vector<std::vector<int32_t>> added;
  std::vector<pith_lane> lanes;
  size_t tooLong = 0;
  for (size_t i = 0; i < count; ++i) {
    if (live[i].text.tokens.size() > usualLength && below(4)) {
      ASSERT_PITH_OK(pith_sequence_truncate(live[i].handle.get(), usualLength / 2, &error));
      live[i].text.resize(usualLength / 2);
    }
    added.push_back(randomTokens(1 + (below(3) ? 0 : below(60))));
    tooLong += live[i].text.tokens.size() + added[i].size() > FAKE_POSITIONS;
  }
  const bool wrongToken = below(50) == 0;
  if (wrongToken)
    added.back().back() = FAKE_VOCAB;
  for (size_t i = 0; i < count; ++i)
    lanes.push_back(makeLane(live[i].handle, added[i], below(8) ? PITH_ROWS_LAST : PITH_ROWS_ALL));
  pith_step_options options = PITH_INIT(pith_step_options);
  options.chunk_rows = uint32_t(below(40));
  size_t cancelAt = below(10) ? 0 : 1 + below(3);
  options.progress_context = &cancelAt;
  options.progress = [](void *context, size_t, size_t) {
    size_t &left = *static_cast<size_t *>(context);
    return int(left && --left == 0);
  };
  refuseToRun = below(20) == 0;
  Error error;
  const pith_status status =
      pith_step(session.get(), lanes.data(), lanes.size(), &options, result.get(), &error);
  if (status != PITH_OK) {
    EXPECT_TRUE((status == PITH_ERROR_LIMIT && (limitPages || tooLong)) || status == PITH_ERROR_CANCELLED ||
                status == PITH_ERROR_EXECUTION || (status == PITH_ERROR_ARGUMENT && wrongToken))
        << error.message;
    ++refused;
    ++failed;
  } else {
    EXPECT_FALSE(tooLong || wrongToken);
    ++steps;
    checkLogits(added);
  }
  refuseToRun = false;
  for (size_t i = 0; i < count; ++i)
    checkText(live[i]);
}

void Walk::checkLogits(const std::vector<std::vector<int32_t>> &added) {
  for (size_t i = 0; i < added.size(); ++i) {
    WalkText &text = live[i].text;
    size_t first = 0;
    const size_t before = text.tokens.size(), rows = pith_result_lane_rows(result.get(), i, &first);
    for (const int32_t token : added[i])
      text.append(token);
    remember(text, before);
    for (size_t j = 0; j < rows; ++j) {
      const uint64_t state = text.states[text.states.size() - rows + j];
      const float *logits = pith_result_logits(result.get(), first + j);
      ASSERT_NE(logits, nullptr);
      for (int32_t token = 0; token < FAKE_VOCAB; ++token)
        ASSERT_EQ(logits[token], fake_logit(state, token)) << "lane " << i << " row " << j;
    }
  }
}

void Walk::checkText(const Sequence &sequence) { EXPECT_EQ(tokensOf(sequence.handle), sequence.text.tokens); }

void Walk::checkPages() {
  size_t longest = 0;
  for (const Sequence &sequence : live)
    longest = std::max(longest, size_t(pagesFor(sequence.text.tokens.size())));
  const pith_memory memory = memoryOf(session);
  EXPECT_EQ(memory.sequences, live.size());
  EXPECT_LE(memory.pages_shared, memory.pages_used);
  EXPECT_GE(memory.pages_used, longest);
  EXPECT_LE(memory.page_bytes_cached, memory.page_bytes_free);
  EXPECT_EQ(memory.page_bytes_used, memory.pages_used * testPageBytes);
  const pith_stats stats = statsOf(session);
  EXPECT_LE(memory.pages_used, stats.pages_allocated);
  if (limitPages) {
    EXPECT_LE((memory.page_bytes_used + memory.page_bytes_free) / testPageBytes, limitPages);
  }
}

} // namespace pith::test
