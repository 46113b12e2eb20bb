//===- Module.cpp - one loaded model --------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Module.h"
#include "../cpu/Features.h"
#include "../device/Device.h"
#include "DeviceModule.h"

#include <sys/mman.h>

namespace pith::runtime {
namespace {

Status checkFlags(uint32_t flags) {
  const uint32_t known = PITH_LOAD_VERIFY_WEIGHTS | PITH_LOAD_POPULATE | PITH_LOAD_COPY_WEIGHTS;
  if (flags & ~known)
    return failure(PITH_ERROR_UNSUPPORTED, "load flags 0x%x are not known", flags & ~known);
  return {};
}

uint64_t identityOf(uint64_t code, uint64_t manifest, uint64_t weights, uint64_t weightsSize) {
  const uint64_t parts[] = {code, manifest, weights, weightsSize};
  return pith_file_checksum(PITH_FILE_CHECKSUM_SEED, parts, sizeof parts);
}

/// Kernels and images of a table for a device.
Status checkKernels(const pith_exec_table &table, const std::string &what) {
  if ((table.kernel_count && !table.kernels) || !table.image_count || !table.images)
    return failure(PITH_ERROR_FORMAT, "%s: code for a device without its kernels", what.c_str());
  for (uint32_t i = 0; i < table.kernel_count; ++i) {
    const pith_exec_kernel &kernel = table.kernels[i];
    if (!kernel.name || (kernel.argument_count && !kernel.argument_bytes))
      return failure(PITH_ERROR_FORMAT, "%s: kernel %u has no name or no arguments", what.c_str(), i);
    for (uint32_t j = 0; j < kernel.argument_count; ++j)
      if (kernel.argument_bytes[j] != 4 && kernel.argument_bytes[j] != 8)
        return failure(PITH_ERROR_FORMAT, "%s: argument %u of kernel %s has %u bytes, expected 4 or 8",
                       what.c_str(), j, quoteName(kernel.name).c_str(), kernel.argument_bytes[j]);
  }
  for (uint32_t i = 0; i < table.image_count; ++i)
    if (device::Kind kind; !table.images[i].data || !device::kindOfImage(table.images[i].format, kind))
      return failure(PITH_ERROR_FORMAT, "%s: image %u is of format %u, which is not known", what.c_str(), i,
                     table.images[i].format);
  return {};
}

bool hasChecksum(const void *data, uint64_t size, uint64_t expected) {
  return pith_file_checksum(PITH_FILE_CHECKSUM_SEED, data, size) == expected;
}

} // namespace

Status Module::load(const std::string &path, uint32_t flags, std::shared_ptr<const Module> &out) {
  PITH_TRY(checkFlags(flags));
  auto module = std::make_shared<Module>();
  module->file = std::make_unique<File>();
  File &file = *module->file;
  PITH_TRY(file.open(path));
  module->text = file.manifestText();
  PITH_TRY(module->readManifest(path));
  if (flags & PITH_LOAD_VERIFY_WEIGHTS)
    PITH_TRY(file.verifyWeights());
  const pith_file_trailer &end = file.trailer();
  module->identityHash =
      identityOf(end.elf_checksum, end.manifest_checksum, end.weights_checksum, end.weights_size);
  PITH_TRY(file.mapWeights(flags, module->mapping));
  module->isFileMapped = !(flags & PITH_LOAD_COPY_WEIGHTS);
  module->weightData = module->mapping.data();
  module->weightBytes = module->mapping.size();
  const pith_exec_table *table = nullptr;
  PITH_TRY(file.mapCode(table));
  PITH_TRY(module->bindTable(table, path));
  out = std::move(module);
  return {};
}

Status Module::embedded(const pith_embedded &model, uint32_t flags, std::shared_ptr<const Module> &out) {
  PITH_TRY(checkFlags(flags));
  if (model.version != PITH_EXEC_VERSION)
    return failure(PITH_ERROR_VERSION, "embedded model of interface version %u, this runtime has version %u",
                   model.version, PITH_EXEC_VERSION);
  if (model.struct_size < sizeof model || !model.table || !model.manifest ||
      (model.weights_size && !model.weights))
    return failure(PITH_ERROR_FORMAT,
                   "embedded model: a description of %u bytes with parts missing, expected %zu bytes",
                   model.struct_size, sizeof model);
  if (!hasChecksum(model.manifest, model.manifest_size, model.manifest_checksum))
    return failure(PITH_ERROR_FORMAT, "embedded model: the manifest is damaged (its checksum differs)");
  const bool verify = flags & PITH_LOAD_VERIFY_WEIGHTS;
  if (verify && !hasChecksum(model.weights, model.weights_size, model.weights_checksum))
    return failure(PITH_ERROR_FORMAT, "embedded model: the weights are damaged (their checksum differs)");
  auto module = std::make_shared<Module>();
  module->text.assign(model.manifest, model.manifest_size);
  PITH_TRY(module->readManifest("embedded model"));
  PITH_TRY(module->useWeights(model.weights, model.weights_size, flags));
  module->identityHash =
      identityOf(model.code_checksum, model.manifest_checksum, model.weights_checksum, model.weights_size);
  PITH_TRY(module->bindTable(model.table, "embedded model"));
  out = std::move(module);
  return {};
}

/// Weights that are in memory already: used where they are, or from a private copy.
Status Module::useWeights(const void *weights, size_t size, uint32_t flags) {
  if (uintptr_t(weights) % 64)
    return failure(PITH_ERROR_ARGUMENT, "weights are not 64-byte aligned");
  weightData = static_cast<const uint8_t *>(weights);
  weightBytes = size;
  if (!size)
    return {};
  if (flags & PITH_LOAD_COPY_WEIGHTS) {
    mapping = Mapping::anonymous(size);
    if (!mapping)
      return failure(PITH_ERROR_MEMORY, "no memory for a copy of %zu bytes of weights", size);
    std::memcpy(mapping.data(), weights, size);
    weightData = mapping.data();
  } else if (flags & PITH_LOAD_POPULATE) {
    populate(weights, size);
  }
  return {};
}

Status Module::link(const pith_exec_table *table, const void *weights, size_t weightsSize,
                    std::string manifest, std::shared_ptr<const Module> &out) {
  auto module = std::make_shared<Module>();
  module->text = std::move(manifest);
  PITH_TRY(module->useWeights(weights, weightsSize, 0));
  PITH_TRY(module->readManifest("linked module"));
  module->identityHash =
      pith_file_checksum(PITH_FILE_CHECKSUM_SEED, module->text.data(), module->text.size()) ^ weightsSize;
  PITH_TRY(module->bindTable(table, "linked module"));
  out = std::move(module);
  return {};
}

Status Module::readManifest(const std::string &what) {
  if (const Status status = parseManifest(text, facts); !status.ok())
    return Status(status.code(), what + ": " + status.message());
  if (facts.arch != cpuArchitecture())
    return failure(PITH_ERROR_CPU, "%s: compiled for %s, this machine is %s", what.c_str(),
                   quoteName(facts.arch).c_str(), cpuArchitecture());
  const std::vector<std::string> missing = missingCpuFeatures(facts.features);
  if (missing.empty())
    return {};
  std::string names;
  for (const std::string &name : missing)
    names += (names.empty() ? "" : ", ") + name;
  return failure(PITH_ERROR_CPU, "%s: compiled for %s, this CPU lacks %s", what.c_str(),
                 facts.cpu.empty() ? "another CPU" : facts.cpu.substr(0, 64).c_str(), names.c_str());
}

Status Module::bindTable(const pith_exec_table *table, const std::string &what) {
  if (table->version != PITH_EXEC_VERSION && table->version != PITH_EXEC_DEVICE_VERSION)
    return failure(PITH_ERROR_VERSION,
                   "%s: code of interface version %u, this runtime has versions %u and %u", what.c_str(),
                   table->version, PITH_EXEC_VERSION, PITH_EXEC_DEVICE_VERSION);
  if (table->version == PITH_EXEC_DEVICE_VERSION) {
    PITH_TRY(checkKernels(*table, what));
    kernelTable = table;
  }
  if (table->entry_count && !table->entries)
    return failure(PITH_ERROR_FORMAT, "%s: the code's table has no entries", what.c_str());
  for (const Entry &entry : facts.entries) {
    const pith_exec_entry *found = nullptr;
    for (uint32_t i = 0; i < table->entry_count && !found; ++i)
      if (table->entries[i].name && entry.name == table->entries[i].name)
        found = &table->entries[i];
    const uint32_t kind = entry.kind == PITH_ENTRY_STEP        ? PITH_EXEC_STEP
                          : entry.kind == PITH_ENTRY_CONDITION ? PITH_EXEC_CONDITION
                                                               : PITH_EXEC_INVOKE;
    if (!found || !found->prepare || !found->run)
      return failure(PITH_ERROR_FORMAT, "%s: the manifest names entry %s, which the code lacks", what.c_str(),
                     quoteName(entry.name).c_str());
    if (found->kind != kind)
      return failure(PITH_ERROR_FORMAT, "%s: entry %s is of kind %u in the code and %u in the manifest",
                     what.c_str(), quoteName(entry.name).c_str(), found->kind, kind);
    codes.push_back(found);
  }
  for (uint32_t i = 0; kernelTable && stepEntry() && i < table->entry_count; ++i)
    if (const pith_exec_entry &entry = table->entries[i];
        entry.kind == PITH_EXEC_SAMPLE && entry.prepare && entry.run)
      sampling = &entry;
  return {};
}

Status Module::place(const std::shared_ptr<device::Device> &device, device::Stream &stream,
                     std::shared_ptr<const DeviceModule> &out) const {
  const std::lock_guard<std::mutex> lock(placeMutex);
  for (const std::weak_ptr<const DeviceModule> &known : places)
    if (std::shared_ptr<const DeviceModule> found = known.lock(); found && found->device == device) {
      out = std::move(found);
      return {};
    }
  const auto gone = [](const std::weak_ptr<const DeviceModule> &known) { return known.expired(); };
  places.erase(std::remove_if(places.begin(), places.end(), gone), places.end());
  auto made = std::make_shared<DeviceModule>(device);
  PITH_TRY(device->load(*kernelTable, made->kernels));
  if (weightBytes)
    PITH_TRY(Mapping::take(device->memory(), weightBytes, "weights", made->weights));
  // Piece by piece, so that the host never holds them all.
  constexpr uint64_t piece = UINT64_C(64) << 20;
  for (uint64_t at = 0; at < weightBytes; at += piece) {
    const uint64_t bytes = std::min(piece, weightBytes - at);
    PITH_TRY(stream.upload(made->weights.data() + at, weightData + at, bytes));
    if (isFileMapped)
      madvise(const_cast<uint8_t *>(weightData) + at, bytes, MADV_DONTNEED);
  }
  PITH_TRY(stream.synchronize());
  stream.trim();
  places.push_back(made);
  out = std::move(made);
  return {};
}

Status Module::findEntry(const std::string &name, size_t &index) const {
  std::string names;
  for (size_t i = 0; i < facts.entries.size(); ++i) {
    if (facts.entries[i].name == name)
      return index = i, Status();
    if (names.size() < 200)
      names += (i ? ", " : "") + quoteName(facts.entries[i].name);
  }
  return failure(PITH_ERROR_NOT_FOUND, "no entry %s; the module has %s", quoteName(name).c_str(),
                 names.c_str());
}

bool Module::supports(pith_capability capability, const char **reason) const {
  const char *why = nullptr;
  const bool steps = facts.stepEntry >= 0;
  switch (capability) {
  case PITH_CAN_INVOKE:
    if (facts.entries.size() == size_t(steps) + (conditionEntry() != nullptr))
      why = "the module has no entry of kind invoke";
    break;
  case PITH_CAN_STEP:
  case PITH_CAN_FORK:
  case PITH_CAN_TRUNCATE:
  case PITH_CAN_SCORE:
  case PITH_CAN_EXPORT:
    if (!steps)
      why = "the module has no entry of kind step: its graph was not turned into a cached decoder";
    break;
  case PITH_CAN_MATCH:
    if (!steps)
      why = "the module has no entry of kind step: its graph was not turned into a cached decoder";
    else if (conditionEntry())
      why = "the module's texts depend on their conditions, so none is found by its tokens";
    break;
  case PITH_CAN_CONDITION:
    if (!conditionEntry())
      why = "the module takes no condition: its step reads nothing but its own tokens";
    break;
  case PITH_CAN_EMBEDDING_ROWS:
    if (!steps || !stepEntry()->embeddingRow)
      why =
          "the module's step takes tokens only: it has no embedding table, or reads the tokens elsewhere too";
    break;
  case PITH_CAN_TAP:
    if (!steps || !stepEntry()->taps.count)
      why = "the module was compiled without taps: its step is not cut into blocks";
    break;
  case PITH_CAN_GATE:
    why = "the module was compiled without gates";
    break;
  case PITH_CAN_ADAPT:
    why = "the module was compiled without adapters";
    break;
  case PITH_CAN_ATTACH:
    why = "this version of the runtime does not share a cache between modules";
    break;
  case PITH_CAN_VERIFY:
    why = "this version of the runtime has no verify policies; a step with all rows gives the logits";
    break;
  case PITH_CAN_KV_MODES:
    why = "the module's step always writes to the lane's own cache";
    break;
  case PITH_CAN_DETERMINISTIC:
    if (!steps || !stepEntry()->deterministic)
      why = "the module does not promise results that are independent of the batch";
    break;
  default:
    why = "this version of the runtime does not know the capability";
  }
  if (why && reason)
    *reason = why;
  return !why;
}

} // namespace pith::runtime
