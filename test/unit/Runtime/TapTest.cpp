//===- TapTest.cpp - taps, embedding rows, lanes that leave no trace ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"
#include "pith/runtime.hpp"

#include <cmath>

using namespace pith::test;

namespace {

constexpr const char *features =
    R"("max_rows":24,"deterministic":true,"embedding_rows":2,"taps":{"places":5,"hidden":5,"block_in":[0,2],
"after_attention":[1,-1],"after_mlp":[2,3],"after_final_norm":4})";

std::string featuredFile() {
  TestFile file;
  file.manifest = fakeManifest("\"max_rows\":24", features);
  return file.bytes();
}

/// The hidden state that the row behind `tokens` has at a place.
std::vector<float> hidden(const std::vector<int32_t> &tokens, uint32_t place) {
  std::vector<float> row;
  for (uint32_t channel = 0; channel < FAKE_HIDDEN; ++channel)
    row.push_back(fake_hidden(fakeState(tokens), place, channel));
  return row;
}

std::vector<int32_t> firstOf(const std::vector<int32_t> &tokens, size_t count) {
  return {tokens.begin(), tokens.begin() + count};
}

double dot(const std::vector<float> &a, const std::vector<float> &b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += double(a[i]) * b[i];
  return sum;
}

struct TapTest : ::testing::Test {
  TemporaryFile file{featuredFile()};
  pith::Module module{file.path()};
  pith::Session session{module};
  pith::Sequence sequence{session};
  pith::Result result{session};

