//===- SamplerTest.cpp ------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Sampler.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

using namespace pith::runtime;

namespace {

const float infinity = std::numeric_limits<float>::infinity();

/// Logits whose softmax is exactly the given probabilities.
std::vector<float> logitsOf(const std::vector<double> &probabilities) {
  std::vector<float> logits;
  for (double p : probabilities)
    logits.push_back(float(std::log(p)));
  return logits;
}

/// token -> probability after the chain.
std::map<int32_t, double> filtered(const std::vector<float> &logits, const SamplerOptions &options,
                                   const std::vector<int32_t> &recent = {}) {
  Sampler sampler;
  Distribution distribution;
  EXPECT_EQ(sampler.distribution(logits.data(), logits.size(), options, {recent.data(), recent.size()},
                                 distribution),
            SampleStatus::Ok);
  std::map<int32_t, double> result;
  for (size_t i = 0; i < distribution.count; ++i)
    result[distribution.candidates[i].token] = distribution.candidates[i].probability;
  return result;
}

void expectDistribution(const std::map<int32_t, double> &found, const std::map<int32_t, double> &expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (auto [token, probability] : expected) {
    ASSERT_TRUE(found.count(token)) << "token " << token;
    EXPECT_NEAR(found.at(token), probability, 1e-6) << "token " << token;
  }
}

SampleStatus statusOf(const std::vector<float> &logits, const SamplerOptions &options = {},
                      const std::vector<int32_t> &recent = {}) {
  Sampler sampler;
  Sample sample;
  return sampler.sample(logits.data(), logits.size(), options, {recent.data(), recent.size()}, {}, sample);
}

/// Pearson's statistic of `draws` draws at positions 0, 1, ... against the distribution itself.
double chiSquare(const std::vector<float> &logits, const SamplerOptions &options, uint64_t seed, int draws) {
  const auto expected = filtered(logits, options);
  std::map<int32_t, int> counts;
  Sampler sampler;
  Sample sample;
  for (int i = 0; i < draws; ++i) {
    EXPECT_EQ(sampler.sample(logits.data(), logits.size(), options, {}, {seed, 0, uint64_t(i)}, sample),
              SampleStatus::Ok);
    EXPECT_TRUE(expected.count(sample.token));
    ++counts[sample.token];
  }
  double statistic = 0;
  for (auto [token, probability] : expected)
    statistic += std::pow(counts[token] - draws * probability, 2) / (draws * probability);
  return statistic;
}

TEST(RandomTest, PhiloxKnownAnswers) {
  // The published known-answer vectors of philox4x32-10.
  const std::array<uint32_t, 4> zero = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  const std::array<uint32_t, 4> ones = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  const std::array<uint32_t, 4> pi = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), zero);
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), ones);
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}), pi);
}

TEST(RandomTest, EveryPartOfTheKeyMatters) {
  const RandomKey key{7, 1, 2, RandomPurpose::Sample};
  const uint64_t bits = randomBits(key);
  EXPECT_EQ(bits, randomBits(key));
  EXPECT_NE(bits, randomBits({8, 1, 2, RandomPurpose::Sample}));
  EXPECT_NE(bits, randomBits({7 + (uint64_t(1) << 32), 1, 2, RandomPurpose::Sample}));
  EXPECT_NE(bits, randomBits({7, 2, 2, RandomPurpose::Sample}));
  EXPECT_NE(bits, randomBits({7, 1, 3, RandomPurpose::Sample}));
  EXPECT_NE(bits, randomBits({7, 1, 2 + (uint64_t(1) << 32), RandomPurpose::Sample}));
  EXPECT_NE(bits, randomBits({7, 1, 2, RandomPurpose::Accept}));
}

TEST(RandomTest, UniformLiesInTheUnitInterval) {
  double sum = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    const double u = randomUniform({3, 0, i});
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005); // five standard deviations are 0.0046
}

TEST(SamplerTest, GreedyTakesTheLowestOfEquals) {
  const std::vector<float> logits = {1, 3, 2, 3};
  SamplerOptions options;
  options.temperature = 0;
  Sampler sampler;
  Sample sample;
  ASSERT_EQ(sampler.sample(logits.data(), 4, options, {}, {}, sample), SampleStatus::Ok);
  EXPECT_EQ(sample.token, 1);
  EXPECT_EQ(sample.probability, 1.0f);
  EXPECT_EQ(sample.margin, 0.0f);
  const double sum = std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0);
  EXPECT_NEAR(sample.maxProbability, std::exp(3.0) / sum, 1e-6);
  EXPECT_NEAR(sample.logProbability, 3 - std::log(sum), 1e-6);
}

