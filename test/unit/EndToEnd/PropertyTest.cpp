//===- PropertyTest.cpp - what sequences promise, on compiled models ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// P1 to P6 and P8 on the bundled model and, where ../shared is there, on the same model with past tensors and in GenAI's
// form. (P7, the long random walk, runs on the runtime's toy model: RuntimeWalkTest.) Where a property compares rows
// that went through the code in other batches, logits are equal to the bit if the session is deterministic and within
// the rounding of f32 sums otherwise, with the same most likely token.
//
//===----------------------------------------------------------------------===//

#include "pith/Driver/Driver.h"
#include "pith/runtime.hpp"
#include "gtest/gtest.h"
#include <cmath>
#include <cstdio>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using Tokens = std::vector<int32_t>;
using Logits = std::vector<float>;

constexpr float kTolerance = 2e-3f; // as in DecoderTest

struct Model {
  const char *name;
  const char *path;
};

class Property : public ::testing::TestWithParam<Model> {
protected:
  void SetUp() override {
    struct stat facts;
    if (stat(GetParam().path, &facts) != 0)
      GTEST_SKIP() << "no " << GetParam().path;
    pith::CompileOptions options;
    options.input = GetParam().path;
    options.output = path();
    std::string log;
    llvm::raw_string_ostream os(log);
    if (stat(path().c_str(), &facts) != 0) { // once for all tests of the model
      ASSERT_TRUE(pith::compile(options, os)) << log;
    }
    module = std::make_unique<pith::Module>(path());
    pith_session_options sessionOptions = PITH_INIT(pith_session_options);
    sessionOptions.threads = 2;
    deterministic = module->supports(PITH_CAN_DETERMINISTIC);
    sessionOptions.flags = deterministic ? PITH_SESSION_DETERMINISTIC : 0;
    session = std::make_unique<pith::Session>(*module, sessionOptions);
    result = std::make_unique<pith::Result>(*session);
    vocab = module->stepInfo().vocab;
    pageTokens = module->stepInfo().page_tokens;
  }
  static void TearDownTestSuite() {
    for (const Model &model : {Model{"bundled", ""}, Model{"past", ""}, Model{"genai", ""}})
      std::remove(pathOf(model.name).c_str());
  }
  static std::string pathOf(const std::string &name) {
    return ::testing::TempDir() + "pith-property-" + name + "-" + std::to_string(getpid()) + ".pith";
  }
  static std::string path() { return pathOf(GetParam().name); }

