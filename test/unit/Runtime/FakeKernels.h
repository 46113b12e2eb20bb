/* The toy model's kernels: what a device runs of it, in C for the emulator and for the fake drivers.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_TEST_FAKE_KERNELS_H
#define PITH_TEST_FAKE_KERNELS_H

#include "pith/emulated.h"

/* Their numbers in the table. */
enum {
  FAKE_APPEND,    /* rows, lanes, row_lanes, tokens, positions, embedding_rows: writes the cache */
  FAKE_HASH,      /* count, lanes, conditions, row_lanes, row_index, weights, salt, hashes */
  FAKE_LOGITS,    /* count, hashes, logits */
  FAKE_TAP,       /* count, place, hashes, out */
  FAKE_CONDITION_ROWS_KERNEL, /* rows, lane, positions, condition_rows: writes the condition */
  FAKE_ADD,       /* count, a, b, c */
  FAKE_JOIN,      /* past, count, a, b, joined, size */
  FAKE_COUNT,     /* n, x, count, chosen */
  FAKE_CHOOSE,    /* count, chosen, y */
  FAKE_ARGMAX,    /* count, logits, draws, drawn */
  FAKE_SAMPLE,    /* count, logits, draws, drawn */
  FAKE_KERNELS
};

enum { FAKE_BLOCK = 32 };

extern const pith_emu_module fake_kernels;

#endif
