//===- PagePool.h - reference-counted pages of cache ------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_PAGEPOOL_H
#define PITH_RUNTIME_CORE_PAGEPOOL_H

#include "File.h"

#include <memory>
#include <vector>

namespace pith::runtime {

/// One page: the keys and values of some tokens, all layers.
struct Page {
  Mapping memory;
  uint32_t references = 0;
  uint32_t kind = 0; ///< the module it belongs to
};

/// All pages of a session, under one limit. Pages of different modules (kinds) differ in size; when the limit
/// is near, free pages of one kind make room for another. Not thread-safe: the session's lock guards it.
class PagePool {
public:
  explicit PagePool(uint64_t limitBytes) : limit(limitBytes) {}

  /// Tells the size of pages of the next kind (0, 1, …).
  void addKind(uint64_t bytes);

  /// A page with one reference, all zero: a page that another sequence has used may hold anything, and a
  /// kernel that multiplies what lies behind a sequence's end by zero must not meet NaN there.
  Status take(uint32_t kind, Page *&page);
  /// A page with the contents of another.
  Status copy(const Page &from, Page *&page);
  static void retain(Page *page) { ++page->references; }
  void release(Page *page) noexcept;

  /// Gives free pages back to the system.
  void trim();

  struct Counts {
    uint64_t bytesUsed = 0, bytesFree = 0, used = 0, shared = 0;
    uint64_t allocated = 0, recycled = 0, copied = 0;
  };
  Counts counts() const;
  uint64_t limitBytes() const { return limit; }

private:
  struct Kind {
    uint64_t bytes = 0; ///< rounded to whole system pages
    std::vector<std::unique_ptr<Page>> pages;
    std::vector<Page *> free; ///< capacity for all pages, so that release never allocates
  };
  Status takeRaw(uint32_t kind, bool clear, Page *&page);
  bool makeRoom(uint64_t bytes);
  void trimKind(Kind &kind, uint64_t enoughBytes);

  const uint64_t limit;
  uint64_t mapped = 0;
  uint64_t allocated = 0, recycled = 0, copied = 0;
  std::vector<Kind> kinds;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_PAGEPOOL_H
