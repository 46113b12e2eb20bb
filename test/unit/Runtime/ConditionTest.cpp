//===- ConditionTest.cpp - sequences that are conditioned -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "Stream.h"
#include "TestFile.h"
#include "pith/runtime.hpp"

#include <random>

using namespace pith::test;

namespace {

using Rows = std::vector<float>;

Rows someRows(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  Rows rows(count * FAKE_CONDITION);
  for (float &x : rows)
    x = float(random() % 1000) / 1024.0f;
  return rows;
}

/// The toy model's logits behind these rows and tokens, computed plainly.
Rows expectedBehind(const Rows &rows, const std::vector<int32_t> &tokens) {
  uint64_t state = fakeState({});
  for (size_t i = 0; i < rows.size() / FAKE_CONDITION; ++i)
    state = fake_condition(state, &rows[i * FAKE_CONDITION], int32_t(i));
  for (size_t i = 0; i < tokens.size(); ++i)
    state = fake_next(state, tokens[i], int32_t(i));
  Rows logits(FAKE_VOCAB);
  for (int32_t token = 0; token < FAKE_VOCAB; ++token)
    logits[token] = fake_logit(state, token);
  return logits;
}

struct ConditionTest : ::testing::Test {
  ModulePtr module = loadFake("_conditioned");
  SessionPtr session = makeSession(module);
  ResultPtr result = makeResult(session);