  std::string refusal(const pith_tap_options &options, pith_status status) {
    try {
      pith::Tap tap(module, options);
    } catch (const pith::Error &error) {
      EXPECT_EQ(error.status(), status);
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(TapTest, RowsAndPoints) {
  const pith_step_info info = module.stepInfo();
  EXPECT_EQ(info.layers, 2u);
  EXPECT_EQ(info.hidden, 5u);
  EXPECT_EQ(info.embedding, 2u);
  const pith::Tap last(module, PITH_TAP_BLOCK_IN, 1), behind(module, PITH_TAP_AFTER_MLP, 0),
      attention(module, PITH_TAP_AFTER_ATTENTION, 0), norm(module, PITH_TAP_AFTER_FINAL_NORM, 77);
  pith_tap_options options = PITH_INIT(pith_tap_options);
  options.point = PITH_TAP_AFTER_MLP;
  options.layer = 1;
  options.rows = PITH_TAP_RANGE;
  options.first_row = 20;
  options.row_count = 10;
  const pith::Tap range(module, options);
  options.row_count = 0;
  const pith::Tap toTheEnd(module, options);
  options.first_row = 900;
  const pith::Tap beyond(module, options);

  // Two lanes, in chunks of 7 rows that cut through the range; one has tokens in its cache already.
  const std::vector<int32_t> before = someTokens(40, 3), text = someTokens(50), other = someTokens(33, 9);
  pith::Sequence grown(session);
  session.step({{grown, before}}, result);
  pith_step_options step = PITH_INIT(pith_step_options);
  step.chunk_rows = 7;
  session.step({{sequence, text, PITH_ROWS_NONE, 0, {&last, &range, &toTheEnd, &beyond}},
                {grown, other, PITH_ROWS_LAST, 0, {&behind, &attention, &norm, &range}}},
               result, &step);
  EXPECT_EQ(result.rows(), 1u);
  EXPECT_EQ(result.tap(0, 0), hidden(text, 2));
  EXPECT_EQ(result.tap(0, 1).size(), 10u * FAKE_HIDDEN);
  EXPECT_EQ(result.tap(0, 2).size(), 30u * FAKE_HIDDEN);
  EXPECT_TRUE(result.tap(0, 3).empty());
  for (size_t row = 0; row < 30; ++row) {
    const std::vector<float> expected = hidden(firstOf(text, 21 + row), 3);
    const std::vector<float> all = result.tap(0, 2);
    EXPECT_EQ(std::vector<float>(all.begin() + row * 5, all.begin() + row * 5 + 5), expected);
  }
  std::vector<int32_t> joined = before;
  joined.insert(joined.end(), other.begin(), other.end());
  EXPECT_EQ(result.tap(1, 0), hidden(joined, 2));
  EXPECT_EQ(result.tap(1, 1), hidden(joined, 1));
  EXPECT_EQ(result.tap(1, 2), hidden(joined, 4));
  EXPECT_EQ(result.tap(1, 3).size(), 10u * FAKE_HIDDEN);
  EXPECT_THROW(result.tap(1, 4), pith::Error);
  EXPECT_THROW(result.tap(2, 0), pith::Error);
  session.step({{grown, {1}}}, result);
  EXPECT_THROW(result.tap(0, 0), pith::Error) << "taps of the step before";
}

TEST_F(TapTest, Reductions) {
  const std::vector<int32_t> text = someTokens(60);
  const std::vector<float> weights = {0.5f, -1, 2, 0.25f, 3};
  pith_tap_options options = PITH_INIT(pith_tap_options);
  options.point = PITH_TAP_AFTER_ATTENTION;
  options.rows = PITH_TAP_MEAN;
  const pith::Tap mean(module, options);
  options.reduce = PITH_TAP_COSINE_PREVIOUS;
  const pith::Tap meanCosine(module, options);
  options.rows = PITH_TAP_LAST;
  const pith::Tap cosine(module, options);
  options.reduce = PITH_TAP_DOT;
  options.weights = weights.data();
  options.weight_count = 5;
  options.bias = 0.75f;
  const pith::Tap product(module, options);
  options.rows = PITH_TAP_MEAN;
  options.first_row = 10;
  options.row_count = 5;
  const pith::Tap meanProduct(module, options);

  std::vector<double> sum(5);
  double cosines = 0, lastCosine = 0, products = 0;
  for (size_t row = 0; row < 60; ++row) {
    const std::vector<float> here = hidden(firstOf(text, row + 1), 1), previous = hidden(firstOf(text, row + 1), 0);
    for (size_t i = 0; i < 5; ++i)
      sum[i] += here[i] / 60;
    lastCosine = dot(here, previous) / std::sqrt(dot(here, here) * dot(previous, previous));
    cosines += lastCosine / 60;
    if (row >= 10 && row < 15)
      products += (dot(weights, here) + 0.75) / 5;
  }
  std::vector<std::vector<float>> first;
  for (const uint32_t chunk : {0u, 1u, 17u}) {
    pith::Sequence fresh(session);
    pith_step_options step = PITH_INIT(pith_step_options);
    step.chunk_rows = chunk;
    session.step({{fresh, text, PITH_ROWS_NONE, 0, {&mean, &meanCosine, &cosine, &product, &meanProduct}}}, result,
                 &step);
    for (size_t i = 0; i < 5; ++i)
      EXPECT_NEAR(result.tap(0, 0)[i], sum[i], 1e-6);
    ASSERT_EQ(result.tap(0, 1).size(), 1u);
    EXPECT_NEAR(result.tap(0, 1)[0], cosines, 1e-6);
    EXPECT_NEAR(result.tap(0, 2)[0], lastCosine, 1e-6);
    EXPECT_NEAR(result.tap(0, 3)[0], dot(weights, hidden(text, 1)) + 0.75, 1e-6);
    EXPECT_NEAR(result.tap(0, 4)[0], products, 1e-6);
    std::vector<std::vector<float>> all;
    for (size_t i = 0; i < 5; ++i)
      all.push_back(result.tap(0, i));
    if (first.empty())
      first = all;
    EXPECT_EQ(all, first) << "chunks of " << chunk;
  }
}

TEST_F(TapTest, Refusals) {
  pith_tap_options options = PITH_INIT(pith_tap_options);
  options.point = PITH_TAP_AFTER_ATTENTION;
  options.layer = 2;
  options.rows = PITH_TAP_LAST;
  EXPECT_EQ(refusal(options, PITH_ERROR_ARGUMENT), "layer is 2, the module has 2");
  options.layer = 1;
  EXPECT_EQ(refusal(options, PITH_ERROR_UNSUPPORTED).substr(0, 26), "layer 1 has no place betwe");
  options.layer = 0;
  options.rows = 0;
  EXPECT_EQ(refusal(options, PITH_ERROR_ARGUMENT), "rows is 0, expected 1 to 3");
  options.rows = PITH_TAP_LAST;
  options.reduce = PITH_TAP_DOT;
  options.weight_count = 4;
  EXPECT_EQ(refusal(options, PITH_ERROR_ARGUMENT), "weight_count is 4, expected the hidden size 5");
  options.weight_count = 5;
  EXPECT_EQ(refusal(options, PITH_ERROR_ARGUMENT), "weights is null");
  options.reduce = 3;
  EXPECT_EQ(refusal(options, PITH_ERROR_ARGUMENT), "reduce is 3, expected 0 to 2");
  options.reduce = PITH_TAP_COSINE_PREVIOUS;
  options.point = PITH_TAP_BLOCK_IN;
  EXPECT_EQ(refusal(options, PITH_ERROR_ARGUMENT), "no point comes before the first block to compare with");
  options.point = 9;
  EXPECT_EQ(refusal(options, PITH_ERROR_ARGUMENT), "point is 9, expected 1 to 4");
  EXPECT_PITH_ERROR(pith_tap_new(module.get(), nullptr, nullptr, &error), PITH_ERROR_ARGUMENT, "options is null");

  const pith::Tap tap(module, PITH_TAP_BLOCK_IN, 0);
  const pith::Module again(file.path());
  const pith::Tap foreign(again, PITH_TAP_BLOCK_IN, 0);
  const pith_tap *taps[] = {tap.get(), nullptr}, *strangers[] = {foreign.get()};
  const std::vector<int32_t> tokens = {1, 2};
  pith_lane lane = PITH_INIT(pith_lane);
  lane.sequence = sequence.get();
  lane.tokens = tokens.data();
  lane.token_count = 2;
  lane.rows = PITH_ROWS_NONE;
  lane.tap_count = 1;
  const auto step = [&](pith_error *error, pith_result *to) {
    return pith_step(session.get(), &lane, 1, nullptr, to, error);
  };
  EXPECT_PITH_ERROR(step(&error, result.get()), PITH_ERROR_ARGUMENT, "lane 0: taps is null");
  lane.taps = taps;
  EXPECT_PITH_ERROR(step(&error, nullptr), PITH_ERROR_ARGUMENT, "1 taps");
  lane.tap_count = 2;
  EXPECT_PITH_ERROR(step(&error, result.get()), PITH_ERROR_ARGUMENT, "taps[1] is null");
  lane.tap_count = 1;
  lane.taps = strangers;
  EXPECT_PITH_ERROR(step(&error, result.get()), PITH_ERROR_ARGUMENT, "taps[0] is of another module");
  EXPECT_EQ(sequence.length(), 0u);
}

TEST_F(TapTest, EmbeddingRows) {
  const std::vector<int32_t> text = someTokens(30), none;
  std::vector<float> rows;
  for (const int32_t token : text)
    rows.insert(rows.end(), {float(token), 100});
  pith::Sequence other(session);
  const std::vector<int32_t> beside = someTokens(11, 5);
  session.step({{other, beside}, {sequence, none, PITH_ROWS_ALL, 0, {}, rows.data(), 30}}, result);
  EXPECT_EQ(sequence.tokens(), std::vector<int32_t>(30, -1));
  ASSERT_EQ(result.rows(), 31u);
  for (size_t i = 0; i < 30; ++i) {
    const std::vector<float> expected = expectedLogits(firstOf(text, i + 1));
    EXPECT_EQ(std::vector<float>(result.logits(1 + i), result.logits(1 + i) + FAKE_VOCAB), expected) << i;
  }
  EXPECT_EQ(std::vector<float>(result.logits(0), result.logits(0) + FAKE_VOCAB), expectedLogits(beside));

  // Tokens behind them, a fork among them; penalties see the tokens only.
  session.step({{sequence, {5}}}, result);
  std::vector<int32_t> longer = text;
  longer.push_back(5);
  EXPECT_EQ(std::vector<float>(result.logits(0), result.logits(0) + FAKE_VOCAB), expectedLogits(longer));
  pith_sampler_options options = PITH_INIT(pith_sampler_options);
  options.frequency_penalty = 1;
  pith::Sampler sampler(options);
  EXPECT_NO_THROW(sampler.draw(result, 0, &sequence));
  pith::Sequence branch = sequence.fork(20);
  session.step({{branch, {7}}}, result);
  longer = firstOf(text, 20);
  longer.push_back(7);
  EXPECT_EQ(std::vector<float>(result.logits(0), result.logits(0) + FAKE_VOCAB), expectedLogits(longer));

  // They equal no tokens: neither for a match, nor to catch up, nor to score.
  size_t hit = 99;
  pith::Sequence fresh(session);
  ASSERT_PITH_OK(pith_sequence_match(fresh.get(), text.data(), text.size(), &hit, &error));
  EXPECT_EQ(hit, 0u);
  branch.catchUp(text);
  EXPECT_EQ(branch.tokens(), text);
  EXPECT_THROW(sequence.score(5, 8), pith::Error);
  EXPECT_THROW(sequence.score(30, 31), pith::Error);
  EXPECT_THROW(branch.catchUp({-1, -1}), pith::Error);

  pith_lane lane = PITH_INIT(pith_lane);
  lane.sequence = sequence.get();
  lane.tokens = text.data();
  lane.embeddings = rows.data();
  lane.token_count = 2;
  const auto step = [&](pith_error *error) {
    return pith_step(session.get(), &lane, 1, nullptr, result.get(), error);
  };
  EXPECT_PITH_ERROR(step(&error), PITH_ERROR_ARGUMENT, "both tokens and embeddings");
  lane.tokens = nullptr;
  lane.flags = PITH_LANE_SCORE;
  EXPECT_PITH_ERROR(step(&error), PITH_ERROR_ARGUMENT, "scored");
}

TEST_F(TapTest, ReadOnlyLanesLeaveNoTrace) {
  const std::vector<int32_t> text = someTokens(40), probe = someTokens(20, 8);
  session.step({{sequence, text}}, result);
  pith::Sequence shared = sequence.fork();
  const pith_memory before = session.memory();
  std::vector<int32_t> joined = text;
  joined.insert(joined.end(), probe.begin(), probe.end());
  for (pith::Sequence *one : {&sequence, &shared}) {
    session.step({{*one, probe, PITH_ROWS_LAST, 0, {}, nullptr, 0, PITH_KV_READ_ONLY}}, result);
    EXPECT_EQ(std::vector<float>(result.logits(0), result.logits(0) + FAKE_VOCAB), expectedLogits(joined));
    EXPECT_EQ(one->tokens(), text);
  }
  EXPECT_EQ(session.memory().pages_used, before.pages_used);
  EXPECT_EQ(session.memory().pages_shared, before.pages_shared);
  for (const pith::Sequence *one : {&sequence, &shared}) {
    session.step({{*one, {3}}}, result);
    std::vector<int32_t> next = text;
    next.push_back(3);
    EXPECT_EQ(std::vector<float>(result.logits(0), result.logits(0) + FAKE_VOCAB), expectedLogits(next));
  }
}

TEST(TapManifest, DamagedPlacesAreErrors) {
  const auto load = [](const std::string &text, pith_error *error) {
    TestFile file;
    file.manifest = fakeManifest("\"max_rows\":24", "\"max_rows\":24," + text);
    const TemporaryFile place(file.bytes());
    pith_module *module = nullptr;
    return pith_module_load(place.path().c_str(), nullptr, &module, error);
  };
  const std::string begin = R"("taps":{"places":2,"hidden":5,"after_final_norm":-1,"block_in":[0],)";
  EXPECT_PITH_ERROR(load(R"("taps":3)", &error), PITH_ERROR_FORMAT, "taps is not an object");
  EXPECT_PITH_ERROR(load(R"("deterministic":1)", &error), PITH_ERROR_FORMAT, "deterministic is not true or false");
  EXPECT_PITH_ERROR(load(R"("embedding_rows":0)", &error), PITH_ERROR_FORMAT, "embedding_rows is 0");
  EXPECT_PITH_ERROR(load(begin + R"("after_attention":[2],"after_mlp":[1]})", &error), PITH_ERROR_FORMAT,
                    "after_attention is not a list of places");
  EXPECT_PITH_ERROR(load(begin + R"("after_attention":[-1],"after_mlp":[1,1]})", &error), PITH_ERROR_FORMAT,
                    "one length");
}

} // namespace
