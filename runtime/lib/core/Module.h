//===- Module.h - one loaded model ------------------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_MODULE_H
#define PITH_RUNTIME_CORE_MODULE_H

#include "File.h"
#include "Manifest.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace pith::runtime {

class DeviceModule;
namespace device {
class Device;
class Stream;
} // namespace device

/// Immutable once loaded.
class Module {
public:
  static Status load(const std::string &path, uint32_t flags, std::shared_ptr<const Module> &module);
  static Status embedded(const pith_embedded &model, uint32_t flags, std::shared_ptr<const Module> &module);
  static Status link(const pith_exec_table *table, const void *weights, size_t weightsSize,
                     std::string manifest, std::shared_ptr<const Module> &module);

  const Manifest &manifest() const { return facts; }
  const std::string &manifestText() const { return text; }
  const uint8_t *weights() const { return weightData; }
  uint64_t weightsSize() const { return weightBytes; }
  /// A number that files of other models do not share: over code, manifest and the weights' checksum.
  uint64_t identity() const { return identityHash; }

  const Entry *stepEntry() const { return facts.stepEntry < 0 ? nullptr : &facts.entries[facts.stepEntry]; }
  const Entry *conditionEntry() const {
    return facts.conditionEntry < 0 ? nullptr : &facts.entries[facts.conditionEntry];
  }
  const pith_exec_entry &code(size_t entry) const { return *codes[entry]; }
  /// What draws tokens on the device from logits of the step; null where there is none.
  const pith_exec_entry *sampleCode() const { return sampling; }
  Status findEntry(const std::string &name, size_t &index) const;
  bool supports(pith_capability capability, const char **reason) const;

  /// The table of code for a device, with its kernels; null when the code is for the CPU.
  const pith_exec_table *deviceTable() const { return kernelTable; }
  /// What sessions share of this module on the device; brought there over the stream by the first one.
  Status place(const std::shared_ptr<device::Device> &device, device::Stream &stream,
               std::shared_ptr<const DeviceModule> &placed) const;

private:
  Status useWeights(const void *weights, size_t size, uint32_t flags);
  Status readManifest(const std::string &what);
  Status bindTable(const pith_exec_table *table, const std::string &what);

  std::unique_ptr<File> file; // owns the code
  Mapping mapping;            // owns the weights
  const uint8_t *weightData = nullptr;
  uint64_t weightBytes = 0;
  uint64_t identityHash = 0;
  std::string text;
  Manifest facts;
  std::vector<const pith_exec_entry *> codes; // by index of the manifest's entry
  const pith_exec_entry *sampling = nullptr;
  const pith_exec_table *kernelTable = nullptr;
  bool isFileMapped = false; // the weights can be read from the file again
  mutable std::mutex placeMutex;
  mutable std::vector<std::weak_ptr<const DeviceModule>> places;
};

} // namespace pith::runtime

struct pith_module {
  std::shared_ptr<const pith::runtime::Module> module;
};

#endif // PITH_RUNTIME_CORE_MODULE_H
