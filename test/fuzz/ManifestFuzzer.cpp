//===- ManifestFuzzer.cpp - any text as a manifest ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A linked module with the toy model's table: what its manifest makes of it is asked through the whole C face.
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "pith/runtime.h"

#include <cstdlib>
#include <cstring>

extern "C" const pith_exec_table pith_executable; // FakeModel.c

namespace {

void require(bool condition) {
  if (!condition)
    std::abort();
}

void describe(const pith_module *module) {
  size_t size = 0;
  require(std::strlen(pith_module_manifest(module, &size)) <= size);
  pith_module_metadata(module, "name");
  pith_module_eos(module, &size);
  for (pith_capability capability = 0; capability < 20; ++capability)
    pith_module_supports(module, capability, nullptr);
  for (size_t i = 0; i < pith_module_entry_count(module); ++i) {
    pith_entry_info entry = PITH_INIT(pith_entry_info);
    require(pith_module_entry(module, i, &entry, nullptr) == PITH_OK);
    size_t found = 0;
    require(pith_module_find_entry(module, entry.name, &found, nullptr) == PITH_OK && found == i);
    pith_port_info port = PITH_INIT(pith_port_info);
    for (uint32_t j = 0; j < entry.input_count; ++j)
      require(pith_module_input(module, i, j, &port, nullptr) == PITH_OK && port.rank <= PITH_MAX_RANK);
    for (uint32_t j = 0; j < entry.output_count; ++j)
      require(pith_module_output(module, i, j, &port, nullptr) == PITH_OK && port.rank <= PITH_MAX_RANK);
  }
  pith_step_info info = PITH_INIT(pith_step_info);
  if (pith_module_step_info(module, &info, nullptr) == PITH_OK)
    require(info.vocab && info.max_rows && info.page_tokens && info.page_bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pith_module *module = nullptr;
  pith_error error = PITH_INIT(pith_error);
  const pith_status status = pith_module_link(&pith_executable, nullptr, 0, reinterpret_cast<const char *>(data), size,
                                              &module, &error);
  require((status == PITH_OK) == (module != nullptr));
  require(status == PITH_OK || error.message[0]);
  if (module)
    describe(module);
  pith_module_free(module);
  return 0;
}
