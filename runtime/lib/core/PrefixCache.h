//===- PrefixCache.h - texts whose pages outlive their sequences ------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Cached texts form a tree for each module and salt: a node is a page and the tokens that it holds, its path from the
// root is the text before them. Tokens are compared one by one, never by a hash. Only the last page of a path may be
// partly filled.
//
// The tree owns no memory: a node lies in its page (PrefixPlace), so that publishing never allocates and cannot fail.
// A page that is in the tree and that no sequence holds is free memory with a memory of its own: the pool evicts
// it when it needs a page.
//
// Invariant: a node was used no later, and is pinned no longer and no higher, than its parent. So the least wanted node
// of all has no children but pages that sequences hold.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_PREFIXCACHE_H
#define PITH_RUNTIME_CORE_PREFIXCACHE_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pith::runtime {

struct Page;
class Sequence;

/// The texts of one module under one salt.
struct PrefixRoot {
  uint32_t pageTokens = 0;
  Page *children = nullptr;
  Sequence *live = nullptr; ///< living sequences, linked through Sequence::nextLive
};

/// A page's place in the tree.
struct PrefixPlace {
  PrefixRoot *root = nullptr;
  Page *parent = nullptr; ///< null: a child of the root
  Page *children = nullptr;
  Page *next = nullptr; ///< sibling
  std::unique_ptr<int32_t[]> tokens;
  uint32_t filled = 0; ///< how many of them; 0: the page is not in the tree
  uint32_t depth = 0;
  uint64_t lastUse = 0;
  uint64_t pinnedUntil = 0; ///< nanoseconds of the steady clock
  uint32_t priority = 0;
};

/// Tokens and the pages that hold them.
struct PagedText {
  const int32_t *tokens = nullptr;
  size_t count = 0;
  Page *const *pages = nullptr;
};

class PrefixCache {
public:
  /// The texts of a module (kind of page) under a salt; stays until it is closed with nothing in it.
  PrefixRoot *open(uint32_t kind, uint32_t pageTokens, const std::string &salt);
  void close(PrefixRoot *root) noexcept;

  /// Puts a text's full pages into the tree, and the partly filled last one if asked to. Tokens that are there already
  /// keep the page that they have. Embedding rows (negative tokens) and what follows them are left out.
  void publish(PrefixRoot &root, const PagedText &text, bool withPartial) noexcept;

  struct Found {
    std::vector<Page *> pages;
    size_t tokens = 0;   ///< how many tokens agree
    bool another = false; ///< a text goes on from there, but differently:
    int32_t next = 0;     ///< with this token
  };
  /// The longest beginning of `tokens` that a cached text or a living sequence has.
  Found find(PrefixRoot &root, const int32_t *tokens, size_t count);

  /// Keeps the path of a published text at least until that time, and by its priority after it.
  void pin(PrefixRoot &root, const PagedText &text, uint32_t priority, uint64_t until) noexcept;

  /// Takes a page and everything below it out of the tree. Returns those that no sequence holds, linked by `next`.
  Page *drop(Page &page) noexcept;

  /// Whether `a` should be evicted rather than `b`.
  static bool evictsBefore(const PrefixPlace &a, const PrefixPlace &b);

  static uint64_t now();

private:
  static Page *&childrenOf(PrefixRoot &root, Page *parent);
  /// The child that begins with these tokens; null: none.
  static Page *findChild(PrefixRoot &root, Page *parent, const int32_t *tokens, uint32_t count);
  void insert(PrefixRoot &root, Page *parent, Page &page, const int32_t *tokens, uint32_t count) noexcept;

  uint64_t uses = 0;
  std::map<std::pair<uint32_t, std::string>, PrefixRoot> roots;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_PREFIXCACHE_H
