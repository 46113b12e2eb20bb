/* The toy model's kernels.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "FakeKernels.h"
#include "FakeModel.h"

typedef struct slot {
  int32_t token, position;
} slot;

/* Every access is shown to the device first. */
static const void *seen(pith_emu_thread *thread, const void *address, uint32_t bytes) {
  thread->calls->access(thread, address, bytes, bytes | PITH_EMU_GLOBAL, 0);
  return address;
}
static void *written(pith_emu_thread *thread, void *address, uint32_t bytes) {
  thread->calls->access(thread, address, bytes, bytes | PITH_EMU_GLOBAL | PITH_EMU_WRITE, 1);
  return address;
}
#define GET(address) (*(__typeof__(&*(address)))seen(thread, (address), sizeof *(address)))
#define PUT(address, value) (*(__typeof__(&*(address)))written(thread, (address), sizeof *(address)) = (value))
#define ARGUMENT(type, index) (*(type const *)arguments[index])
#define U32(index) ARGUMENT(uint32_t, index)
#define POINTER(type, index) ARGUMENT(type *, index)

static uint32_t number_of(const pith_emu_thread *thread) {
  return thread->block[0] * thread->block_size[0] + thread->thread[0];
}

static slot *slot_of(pith_emu_thread *thread, const pith_exec_lane *lane, uint32_t position) {
  void *const *pages = GET(&lane->pages);
  return (slot *)GET(&pages[position / FAKE_PAGE_TOKENS]) + position % FAKE_PAGE_TOKENS;
}

static float *condition_slot(pith_emu_thread *thread, const pith_exec_lane *lane, uint32_t row) {
  void *const *pages = GET(&lane->pages);
  return (float *)GET(&pages[row / FAKE_PAGE_TOKENS]) + row % FAKE_PAGE_TOKENS * FAKE_CONDITION;
}

static void append(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t row = number_of(thread);
  if (row >= U32(0)) return;
  const pith_exec_lane *lane = POINTER(const pith_exec_lane, 1) + GET(&POINTER(const int32_t, 2)[row]);
  const float *const *rows = POINTER(const float *const, 5);
  const float *embedding = rows ? GET(&rows[row]) : 0;
  slot *place = slot_of(thread, lane, GET(&lane->past) + (row - GET(&lane->first_row)));
  PUT(&place->token, embedding ? (int32_t)GET(&embedding[0]) : GET(&POINTER(const int32_t, 3)[row]));
  PUT(&place->position, GET(&POINTER(const int32_t, 4)[row]));
}

static void hash(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread);
  if (i >= U32(0)) return;
  const uint32_t row = (uint32_t)GET(&POINTER(const int32_t, 4)[i]);
  const uint32_t at = (uint32_t)GET(&POINTER(const int32_t, 3)[row]);
  const pith_exec_lane *lane = POINTER(const pith_exec_lane, 1) + at, *conditions = POINTER(const pith_exec_lane, 2);
  const uint64_t *weights = POINTER(const uint64_t, 5);
  uint64_t state = fake_begin(ARGUMENT(uint64_t, 6) + (weights ? GET(weights) : 0));
  for (uint32_t j = 0; conditions && j < GET(&conditions[at].past); ++j) {
    const float *from = condition_slot(thread, &conditions[at], j);
    float values[FAKE_CONDITION];
    for (int k = 0; k < FAKE_CONDITION; ++k) values[k] = GET(&from[k]);
    state = fake_condition(state, values, (int32_t)j);
  }
  for (uint32_t j = 0; j <= GET(&lane->past) + (row - GET(&lane->first_row)); ++j) {
    const slot *place = slot_of(thread, lane, j);
    state = fake_next(state, GET(&place->token), GET(&place->position));
  }
  PUT(&POINTER(uint64_t, 7)[i], fake_state(state, weights ? GET(weights) : 0));
}

static void logits(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread);
  if (i >= U32(0) * FAKE_VOCAB) return;
  PUT(&POINTER(float, 2)[i], fake_logit(GET(&POINTER(const uint64_t, 1)[i / FAKE_VOCAB]), (int32_t)(i % FAKE_VOCAB)));
}

static void tap(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread);
  if (i >= U32(0) * FAKE_HIDDEN) return;
  PUT(&POINTER(float, 3)[i], fake_hidden(GET(&POINTER(const uint64_t, 2)[i / FAKE_HIDDEN]), U32(1), i % FAKE_HIDDEN));
}

static void condition_rows(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t row = number_of(thread);
  if (row >= U32(0)) return;
  float *to = condition_slot(thread, POINTER(const pith_exec_lane, 1), (uint32_t)GET(&POINTER(const int32_t, 2)[row]));
  for (int i = 0; i < FAKE_CONDITION; ++i) PUT(&to[i], GET(&POINTER(const float, 3)[row * FAKE_CONDITION + i]));
}

static void add(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread);
  if (i < U32(0)) PUT(&POINTER(float, 3)[i], GET(&POINTER(const float, 1)[i]) + GET(&POINTER(const float, 2)[i % 4]));
}