  static pith_status condition(const SequencePtr &sequence, const Rows &rows, pith_error *error = nullptr) {
    return pith_sequence_condition(sequence.get(), rows.data(), rows.size() / FAKE_CONDITION, FAKE_CONDITION,
                                   error);
  }
  void expectStep(const SequencePtr &sequence, const Rows &rows, const std::vector<int32_t> &added) {
    const pith_lane lane = makeLane(sequence, added);
    ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
    EXPECT_EQ(rowLogits(result, 0), expectedBehind(rows, tokensOf(sequence)));
  }
};

TEST_F(ConditionTest, WhatTheModuleSays) {
  EXPECT_TRUE(pith_module_supports(module.get(), PITH_CAN_CONDITION, nullptr));
  EXPECT_TRUE(pith_module_supports(module.get(), PITH_CAN_INVOKE, nullptr));
  EXPECT_FALSE(pith_module_supports(module.get(), PITH_CAN_MATCH, nullptr));
  pith_step_info info = PITH_INIT(pith_step_info);
  ASSERT_PITH_OK(pith_module_step_info(module.get(), &info, &error));
  EXPECT_EQ(info.condition, uint32_t(FAKE_CONDITION));
  size_t entry = 0;
  ASSERT_PITH_OK(pith_module_find_entry(module.get(), "condition", &entry, &error));
  pith_entry_info what = PITH_INIT(pith_entry_info);
  ASSERT_PITH_OK(pith_module_entry(module.get(), entry, &what, &error));
  EXPECT_EQ(what.kind, uint32_t(PITH_ENTRY_CONDITION));
  EXPECT_EQ(what.input_count, 1u);
  pith_port_info input = PITH_INIT(pith_port_info);
  ASSERT_PITH_OK(pith_module_input(module.get(), entry, 0, &input, &error));
  EXPECT_STREQ(input.name, "hidden");
  const ModulePtr plain = loadFake();
  const char *reason = "";
  EXPECT_FALSE(pith_module_supports(plain.get(), PITH_CAN_CONDITION, &reason));
  EXPECT_NE(std::string(reason).find("takes no condition"), std::string::npos);
}

TEST_F(ConditionTest, StepsSeeAllRowsOfTheirOwnCondition) {
  // Below, at and above a page and what the code takes at once.
  std::vector<SequencePtr> sequences;
  std::vector<Rows> rows;
  std::vector<pith_lane> lanes;
  const std::vector<int32_t> tokens = someTokens(20);
  for (const size_t count : {1, 9, 10, 11, 16, 17, 33}) {
    rows.push_back(someRows(count, uint32_t(count)));
    sequences.push_back(makeSequence(session));
    ASSERT_PITH_OK(condition(sequences.back(), rows.back(), &error));
    EXPECT_EQ(pith_sequence_condition_rows(sequences.back().get()), count);
    lanes.push_back(makeLane(sequences.back(), tokens));
  }
  // Seven lanes of 20 rows: chunks begin and end within lanes.
  ASSERT_PITH_OK(pith_step(session.get(), lanes.data(), lanes.size(), nullptr, result.get(), &error));
  for (size_t i = 0; i < lanes.size(); ++i)
    EXPECT_EQ(rowLogits(result, i), expectedBehind(rows[i], tokens)) << i;
}

TEST_F(ConditionTest, ForksTruncationScoresAndCatchingUpKeepIt) {
  const Rows rows = someRows(21, 5);
  const SequencePtr sequence = makeSequence(session);
  ASSERT_PITH_OK(condition(sequence, rows, &error));
  expectStep(sequence, rows, someTokens(18));
  const uint64_t pages = memoryOf(session).pages_used;
  pith_sequence *made = nullptr;
  ASSERT_PITH_OK(pith_sequence_fork(sequence.get(), 7, 1, &made, &error));
  SequencePtr fork(made);
  EXPECT_EQ(memoryOf(session).pages_used, pages);
  EXPECT_EQ(pith_sequence_condition_rows(fork.get()), 21u);
  expectStep(fork, rows, {3, 4});
  ASSERT_PITH_OK(pith_sequence_truncate(sequence.get(), 0, &error));
  expectStep(sequence, rows, {9});
  const std::vector<int32_t> other = {9, 8, 7, 6};
  ASSERT_PITH_OK(pith_sequence_catch_up(sequence.get(), other.data(), other.size(), &error));
  expectStep(sequence, rows, {1});
  float logprob = 0;
  ASSERT_PITH_OK(pith_sequence_score(fork.get(), 8, 9, &logprob, &error));
  // Whoever goes last frees the condition's pages.
  fork.reset();
  expectStep(sequence, rows, {2});
}

TEST_F(ConditionTest, AnEmptySequenceMayTakeAnother) {
  const SequencePtr sequence = makeSequence(session);
  ASSERT_PITH_OK(condition(sequence, someRows(40, 1), &error));
  const uint64_t pages = memoryOf(session).pages_used;
  const Rows rows = someRows(12, 2);
  ASSERT_PITH_OK(condition(sequence, rows, &error));
  EXPECT_EQ(memoryOf(session).pages_used, pages - 2);
  expectStep(sequence, rows, {1, 2, 3});
  EXPECT_PITH_ERROR(condition(sequence, rows, &error), PITH_ERROR_ARGUMENT, "the sequence has 3 tokens");
  expectStep(sequence, rows, {4});
}

TEST_F(ConditionTest, Refusals) {
  const SequencePtr sequence = makeSequence(session);
  const std::vector<int32_t> tokens = {1};
  const pith_lane lane = makeLane(sequence, tokens);
  EXPECT_PITH_ERROR(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error), PITH_ERROR_ARGUMENT,
                    "lane 0: its sequence has no condition");
  const Rows rows = someRows(4, 1);
  EXPECT_PITH_ERROR(pith_sequence_condition(sequence.get(), rows.data(), 3, 4, &error), PITH_ERROR_ARGUMENT,
                    "rows of 4 floats, expected 3");
  EXPECT_PITH_ERROR(pith_sequence_condition(sequence.get(), rows.data(), 0, 3, &error), PITH_ERROR_ARGUMENT,
                    "count is 0");
  EXPECT_PITH_ERROR(pith_sequence_condition(sequence.get(), nullptr, 4, 3, &error), PITH_ERROR_ARGUMENT,
                    "rows");
  EXPECT_PITH_ERROR(pith_sequence_condition(nullptr, rows.data(), 4, 3, &error), PITH_ERROR_ARGUMENT,
                    "sequence");
  size_t hit = 0;
  EXPECT_PITH_ERROR(pith_sequence_match(sequence.get(), tokens.data(), 1, &hit, &error),
                    PITH_ERROR_UNSUPPORTED, "depend on their conditions");
  EXPECT_PITH_ERROR(pith_sequence_pin(sequence.get(), 1, 1, &error), PITH_ERROR_UNSUPPORTED, "conditions");
  const ModulePtr plain = loadFake();
  const SessionPtr other = makeSession(plain);
  const SequencePtr unconditioned = makeSequence(other);
  EXPECT_PITH_ERROR(condition(unconditioned, rows, &error), PITH_ERROR_UNSUPPORTED, "takes no condition");
  EXPECT_EQ(pith_sequence_condition_rows(nullptr), 0u);
  EXPECT_PITH_ERROR(pith_invoke(session.get(), nullptr, "condition", nullptr, 0, result.get(), &error),
                    PITH_ERROR_ARGUMENT, "not for pith_invoke");
}

