/* Two models in one program, and a damaged one.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "encoder.h"
#include "second.h"

#include "pith/executable.h"
#include "pith/tokenizer.h"

#include <stdio.h>

int main(void) {
  pith_error error = PITH_INIT(pith_error);
  pith_load_options options = PITH_INIT(pith_load_options);
  options.flags = PITH_LOAD_VERIFY_WEIGHTS | PITH_LOAD_POPULATE;
  pith_module *first = NULL, *second = NULL, *third = NULL;
  if (pith_module_load_embedded(&encoder, &options, &first, &error) ||
      pith_module_load_embedded(&second_model, &options, &second, &error))
    return fprintf(stderr, "%s\n", error.message), 1;
  printf("version %s, two models with %zu and %zu entries, weights verified\n", pith_version_string(),
         pith_module_entry_count(first), pith_module_entry_count(second));
  pith_embedded damaged = encoder;
  damaged.manifest_checksum ^= 1;
  if (!pith_module_load_embedded(&damaged, &options, &third, &error) || third)
    return 1;
  printf("damaged: %s\n", error.message);
  char message[256];
  pith_tokenizer *tokenizer = NULL;
  if (!pith_tokenizer_load_file("nowhere.json", &tokenizer, message, sizeof(message)))
    return 1;
  printf("tokenizer: %s\n", message);
  pith_module_free(first);
  pith_module_free(second);
  return 0;
}