static void join(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread), past = U32(0), count = U32(1);
  if (i < past) PUT(&POINTER(int64_t, 4)[i], GET(&POINTER(const int64_t, 2)[i]));
  if (i >= past && i < past + count) PUT(&POINTER(int64_t, 4)[i], GET(&POINTER(const int64_t, 3)[i - past]));
  if (i == 0) PUT(POINTER(int64_t, 5), (int64_t)past + count);
}

static void count(pith_emu_thread *thread, const void *const *arguments) {
  int64_t found = 0;
  if (number_of(thread)) return;
  for (uint32_t i = 0; i < U32(0); ++i) {
    const float value = GET(&POINTER(const float, 1)[i]);
    if (value > 0) PUT(&POINTER(float, 3)[found++], value);
  }
  PUT(POINTER(int64_t, 2), found);
}

static void choose(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread);
  if (i < U32(0)) PUT(&POINTER(float, 2)[i], GET(&POINTER(const float, 1)[i]));
}

/* The largest of a row; the lowest of equal ones; or why there is none. */
static int32_t largest(pith_emu_thread *thread, const float *row) {
  int32_t best = 0, bad = 0;
  for (int32_t i = 0; i < FAKE_VOCAB; ++i) {
    if (!(GET(&row[i]) < __builtin_inff())) bad = 1;
    if (GET(&row[i]) > GET(&row[best])) best = i;
  }
  if (bad) return PITH_EXEC_NOT_A_NUMBER;
  return GET(&row[best]) == -__builtin_inff() ? PITH_EXEC_NOTHING_ALLOWED : best;
}

static void argmax(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread);
  if (i >= U32(0)) return;
  const pith_exec_draw *draw = &POINTER(const pith_exec_draw, 2)[i];
  PUT(&POINTER(int32_t, 3)[i], largest(thread, POINTER(const float, 1) + GET(&draw->row) * FAKE_VOCAB));
}

/* exp(x) for x <= 0. */
static double power(double x) {
  double sum = 1, term = 1;
  if (!(x > -80)) return 0;
  for (int i = 1; i < 16; ++i) sum += term *= x / 128 / i;
  for (int i = 0; i < 7; ++i) sum *= sum;
  return sum;
}

static void sample(pith_emu_thread *thread, const void *const *arguments) {
  const uint32_t i = number_of(thread);
  if (i >= U32(0)) return;
  const pith_exec_draw *draw = &POINTER(const pith_exec_draw, 2)[i];
  const float *row = POINTER(const float, 1) + GET(&draw->row) * FAKE_VOCAB;
  const int32_t best = largest(thread, row), k = GET(&draw->top_k);
  double weights[FAKE_VOCAB], total = 0, sum = 0;
  int32_t order[FAKE_VOCAB], kept = 0, token = best;
  for (int32_t j = 0; best >= 0 && j < FAKE_VOCAB; ++j) {
    int32_t at = kept++;
    weights[j] = power(((double)GET(&row[j]) - GET(&row[best])) / GET(&draw->temperature));
    for (; at > 0 && GET(&row[order[at - 1]]) < GET(&row[j]); --at) order[at] = order[at - 1];
    order[at] = j;
  }
  if (k > 0 && k < kept) kept = k;
  for (int32_t j = 0; j < kept; ++j) total += weights[order[j]];
  for (int32_t j = 0; j < kept && GET(&draw->top_p) < 1; ++j)
    if ((sum += weights[order[j]]) >= GET(&draw->top_p) * total) kept = j + 1;
  for (int32_t j = 0; j < kept; ++j)
    if (weights[order[j]] < GET(&draw->min_p)) kept = j;
  for (int32_t j = kept; best >= 0 && j < FAKE_VOCAB; ++j) weights[order[j]] = 0;
  total = sum = 0;
  for (int32_t j = 0; j < kept; ++j) total += weights[order[j]];
  for (int32_t j = 0; best >= 0 && j < FAKE_VOCAB; ++j)
    if (weights[j] > 0) {
      token = j;
      if ((sum += weights[j]) > GET(&draw->uniform) * total) break;
    }
  PUT(&POINTER(int32_t, 3)[i], token);
}

static const pith_emu_site sites[] = {{"load", "toy"}, {"store", "toy"}};

#define KERNEL(name, arguments) {"fake_" #name, name, sites, 2, arguments, 32, 0, {FAKE_BLOCK, 1, 1}, 0, 0}
static const pith_emu_kernel kernels[FAKE_KERNELS] = {
    KERNEL(append, 6), KERNEL(hash, 8), KERNEL(logits, 3), KERNEL(tap, 4),   KERNEL(condition_rows, 4),
    KERNEL(add, 4),    KERNEL(join, 6), KERNEL(count, 4),  KERNEL(choose, 3), KERNEL(argmax, 4),
    KERNEL(sample, 4)};

const pith_emu_module fake_kernels = {PITH_EMULATED_VERSION, FAKE_KERNELS, kernels};
