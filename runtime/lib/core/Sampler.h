//===- Sampler.h - from one row of logits to one token ----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The chain, in this order; a step whose option has its default value does nothing:
//
//   1. repetition penalty     once per distinct recent token: l > 0 ? l / r : l * r
//   2. frequency and presence l -= count * frequency + presence, for every recent token
//   3. logit bias             l += bias; last of the logit steps, so that a ban (-infinity) or a push
//                             means what it says whatever the penalties did
//      temperature == 0       ends here: the largest logit, the lowest id among equals
//   4. temperature            l /= temperature
//   5. top-k                  the k largest (the lowest ids among equals)
//   6. top-p                  the shortest prefix, by falling probability, whose sum reaches p
//   7. min-p                  probability >= min_p * the largest probability
//   8. typical-p              the shortest prefix, by rising |-log p - entropy|, whose sum reaches typical_p
//   9. draw                   the first token, by number, at which the sum passes randomUniform(key)
//
// Probabilities are renormalised after each of the steps 5 to 8, and at least one token always stays.
// A result depends on the row, the options, the recent tokens and the key, and on nothing else.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_SAMPLER_H
#define PITH_RUNTIME_CORE_SAMPLER_H

#include "Random.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pith::runtime {

struct LogitBias {
  int32_t token;
  float bias; ///< may be -infinity (a ban), never +infinity or NaN
};

struct SamplerOptions {
  float temperature = 1.0f;       ///< >= 0; 0 is greedy
  int32_t topK = 0;               ///< 0: off
  float topP = 1.0f;              ///< in (0, 1]; 1: off
  float minP = 0.0f;              ///< in [0, 1]; 0: off
  float typicalP = 1.0f;          ///< in (0, 1]; 1: off
  float repetitionPenalty = 1.0f; ///< > 0; 1: off
  float frequencyPenalty = 0.0f;
  float presencePenalty = 0.0f;
  const LogitBias *bias = nullptr; ///< biasCount entries, not owned; a token may appear more than once
  size_t biasCount = 0;

  /// Only what the steps 4 to 7 need.
  bool isPlain() const {
    return typicalP == 1 && repetitionPenalty == 1 && frequencyPenalty == 0 && presencePenalty == 0 &&
           !biasCount;
  }
};

/// The tokens the penalties look at; not owned.
struct RecentTokens {
  const int32_t *tokens = nullptr;
  size_t count = 0;
};

enum class SampleStatus {
  Ok,
  EmptyRow,       ///< no logits
  NotANumber,     ///< a logit is NaN or +infinity
  NothingAllowed, ///< every logit is -infinity
  BadOption,      ///< an option is outside its range
  BadToken,       ///< a recent or biased token is outside the vocabulary
};

/// A lower-case phrase for a status.
const char *describe(SampleStatus status);

struct Sample {
  int32_t token = -1;
  float logProbability = 0; ///< of `token` under the model: log-softmax of the untouched row
  float maxProbability = 0; ///< the largest probability of the untouched row
  float margin = 0;         ///< largest minus second largest untouched logit; +infinity if there is no second
  float probability = 0;    ///< of `token` under the distribution it was drawn from (1 when greedy)
};

/// One token of a distribution; probabilities of a distribution sum to 1.
struct Candidate {
  int32_t token;
  float logit; ///< after the steps 1 to 4
  double probability;
};

struct Distribution {
  const Candidate *candidates = nullptr; ///< owned by the Sampler, valid until its next call
  size_t count = 0;
};

/// Owns the scratch memory: it grows to the largest vocabulary seen and is reused. One thread at a time.
class Sampler {
public:
  /// Makes every later call for rows of up to `vocabulary` logits free of allocation.
  void reserve(size_t vocabulary);

  SampleStatus sample(const float *logits, size_t vocabulary, const SamplerOptions &options,
                      RecentTokens recent, const RandomKey &key, Sample &result);

  /// The steps 1 to 8: what `sample` would draw from, by rising token. Greedy gives one candidate of
  /// probability 1.
  SampleStatus distribution(const float *logits, size_t vocabulary, const SamplerOptions &options,
                            RecentTokens recent, Distribution &result);

  /// The candidate that `uniform` in [0, 1) selects, in the order of the candidates.
  static const Candidate &draw(const Distribution &distribution, double uniform);

private:
  /// The two largest untouched logits.
  struct RowFacts {
    float top;
    float second;
  };
  static SampleStatus inspect(const float *logits, size_t vocabulary, RowFacts &facts);
  static double sumExp(const float *logits, size_t vocabulary, float top);
  SampleStatus adjust(const float *logits, size_t vocabulary, const SamplerOptions &options,
                      RecentTokens recent);
  SampleStatus filter(const SamplerOptions &options, size_t vocabulary, Distribution &result);
  void keepTopK(size_t k);
  template <typename Before>
  void keepPrefix(double mass, Before before);
  void normalise();

  std::vector<float> adjusted;
  std::vector<uint32_t> counts; ///< all zero between calls
  std::vector<Candidate> candidates;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_SAMPLER_H
