/* The header as C: it compiles on its own, and initialisers work.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#include "pith/runtime.h"

/* Loads a file that is not there and returns the status that the error holds. */
pith_status pith_header_test(void) {
  pith_error error = PITH_INIT(pith_error);
  pith_load_options options = PITH_INIT(pith_load_options);
  pith_module *module = NULL;
  if (pith_module_load("/no/such/file", &options, &module, &error) == PITH_OK) return PITH_OK;
  return module ? PITH_OK : error.code;
}