  Tokens tokens(size_t count, uint32_t seed) const {
    Tokens list;
    for (size_t i = 0; i < count; ++i)
      list.push_back((seed = seed * 1664525 + 1013904223) / 7 % vocab);
    return list;
  }
  Logits logits(size_t row) const {
    const float *values = result->logits(row);
    return values ? Logits(values, values + vocab) : Logits();
  }
  Logits step(const pith::Sequence &sequence, const Tokens &list) {
    session->step({{sequence, list}}, *result);
    return logits(0);
  }
  Logits fresh(const Tokens &list) { return step(pith::Sequence(*session), list); }
  static Tokens joined(Tokens a, const Tokens &b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  void expectSame(const Logits &found, const Logits &expected, const char *what) {
    ASSERT_EQ(found.size(), expected.size()) << what;
    if (deterministic) {
      EXPECT_EQ(found, expected) << what;
      return;
    }
    float worst = 0;
    for (size_t i = 0; i < found.size(); ++i)
      worst = std::max(worst, std::fabs(found[i] - expected[i]));
    EXPECT_LE(worst, kTolerance) << what;
    EXPECT_EQ(std::max_element(found.begin(), found.end()) - found.begin(),
              std::max_element(expected.begin(), expected.end()) - expected.begin())
        << what;
  }
  uint64_t pagesUsed() const { return session->memory().pages_used; }

  std::unique_ptr<pith::Module> module;
  std::unique_ptr<pith::Session> session;
  std::unique_ptr<pith::Result> result;
  bool deterministic = false;
  uint32_t vocab = 0, pageTokens = 0;
};

INSTANTIATE_TEST_SUITE_P(Models, Property,
                         ::testing::Values(Model{"bundled", PITH_TEST_MODELS_DIR "/code-lm/model.onnx"},
                                           Model{"past", PITH_SHARED_MODELS_DIR "/code-lm/past-opset17/model.onnx"},
                                           Model{"genai", PITH_SHARED_MODELS_DIR "/code-lm/genai-int4/model.onnx"}),
                         [](const auto &info) { return std::string(info.param.name); });

TEST_P(Property, P1ForksAgreeAndCopyNothingUntilTheyDiverge) {
  const Tokens text = tokens(100, 1), next = tokens(5, 2), other = tokens(5, 3);
  for (size_t at : {1, 63, 64, 65, 100}) {
    pith::Sequence trunk(*session);
    step(trunk, text);
    const uint64_t pages = pagesUsed(), copied = session->stats().pages_copied;
    pith::Sequence a = trunk.fork(at), b = trunk.fork(at);
    EXPECT_EQ(pagesUsed(), pages);
    EXPECT_EQ(session->stats().pages_copied, copied);
    const Logits first = step(a, next);
    EXPECT_EQ(step(b, next), first) << at; // the same rows in the same batch: equal to the bit
    const Tokens begin(text.begin(), text.begin() + at);
    expectSame(step(a, other), fresh(joined(joined(begin, next), other)), "a branch");
    expectSame(step(trunk, next), fresh(joined(text, next)), "the trunk");
  }
}

TEST_P(Property, P2TruncateThenAppendIsNeverTruncated) {
  const Tokens text = tokens(150, 4), end = tokens(9, 5);
  for (size_t keep : {1, 64, 100, 149}) {
    const Tokens begin(text.begin(), text.begin() + keep);
    pith::Sequence truncated(*session), plain(*session);
    step(truncated, begin);
    step(truncated, Tokens(text.begin() + keep, text.end()));
    truncated.truncate(keep);
    step(plain, begin);
    EXPECT_EQ(step(truncated, end), step(plain, end)) << keep;
  }
}

TEST_P(Property, P3ExportThenImportIsTheIdentity) {
  const Tokens text = tokens(90, 6), next = tokens(3, 7);
  pith::Sequence sequence(*session);
  step(sequence, text);
  const auto write = [](void *context, const void *data, size_t size) {
    static_cast<std::string *>(context)->append(static_cast<const char *>(data), size);
    return 0;
  };
  struct Reader {
    const std::string &bytes;
    size_t at = 0;
    static int read(void *context, void *data, size_t size) {
      Reader &self = *static_cast<Reader *>(context);
      if (size > self.bytes.size() - self.at)
        return 1;
      std::copy_n(self.bytes.data() + self.at, size, static_cast<char *>(data));
      self.at += size;
      return 0;
    }
  };
  std::string bytes, again;
  pith_error error = PITH_INIT(pith_error);
  ASSERT_EQ(pith_sequence_export(sequence.get(), 90, write, &bytes, &error), PITH_OK) << error.message;
  Reader reader{bytes};
  pith_sequence *copy = nullptr;
  ASSERT_EQ(pith_sequence_import(session->get(), nullptr, Reader::read, &reader, &copy, &error), PITH_OK)
      << error.message;
  EXPECT_EQ(pith_sequence_export(copy, 90, write, &again, &error), PITH_OK) << error.message;
  EXPECT_EQ(again, bytes);
  const Logits expected = step(sequence, next);
  pith_lane lane = PITH_INIT(pith_lane);
  lane.sequence = copy;
  lane.tokens = next.data();
  lane.token_count = next.size();
  EXPECT_EQ(pith_step(session->get(), &lane, 1, nullptr, result->get(), &error), PITH_OK) << error.message;
  EXPECT_EQ(logits(0), expected);
  pith_sequence_free(copy);
}

TEST_P(Property, P4AStepThatEndsEarlyChangesNothing) {
  const Tokens text = tokens(70, 8), more = tokens(200, 9), next = tokens(2, 10);
  pith::Sequence sequence(*session), other(*session);
  step(sequence, text);
  pith::Sequence witness = sequence.fork();
  const Logits expected = step(witness, next);
  pith_step_options options = PITH_INIT(pith_step_options);
  options.chunk_rows = 40;
  size_t left = 0;
  options.progress_context = &left;
  options.progress = [](void *context, size_t, size_t) { return int(--*static_cast<size_t *>(context) == 0); };
  for (size_t stop = 1; stop <= 7; ++stop) {
    left = stop;
    const std::vector<pith::Lane> lanes = {{sequence, more}, {other, text}};
    EXPECT_THROW(session->step(lanes, *result, &options), pith::Error) << stop;
    EXPECT_EQ(sequence.tokens(), text);
    EXPECT_EQ(other.length(), 0u);
    EXPECT_EQ(result->rows(), 0u);
    pith::Sequence again = sequence.fork();
    EXPECT_EQ(step(again, next), expected) << stop;
  }
}

TEST_P(Property, P5OtherSaltsAndOtherModulesDoNotHit) {
  const Tokens text = tokens(80, 11);
  const pith::Module second(path());
  pith::Session both({module.get(), &second});
  pith::Result rows(both);
  {
    pith::Sequence live(both, module.get());
    both.step({{live, text}}, rows);
  }
  EXPECT_EQ(pith::Sequence(both, module.get()).match(text), 80u);
  EXPECT_EQ(pith::Sequence(both, &second).match(text), 0u);
  EXPECT_EQ(pith::Sequence(both, module.get(), "tenant").match(text), 0u);
}

TEST_P(Property, P6AWarmPrefixGivesWhatAColdOneGives) {
  const Tokens text = tokens(140, 12), next = tokens(4, 13);
  const Logits cold = fresh(joined(text, next));
  for (size_t hit : {64, 100, 128, 140}) {
    { // freed texts, found to the token
      pith::Sequence past(*session);
      step(past, Tokens(text.begin(), text.begin() + hit));
    }
    pith::Sequence warm(*session);
    const size_t found = warm.match(text);
    EXPECT_GE(found, hit);
    expectSame(step(warm, joined(Tokens(text.begin() + found, text.end()), next)), cold, "warm against cold");
    session->trim();
  }
}

TEST_P(Property, P8EightSequencesTogetherEqualEachAlone) {
  std::vector<pith::Sequence> together;
  std::vector<Tokens> next;
  std::vector<Logits> alone;
  for (size_t i = 0; i < 8; ++i) {
    const Tokens text = tokens(3 + 23 * i, 20 + i);
    next.push_back(tokens(1, 40 + i));
    together.emplace_back(*session);
    step(together.back(), text);
    pith::Sequence single = together.back().fork();
    alone.push_back(step(single, next.back()));
  }
  std::vector<pith::Lane> lanes;
  for (size_t i = 0; i < 8; ++i)
    lanes.push_back({together[i], next[i]});
  session->step(lanes, *result);
  ASSERT_EQ(result->rows(), 8u);
  for (size_t i = 0; i < 8; ++i)
    expectSame(logits(i), alone[i], "in a batch against alone");
}

TEST_P(Property, MemoryFollowsTheTokensNotTheMaximum) {
  pith::Sequence sequence(*session);
  step(sequence, tokens(100, 50));
  EXPECT_EQ(pagesUsed(), (100 + pageTokens - 1) / pageTokens);
  EXPECT_LT(session->memory().page_bytes_used, module->stepInfo().page_bytes * 3);
}

} // namespace
