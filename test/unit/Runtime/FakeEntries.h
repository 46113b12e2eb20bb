/* What the toy model's executables for the CPU and for devices have in common: sizes of invokes, and the entries.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_TEST_FAKE_ENTRIES_H
#define PITH_TEST_FAKE_ENTRIES_H

#include "pith/executable.h"

static int64_t prepare_add(const pith_exec_context *context, int64_t *output_dims) {
  output_dims[0] = context->inputs[0].dims[0];
  output_dims[1] = 4;
  return 0;
}

static int64_t prepare_join(const pith_exec_context *context, int64_t *output_dims) {
  output_dims[0] = context->inputs[0].dims[0] + context->inputs[1].dims[0];
  return 0;
}

/* Announces an output that its manifest does not allow. */
static int64_t prepare_liar(const pith_exec_context *context, int64_t *output_dims) {
  (void)context;
  output_dims[0] = 3;
  return 0;
}

static int64_t prepare_greedy(const pith_exec_context *context, int64_t *output_dims) {
  output_dims[0] = context->inputs[0].dims[0];
  return INT64_MAX;
}

static void run_nothing(const pith_exec_context *context, uint32_t thread) {
  (void)context;
  (void)thread;
}

#ifdef FAKE_CONDITIONED
#define FAKE_CONDITION_ENTRY {"condition", PITH_EXEC_CONDITION, 0, prepare_condition, run_condition},
#else
#define FAKE_CONDITION_ENTRY
#endif

/* The functions that are not here are the executable's. */
#define FAKE_ENTRIES \
  {"add", PITH_EXEC_INVOKE, 0, prepare_add, run_add}, \
  {"join", PITH_EXEC_INVOKE, 0, prepare_join, run_join}, \
  {"liar", PITH_EXEC_INVOKE, 0, prepare_liar, run_nothing}, \
  {"greedy", PITH_EXEC_INVOKE, 0, prepare_greedy, run_nothing}, \
  {"chosen", PITH_EXEC_INVOKE, 0, prepare_chosen, run_chosen}, \
  {"step", PITH_EXEC_STEP, 0, prepare_step, run_step}, \
  FAKE_CONDITION_ENTRY

#endif