TEST(SamplerTest, FactsAreThoseOfTheUntouchedRow) {
  const std::vector<float> logits = logitsOf({0.5, 0.25, 0.125, 0.125});
  const LogitBias ban{0, -infinity};
  SamplerOptions options;
  options.temperature = 0;
  options.bias = &ban;
  options.biasCount = 1;
  Sampler sampler;
  Sample sample;
  ASSERT_EQ(sampler.sample(logits.data(), 4, options, {}, {}, sample), SampleStatus::Ok);
  EXPECT_EQ(sample.token, 1);
  EXPECT_NEAR(sample.logProbability, std::log(0.25), 1e-6);
  EXPECT_NEAR(sample.maxProbability, 0.5, 1e-6);
  EXPECT_NEAR(sample.margin, std::log(2.0), 1e-6);
}

TEST(SamplerTest, OneTokenVocabulary) {
  const float logit = -4;
  Sampler sampler;
  Sample sample;
  ASSERT_EQ(sampler.sample(&logit, 1, {}, {}, {}, sample), SampleStatus::Ok);
  EXPECT_EQ(sample.token, 0);
  EXPECT_EQ(sample.margin, infinity);
  EXPECT_EQ(sample.logProbability, 0.0f);
}

TEST(SamplerTest, Temperature) {
  SamplerOptions options;
  options.temperature = 0.5f; // probabilities squared, renormalised
  expectDistribution(filtered(logitsOf({0.6, 0.3, 0.1}), options),
                     {{0, 0.36 / 0.46}, {1, 0.09 / 0.46}, {2, 0.01 / 0.46}});
  options.temperature = 1e-38f;
  expectDistribution(filtered(logitsOf({0.6, 0.3, 0.1}), options), {{0, 1.0}, {1, 0.0}, {2, 0.0}});
}

TEST(SamplerTest, TopK) {
  SamplerOptions options;
  options.topK = 2;
  expectDistribution(filtered(logitsOf({0.1, 0.3, 0.6}), options), {{1, 1.0 / 3}, {2, 2.0 / 3}});
  // Of three equals the lowest two ids stay.
  expectDistribution(filtered({5, 5, 5, 1}, options), {{0, 0.5}, {1, 0.5}});
  options.topK = 100;
  EXPECT_EQ(filtered({1, 2, 3}, options).size(), 3u);
}

TEST(SamplerTest, TopP) {
  SamplerOptions options;
  options.topP = 0.7f; // 0.5 + 0.25 reaches it; the crossing token stays
  expectDistribution(filtered(logitsOf({0.125, 0.5, 0.125, 0.25}), options), {{1, 2.0 / 3}, {3, 1.0 / 3}});
  options.topP = 1e-6f;
  expectDistribution(filtered(logitsOf({0.125, 0.5, 0.125, 0.25}), options), {{1, 1.0}});
}

TEST(SamplerTest, TopPOverALargeVocabularyEqualsASort) {
  std::vector<float> logits(20000);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = float(4 * randomUniform({11, 0, i}));
  SamplerOptions options;
  options.topP = 0.9f;
  const auto found = filtered(logits, options);
  std::vector<std::pair<float, int32_t>> order;
  double sum = 0, mass = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    order.push_back({-logits[i], int32_t(i)});
    sum += std::exp(double(logits[i]));
  }
  std::sort(order.begin(), order.end());
  size_t kept = 0;
  while (mass < options.topP)
    mass += std::exp(-double(order[kept++].first)) / sum;
  EXPECT_NEAR(double(found.size()), double(kept), 1.0); // one token of rounding at the crossing
  for (size_t i = 0; i + 1 < kept; ++i)
    ASSERT_TRUE(found.count(order[i].second));
}

TEST(SamplerTest, MinP) {
  SamplerOptions options;
  options.minP = 0.4f; // 0.4 * 0.5 = 0.2
  expectDistribution(filtered(logitsOf({0.5, 0.21, 0.19, 0.1}), options),
                     {{0, 0.5 / 0.71}, {1, 0.21 / 0.71}});
  options.minP = 1;
  EXPECT_EQ(filtered(logitsOf({0.5, 0.25, 0.25}), options).size(), 1u);
}

