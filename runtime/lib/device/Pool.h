//===- Pool.h - pieces of a device's memory that are used again -------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_DEVICE_POOL_H
#define PITH_RUNTIME_DEVICE_POOL_H

#include "Device.h"

#include <cstdint>
#include <map>
#include <unordered_map>

namespace pith::runtime::device {

/// Keeps what is released for the next one that asks: taking memory from a driver waits for the device. All
/// users must work on one stream, which keeps the order of those who had a piece and those who have it.
class Pool final : public MemorySource {
public:
  Pool(Device &owner, Stream &users) : device(owner), stream(users) {}
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;
  ~Pool() { trim(); }

  Status allocate(uint64_t bytes, const char *what, void *&memory) override;
  void release(void *memory) noexcept override;
  /// Gives the unused pieces back to the device.
  void trim() noexcept;
  uint64_t bytes() const { return unusedBytes + usedBytes; }

private:
  Device &device;
  Stream &stream;
  std::multimap<uint64_t, void *> unused; // by size
  std::unordered_map<void *, std::multimap<uint64_t, void *>::node_type> used;
  uint64_t unusedBytes = 0, usedBytes = 0;
};

} // namespace pith::runtime::device
#endif // PITH_RUNTIME_DEVICE_POOL_H
