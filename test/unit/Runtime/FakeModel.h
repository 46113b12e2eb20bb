/* The toy model's mathematics, shared by its executable and by the tests' plain reference.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_TEST_FAKE_MODEL_H
#define PITH_TEST_FAKE_MODEL_H

#include "pith/executable.h"

enum { FAKE_VOCAB = 37, FAKE_PAGE_TOKENS = 16, FAKE_MAX_ROWS = 24, FAKE_POSITIONS = 600 };
/* An embedding row's first float is the token that it stands for. */
enum { FAKE_EMBEDDING = 2, FAKE_HIDDEN = 5, FAKE_PLACES = 5 };

/* Of the variant that takes a condition: floats of a row, and rows that the code takes at once. */
enum { FAKE_CONDITION = 3, FAKE_CONDITION_ROWS = 10 };

/* Two builds of the model differ in this, so that a test can tell whose code ran. */
#ifndef FAKE_SALT
#define FAKE_SALT 0
#endif

static inline uint64_t fake_mix(uint64_t x) {
  x ^= x >> 31;
  x *= UINT64_C(0x9e3779b97f4a7c15);
  return x ^ x >> 29;
}

static inline uint64_t fake_begin(uint64_t seed) { return fake_mix(seed + 12345); }

static inline uint64_t fake_next(uint64_t hash, int32_t token, int32_t position) {
  return fake_mix(hash ^ ((uint64_t)(uint32_t)token << 32 | (uint32_t)position)) + 1;
}

/* Weights that begin with one of these make all states the same, and logits that cannot be drawn from. */
#define FAKE_NOT_A_NUMBER UINT64_C(0x7fffffffffffff01)
#define FAKE_NOTHING_ALLOWED UINT64_C(0x7fffffffffffff02)
static inline uint64_t fake_state(uint64_t hash, uint64_t weights) {
  return weights == FAKE_NOT_A_NUMBER || weights == FAKE_NOTHING_ALLOWED ? weights : hash;
}

static inline float fake_logit(uint64_t hash, int32_t token) {
  if (hash == FAKE_NOTHING_ALLOWED) return -__builtin_inff();
  if (hash == FAKE_NOT_A_NUMBER && token == 3) return __builtin_nanf("");
  return (float)(fake_mix(hash + (uint64_t)token * 77) >> 40) / 1048576.0f - 8.0f;
}

/* The state before the first token, of a condition's rows. */
static inline uint64_t fake_condition(uint64_t hash, const float *row, int32_t position) {
  for (int i = 0; i < FAKE_CONDITION; ++i) hash = fake_next(hash, (int32_t)(row[i] * 1024.0f), position);
  return hash;
}

/* A hidden state of the row with this hash. */
static inline float fake_hidden(uint64_t hash, uint32_t place, uint32_t channel) {
  return (float)(fake_mix(hash + place * 1000u + channel) >> 40) / 8388608.0f - 1.0f;
}

#endif
