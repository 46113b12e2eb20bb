//===- Random.h - counter-based random numbers ------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A draw is a
// pure function of (seed, branch, position, purpose): there is no state to advance, so a token does
// not depend on which sequences share its batch, on the order in which they are scheduled, or on
// speculative work that was thrown away.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_RANDOM_H
#define PITH_RUNTIME_CORE_RANDOM_H

#include <array>
#include <cstdint>

namespace pith::runtime {

/// What a draw is for. Two draws for one position must not share a purpose: they would be equal.
enum class RandomPurpose : uint32_t {
  Sample = 0,   ///< the token at a position
  Accept = 1,   ///< the acceptance test of a drafted token
  Residual = 2, ///< the token that replaces a rejected draft
  Draft = 3,    ///< the draft model's own token
  Search = 4,   ///< choices of a tree search
};

/// Names one draw. `position` is absolute in the sequence; `branch` tells forks of a sequence apart.
struct RandomKey {
  uint64_t seed = 0;
  uint32_t branch = 0;
  uint64_t position = 0;
  RandomPurpose purpose = RandomPurpose::Sample;
};

inline std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t(0xD2511F53u) * counter[0];
    const uint64_t b = uint64_t(0xCD9E8D57u) * counter[2];
    counter = {uint32_t(b >> 32) ^ counter[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ counter[3] ^ key[1],
               uint32_t(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

inline uint64_t randomBits(const RandomKey &key) {
  const auto words =
      philox4x32({uint32_t(key.position), uint32_t(key.position >> 32), key.branch, uint32_t(key.purpose)},
                 {uint32_t(key.seed), uint32_t(key.seed >> 32)});
  return uint64_t(words[1]) << 32 | words[0];
}

/// Uniform in [0, 1), 53 bits.
inline double randomUniform(const RandomKey &key) { return double(randomBits(key) >> 11) * 0x1.0p-53; }

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_RANDOM_H