TEST_F(ConditionTest, AFailureLeavesTheOldOne) {
  session = makeSession(module, 1, 3 * testConditionedPageBytes);
  result = makeResult(session);
  const SequencePtr sequence = makeSequence(session);
  const Rows rows = someRows(20, 1);
  ASSERT_PITH_OK(condition(sequence, rows, &error));
  EXPECT_PITH_ERROR(condition(sequence, someRows(30, 2), &error), PITH_ERROR_LIMIT, "page limit");
  EXPECT_EQ(pith_sequence_condition_rows(sequence.get()), 20u);
  EXPECT_EQ(memoryOf(session).pages_used, 2u);
  expectStep(sequence, rows, {5});
}

TEST_F(ConditionTest, TextsOfOneConditionAreNotFoundUnderAnother) {
  const std::vector<int32_t> tokens = someTokens(40);
  for (const uint32_t seed : {1, 2}) {
    const SequencePtr sequence = makeSequence(session);
    const Rows rows = someRows(5, seed);
    ASSERT_PITH_OK(condition(sequence, rows, &error));
    expectStep(sequence, rows, tokens);
  }
  EXPECT_EQ(memoryOf(session).pages_cached, 0u);
}

TEST_F(ConditionTest, ExportAndImportCarryIt) {
  const Rows rows = someRows(20, 3);
  const SequencePtr sequence = makeSequence(session);
  ASSERT_PITH_OK(condition(sequence, rows, &error));
  expectStep(sequence, rows, someTokens(19));
  for (const size_t upto : {0, 19}) {
    Stream stream;
    ASSERT_PITH_OK(pith_sequence_export(sequence.get(), upto, Stream::write, &stream, &error));
    const std::string good = stream.bytes;
    pith_sequence *made = nullptr;
    ASSERT_PITH_OK(pith_sequence_import(session.get(), nullptr, Stream::read, &stream, &made, &error));
    const SequencePtr copy(made);
    EXPECT_EQ(pith_sequence_condition_rows(copy.get()), 20u);
    expectStep(copy, rows, {7, 6});
    const uint64_t pages = memoryOf(session).pages_used;
    for (size_t i = 0; i < good.size(); ++i) {
      Stream bad{good};
      bad.bytes[i] = char(bad.bytes[i] ^ 4);
      EXPECT_NE(pith_sequence_import(session.get(), nullptr, Stream::read, &bad, &made, nullptr), PITH_OK)
          << i;
    }
    EXPECT_EQ(memoryOf(session).pages_used, pages);
  }
}

