//===- DeterministicTest.cpp - the same bits in any company -----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// In deterministic mode every row's logits, taps and samples are bit-equal to those of its text alone, in one step, on
// one thread: in random ragged batches, chunks and thread counts, and behind a cached beginning.
//
//===----------------------------------------------------------------------===//
#include "Compiled.h"
#include "gtest/gtest.h"
#include <cstring>
#include <fstream>
#include <memory>
#include <random>

using namespace pith;
using namespace pith::test;

namespace {

struct Model {
  const char *name, *path;
  Precision precision;
  bool shared;
};

const Model models[] = {
    {"f16", PITH_TEST_MODELS_DIR "/code-lm/model.onnx", Precision::Exact, false},
    {"f32", PITH_SHARED_MODELS_DIR "/code-lm/past-opset17/model.onnx", Precision::Exact, true},
    {"int4", PITH_SHARED_MODELS_DIR "/code-lm/genai-int4/model.onnx", Precision::Exact, true},
    {"int4_balanced", PITH_SHARED_MODELS_DIR "/code-lm/genai-int4/model.onnx", Precision::Balanced, true},
    {"gpt2", PITH_SHARED_MODELS_DIR "/tiny/gpt2/model/model.onnx", Precision::Exact, true},
};

class Deterministic : public ::testing::TestWithParam<Model> {
protected:
  void SetUp() override {
    if (GetParam().shared && !std::ifstream(GetParam().path))
      GTEST_SKIP() << "no " << GetParam().path;
    file = std::make_unique<Compiled>(GetParam().path,
                                      [](CompileOptions &options) { options.precision = GetParam().precision; });
    module = std::make_unique<Module>(file->path());
    const pith_step_info info = module->stepInfo();
    vocab = info.vocab;
    longest = info.positions ? std::min<size_t>(info.positions, 150) : 150;
    for (uint32_t i = 0; i < 6; ++i)
      texts.push_back(someTokens(1 + i * (longest - 1) / 5, 77 + i, vocab));
    pith_tap_options options = PITH_INIT(pith_tap_options);
    options.point = PITH_TAP_AFTER_MLP;
    options.layer = info.layers - 1;
    options.rows = PITH_TAP_RANGE;
    if (info.layers)
      tap = std::make_unique<Tap>(*module, options);
    computeAlone();
  }

  /// Every row of every text, each text alone in one step.
  void computeAlone() {
    Session session(*module, sessionOptions(1, PITH_SESSION_DETERMINISTIC));
    Result result(session);
    for (const std::vector<int32_t> &text : texts) {
      Sequence sequence(session);
      session.step({{sequence, text, PITH_ROWS_ALL, 0, taps()}}, result);
      logits.emplace_back();
      for (size_t row = 0; row < text.size(); ++row)
        logits.back().push_back(rowOf(result, row, vocab));
      states.push_back(tap ? result.tap(0, 0) : std::vector<float>());
    }
  }
  std::vector<const Tap *> taps() const {
    return tap ? std::vector<const Tap *>{tap.get()} : std::vector<const Tap *>();
  }
  static bool equal(const std::vector<float> &a, const std::vector<float> &b) {
    return a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size() * sizeof(float));
  }

  /// Feeds all texts in random pieces; returns how many rows differ from those alone.
  size_t walk(Session &session, unsigned seed);

  std::unique_ptr<Compiled> file;
  std::unique_ptr<Module> module;
  std::unique_ptr<Tap> tap;
  uint32_t vocab = 0;
  size_t longest = 0;
  std::vector<std::vector<int32_t>> texts;
  std::vector<std::vector<std::vector<float>>> logits; // by text and row
  std::vector<std::vector<float>> states;
};

