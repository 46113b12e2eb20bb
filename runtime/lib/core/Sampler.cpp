//===- Sampler.cpp - from one row of logits to one token ------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

using namespace pith::runtime;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Falling probability with a total order, so that equal logits never depend on how a sort was done.
bool likelier(const Candidate &a, const Candidate &b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// exp(x) for x <= 0, without branches and so in vectors, to within 2 units in the last place; 0 where
/// the result would not be a normal number. exp(x) = 2^n exp(r) with |r| <= ln(2) / 2 and Taylor's series
/// to the seventh power, whose remainder is below 6e-9.
inline float expAtMostOne(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the mantissa.
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r =
      (clamped - n * 0.693145752f) - n * 1.42860677e-6f; // ln(2) in two parts: n * the first is exact
  float series = 1.0f / 5040;
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23; // only n's low eight bits survive the shift
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? 0.0f : series * power;
}

bool inRange(const SamplerOptions &options) {
  // Written so that NaN fails every comparison.
  return options.temperature >= 0 && options.temperature < infinity && options.topK >= 0 &&
         options.topP > 0 && options.topP <= 1 && options.minP >= 0 && options.minP <= 1 &&
         options.typicalP > 0 && options.typicalP <= 1 && options.repetitionPenalty > 0 &&
         options.repetitionPenalty < infinity && std::isfinite(options.frequencyPenalty) &&
         std::isfinite(options.presencePenalty) && (options.bias || !options.biasCount);
}

} // namespace

const char *pith::runtime::describe(SampleStatus status) {
  switch (status) {
  case SampleStatus::Ok:
    return "ok";
  case SampleStatus::EmptyRow:
    return "the row has no logits";
  case SampleStatus::NotANumber:
    return "a logit is not a number or is plus infinity";
  case SampleStatus::NothingAllowed:
    return "every token is banned: all logits are minus infinity";
  case SampleStatus::BadOption:
    return "a sampling option is out of range";
  case SampleStatus::BadToken:
    return "a recent or biased token is outside the vocabulary";
  }
  return "unknown status";
}

void Sampler::reserve(size_t vocabulary) {
  if (adjusted.size() < vocabulary)
    adjusted.resize(vocabulary);
  if (counts.size() < vocabulary)
    counts.resize(vocabulary, 0);
  candidates.reserve(vocabulary);
}

/// The two largest logits, and whether the row can be used at all.
SampleStatus Sampler::inspect(const float *logits, size_t vocabulary, RowFacts &facts) {
  if (!vocabulary || !logits)
    return SampleStatus::EmptyRow;
  float top = -infinity, second = -infinity;
  for (size_t i = 0; i < vocabulary; ++i) {
    const float logit = logits[i];
    if (!(logit < infinity))
      return SampleStatus::NotANumber;
    if (logit > top) {
      second = top;
      top = logit;
    } else if (logit > second) {
      second = logit;
    }
  }
  if (top == -infinity)
    return SampleStatus::NothingAllowed;
  facts.top = top;
  facts.second = second;
  return SampleStatus::Ok;
}

/// Sum of exp(logit - top). Each term is an f32, of at most 1; the sum is an f64, because a vocabulary
/// of a hundred thousand small terms would lose its tail in f32. Eight sums at a time, so that the
/// compiler may use vectors; their number, and so the order of the sum, is fixed.
double Sampler::sumExp(const float *logits, size_t vocabulary, float top) {
  constexpr size_t lanes = 8;
  double sums[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= vocabulary; i += lanes) {
    float terms[lanes];
    for (size_t lane = 0; lane < lanes; ++lane)
      terms[lane] = expAtMostOne(logits[i + lane] - top);
    for (size_t lane = 0; lane < lanes; ++lane)
      sums[lane] += terms[lane];
  }
  double sum = 0;
  for (; i < vocabulary; ++i)
    sum += expAtMostOne(logits[i] - top);
  for (double lane : sums)
    sum += lane;
  return sum;
}

