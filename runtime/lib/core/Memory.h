//===- Memory.h - memory that the system does not map -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_MEMORY_H
#define PITH_RUNTIME_CORE_MEMORY_H

#include "Status.h"

#include <cstdint>

namespace pith::runtime {

/// Gives memory of a device, host memory that a device reads directly, or pieces of a heap.
class MemorySource {
public:
  /// Aligned to 64 bytes or more, never null; `what` is for the message.
  virtual Status allocate(uint64_t bytes, const char *what, void *&memory) = 0;
  virtual void release(void *memory) noexcept = 0;

protected:
  ~MemorySource() = default;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_MEMORY_H