TEST(SamplerTest, TypicalP) {
  // Entropy of {0.6, 0.2, 0.15, 0.05} is 1.0627 nats. |-log p - H|: 0.552, 0.547, 0.834, 1.933.
  SamplerOptions options;
  options.typicalP = 0.1f;
  expectDistribution(filtered(logitsOf({0.6, 0.2, 0.15, 0.05}), options), {{1, 1.0}});
  options.typicalP = 0.5f;
  expectDistribution(filtered(logitsOf({0.6, 0.2, 0.15, 0.05}), options), {{0, 0.75}, {1, 0.25}});
}

TEST(SamplerTest, FiltersCompose) {
  // top-k 3 gives {0.5, 0.3, 0.2} / 1; top-p 0.75 of that keeps the first two.
  SamplerOptions options;
  options.topK = 3;
  options.topP = 0.75f;
  expectDistribution(filtered(logitsOf({0.4, 0.24, 0.16, 0.1, 0.1}), options), {{0, 0.625}, {1, 0.375}});
}

TEST(SamplerTest, RepetitionPenaltyIsPaidOnce) {
  SamplerOptions options;
  options.repetitionPenalty = 2;
  // 2 / 2 = 1 and -1 * 2 = -2, however often they came.
  const auto found = filtered({2, -1, 0}, options, {0, 1, 0, 0});
  const double sum = std::exp(1.0) + std::exp(-2.0) + 1;
  expectDistribution(found, {{0, std::exp(1.0) / sum}, {1, std::exp(-2.0) / sum}, {2, 1 / sum}});
}

TEST(SamplerTest, FrequencyAndPresencePenalties) {
  SamplerOptions options;
  options.frequencyPenalty = 0.5f;
  options.presencePenalty = 0.25f;
  // token 0 came three times: 2 - 1.5 - 0.25; token 1 once: 1 - 0.5 - 0.25.
  const auto found = filtered({2, 1, 0}, options, {0, 1, 0, 0});
  const double sum = 2 * std::exp(0.25) + 1;
  expectDistribution(found, {{0, std::exp(0.25) / sum}, {1, std::exp(0.25) / sum}, {2, 1 / sum}});
}

TEST(SamplerTest, PenaltiesLeaveNoTrace) {
  const std::vector<float> logits = {2, 1, 0};
  SamplerOptions options;
  options.presencePenalty = 1;
  Sampler sampler;
  Sample sample;
  const int32_t recent[] = {0, 0, 1};
  ASSERT_EQ(sampler.sample(logits.data(), 3, options, {recent, 3}, {}, sample), SampleStatus::Ok);
  Distribution distribution;
  ASSERT_EQ(sampler.distribution(logits.data(), 3, options, {}, distribution), SampleStatus::Ok);
  for (size_t i = 0; i < distribution.count; ++i)
    EXPECT_EQ(distribution.candidates[i].logit, logits[distribution.candidates[i].token] - 2);
}

TEST(SamplerTest, BiasIsAppliedAfterPenalties) {
  SamplerOptions options;
  options.repetitionPenalty = 4;
  const LogitBias bias[] = {{0, 1.0f}, {0, 0.5f}, {2, -infinity}};
  options.bias = bias;
  options.biasCount = 3;
  const auto found = filtered({4, 1, 9}, options, {0}); // 4 / 4 + 1.5 = 2.5
  const double sum = std::exp(2.5) + std::exp(1.0);
  expectDistribution(found, {{0, std::exp(2.5) / sum}, {1, std::exp(1.0) / sum}});
}