TEST_F(ConditionTest, ARandomWalkEndsWithNothingLeft) {
  struct Living {
    SequencePtr handle;
    Rows rows;
  };
  std::mt19937 random(7);
  std::vector<Living> live;
  session = makeSession(module, 2, 40 * testConditionedPageBytes);
  result = makeResult(session);
  size_t refused = 0, stepped = 0;
  const auto mayFail = [&](pith_status status) {
    EXPECT_TRUE(status == PITH_OK || status == PITH_ERROR_LIMIT) << status;
    refused += status != PITH_OK;
    return status == PITH_OK;
  };
  for (int i = 0; i < 4000; ++i) {
    const uint32_t choice = random() % 10;
    if (live.empty() || (choice < 2 && live.size() < 12)) {
      live.push_back({makeSequence(session), {}});
      continue;
    }
    Living &any = live[random() % live.size()];
    const size_t length = pith_sequence_length(any.handle.get());
    if (choice < 3 && live.size() < 12) {
      pith_sequence *made = nullptr;
      ASSERT_PITH_OK(pith_sequence_fork(any.handle.get(), random() % (length + 1), 1, &made, &error));
      Living fork = {SequencePtr(made), any.rows};
      live.push_back(std::move(fork));
    } else if (choice < 4) {
      live.erase(live.begin() + (&any - live.data()));
    } else if (choice < 5) {
      ASSERT_PITH_OK(
          pith_sequence_truncate(any.handle.get(), random() % 3 ? 0 : random() % (length + 1), &error));
    } else if (any.rows.empty() || (!length && choice < 6)) {
      const Rows rows = someRows(1 + random() % 50, random());
      if (length == 0 && mayFail(condition(any.handle, rows)))
        any.rows = rows;
    } else {
      const std::vector<int32_t> tokens = someTokens(1 + random() % 30, random());
      const pith_lane lane = makeLane(any.handle, tokens);
      if (length + tokens.size() > 200)
        continue;
      if (!mayFail(pith_step(session.get(), &lane, 1, nullptr, result.get(), nullptr)))
        continue;
      ASSERT_EQ(rowLogits(result, 0), expectedBehind(any.rows, tokensOf(any.handle)));
      ++stepped;
    }
  }
  EXPECT_GT(stepped, 500u);
  EXPECT_GT(refused, 10u);
  live.clear();
  EXPECT_EQ(memoryOf(session).pages_used, 0u);
  EXPECT_EQ(memoryOf(session).sequences, 0u);
}

TEST_F(ConditionTest, TheWrapper) {
  const TemporaryFile file(TestFile("_conditioned").bytes());
  const pith::Module loaded(file.path());
  const pith::Session owner(loaded);
  pith::Sequence sequence(owner);
  const Rows rows = someRows(6, 1);
  sequence.condition(rows, FAKE_CONDITION);
  EXPECT_EQ(sequence.conditionRows(), 6u);
  EXPECT_THROW(sequence.condition(rows, 2), pith::Error);
}

TEST(ConditionManifestTest, WhatIsRefused) {
  const auto load = [](const std::string &from, const std::string &to) {
    TestFile file("_conditioned");
    file.manifest = conditionedManifest(from, to);
    EXPECT_NE(file.manifest, conditionedManifest());
    const TemporaryFile written(file.bytes());
    pith_module *made = nullptr;
    pith_error error = PITH_INIT(pith_error);
    EXPECT_EQ(pith_module_load(written.path().c_str(), nullptr, &made, &error), PITH_ERROR_FORMAT) << to;
    EXPECT_EQ(made, nullptr);
    return std::string(error.message);
  };
  const auto has = [](const std::string &text, const char *words) {
    return text.find(words) != std::string::npos;
  };
  EXPECT_TRUE(has(load(R"("dims":["rows",3])", R"("dims":["rows","width"])"), "inputs"));
  EXPECT_TRUE(has(load(R"("dims":["rows",3])", R"("dims":[3])"), "inputs"));
  EXPECT_TRUE(has(load(R"("type":"f32","dims":["rows",3])", R"("type":"i64","dims":["rows",3])"), "inputs"));
  EXPECT_TRUE(has(load(R"("condition_page_bytes":192,)", ""), "condition_page_bytes"));
  EXPECT_TRUE(has(load(R"("kind":"condition","max_rows":10)", R"("kind":"condition")"), "max_rows"));
  EXPECT_TRUE(has(load(R"({"name":"step","kind":"step","vocab":37,"max_rows":24},)", ""),
                  "no entry of kind \"step\""));
}

} // namespace
