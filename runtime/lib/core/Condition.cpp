//===- Condition.cpp - what a sequence is conditioned on ------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Condition.h"

#include <algorithm>
#include <utility>

namespace pith::runtime {

void Condition::reserve(size_t count) {
  pages.reserve(count);
  table.reserve(count);
}

/// Room has been reserved.
void Condition::push(Page *page) {
  pages.push_back(page);
  table.push_back(page->memory.data());
}

Status Condition::take(size_t count) {
  const size_t wanted = (count + pageTokens - 1) / pageTokens;
  if (wanted > pages.capacity())
    reserve(std::max(wanted, 2 * pages.size()));
  while (pages.size() < wanted) {
    Page *page = nullptr;
    PITH_TRY(pool.take(kind, page));
    push(page);
  }
  rowCount = count;
  return {};
}

void Condition::share(const Condition &other) {
  reserve(other.pages.size());
  for (Page *page : other.pages) {
    pool.retain(page);
    push(page);
  }
  rowCount = other.rowCount;
}

void Condition::clear() noexcept {
  for (Page *page : pages)
    pool.release(page);
  pages.clear();
  table.clear();
  rowCount = 0;
}

void Condition::swap(Condition &other) noexcept {
  std::swap(rowCount, other.rowCount);
  pages.swap(other.pages);
  table.swap(other.table);
}

} // namespace pith::runtime
