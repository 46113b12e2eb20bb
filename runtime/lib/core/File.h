//===- File.h - a .pith file, checked and mapped ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_FILE_H
#define PITH_RUNTIME_CORE_FILE_H

#include "Memory.h"
#include "Status.h"
#include "pith/executable.h"
#include "pith/file.h"

#include <memory>
#include <string>
#include <vector>

namespace pith::runtime {

/// Memory from mmap, unmapped at the end; or from a source, given back to it.
class Mapping {
public:
  Mapping() = default;
  Mapping(Mapping &&other) noexcept
      : base(std::exchange(other.base, nullptr)), length(std::exchange(other.length, 0)),
        source(std::exchange(other.source, nullptr)) {}
  Mapping &operator=(Mapping &&other) noexcept;
  ~Mapping();
  /// Empty when the system refuses; errno says why.
  static Mapping ofFile(int descriptor, uint64_t offset, uint64_t size);
  static Mapping anonymous(uint64_t size);
  /// The source must outlive the mapping.
  static Status take(MemorySource &source, uint64_t size, const char *what, Mapping &mapping);
  uint8_t *data() const { return base; }
  size_t size() const { return length; }
  explicit operator bool() const { return base; }

private:
  uint8_t *base = nullptr;
  size_t length = 0;
  MemorySource *source = nullptr; // null: the system
};

/// Brings mapped pages into memory now, where the system can.
void populate(const void *data, size_t size);

/// A .pith file that is open. `open` checks the trailer, the manifest and the ELF part; nothing is mapped and
/// no code runs until the functions after it are called.
class File {
public:
  File() = default;
  File(const File &) = delete;
  File &operator=(const File &) = delete;
  ~File();

  Status open(const std::string &path);
  const std::string &manifestText() const { return manifest; }
  const pith_file_trailer &trailer() const { return end; }
  Status verifyWeights() const;

  /// Maps the weights (flags: PITH_LOAD_...). An empty section gives an empty mapping.
  Status mapWeights(uint32_t flags, Mapping &weights) const;

  /// Lets the dynamic loader map the code, checks that what it mapped is what `open` checked, and finds the
  /// table. The code stays until the File is destroyed.
  Status mapCode(const pith_exec_table *&table);

private:
  Status readAt(uint64_t offset, void *data, size_t size, const char *what) const;
  Status checkTrailer(uint64_t fileSize) const;
  Status checkElf() const;
  bool isLoadedImage(void *library) const;
  bool isSameImage(uintptr_t base, const void *headers, size_t count) const;

  std::string path;
  int descriptor = -1;
  pith_file_trailer end{};
  std::string manifest;
  std::vector<uint8_t> elf;
  void *code = nullptr;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_FILE_H