size_t Deterministic::walk(Session &session, unsigned seed) {
  std::mt19937 random(seed);
  Result result(session);
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (size_t i = 0; i < texts.size(); ++i)
    sequences.push_back(std::make_unique<Sequence>(session));
  size_t different = 0, left = texts.size();
  while (left) {
    std::vector<std::vector<int32_t>> pieces(texts.size());
    std::vector<size_t> who, from;
    std::vector<Lane> lanes;
    for (size_t i = 0; i < texts.size(); ++i) {
      const size_t done = sequences[i]->length(), rest = texts[i].size() - done;
      if (!rest || random() % 3 == 0)
        continue;
      const size_t most[] = {1, 4, 40};
      const size_t count = std::min(rest, 1 + random() % most[random() % 3]);
      pieces[i].assign(texts[i].begin() + done, texts[i].begin() + done + count);
      lanes.push_back({*sequences[i], pieces[i], PITH_ROWS_ALL, 0, taps()});
      who.push_back(i);
      from.push_back(done);
    }
    pith_step_options options = PITH_INIT(pith_step_options);
    options.chunk_rows = random() % 2 ? 0 : 1 + random() % 20;
    session.step(lanes, result, &options);
    size_t row = 0;
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      const size_t count = pieces[who[lane]].size();
      for (size_t i = 0; i < count; ++i, ++row)
        different += !equal(rowOf(result, row, vocab), logits[who[lane]][from[lane] + i]);
      if (tap) {
        const std::vector<float> seen = result.tap(lane, 0), &whole = states[who[lane]];
        const size_t width = seen.size() / count;
        different += std::memcmp(seen.data(), whole.data() + from[lane] * width, seen.size() * 4) != 0;
      }
      left -= from[lane] + count == texts[who[lane]].size();
    }
  }
  return different;
}

TEST_P(Deterministic, AnyBatchAnyChunksAnyThreads) {
  for (const uint32_t threads : {1u, 2u}) {
    Session session(*module, sessionOptions(threads, PITH_SESSION_DETERMINISTIC));
    for (unsigned seed = 0; seed < 2; ++seed)
      EXPECT_EQ(walk(session, seed), 0u) << threads << " threads, seed " << seed;
  }
  // Sums in f32 depend on the number of rows without the mode, or this test would prove nothing.
  if (GetParam().precision == Precision::Exact) {
    Session session(*module, sessionOptions(2));
    EXPECT_GT(walk(session, 0), 0u);
  }
}

TEST_P(Deterministic, WarmPrefixes) {
  Session session(*module, sessionOptions(2, PITH_SESSION_DETERMINISTIC));
  Result result(session);
  const std::vector<int32_t> &text = texts.back();
  const size_t keep = text.size() - 3;
  {
    Sequence first(session);
    for (size_t i = 0; i < keep; ++i) // token by token
      session.step({{first, {text[i]}, PITH_ROWS_NONE}}, result);
  }
  Sequence warm(session);
  size_t hit = 0;
  pith_error error = PITH_INIT(pith_error);
  ASSERT_EQ(pith_sequence_match(warm.get(), text.data(), text.size() - 1, &hit, &error), PITH_OK) << error.message;
  ASSERT_EQ(hit, keep);
  const std::vector<int32_t> rest(text.begin() + hit, text.end());
  session.step({{warm, rest, PITH_ROWS_ALL}}, result);
  for (size_t i = 0; i < rest.size(); ++i)
    EXPECT_TRUE(equal(rowOf(result, i, vocab), logits.back()[hit + i])) << i;
}

TEST_P(Deterministic, Samples) {
  pith_sampler_options options = PITH_INIT(pith_sampler_options);
  options.temperature = 0.9f;
  options.top_p = 0.95f;
  options.seed = 5;
  const auto generate = [&](Session &session, size_t company) {
    Sampler sampler(options);
    Result result(session);
    std::vector<std::unique_ptr<Sequence>> sequences;
    std::vector<std::vector<int32_t>> pieces;
    for (size_t i = 0; i <= company; ++i) {
      sequences.push_back(std::make_unique<Sequence>(session));
      pieces.push_back(texts[1 + i]);
    }
    std::vector<int32_t> text;
    while (text.size() < 15) {
      std::vector<Lane> lanes;
      for (size_t i = 0; i <= company; ++i)
        lanes.push_back({*sequences[i], pieces[i]});
      session.step(lanes, result);
      for (size_t i = 0; i <= company; ++i)
        pieces[i] = {sampler.draw(result, i, sequences[i].get())};
      text.push_back(pieces[0][0]);
    }
    return text;
  };
  Session one(*module, sessionOptions(1, PITH_SESSION_DETERMINISTIC));
  Session two(*module, sessionOptions(2, PITH_SESSION_DETERMINISTIC));
  EXPECT_EQ(generate(two, 3), generate(one, 0));
}

INSTANTIATE_TEST_SUITE_P(Models, Deterministic, ::testing::ValuesIn(models),
                         [](const auto &info) { return std::string(info.param.name); });

} // namespace
