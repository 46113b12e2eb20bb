//===- GlobalMemory.h - the allocations of an emulated device ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_GLOBALMEMORY_H
#define PITH_RUNTIME_EMULATOR_GLOBALMEMORY_H

#include "../core/Status.h"

#include <atomic>
#include <cstdint>
#include <vector>

namespace pith::runtime::emulator {

/// One allocation, with the bytes that a kernel may touch.
struct Range {
  uintptr_t begin = 0, end = 0;
  /// Per byte, who wrote and who read it in the current launch (block + 1); null unless races are looked for.
  std::atomic<uint32_t> *writers = nullptr, *readers = nullptr;
  bool contains(uintptr_t address, uint64_t bytes) const {
    return address >= begin && address <= end && bytes <= end - address;
  }
};

/// Allocations lie far apart: an index that is wrong by a row or a page leaves its own without meeting
/// another.
class GlobalMemory {
public:
  GlobalMemory() = default;
  GlobalMemory(const GlobalMemory &) = delete;
  GlobalMemory &operator=(const GlobalMemory &) = delete;
  ~GlobalMemory();

  Status allocate(uint64_t bytes, void *&address);
  Status release(void *address);
  /// Fails unless the bytes lie in one allocation; `what` names the caller's deed.
  Status check(const void *address, uint64_t bytes, const char *what) const;
  /// The allocation that holds the address, or the nearest one before it, or null.
  const Range *find(uintptr_t address) const;
  /// The first allocation behind the address, or null.
  const Range *next(uintptr_t address) const;
  /// Begins a launch: nothing was written or read yet. Makes the records where they are missing.
  Status clearRecords();
  /// Keeps no records from here on.
  void dropRecords();

private:
  struct Allocation {
    Range range;
    uint8_t *mapping;
    size_t mapped;
  };
  size_t countUpTo(uintptr_t address) const;
  static void freeAllocation(const Allocation &allocation);
  std::vector<Allocation> allocations; // by address
};

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_GLOBALMEMORY_H
