/* A toy executable for the runtime's tests, compiled by hand where the compiler would write machine code.
 *
 * Its "cache" holds tokens and positions, and a row's logits are a hash of every token in the cache up to that
 * row, so that any fault in paging, forking, truncating, chunking or batching shows in the numbers. With FAKE_CONDITIONED
 * its steps begin with the hash of the sequence's condition.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "FakeEntries.h"
#include "FakeModel.h"

#ifndef FAKE_VERSION
#define FAKE_VERSION PITH_EXEC_VERSION
#endif

typedef struct slot {
  int32_t token, position;
} slot;

static slot *slot_of(const pith_exec_lane *lane, uint32_t position) {
  return (slot *)lane->pages[position / FAKE_PAGE_TOKENS] + position % FAKE_PAGE_TOKENS;
}

#ifdef FAKE_CONDITIONED
static float *condition_slot(const pith_exec_lane *lane, uint32_t row) {
  return (float *)lane->pages[row / FAKE_PAGE_TOKENS] + row % FAKE_PAGE_TOKENS * FAKE_CONDITION;
}

static int64_t prepare_condition(const pith_exec_context *context, int64_t *output_dims) {
  (void)context;
  (void)output_dims;
  return 0;
}

static void run_condition(const pith_exec_context *context, uint32_t thread) {
  for (uint32_t row = thread; row < context->rows; row += context->threads)
    for (uint32_t i = 0; i < FAKE_CONDITION; ++i)
      condition_slot(context->lane, (uint32_t)context->positions[row])[i] =
          context->condition_rows[row * FAKE_CONDITION + i];
}
#endif

static const pith_exec_lane *lane_of(const pith_exec_context *context, uint32_t row) {
  const pith_exec_lane *lane = context->lane;
  while (row >= lane->first_row + lane->rows) ++lane;
  return lane;
}

/* Of every token in the cache up to that row. */
static uint64_t hash_of(const pith_exec_context *context, uint64_t seed, uint32_t row) {
  const pith_exec_lane *lane = lane_of(context, row);
  uint64_t hash = fake_begin(seed);
#ifdef FAKE_CONDITIONED
  const pith_exec_lane *condition = &context->conditions[lane - context->lane];
  for (uint32_t j = 0; j < condition->past; ++j) hash = fake_condition(hash, condition_slot(condition, j), (int32_t)j);
#endif
  for (uint32_t j = 0; j <= lane->past + (row - lane->first_row); ++j) {
    const slot *place = slot_of(lane, j);
    hash = fake_next(hash, place->token, place->position);
  }
  return fake_state(hash, seed);
}

static int32_t token_of(const pith_exec_context *context, uint32_t row) {
  const float *embedding = context->embedding_rows ? context->embedding_rows[row] : 0;
  return embedding ? (int32_t)embedding[0] : context->tokens[row];
}

static void run_taps(const pith_exec_context *context, uint64_t seed, uint32_t thread) {
  for (uint32_t place = 0; context->taps && place < FAKE_PLACES; ++place) {
    const pith_exec_tap *tap = &context->taps[place];
    for (uint32_t i = thread; i < tap->rows; i += context->threads)
      for (uint32_t channel = 0; channel < FAKE_HIDDEN; ++channel)
        tap->out[i * FAKE_HIDDEN + channel] =
            fake_hidden(hash_of(context, seed, (uint32_t)tap->row_index[i]), place, channel);
  }
}

static int64_t prepare_step(const pith_exec_context *context, int64_t *output_dims) {
  (void)output_dims;
  return (int64_t)context->out_rows * 8;
}

static void run_step(const pith_exec_context *context, uint32_t thread) {
  const uint32_t threads = context->threads;
  uint64_t seed = FAKE_SALT, *hashes = (uint64_t *)context->workspace;
  if (context->weights) seed += *(const uint64_t *)context->weights;
  for (uint32_t row = thread; row < context->rows; row += threads) {
    const pith_exec_lane *lane = lane_of(context, row);
    slot *place = slot_of(lane, lane->past + (row - lane->first_row));
    place->token = token_of(context, row);
    place->position = context->positions[row];
  }
  context->barrier(context->team, thread);
  for (uint32_t i = thread; i < context->out_rows; i += threads) {
    hashes[i] = hash_of(context, seed, (uint32_t)context->out_row_index[i]);
  }
  run_taps(context, seed, thread);
  context->barrier(context->team, thread);
  /* Another thread than the one that hashed the row. */
  for (uint32_t i = (thread + 1) % threads; i < context->out_rows; i += threads)
    for (int32_t token = 0; token < FAKE_VOCAB; ++token)
      context->logits[(uint64_t)i * FAKE_VOCAB + token] = fake_logit(hashes[i], token);
}

/* c[n, 4] = a[n, 4] + b[4] */
static void run_add(const pith_exec_context *context, uint32_t thread) {
  const float *a = (const float *)context->inputs[0].data, *b = (const float *)context->inputs[1].data;
  float *c = (float *)context->outputs[0].data;
  const int64_t count = context->inputs[0].dims[0] * 4;
  for (int64_t i = thread; i < count; i += context->threads) c[i] = a[i] + b[i % 4];
}

/* joined[p + n] = past[p], new[n]; size[] = p + n */
static void run_join(const pith_exec_context *context, uint32_t thread) {
  const int64_t past = context->inputs[0].dims[0], count = context->inputs[1].dims[0];
  int64_t *joined = (int64_t *)context->outputs[0].data;
  if (thread != 0) return;
  for (int64_t i = 0; i < past; ++i) joined[i] = ((const int64_t *)context->inputs[0].data)[i];
  for (int64_t i = 0; i < count; ++i) joined[past + i] = ((const int64_t *)context->inputs[1].data)[i];
  *(int64_t *)context->outputs[1].data = past + count;
}

/* y[m]: the positive ones of x[n]. Before, memory as the first one says, which must not be 13. */
static int64_t prepare_chosen(const pith_exec_context *context, int64_t *output_dims) {
  (void)context;
  output_dims[0] = -1;
  return 0;
}

static void run_chosen(const pith_exec_context *context, uint32_t thread) {
  const float *x = (const float *)context->inputs[0].data;
  const int64_t n = context->inputs[0].dims[0];
  if (n > 0 && x[0] == 13) context->fail(context, thread, "13 is not chosen");
  float *scratch = (float *)context->allocate(context, thread, n > 0 ? (int64_t)x[0] + n * 4 : 0);
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) count += x[i] > 0;
  if (thread == context->threads - 1)
    for (int64_t i = 0, to = 0; i < n; ++i)
      if (x[i] > 0) scratch[to++] = x[i];
  float *y = (float *)context->give_output(context, thread, 0, &count);
  for (int64_t i = thread; i < count; i += context->threads) y[i] = scratch[i];
  context->release(context, thread, scratch);
}

static const pith_exec_entry entries[] = {FAKE_ENTRIES};

__attribute__((visibility("default"))) const pith_exec_table pith_executable = {
    FAKE_VERSION, sizeof entries / sizeof entries[0], entries, 0, 0, 0, 0};
