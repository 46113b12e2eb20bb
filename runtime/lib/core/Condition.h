//===- Condition.h - what a sequence is conditioned on ----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_CONDITION_H
#define PITH_RUNTIME_CORE_CONDITION_H

#include "PagePool.h"

#include <vector>

namespace pith::runtime {

/// Pages with the keys and values that code has made of an encoder's output. Written once and then shared:
/// forks hold the same pages.
class Condition {
public:
  Condition(PagePool &pagePool, uint32_t pageKind, uint32_t tokensPerPage)
      : pool(pagePool), kind(pageKind), pageTokens(tokensPerPage) {}
  Condition(const Condition &) = delete;
  Condition &operator=(const Condition &) = delete;
  ~Condition() { clear(); }

  size_t rows() const { return rowCount; }
  void *const *pageTable() const { return table.data(); }
  size_t pageCount() const { return pages.size(); }
  const Page &page(size_t index) const { return *pages[index]; }
  uint32_t kindOfPages() const { return kind; }
  uint32_t rowsOfPage() const { return pageTokens; }

  /// Grows to `count` rows, all pages present; after a failure it is to be thrown away.
  Status take(size_t count);
  /// Fills an empty one with what another has.
  void share(const Condition &other);
  void clear() noexcept;
  /// With one of the same module.
  void swap(Condition &other) noexcept;

private:
  void reserve(size_t count);
  void push(Page *page);

  PagePool &pool;
  const uint32_t kind;
  const uint32_t pageTokens;
  size_t rowCount = 0;
  std::vector<Page *> pages;
  std::vector<void *> table; // the pages' memory
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_CONDITION_H