/// The steps 1 to 3, from `logits` to `adjusted`.
SampleStatus Sampler::adjust(const float *logits, size_t vocabulary, const SamplerOptions &options,
                             RecentTokens recent) {
  reserve(vocabulary);
  std::copy(logits, logits + vocabulary, adjusted.begin());
  const bool penalise =
      options.repetitionPenalty != 1 || options.frequencyPenalty != 0 || options.presencePenalty != 0;
  const auto outside = [&](int32_t token) { return token < 0 || size_t(token) >= vocabulary; };
  if (penalise) {
    for (size_t i = 0; i < recent.count; ++i)
      if (outside(recent.tokens[i]))
        return SampleStatus::BadToken;
    for (size_t i = 0; i < recent.count; ++i)
      ++counts[recent.tokens[i]];
    for (size_t i = 0; i < recent.count; ++i) {
      const int32_t token = recent.tokens[i];
      uint32_t &count = counts[token];
      if (!count)
        continue; // an earlier occurrence has paid for all of them
      float &logit = adjusted[token];
      logit = logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty;
      logit -= float(count) * options.frequencyPenalty + options.presencePenalty;
      count = 0;
    }
  }
  for (size_t i = 0; i < options.biasCount; ++i) {
    const LogitBias &entry = options.bias[i];
    if (outside(entry.token))
      return SampleStatus::BadToken;
    if (!(entry.bias < infinity))
      return SampleStatus::BadOption;
    adjusted[entry.token] += entry.bias;
  }
  return SampleStatus::Ok;
}

/// Probabilities of the candidates from their logits.
void Sampler::normalise() {
  float top = -infinity;
  for (const Candidate &candidate : candidates)
    top = std::max(top, candidate.logit);
  double sum = 0;
  for (Candidate &candidate : candidates) {
    candidate.probability = expAtMostOne(candidate.logit - top);
    sum += candidate.probability;
  }
  for (Candidate &candidate : candidates)
    candidate.probability /= sum;
}

void Sampler::keepTopK(size_t k) {
  if (k >= candidates.size())
    return;
  std::nth_element(candidates.begin(), candidates.begin() + k, candidates.end(), likelier);
  candidates.resize(k);
}

/// Keeps the shortest prefix in the order `before` whose probabilities sum to at least `mass`, sorted.
/// The mass mostly lies in few tokens of a large vocabulary, so the order is established in blocks of
/// growing size instead of by one sort of everything.
template <typename Before>
void Sampler::keepPrefix(double mass, Before before) {
  double sum = 0;
  size_t sorted = 0;
  for (size_t block = 64; sorted < candidates.size(); block *= 4) {
    const size_t end = std::min(candidates.size(), sorted + block);
    if (end < candidates.size())
      std::nth_element(candidates.begin() + sorted, candidates.begin() + end, candidates.end(), before);
    std::sort(candidates.begin() + sorted, candidates.begin() + end, before);
    for (; sorted < end; ++sorted) {
      sum += candidates[sorted].probability;
      if (sum >= mass) {
        candidates.resize(sorted + 1);
        return;
      }
    }
  }
}

