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

Sequence::Sequence(const Sequence &other, size_t at)
    : Sequence(other.pool, other.kind, other.condition.kindOfPages(), other.pageTokens) {
  condition.share(other.condition);
  const size_t shared = pagesFor(at);
  log.reserve(shared * pageTokens);
  pages.reserve(shared + 1);
  table.reserve(shared + 1);
  log.assign(other.log.begin(), other.log.begin() + at);
  for (size_t i = 0; i < shared; ++i) {
    pool.retain(other.pages[i]);
    pushPage(other.pages[i]);
  }
}

Sequence::~Sequence() {
  publish(true);
  dropPages(0);
  if (!root)
    return;
  (previousLive ? previousLive->nextLive : root->live) = nextLive;
  if (nextLive)
    nextLive->previousLive = previousLive;
  pool.prefixes.close(root);
}

void Sequence::join(PrefixRoot *texts) noexcept {
  root = texts;
  nextLive = root->live;
  if (nextLive)
    nextLive->previousLive = this;
  root->live = this;
}

void Sequence::publish(bool withPartial) noexcept {
  if (root && !log.empty())
    pool.prefixes.publish(*root, text(), withPartial);
}

PrefixCache::Found Sequence::match(const int32_t *tokens, size_t count) {
  PrefixCache::Found found = pool.prefixes.find(*root, tokens, count);
  log.reserve(found.pages.size() * pageTokens);
  pages.reserve(found.pages.size() + 1);
  table.reserve(found.pages.size() + 1);
  dropPages(0); // reserved ones
  log.assign(tokens, tokens + found.tokens);
  for (Page *page : found.pages) {
    pool.retain(page);
    pushPage(page);
  }
  return found;
}

Status Sequence::pin(uint32_t priority, uint64_t milliseconds) {
  const auto embedded = std::find_if(log.begin(), log.end(), [](int32_t token) { return token < 0; });
  if (embedded != log.end())
    return failure(PITH_ERROR_UNSUPPORTED, "token %zu is an embedding row; only texts of tokens are cached",
                   size_t(embedded - log.begin()));
  const uint64_t now = PrefixCache::now(), perMillisecond = 1000000;
  const uint64_t longest = (UINT64_MAX - now) / perMillisecond;
  pool.prefixes.pin(*root, text(), priority, now + std::min(milliseconds, longest) * perMillisecond);
  return {};
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
  PITH_TRY(ownTail());
  while (pages.size() < wanted) {
    Page *page = nullptr;
    PITH_TRY(pool.take(kind, page));
    pushPage(page);
  }
  rescue.dismiss();
  return {};
}

/// Makes the last page, where it is partly filled, one that nobody else reads behind this text's end.
Status Sequence::ownTail() {
  const size_t tail = log.size() / pageTokens, used = log.size() % pageTokens;
  if (!used)
    return {};
  Page &page = *pages[tail];
  const bool shared = page.references > 1;
  if (!shared && page.place.filled <= used)
    return {};
  Page *own = nullptr;
  const Status status = pool.copy(page, own);
  if (!status.ok() && !shared && page.place.pinnedUntil <= PrefixCache::now()) {
    pool.uncache(page); // rather than fail: it is held here, so it does not become free
    return {};
  }
  PITH_TRY(status);
  replaced = &page;
  replacedIndex = tail;
  pages[tail] = own;
  table[tail] = own->memory.data();
  return {};
}

void Sequence::commit(const int32_t *tokens, size_t count) noexcept {
  const size_t full = log.size() / pageTokens;
  if (tokens) // within the capacity that prepare has reserved
    log.insert(log.end(), tokens, tokens + count);
  else
    log.insert(log.end(), count, embeddingRow);
  if (replaced)
    pool.release(replaced);
  replaced = nullptr;
  if (log.size() / pageTokens > full)
    publish(false);
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
  condition.swap(other.condition);
  publish(false);
}

} // namespace pith::runtime
