//===- Buffer.h - aligned memory that only grows ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_BUFFER_H
#define PITH_RUNTIME_CORE_BUFFER_H

#include "File.h"

namespace pith::runtime {

/// At least `size` bytes, aligned to 64 and more. Growing loses the contents.
class Buffer {
public:
  Buffer() = default;
  /// Of memory from elsewhere than the system.
  explicit Buffer(MemorySource &from) : source(&from) {}
  /// The first growth fits the request; later ones leave room, so that slowly rising requests (workspaces
  /// that depend on a sequence's length) settle.
  Status reserve(uint64_t size, const char *what) {
    if (size <= memory.size())
      return {};
    const uint64_t wanted = memory ? std::max(size, uint64_t(memory.size()) + memory.size() / 4) : size;
    memory = Mapping(); // first give back: both together may not fit
    for (const uint64_t bytes : {wanted, size}) {
      if (source) {
        const Status status = Mapping::take(*source, bytes, what, memory);
        if (status.ok() || bytes == size)
          return status;
      } else if (bytes < (UINT64_C(1) << 62)) {
        memory = Mapping::anonymous((bytes + 4095) & ~UINT64_C(4095));
      }
      if (memory)
        return {};
    }
    return failure(PITH_ERROR_MEMORY, "no memory for %llu bytes of %s", (unsigned long long)size, what);
  }
  uint8_t *data() const { return memory.data(); }
  size_t size() const { return memory.size(); }
  void release() { memory = Mapping(); }

private:
  Mapping memory;
  MemorySource *source = nullptr;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_BUFFER_H