TEST(SamplerTest, Errors) {
  EXPECT_EQ(statusOf({}), SampleStatus::EmptyRow);
  EXPECT_EQ(statusOf({1, NAN, 2}), SampleStatus::NotANumber);
  EXPECT_EQ(statusOf({1, infinity, 2}), SampleStatus::NotANumber);
  EXPECT_EQ(statusOf({-infinity, -infinity}), SampleStatus::NothingAllowed);
  EXPECT_EQ(statusOf({-infinity, 0}), SampleStatus::Ok);

  const auto with = [](auto change) {
    SamplerOptions options;
    change(options);
    return statusOf({1, 2}, options);
  };
  EXPECT_EQ(with([](SamplerOptions &o) { o.temperature = -1; }), SampleStatus::BadOption);
  EXPECT_EQ(with([](SamplerOptions &o) { o.temperature = NAN; }), SampleStatus::BadOption);
  EXPECT_EQ(with([](SamplerOptions &o) { o.topK = -1; }), SampleStatus::BadOption);
  EXPECT_EQ(with([](SamplerOptions &o) { o.topP = 0; }), SampleStatus::BadOption);
  EXPECT_EQ(with([](SamplerOptions &o) { o.minP = 1.5f; }), SampleStatus::BadOption);
  EXPECT_EQ(with([](SamplerOptions &o) { o.typicalP = NAN; }), SampleStatus::BadOption);
  EXPECT_EQ(with([](SamplerOptions &o) { o.repetitionPenalty = 0; }), SampleStatus::BadOption);
  EXPECT_EQ(with([](SamplerOptions &o) { o.presencePenalty = infinity; }), SampleStatus::BadOption);

  const LogitBias outside{2, 1}, notANumber{0, NAN}, bans[] = {{0, -infinity}, {1, -infinity}};
  EXPECT_EQ(with([&](SamplerOptions &o) { o.bias = &outside, o.biasCount = 1; }), SampleStatus::BadToken);
  EXPECT_EQ(with([&](SamplerOptions &o) { o.bias = &notANumber, o.biasCount = 1; }), SampleStatus::BadOption);
  EXPECT_EQ(with([&](SamplerOptions &o) { o.bias = bans, o.biasCount = 2; }), SampleStatus::NothingAllowed);
  SamplerOptions penalty;
  penalty.presencePenalty = 1;
  EXPECT_EQ(statusOf({1, 2}, penalty, {0, -1}), SampleStatus::BadToken);
  EXPECT_EQ(statusOf({1, 2}, penalty, {2}), SampleStatus::BadToken);
  for (SampleStatus status : {SampleStatus::Ok, SampleStatus::BadToken})
    EXPECT_GT(std::string(describe(status)).size(), 0u);
}

// Critical values at 1 - 1e-4: 29.88 for 7 degrees of freedom, 25.74 for 5. The seeds are fixed, so a
// build that passes once always passes.
TEST(SamplerTest, ChiSquareUnfiltered) {
  const auto logits = logitsOf({0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02});
  for (uint64_t seed : {1, 2, 3})
    EXPECT_LT(chiSquare(logits, {}, seed, 100000), 29.88);
}

TEST(SamplerTest, ChiSquareFiltered) {
  const auto logits = logitsOf({0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02});
  SamplerOptions options;
  options.temperature = 0.7f;
  options.topK = 6;
  options.topP = 0.95f;
  options.minP = 0.02f;
  for (uint64_t seed : {1, 2, 3})
    EXPECT_LT(chiSquare(logits, options, seed, 100000), 25.74);
  options.typicalP = 0.8f;
  EXPECT_LT(chiSquare(logits, options, 4, 100000), 25.74);
}

TEST(SamplerTest, ReproducibleAndIndependentOfHistory) {
  std::vector<float> logits(500);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = float(8 * randomUniform({5, 0, i}));
  SamplerOptions options;
  options.topP = 0.95f;
  options.temperature = 0.8f;
  std::vector<int32_t> forward(200), backward(200);
  Sampler one, two;
  Sample sample;
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(one.sample(logits.data(), 500, options, {}, {9, 0, uint64_t(i)}, sample), SampleStatus::Ok);
    forward[i] = sample.token;
  }
  for (int i = 199; i >= 0; --i) {
    // Other work in between, as in a batch with other sequences.
    ASSERT_EQ(two.sample(logits.data(), 77, {}, {}, {1, 0, uint64_t(i)}, sample), SampleStatus::Ok);
    ASSERT_EQ(two.sample(logits.data(), 500, options, {}, {9, 0, uint64_t(i)}, sample), SampleStatus::Ok);
    backward[i] = sample.token;
  }
  EXPECT_EQ(forward, backward);
  int same = 0;
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(one.sample(logits.data(), 500, options, {}, {9, 1, uint64_t(i)}, sample), SampleStatus::Ok);
    same += sample.token == forward[i];
  }
  EXPECT_LT(same, 40); // another branch is another stream
}

TEST(SamplerTest, DrawCoversTheUnitInterval) {
  const Candidate candidates[] = {{4, 0, 0.25}, {5, 0, 0.0}, {6, 0, 0.75}, {7, 0, 0.0}};
  const Distribution distribution{candidates, 4};
  EXPECT_EQ(Sampler::draw(distribution, 0.0).token, 4);
  EXPECT_EQ(Sampler::draw(distribution, 0.2499).token, 4);
  EXPECT_EQ(Sampler::draw(distribution, 0.25).token, 6);
  EXPECT_EQ(Sampler::draw(distribution, 0.99999999).token, 6);
  EXPECT_EQ(Sampler::draw(distribution, 1.0).token, 6); // never a token of probability zero
}

} // namespace
