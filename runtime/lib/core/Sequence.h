//===- Sequence.h - a text and the pages of its cache -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_SEQUENCE_H
#define PITH_RUNTIME_CORE_SEQUENCE_H

#include "Condition.h"
#include "PagePool.h"

namespace pith::runtime {

/// Stands in a sequence's text for a row that came as an embedding: it equals no token.
constexpr int32_t embeddingRow = -1;

/// Tokens and the pages that hold their cache; page i holds tokens [i * pageTokens, (i + 1) * pageTokens). A
/// page may be shared with other sequences; nobody writes to a page that has two references, nor over tokens
/// that the prefix cache holds in it.
class Sequence {
public:
  Sequence(PagePool &pagePool, uint32_t pageKind, uint32_t conditionKind, uint32_t tokensPerPage)
      : condition(pagePool, conditionKind, tokensPerPage), pool(pagePool), kind(pageKind),
        pageTokens(tokensPerPage) {}
  /// Begins as the first `at` tokens of `other`, sharing their pages and the condition's.
  Sequence(const Sequence &other, size_t at);
  Sequence(const Sequence &) = delete;
  Sequence &operator=(const Sequence &) = delete;
  /// Publishes its text to the cache that it has joined.
  ~Sequence();

  /// What its tokens are conditioned on; empty where the model takes nothing.
  Condition condition;

  /// From now on its full pages are published to the prefix cache, and matched while it lives.
  void join(PrefixRoot *texts) noexcept;
  PrefixRoot *texts() const { return root; }
  /// Fills the empty sequence with the longest cached beginning of `tokens`.
  PrefixCache::Found match(const int32_t *tokens, size_t count);
  Status pin(uint32_t priority, uint64_t milliseconds);
  PagedText text() const { return {log.data(), log.size(), pages.data()}; }

  size_t length() const { return log.size(); }
  const std::vector<int32_t> &tokens() const { return log; }
  void *const *pageTable() const { return table.data(); }
  size_t pageCount() const { return pages.size(); }
  const Page &page(size_t index) const { return *pages[index]; }

  void truncate(size_t length);
  Status reserve(size_t length);

  /// Growing in two steps. `prepare` makes the pages for `count` more tokens present and writable by this
  /// sequence alone, and room for them in the log; then either `commit` or `rollBack` follows, neither of
  /// which can fail.
  Status prepare(size_t count);
  void commit(const int32_t *tokens /* null: embedding rows */, size_t count) noexcept;
  void rollBack() noexcept;

  /// Exchanges text, pages and condition with a sequence of the same module.
  void swap(Sequence &other) noexcept;

  /// Of the same texts.
  Sequence *nextLive = nullptr;

  /// Marks of the step that is being put together: finds sequences that occur twice.
  uint64_t stepMark = 0;

private:
  size_t pagesFor(size_t tokens) const { return (tokens + pageTokens - 1) / pageTokens; }
  void pushPage(Page *page);
  Status ownTail();
  void publish(bool withPartial) noexcept;
  void dropPages(size_t keep) noexcept;

  PagePool &pool;
  const uint32_t kind;
  const uint32_t pageTokens;
  PrefixRoot *root = nullptr; // null: its text is not cached
  Sequence *previousLive = nullptr;
  std::vector<int32_t> log;
  std::vector<Page *> pages;
  std::vector<void *> table; // the pages' memory
  // Between prepare and its end:
  Page *replaced = nullptr; // the shared page that the last partial one is a copy of
  size_t replacedIndex = 0;
  size_t pagesBefore = 0;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_SEQUENCE_H