/// The steps 4 to 8, from `adjusted` to `candidates`.
SampleStatus Sampler::filter(const SamplerOptions &options, size_t vocabulary, Distribution &result) {
  candidates.clear();
  size_t best = 0;
  for (size_t i = 0; i < vocabulary; ++i) {
    if (!(adjusted[i] < infinity)) // huge penalties and biases can overflow a finite logit
      return SampleStatus::NotANumber;
    if (adjusted[i] > adjusted[best])
      best = i;
  }
  const float top = adjusted[best];
  if (top == -infinity)
    return SampleStatus::NothingAllowed;
  if (options.temperature == 0) {
    candidates.push_back({int32_t(best), top, 1.0});
    result = {candidates.data(), 1};
    return SampleStatus::Ok;
  }

  // Subtracting the top first keeps a tiny temperature from overflowing to infinity minus infinity.
  for (size_t i = 0; i < vocabulary; ++i)
    if (adjusted[i] != -infinity)
      candidates.push_back({int32_t(i), (adjusted[i] - top) / options.temperature, 0.0});

  if (options.topK > 0)
    keepTopK(size_t(options.topK));
  normalise();
  if (options.topP < 1) {
    keepPrefix(options.topP, likelier);
    normalise();
  }
  if (options.minP > 0) {
    double largest = 0;
    for (const Candidate &candidate : candidates)
      largest = std::max(largest, candidate.probability);
    const double floor = double(options.minP) * largest;
    candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                    [&](const Candidate &c) { return c.probability < floor; }),
                     candidates.end());
    normalise();
  }
  if (options.typicalP < 1) {
    double entropy = 0;
    for (const Candidate &candidate : candidates)
      if (candidate.probability > 0)
        entropy -= candidate.probability * std::log(candidate.probability);
    const auto deviation = [entropy](const Candidate &candidate) {
      return candidate.probability > 0 ? std::abs(-std::log(candidate.probability) - entropy)
                                       : std::numeric_limits<double>::infinity();
    };
    keepPrefix(options.typicalP, [&](const Candidate &a, const Candidate &b) {
      const double da = deviation(a), db = deviation(b);
      return da != db ? da < db : likelier(a, b);
    });
    normalise();
  }
  // The filters leave orders of their own; a draw goes by the token, as it does on devices.
  if (options.topK > 0 || options.topP < 1 || options.typicalP < 1)
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate &a, const Candidate &b) { return a.token < b.token; });
  result = {candidates.data(), candidates.size()};
  return SampleStatus::Ok;
}

const Candidate &Sampler::draw(const Distribution &distribution, double uniform) {
  double sum = 0;
  const Candidate *last = distribution.candidates;
  for (size_t i = 0; i < distribution.count; ++i) {
    const Candidate &candidate = distribution.candidates[i];
    if (candidate.probability <= 0)
      continue;
    last = &candidate;
    sum += candidate.probability;
    if (uniform < sum)
      break;
  }
  return *last; // rounding can leave the sum a hair under 1: then the last possible token
}

SampleStatus Sampler::distribution(const float *logits, size_t vocabulary, const SamplerOptions &options,
                                   RecentTokens recent, Distribution &result) {
  result = {};
  if (!inRange(options))
    return SampleStatus::BadOption;
  RowFacts facts;
  if (SampleStatus status = inspect(logits, vocabulary, facts); status != SampleStatus::Ok)
    return status;
  if (SampleStatus status = adjust(logits, vocabulary, options, recent); status != SampleStatus::Ok)
    return status;
  return filter(options, vocabulary, result);
}

SampleStatus Sampler::sample(const float *logits, size_t vocabulary, const SamplerOptions &options,
                             RecentTokens recent, const RandomKey &key, Sample &result) {
  result = {};
  if (!inRange(options))
    return SampleStatus::BadOption;
  RowFacts facts;
  if (SampleStatus status = inspect(logits, vocabulary, facts); status != SampleStatus::Ok)
    return status;
  if (SampleStatus status = adjust(logits, vocabulary, options, recent); status != SampleStatus::Ok)
    return status;
  Distribution choices;
  if (SampleStatus status = filter(options, vocabulary, choices); status != SampleStatus::Ok)
    return status;
  const Candidate &chosen = draw(choices, choices.count == 1 ? 0.0 : randomUniform(key));
  result.token = chosen.token;
  const double sum = sumExp(logits, vocabulary, facts.top);
  result.probability = float(chosen.probability);
  result.logProbability = float(double(logits[chosen.token]) - double(facts.top) - std::log(sum));
  result.maxProbability = float(1 / sum);
  result.margin = facts.top - facts.second;
  return SampleStatus::Ok;
}
