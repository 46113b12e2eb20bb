//===- GlobalMemory.cpp - the allocations of an emulated device ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "GlobalMemory.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <sys/mman.h>

namespace pith::runtime::emulator {
namespace {
constexpr size_t page = 4096, gap = 1 << 20;
}

Status GlobalMemory::allocate(uint64_t bytes, void *&address) {
  address = nullptr;
  if (bytes > UINT64_C(1) << 46)
    return failure(PITH_ERROR_MEMORY, "no memory for %llu bytes on the emulator", (unsigned long long)bytes);
  const size_t usable = (std::max<uint64_t>(bytes, 1) + page - 1) / page * page, mapped = usable + 2 * gap;
  if (allocations.size() == allocations.capacity())
    allocations.reserve(2 * allocations.size() + 16); // fails before anything is mapped, or not at all
  void *mapping = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED)
    return failure(PITH_ERROR_MEMORY, "no memory for %llu bytes on the emulator: %s",
                   (unsigned long long)bytes, systemMessage(errno).c_str());
  uint8_t *base = static_cast<uint8_t *>(mapping) + gap;
  if (mprotect(base, usable, PROT_READ | PROT_WRITE)) {
    const int code = errno;
    munmap(mapping, mapped);
    return failure(PITH_ERROR_MEMORY, "no memory for %llu bytes on the emulator: %s",
                   (unsigned long long)bytes, systemMessage(code).c_str());
  }
  const uintptr_t begin = reinterpret_cast<uintptr_t>(base);
  const Allocation made{{begin, begin + bytes, nullptr, nullptr}, static_cast<uint8_t *>(mapping), mapped};
  allocations.insert(allocations.begin() + countUpTo(begin), made);
  address = base;
  return {};
}

void GlobalMemory::freeAllocation(const Allocation &allocation) {
  std::free(allocation.range.writers);
  std::free(allocation.range.readers);
  munmap(allocation.mapping, allocation.mapped);
}

Status GlobalMemory::release(void *address) {
  if (!address)
    return {};
  for (auto at = allocations.begin(); at != allocations.end(); ++at)
    if (at->range.begin == reinterpret_cast<uintptr_t>(address)) {
      freeAllocation(*at);
      allocations.erase(at);
      return {};
    }
  return failure(PITH_ERROR_ARGUMENT, "%p was not allocated on the emulator", address);
}

/// How many allocations begin at or before the address.
size_t GlobalMemory::countUpTo(uintptr_t address) const {
  const auto after = std::upper_bound(allocations.begin(), allocations.end(), address,
                                      [](uintptr_t at, const Allocation &a) { return at < a.range.begin; });
  return size_t(after - allocations.begin());
}

const Range *GlobalMemory::find(uintptr_t address) const {
  const size_t count = countUpTo(address);
  return count ? &allocations[count - 1].range : nullptr;
}

const Range *GlobalMemory::next(uintptr_t address) const {
  const size_t count = countUpTo(address);
  return count < allocations.size() ? &allocations[count].range : nullptr;
}

Status GlobalMemory::check(const void *address, uint64_t bytes, const char *what) const {
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  const Range *range = find(at);
  if (range && range->contains(at, bytes))
    return {};
  if (!range)
    return failure(PITH_ERROR_ARGUMENT, "%s %llu bytes at %p, where the emulator has no allocation", what,
                   (unsigned long long)bytes, address);
  return failure(PITH_ERROR_ARGUMENT, "%s %llu bytes at offset %llu of an allocation of %llu bytes", what,
                 (unsigned long long)bytes, (unsigned long long)(at - range->begin),
                 (unsigned long long)(range->end - range->begin));
}

Status GlobalMemory::clearRecords() {
  for (Allocation &allocation : allocations) {
    Range &range = allocation.range;
    const size_t count = range.end - range.begin;
    for (std::atomic<uint32_t> **records : {&range.writers, &range.readers}) {
      if (*records)
        std::memset(static_cast<void *>(*records), 0, count * sizeof(uint32_t));
      else
        *records =
            static_cast<std::atomic<uint32_t> *>(std::calloc(std::max<size_t>(count, 1), sizeof(uint32_t)));
      if (!*records)
        return failure(PITH_ERROR_MEMORY, "no memory for the records of %zu bytes on the emulator", count);
    }
  }
  return {};
}

void GlobalMemory::dropRecords() {
  for (Allocation &allocation : allocations)
    for (std::atomic<uint32_t> **records : {&allocation.range.writers, &allocation.range.readers}) {
      std::free(*records);
      *records = nullptr;
    }
}

GlobalMemory::~GlobalMemory() {
  for (const Allocation &allocation : allocations)
    freeAllocation(allocation);
}

} // namespace pith::runtime::emulator
