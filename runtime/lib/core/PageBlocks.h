//===- PageBlocks.h - pages from larger blocks ------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_PAGEBLOCKS_H
#define PITH_RUNTIME_CORE_PAGEBLOCKS_H

#include "Memory.h"

#include <cstdint>
#include <map>
#include <vector>

namespace pith::runtime {

/// Takes several pages at once from a device: each time its driver is asked the device stands still. A new
/// block has as many pages as are in use, so that what lies idle is never more than that, nor than some
/// megabytes; it goes back with its last page. Not thread-safe.
class PageBlocks final : public MemorySource {
public:
  explicit PageBlocks(MemorySource &from) : source(from) {}
  PageBlocks(const PageBlocks &) = delete;
  PageBlocks &operator=(const PageBlocks &) = delete;

  /// The next block has at most so many bytes, or one page.
  void allow(uint64_t bytes) { most = bytes; }
  Status allocate(uint64_t bytes, const char *what, void *&memory) override;
  void release(void *memory) noexcept override;
  /// Of blocks, that no page has.
  uint64_t idleBytes() const { return idle; }

private:
  struct Block {
    uint64_t stride = 0;
    uint32_t count = 0;
    std::vector<uint32_t> unused; ///< capacity for all, so that release never allocates
  };
  Status addBlock(uint64_t bytes, uint64_t stride, uint64_t count, const char *what);
  void *take(uint8_t *base, Block &block);

  MemorySource &source;
  std::map<uint8_t *, Block> blocks;
  uint64_t most = UINT64_MAX, idle = 0;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_PAGEBLOCKS_H
