/* Continues a text with a compiled model: the smallest whole program on the runtime.
 *
 *   generate MODEL.pith TOKENIZER.json "text to continue" [TOKENS]
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "pith/runtime.h"
#include "pith/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *what, const char *message) {
  fprintf(stderr, "generate: %s: %s\n", what, message);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: generate MODEL.pith TOKENIZER.json TEXT [TOKENS]\n");
    return 2;
  }
  int count = argc > 4 ? atoi(argv[4]) : 64, status = 1;
  char message[256];
  pith_error error = PITH_INIT(pith_error);
  pith_tokenizer *tokenizer = NULL;
  pith_detokenizer *detokenizer = NULL;
  pith_module *module = NULL;
  pith_session *session = NULL;
  pith_sequence *sequence = NULL;
  pith_result *result = NULL;
  pith_sampler *sampler = NULL;
  int32_t *tokens = NULL;

  if (pith_tokenizer_load_file(argv[2], &tokenizer, message, sizeof(message)) ||
      pith_detokenizer_create(tokenizer, PITH_DECODE_SKIP_SPECIAL | PITH_DECODE_CONTINUE, &detokenizer, message,
                              sizeof(message))) {
    failed(argv[2], message);
    goto done;
  }
  if (pith_module_load(argv[1], NULL, &module, &error) || pith_session_new(&module, 1, NULL, &session, &error) ||
      pith_sequence_new(session, module, NULL, &sequence, &error) || pith_result_new(session, &result, &error) ||
      pith_sampler_new(NULL, &sampler, &error)) {
    failed(argv[1], error.message);
    goto done;
  }

  size_t capacity = strlen(argv[3]) + 8, size = 0;
  tokens = malloc(capacity * sizeof(*tokens));
  if (!tokens || pith_tokenizer_encode(tokenizer, argv[3], strlen(argv[3]), PITH_ENCODE_ADD_SPECIAL, tokens, capacity,
                                       &size, message, sizeof(message))) {
    failed("text", tokens ? message : "out of memory");
    goto done;
  }

  fputs(argv[3], stdout);
  for (int i = 0; i < count; ++i) {
    /* The prompt at first, then one token at a time: the sequence keeps what came before. */
    pith_lane lane = PITH_INIT(pith_lane);
    lane.sequence = sequence;
    lane.tokens = tokens;
    lane.token_count = size;
    pith_draw draw = PITH_INIT(pith_draw);
    draw.sequence = sequence;
    if (pith_step(session, &lane, 1, NULL, result, &error) ||
        pith_sample(sampler, result, &draw, 1, &tokens[0], &error)) {
      failed(argv[1], error.message);
      goto done;
    }
    size = 1;
    if (tokens[0] == pith_tokenizer_end_id(tokenizer))
      break;
    const char *text;
    size_t length;
    if (pith_detokenizer_push(detokenizer, tokens[0], &text, &length, message, sizeof(message))) {
      failed("token", message);
      goto done;
    }
    fwrite(text, 1, length, stdout);
    fflush(stdout);
  }
  putchar('\n');
  status = 0;

done:
  free(tokens);
  pith_sampler_free(sampler);
  pith_result_free(result);
  pith_sequence_free(sequence);
  pith_session_free(session);
  pith_module_free(module);
  pith_detokenizer_destroy(detokenizer);
  pith_tokenizer_destroy(tokenizer);
  return status;
}
