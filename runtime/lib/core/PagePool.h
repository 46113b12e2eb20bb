//===- PagePool.h - reference-counted pages of cache ------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_PAGEPOOL_H
#define PITH_RUNTIME_CORE_PAGEPOOL_H

#include "File.h"
#include "PageBlocks.h"
#include "PrefixCache.h"

#include <memory>
#include <vector>

namespace pith::runtime {

namespace device {
class Stream;
}

/// One page: the keys and values of some tokens, all layers. On a device the host must not follow its
/// address.
struct Page {
  Mapping memory;
  uint32_t references = 0; ///< sequences that hold it
  uint32_t kind = 0;       ///< the module it belongs to
  PrefixPlace place;
};

/// All pages of a session, under one limit. Pages of different modules (kinds) differ in size; when the limit
/// is near, free pages of one kind make room for another. A page that only the prefix cache knows is evicted
/// when a page is needed at the limit; where there is none, when cached prefixes already take as much memory
/// as sequences ever did. Not thread-safe: the session's lock guards it.
class PagePool {
public:
  explicit PagePool(uint64_t limitBytes) : limit(limitBytes) {}
  /// Pages come from the source, alone or several at once, and the stream clears and copies them. Before the
  /// first page.
  void useDevice(MemorySource &memory, device::Stream &with, bool inBlocks) {
    if (inBlocks)
      blocks = std::make_unique<PageBlocks>(memory);
    source = inBlocks ? blocks.get() : &memory;
    stream = &with;
  }

  /// Tells the size of pages of the next kind (0, 1, …).
  void addKind(uint64_t bytes, uint32_t pageTokens);

  /// A page with one reference, all zero: a page that another sequence has used may hold anything, and a
  /// kernel that multiplies what lies behind a sequence's end by zero must not meet NaN there.
  Status take(uint32_t kind, Page *&page);
  /// A page with the contents of another.
  Status copy(const Page &from, Page *&page);
  void retain(Page *page) noexcept;
  void release(Page *page) noexcept;

  /// Takes cached pages out of the prefix cache, below it too.
  void uncache(Page &page) noexcept;

  /// Gives free pages back to the system, those that hold cached prefixes too unless they are pinned.
  void trim();

  struct Counts {
    uint64_t bytesUsed = 0, bytesFree = 0, used = 0, shared = 0;
    uint64_t allocated = 0, recycled = 0, copied = 0, evicted = 0;
    uint64_t cached = 0, bytesCached = 0, pinned = 0; ///< of the free ones; of all cached ones
  };
  Counts counts() const;
  uint64_t limitBytes() const { return limit; }

  PrefixCache prefixes;

private:
  struct Kind {
    uint64_t bytes = 0; ///< rounded to whole pages of the system
    uint32_t tokens = 0;
    size_t used = 0, mostUsed = 0; ///< pages that sequences hold, now and at most
    std::vector<std::unique_ptr<Page>> pages;
    std::vector<Page *> free; ///< capacity for all pages, so that release never allocates
  };
  Status takeRaw(uint32_t kind, bool clear, Page *&page);
  Status makePage(uint32_t kind, bool clear);
  Status zero(const Page &page);
  void use(Page &page) noexcept;
  void findRoom(uint32_t kind);
  bool evict(const uint32_t *kind);
  bool makeRoom(uint64_t bytes);
  void trimKind(Kind &kind, uint64_t enoughBytes);
  uint64_t roomForBlock() const;

  const uint64_t limit;
  std::unique_ptr<PageBlocks> blocks; // or null; outlives the pages
  MemorySource *source = nullptr;   // null: the system
  device::Stream *stream = nullptr; // with a source
  uint64_t mapped = 0;
  uint64_t allocated = 0, recycled = 0, copied = 0, evicted = 0;
  std::vector<Kind> kinds;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_PAGEPOOL_H
