//===- ModuleApi.cpp - the C face of modules --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Module.h"

using namespace pith::runtime;

namespace {

Status findEntry(const pith_module *module, size_t index, const Entry *&entry) {
  PITH_REQUIRE(module);
  const std::vector<Entry> &entries = module->module->manifest().entries;
  if (index >= entries.size())
    return failure(PITH_ERROR_ARGUMENT, "entry %zu, the module has %zu", index, entries.size());
  entry = &entries[index];
  return {};
}

Status describePort(const std::vector<Port> &ports, const char *what, size_t index, pith_port_info *info) {
  PITH_REQUIRE(info);
  if (index >= ports.size())
    return failure(PITH_ERROR_ARGUMENT, "%s %zu, the entry has %zu", what, index, ports.size());
  const Port &port = ports[index];
  pith_port_info value = PITH_INIT(pith_port_info);
  value.type = port.type;
  value.name = port.name.c_str();
  value.rank = uint32_t(port.dims.size());
  value.dims = port.sizes.data();
  value.symbols = port.symbols.data();
  return writeStruct(value, "info", info);
}

} // namespace

extern "C" {

pith_status pith_module_load(const char *path, const pith_load_options *options, pith_module **module,
                             pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(path);
    PITH_REQUIRE(module);
    pith_load_options value;
    PITH_TRY(readStruct(options, "options", value));
    auto made = std::make_unique<pith_module>();
    PITH_TRY(Module::load(path, value.flags, made->module));
    *module = made.release();
    return {};
  });
}

pith_status pith_module_load_embedded(const pith_embedded *model, const pith_load_options *options,
                                      pith_module **module, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(model);
    PITH_REQUIRE(module);
    pith_load_options value;
    PITH_TRY(readStruct(options, "options", value));
    auto made = std::make_unique<pith_module>();
    PITH_TRY(Module::embedded(*model, value.flags, made->module));
    *module = made.release();
    return {};
  });
}

pith_status pith_module_link(const pith_exec_table *table, const void *weights, size_t weights_size,
                             const char *manifest, size_t manifest_size, pith_module **module,
                             pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(table);
    PITH_REQUIRE(manifest);
    PITH_REQUIRE(module);
    if (weights_size)
      PITH_REQUIRE(weights);
    auto made = std::make_unique<pith_module>();
    PITH_TRY(Module::link(table, weights, weights_size, std::string(manifest, manifest_size), made->module));
    *module = made.release();
    return {};
  });
}

void pith_module_free(pith_module *module) { delete module; }

const char *pith_module_manifest(const pith_module *module, size_t *size) {
  if (!module)
    return nullptr;
  if (size)
    *size = module->module->manifestText().size();
  return module->module->manifestText().c_str();
}

const char *pith_module_metadata(const pith_module *module, const char *key) {
  if (!module || !key)
    return nullptr;
  for (const auto &[name, value] : module->module->manifest().metadata)
    if (name == key)
      return value.c_str();
  return nullptr;
}

const int32_t *pith_module_eos(const pith_module *module, size_t *count) {
  if (count)
    *count = module ? module->module->manifest().eos.size() : 0;
  if (!module || module->module->manifest().eos.empty())
    return nullptr;
  return module->module->manifest().eos.data();
}

int pith_module_supports(const pith_module *module, pith_capability capability, const char **reason) {
  if (module)
    return module->module->supports(capability, reason);
  if (reason)
    *reason = "module is null";
  return 0;
}

size_t pith_module_entry_count(const pith_module *module) {
  return module ? module->module->manifest().entries.size() : 0;
}

pith_status pith_module_entry(const pith_module *module, size_t index, pith_entry_info *info,
                              pith_error *error) {
  return guarded(error, [&]() -> Status {
    const Entry *entry = nullptr;
    PITH_TRY(findEntry(module, index, entry));
    PITH_REQUIRE(info);
    pith_entry_info value = PITH_INIT(pith_entry_info);
    value.kind = entry->kind;
    value.name = entry->name.c_str();
    value.input_count = uint32_t(entry->inputs.size());
    value.output_count = uint32_t(entry->outputs.size());
    return writeStruct(value, "info", info);
  });
}

pith_status pith_module_find_entry(const pith_module *module, const char *name, size_t *index,
                                   pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(module);
    PITH_REQUIRE(name);
    PITH_REQUIRE(index);
    return module->module->findEntry(name, *index);
  });
}

pith_status pith_module_input(const pith_module *module, size_t entry, size_t index, pith_port_info *info,
                              pith_error *error) {
  return guarded(error, [&]() -> Status {
    const Entry *found = nullptr;
    PITH_TRY(findEntry(module, entry, found));
    return describePort(found->inputs, "input", index, info);
  });
}

pith_status pith_module_output(const pith_module *module, size_t entry, size_t index, pith_port_info *info,
                               pith_error *error) {
  return guarded(error, [&]() -> Status {
    const Entry *found = nullptr;
    PITH_TRY(findEntry(module, entry, found));
    return describePort(found->outputs, "output", index, info);
  });
}

pith_status pith_module_step_info(const pith_module *module, pith_step_info *info, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(module);
    PITH_REQUIRE(info);
    const char *reason = nullptr;
    if (!module->module->supports(PITH_CAN_STEP, &reason))
      return failure(PITH_ERROR_UNSUPPORTED, "%s", reason);
    const Entry &entry = *module->module->stepEntry();
    const StateLayout &state = module->module->manifest().state;
    pith_step_info value = PITH_INIT(pith_step_info);
    value.vocab = entry.vocab;
    value.max_rows = entry.maxRows;
    value.page_tokens = state.pageTokens;
    value.page_bytes = state.pageBytes;
    value.positions = state.positions;
    value.layers = uint32_t(entry.taps.blockIn.size());
    value.hidden = entry.taps.hidden;
    value.embedding = entry.embeddingRow;
    if (const Entry *condition = module->module->conditionEntry())
      value.condition = uint32_t(condition->inputs[0].sizes[1]);
    return writeStruct(value, "info", info);
  });
}

} // extern "C"
