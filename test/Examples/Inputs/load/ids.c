/* What the example `embedded` does, with a model from a file: ids MODEL.pith COUNT ID...
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "pith/runtime.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  pith_error error = PITH_INIT(pith_error);
  pith_module *module = NULL;
  pith_session *session = NULL;
  pith_sequence *sequence = NULL;
  pith_result *result = NULL;
  int32_t tokens[64];
  size_t size = (size_t)argc - 3;
  if (argc < 4 || size > 64)
    return 2;
  for (size_t i = 0; i < size; ++i)
    tokens[i] = atoi(argv[i + 3]);
  if (pith_module_load(argv[1], NULL, &module, &error) || pith_session_new(&module, 1, NULL, &session, &error) ||
      pith_sequence_new(session, module, NULL, &sequence, &error) || pith_result_new(session, &result, &error))
    return fprintf(stderr, "%s\n", error.message), 1;
  for (int i = 0; i < atoi(argv[2]); ++i) {
    pith_lane lane = PITH_INIT(pith_lane);
    lane.sequence = sequence;
    lane.tokens = tokens;
    lane.token_count = size;
    if (pith_step(session, &lane, 1, NULL, result, &error) ||
        pith_result_top_k(result, 0, 1, tokens, NULL, &error))
      return fprintf(stderr, "%s\n", error.message), 1;
    size = 1;
    printf(i ? " %d" : "%d", tokens[0]);
  }
  printf("\n");
  pith_result_free(result);
  pith_sequence_free(sequence);
  pith_session_free(session);
  pith_module_free(module);
  return 0;
}
