//===- AttentionReference.h - paged cache and attention in double -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A sequence with scattered pages full of NaN, the cache's layout read element by element, and attention as
// the formula says it, for the tests of the append and attention kernels.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_CPU_ATTENTIONREFERENCE_H
#define PITH_TEST_UNIT_CPU_ATTENTIONREFERENCE_H

#include "pith/Codegen/CPU/Kernels.h"
#include "pith/executable.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace pith::cpu::test {

inline float halfToFloat(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  float magnitude = exponent == 0    ? std::ldexp(float(fraction), -24)
                    : exponent == 31 ? (fraction ? std::numeric_limits<float>::quiet_NaN() : INFINITY)
                                     : std::ldexp(float(fraction + 1024), exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}

inline float bf16ToFloat(uint16_t h) {
  uint32_t bits = uint32_t(h) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline int64_t elementBytes(const CacheLayout &cache) {
  return cache.element == CacheLayout::Element::F32 ? 4 : 2;
}

inline float readElement(const CacheLayout &cache, const uint8_t *base, int64_t index) {
  if (cache.element == CacheLayout::Element::F32) {
    float value;
    std::memcpy(&value, base + index * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, base + index * 2, 2);
  return cache.element == CacheLayout::Element::F16 ? halfToFloat(bits) : bf16ToFloat(bits);
}

/// One sequence: its pages stand in random order in one allocation, and every byte of them is 0xff (a NaN in
/// each of the three element types) until something is appended.
class PagedSequence {
public:
  PagedSequence(const CacheLayout &cache, int64_t tokens, std::mt19937 &rng) : cache(cache) {
    // Something of other layers stands behind this one.
    int64_t pageBytes = cache.layerOffset + cache.layerBytes() + 192;
    int64_t count = std::max<int64_t>(1, (tokens + CacheLayout::pageTokens - 1) / CacheLayout::pageTokens);
    storage.assign(pageBytes * count + 64, 0xff);
    uint8_t *base = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64;
    for (int64_t i = 0; i < count; ++i)
      pages.push_back(base + i * pageBytes);
    std::shuffle(pages.begin(), pages.end(), rng);
  }

  float key(int64_t head, int64_t token, int64_t d) const {
    return readElement(cache, headBase(head, token),
                       token % 64 / 16 * 16 * cache.headDim + d * 16 + token % 16);
  }
  float value(int64_t head, int64_t token, int64_t d) const {
    return readElement(cache, headBase(head, token), 64 * cache.headDim + token % 64 * cache.valueDim + d);
  }

  CacheLayout cache;
  std::vector<void *> pages;
  std::vector<uint8_t> storage;

private:
  const uint8_t *headBase(int64_t head, int64_t token) const {
    return static_cast<const uint8_t *>(pages[token / 64]) + cache.layerOffset + head * cache.headBytes();
  }
};

/// out [valueDim] for one query row of one head at position `p`.
template <typename Sequence>
std::vector<double> referenceAttention(const AttentionSpec &spec, const Sequence &sequence, const float *q,
                                       int64_t head, int64_t p, const float *sinks, const float *slopes) {
  const CacheLayout &cache = spec.cache;
  int64_t kvHead = head / (spec.heads / cache.kvHeads);
  int64_t first = spec.window > 0 ? std::max<int64_t>(0, p - spec.window + 1) : 0;
  std::vector<double> scores;
  double maximum = spec.sinks ? double(sinks[head]) : -INFINITY;
  for (int64_t j = first; j <= p; ++j) {
    double s = 0;
    for (int64_t d = 0; d < cache.headDim; ++d)
      s += double(q[d]) * sequence.key(kvHead, j, d);
    s *= spec.scale;
    if (spec.softcap > 0)
      s = spec.softcap * std::tanh(s / spec.softcap);
    if (spec.alibi)
      s += double(slopes[head]) * double(j - p);
    if (spec.bias) // `slopes` is the bias, as the kernel reads it
      s += double(slopes[head * biasStride(spec.bias) + biasFront + spec.bias - 1 -
                         std::min<int64_t>(p - j, spec.bias - 1)]);
    scores.push_back(s);
    maximum = std::max(maximum, s);
  }
  double denominator = spec.sinks ? std::exp(double(sinks[head]) - maximum) : 0;
  std::vector<double> out(cache.valueDim, 0.0);
  for (int64_t j = first; j <= p; ++j) {
    double weight = std::exp(scores[j - first] - maximum);
    denominator += weight;
    for (int64_t d = 0; d < cache.valueDim; ++d)
      out[d] += weight * sequence.value(kvHead, j, d);
  }
  for (double &x : out)
    x /= denominator;
  return out;
}

} // namespace pith::cpu::test

#endif // PITH_TEST_UNIT_CPU_ATTENTIONREFERENCE_H
