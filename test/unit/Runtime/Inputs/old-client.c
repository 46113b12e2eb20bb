/* A program that was built against version 0.1.0 of the header and must go on working with every later library of the
 * same major version: Inputs/old-client is this file as of that day, and is never built again. Made on Debian 12 with
 *
 *   gcc -O2 -s -fno-ident -Wl,--build-id=none -I runtime/include old-client.c -o old-client -L build/lib -lpith
 *
 * It uses the structs by their size of then, and prints what it finds. Arguments: a .pith file of the tests' toy model.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "pith/runtime.h"

#include <stdio.h>
#include <string.h>

static pith_error error;

#define CHECK(call)                                                                     \
  do {                                                                                  \
    if ((call) != PITH_OK) return printf("%s failed: %s\n", #call, error.message), 1;   \
  } while (0)

static struct {
  char bytes[1 << 16];
  size_t size, at;
} stream;

static int put(void *context, const void *data, size_t size) {
  (void)context;
  if (size > sizeof stream.bytes - stream.size) return 1;
  memcpy(stream.bytes + stream.size, data, size);
  stream.size += size;
  return 0;
}

static int get(void *context, void *data, size_t size) {
  (void)context;
  if (size > stream.size - stream.at) return 1;
  memcpy(data, stream.bytes + stream.at, size);
  stream.at += size;
  return 0;
}

int main(int argc, char **argv) {
  static const int32_t prompt[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4};
  const size_t size = sizeof prompt / sizeof prompt[0];
  pith_module *module = NULL;
  pith_session *session = NULL;
  pith_sequence *sequence = NULL, *branch = NULL, *warm = NULL, *copy = NULL;
  pith_result *result = NULL;
  pith_sampler *sampler = NULL;
  error = PITH_INIT(pith_error);
  if (argc < 2 || pith_version() >> 16 != PITH_VERSION_MAJOR) return 2;
  CHECK(pith_module_load(argv[1], NULL, &module, &error));
  pith_step_info info = PITH_INIT(pith_step_info);
  CHECK(pith_module_step_info(module, &info, &error));
  printf("vocab %u, pages of %u tokens\n", info.vocab, info.page_tokens);
  pith_session_options options = PITH_INIT(pith_session_options);
  options.threads = 1;
  options.page_limit_bytes = 1 << 20;
  CHECK(pith_session_new(&module, 1, &options, &session, &error));
  CHECK(pith_sequence_new(session, NULL, NULL, &sequence, &error));
  CHECK(pith_result_new(session, &result, &error));
  CHECK(pith_sampler_new(NULL, &sampler, &error));
  pith_lane lane = PITH_INIT(pith_lane);
  lane.sequence = sequence;
  lane.tokens = prompt;
  lane.token_count = size;
  CHECK(pith_step(session, &lane, 1, NULL, result, &error));
  CHECK(pith_sequence_fork(sequence, 17, 1, &branch, &error));
  int32_t next = -1;
  printf("tokens");
  for (int i = 0; i < 8; ++i) {
    pith_draw draw = PITH_INIT(pith_draw);
    draw.sequence = sequence;
    CHECK(pith_sample(sampler, result, &draw, 1, &next, &error));
    printf(" %d", (int)next);
    lane.tokens = &next;
    lane.token_count = 1;
    CHECK(pith_step(session, &lane, 1, NULL, result, &error));
  }
  CHECK(pith_sequence_truncate(sequence, size, &error));
  CHECK(pith_sequence_export(branch, 17, put, NULL, &error));
  CHECK(pith_sequence_import(session, NULL, get, NULL, &copy, &error));
  pith_sequence_free(branch);
  size_t hit = 0;
  CHECK(pith_sequence_new(session, NULL, NULL, &warm, &error));
  CHECK(pith_sequence_match(warm, prompt, size, &hit, &error));
  pith_confidence sure = PITH_INIT(pith_confidence);
  CHECK(pith_result_confidence(result, 0, &sure, &error));
  pith_memory memory = PITH_INIT(pith_memory);
  CHECK(pith_session_memory(session, &memory, &error));
  printf("\nlengths %zu %zu, hit %zu, best %d, sequences %d\n", pith_sequence_length(sequence),
         pith_sequence_length(copy), hit, (int)sure.token, (int)memory.sequences);
  float a[4] = {1, 2, 3, 4}, b[4] = {10, 20, 30, 40};
  const int64_t dims[] = {1, 4};
  pith_tensor inputs[2] = {PITH_INIT(pith_tensor), PITH_INIT(pith_tensor)};
  inputs[0].name = "a";
  inputs[0].type = inputs[1].type = PITH_F32;
  inputs[0].dims = dims;
  inputs[0].rank = 2;
  inputs[0].data = a;
  inputs[1].name = "b";
  inputs[1].dims = dims + 1;
  inputs[1].rank = 1;
  inputs[1].data = b;
  CHECK(pith_invoke(session, module, "add", inputs, 2, result, &error));
  pith_tensor sum = PITH_INIT(pith_tensor);
  CHECK(pith_result_output(result, 0, &sum, &error));
  printf("sum %g %g\n", ((const float *)sum.data)[0], ((const float *)sum.data)[3]);
  pith_status status = pith_step(session, &lane, 1, NULL, NULL, &error);
  printf("%s: %s\n", pith_status_name(status), error.message);
  pith_sampler_free(sampler);
  pith_result_free(result);
  pith_sequence_free(warm);
  pith_sequence_free(copy);
  pith_sequence_free(sequence);
  pith_session_free(session);
  pith_module_free(module);
  return 0;
}
