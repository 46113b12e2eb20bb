//===- Pool.cpp - pieces of a device's memory that are used again ---------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Pool.h"

#include <algorithm>
#include <utility>

namespace pith::runtime::device {

Status Pool::allocate(uint64_t bytes, const char *what, void *&memory) {
  const bool exact = device.watchesBounds();
  const uint64_t grain = exact ? 1 : bytes < (1 << 20) ? 512 : 1 << 18;
  if (bytes > UINT64_C(1) << 62)
    return failure(PITH_ERROR_MEMORY, "%s: no memory for %llu bytes of %s", device.name().c_str(),
                   (unsigned long long)bytes, what);
  const uint64_t wanted = (std::max<uint64_t>(bytes, 1) + grain - 1) / grain * grain;
  auto fit = unused.lower_bound(wanted);
  if (fit == unused.end() || fit->first > (exact ? wanted : wanted + wanted / 2)) {
    void *made = nullptr;
    Status status = device.memory().allocate(wanted, what, made);
    if (!status.ok() && !unused.empty()) { // what is kept may have been what is missing
      trim();
      status = device.memory().allocate(wanted, what, made);
    }
    PITH_TRY(status);
    try {
      fit = unused.emplace(wanted, made);
    } catch (...) {
      device.memory().release(made);
      throw;
    }
    unusedBytes += wanted;
  }
  const uint64_t size = fit->first;
  memory = fit->second;
  auto &place = used[memory]; // may throw; the piece stays unused then
  place = unused.extract(fit);
  unusedBytes -= size;
  usedBytes += size;
  return {};
}

void Pool::release(void *memory) noexcept {
  const auto found = used.find(memory);
  if (found == used.end())
    return;
  const uint64_t size = found->second.key();
  unused.insert(std::move(found->second));
  used.erase(found);
  usedBytes -= size;
  unusedBytes += size;
}

void Pool::trim() noexcept {
  if (unused.empty())
    return;
  stream.trim();
  for (const auto &[size, memory] : unused)
    device.memory().release(memory);
  unused.clear();
  unusedBytes = 0;
}

} // namespace pith::runtime::device
