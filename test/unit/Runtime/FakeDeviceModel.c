/* The toy executable of FakeModel.c for a device: the same entries and the same numbers, as host code that launches
 * kernels. FAKE_IMAGES names the images that it has.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "FakeEntries.h"
#include "FakeImages.h"
#include "FakeKernels.h"
#include "FakeModel.h"

static void launch(const pith_exec_context *context, uint32_t kernel, uint64_t threads, void *const *arguments) {
  const uint32_t grid[3] = {(uint32_t)((threads + FAKE_BLOCK - 1) / FAKE_BLOCK), 1, 1};
  context->launch(context, kernel, grid, arguments);
}
#define LAUNCH(kernel, threads, ...) launch(context, kernel, threads, (void *const[]){__VA_ARGS__})

static uint32_t tap_rows(const pith_exec_context *context) {
  uint32_t rows = 0;
  for (uint32_t place = 0; context->taps && place < FAKE_PLACES; ++place) rows += context->taps[place].rows;
  return rows;
}

static int64_t prepare_step(const pith_exec_context *context, int64_t *output_dims) {
  (void)output_dims;
  return (int64_t)(context->out_rows + tap_rows(context)) * 8;
}

static void hash(const pith_exec_context *context, uint32_t count, const int32_t *rows, uint64_t *hashes) {
  uint64_t salt = FAKE_SALT;
  LAUNCH(FAKE_HASH, count, &count, (void *)&context->lane, (void *)&context->conditions, (void *)&context->row_lanes,
         (void *)&rows, (void *)&context->weights, &salt, (void *)&hashes);
}

static void run_step(const pith_exec_context *context, uint32_t thread) {
  uint64_t *hashes = (uint64_t *)context->workspace;
  uint32_t rows = context->rows, count = context->out_rows;
  (void)thread;
  LAUNCH(FAKE_APPEND, rows, &rows, (void *)&context->lane, (void *)&context->row_lanes, (void *)&context->tokens,
         (void *)&context->positions, (void *)&context->embedding_rows);
  hash(context, count, context->out_row_index, hashes);
  LAUNCH(FAKE_LOGITS, (uint64_t)count * FAKE_VOCAB, &count, (void *)&hashes, (void *)&context->logits);
  hashes += count;
  for (uint32_t place = 0; context->taps && place < FAKE_PLACES; ++place) {
    const pith_exec_tap *tap = &context->taps[place];
    count = tap->rows;
    hash(context, count, tap->row_index, hashes);
    LAUNCH(FAKE_TAP, (uint64_t)count * FAKE_HIDDEN, &count, &place, (void *)&hashes, (void *)&tap->out);
    hashes += count;
  }
}

#ifdef FAKE_CONDITIONED
static int64_t prepare_condition(const pith_exec_context *context, int64_t *output_dims) {
  (void)context;
  (void)output_dims;
  return 0;
}

static void run_condition(const pith_exec_context *context, uint32_t thread) {
  uint32_t rows = context->rows;
  (void)thread;
  LAUNCH(FAKE_CONDITION_ROWS_KERNEL, rows, &rows, (void *)&context->lane, (void *)&context->positions,
         (void *)&context->condition_rows);
}
#endif

static void run_add(const pith_exec_context *context, uint32_t thread) {
  uint32_t count = (uint32_t)context->inputs[0].dims[0] * 4;
  (void)thread;
  LAUNCH(FAKE_ADD, count, &count, (void *)&context->inputs[0].data, (void *)&context->inputs[1].data,
         (void *)&context->outputs[0].data);
}

static void run_join(const pith_exec_context *context, uint32_t thread) {
  uint32_t past = (uint32_t)context->inputs[0].dims[0], count = (uint32_t)context->inputs[1].dims[0];
  (void)thread;
  LAUNCH(FAKE_JOIN, past + count + 1, &past, &count, (void *)&context->inputs[0].data,
         (void *)&context->inputs[1].data, (void *)&context->outputs[0].data, (void *)&context->outputs[1].data);
}

static int64_t prepare_chosen(const pith_exec_context *context, int64_t *output_dims) {
  float first = 0;
  /* As code does whose sizes follow from single elements. */
  if (context->inputs[0].dims[0] > 0) context->read(context, context->inputs[0].data, &first, sizeof first);
  output_dims[0] = -1;
  return first == 77 ? INT64_MAX : 0;
}

static void run_chosen(const pith_exec_context *context, uint32_t thread) {
  const int64_t n = context->inputs[0].dims[0];
  float first = 0;
  if (n > 0) context->read(context, context->inputs[0].data, &first, sizeof first);
  if (n > 0 && first == 13) context->fail(context, thread, "13 is not chosen");
  float *scratch = (float *)context->allocate(context, thread, n > 0 ? (int64_t)first + n * 4 : 0);
  int64_t count = 0, *found = (int64_t *)context->allocate(context, thread, sizeof count);
  uint32_t all = (uint32_t)n;
  LAUNCH(FAKE_COUNT, 1, &all, (void *)&context->inputs[0].data, (void *)&found, (void *)&scratch);
  context->read(context, found, &count, sizeof count);
  context->release(context, thread, found);
  float *y = (float *)context->give_output(context, thread, 0, &count);
  uint32_t chosen = (uint32_t)count;
  LAUNCH(FAKE_CHOOSE, chosen, &chosen, (void *)&scratch, (void *)&y);
  context->release(context, thread, scratch);
}

#ifdef FAKE_SAMPLING
static int64_t prepare_sample(const pith_exec_context *context, int64_t *output_dims) {
  (void)context;
  (void)output_dims;
  return 0;
}

static void run_sample(const pith_exec_context *context, uint32_t thread) {
  uint32_t count = context->out_rows;
  (void)thread;
  LAUNCH(context->flags & PITH_EXEC_GREEDY ? FAKE_ARGMAX : FAKE_SAMPLE, count, &count, (void *)&context->logits,
         (void *)&context->draws, (void *)&context->drawn);
}
#define FAKE_SAMPLE_ENTRY {"sample", PITH_EXEC_SAMPLE, 0, prepare_sample, run_sample},
#else
#define FAKE_SAMPLE_ENTRY
#endif

static const pith_exec_entry entries[] = {FAKE_ENTRIES FAKE_SAMPLE_ENTRY};

static const uint8_t counted[] = {4, 8, 8, 8, 8, 8, 8, 8}, twice[] = {4, 4, 8, 8, 8, 8};
#define KERNEL(name, arguments, bytes) {"fake_" #name, "toy." #name, {FAKE_BLOCK, 1, 1}, 0, arguments, 0, bytes}
/* The last one is for chips that have what no image here has. */
static const pith_exec_kernel kernels[FAKE_KERNELS + 1] = {
    KERNEL(append, 6, counted), KERNEL(hash, 8, counted),           KERNEL(logits, 3, counted),
    KERNEL(tap, 4, twice),      KERNEL(condition_rows, 4, counted), KERNEL(add, 4, counted),
    KERNEL(join, 6, twice),     KERNEL(count, 4, counted),          KERNEL(choose, 3, counted),
    KERNEL(argmax, 4, counted), KERNEL(sample, 4, counted),
    {"fake_for_others", "", {FAKE_BLOCK, 1, 1}, 0, 4, PITH_EXEC_WARP_GROUPS, counted}};

static const pith_exec_image images[] = {FAKE_IMAGES};

__attribute__((visibility("default"))) const pith_exec_table pith_executable = {
    PITH_EXEC_DEVICE_VERSION,      sizeof entries / sizeof entries[0], entries, FAKE_KERNELS + 1,
    sizeof images / sizeof *images, kernels,                           images};
