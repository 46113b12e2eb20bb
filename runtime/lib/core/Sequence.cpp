//===- Sequence.cpp - a text and the pages of its cache -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Sequence.h"

namespace pith::runtime {
namespace {

/// Undoes at the end of a scope that an error, or an exception for want of memory, has left early.
template <typename Undo>
class Rescue {
public:
  explicit Rescue(Undo action) : undo(action) {}
  ~Rescue() {
    if (armed)
      undo();
  }
  void dismiss() { armed = false; }

private:
  Undo undo;
  bool armed = true;
};

} // namespace

/// The caller has reserved room in both vectors.
void Sequence::pushPage(Page *page) {
  pages.push_back(page);
  table.push_back(page->memory.data());
}

void Sequence::dropPages(size_t keep) noexcept {
  while (pages.size() > keep) {
    pool.release(pages.back());
    pages.pop_back();
    table.pop_back();
  }
}

Sequence::Sequence(const Sequence &other, size_t at) : Sequence(other.pool, other.kind, other.pageTokens) {
  const size_t shared = pagesFor(at);
  log.reserve(shared * pageTokens);
  pages.reserve(shared + 1);
  table.reserve(shared + 1);
  log.assign(other.log.begin(), other.log.begin() + at);
  for (size_t i = 0; i < shared; ++i) {
    PagePool::retain(other.pages[i]);
    pushPage(other.pages[i]);
  }
}

void Sequence::truncate(size_t length) {
  log.resize(length);
  dropPages(pagesFor(length));
}

Status Sequence::reserve(size_t length) {
  const size_t before = pages.size(), wanted = pagesFor(length);
  if (wanted <= before)
    return {};
  log.reserve(wanted * pageTokens);
  pages.reserve(wanted);
  table.reserve(wanted);
  Rescue rescue([&] { dropPages(before); });
  while (pages.size() < wanted) {
    Page *page = nullptr;
    PITH_TRY(pool.take(kind, page));
    pushPage(page);
  }
  rescue.dismiss();
  return {};
}

Status Sequence::prepare(size_t count) {
  const size_t past = log.size(), wanted = pagesFor(past + count);
  pagesBefore = pages.size();
  replaced = nullptr;
  // Vectors grow by doubling, so that a long text does not copy its log at every page.
  if (log.capacity() < past + count)
    log.reserve(std::max(wanted * pageTokens, 2 * log.capacity()));
  if (pages.capacity() < wanted) {
    const size_t room = std::max(wanted, 2 * pages.capacity());
    pages.reserve(room);
    table.reserve(room);
  }
  Rescue rescue([&] { rollBack(); });
  const size_t tail = past / pageTokens;
  if (past % pageTokens && pages[tail]->references > 1) {
    Page *own = nullptr;
    PITH_TRY(pool.copy(*pages[tail], own));
    replaced = pages[tail];
    replacedIndex = tail;
    pages[tail] = own;
    table[tail] = own->memory.data();
  }
  while (pages.size() < wanted) {
    Page *page = nullptr;
    PITH_TRY(pool.take(kind, page));
    pushPage(page);
  }
  rescue.dismiss();
  return {};
}

void Sequence::commit(const int32_t *tokens, size_t count) noexcept {
  log.insert(log.end(), tokens, tokens + count); // within the capacity that prepare has reserved
  if (replaced)
    pool.release(replaced);
  replaced = nullptr;
}

void Sequence::rollBack() noexcept {
  dropPages(pagesBefore);
  if (!replaced)
    return;
  pool.release(pages[replacedIndex]);
  pages[replacedIndex] = replaced;
  table[replacedIndex] = replaced->memory.data();
  replaced = nullptr;
}

void Sequence::swap(Sequence &other) noexcept {
  log.swap(other.log);
  pages.swap(other.pages);
  table.swap(other.table);
}

} // namespace pith::runtime
