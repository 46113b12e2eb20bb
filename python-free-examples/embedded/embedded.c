/* Continues token ids with a model that is linked into the program: no file is opened, no weight is copied.
 *
 *   embedded COUNT ID...
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "example_model.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: embedded COUNT ID...\n");
    return 2;
  }
  int count = atoi(argv[1]), status = 1;
  size_t size = (size_t)argc - 2;
  pith_error error = PITH_INIT(pith_error);
  pith_module *module = NULL;
  pith_session *session = NULL;
  pith_sequence *sequence = NULL;
  pith_result *result = NULL;
  pith_sampler *sampler = NULL;
  int32_t *tokens = malloc(size * sizeof(*tokens));
  if (!tokens)
    return 1;
  for (size_t i = 0; i < size; ++i)
    tokens[i] = atoi(argv[i + 2]);

  if (pith_module_load_embedded(&example_model, NULL, &module, &error) ||
      pith_session_new(&module, 1, NULL, &session, &error) ||
      pith_sequence_new(session, module, NULL, &sequence, &error) || pith_result_new(session, &result, &error) ||
      pith_sampler_new(NULL, &sampler, &error))
    goto done;
  for (int i = 0; i < count; ++i) {
    pith_lane lane = PITH_INIT(pith_lane);
    lane.sequence = sequence;
    lane.tokens = tokens;
    lane.token_count = size;
    pith_draw draw = PITH_INIT(pith_draw);
    draw.sequence = sequence;
    if (pith_step(session, &lane, 1, NULL, result, &error) ||
        pith_sample(sampler, result, &draw, 1, &tokens[0], &error))
      goto done;
    size = 1;
    printf(i ? " %d" : "%d", tokens[0]);
  }
  printf("\n");
  status = 0;

done:
  if (status)
    fprintf(stderr, "embedded: %s\n", error.message);
  free(tokens);
  pith_sampler_free(sampler);
  pith_result_free(result);
  pith_sequence_free(sequence);
  pith_session_free(session);
  pith_module_free(module);
  return status;
}
