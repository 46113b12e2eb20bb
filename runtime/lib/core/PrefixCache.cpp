//===- PrefixCache.cpp - texts whose pages outlive their sequences --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "PrefixCache.h"
#include "Sequence.h"

#include <chrono>
#include <tuple>

namespace pith::runtime {
namespace {

size_t commonPrefix(const int32_t *a, size_t aCount, const int32_t *b, size_t bCount) {
  const size_t count = std::min(aCount, bCount);
  return size_t(std::mismatch(a, a + count, b).first - a);
}

} // namespace

uint64_t PrefixCache::now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return uint64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
}

PrefixRoot *PrefixCache::open(uint32_t kind, uint32_t pageTokens, const std::string &salt) {
  PrefixRoot &root = roots[{kind, salt}];
  root.pageTokens = pageTokens;
  return &root;
}

void PrefixCache::close(PrefixRoot *root) noexcept {
  if (root->children || root->live)
    return;
  const auto found =
      std::find_if(roots.begin(), roots.end(), [&](const auto &entry) { return &entry.second == root; });
  if (found != roots.end())
    roots.erase(found);
}

Page *&PrefixCache::childrenOf(PrefixRoot &root, Page *parent) {
  return parent ? parent->place.children : root.children;
}

Page *PrefixCache::findChild(PrefixRoot &root, Page *parent, const int32_t *tokens, uint32_t count) {
  for (Page *child = childrenOf(root, parent); child; child = child->place.next)
    if (child->place.filled >= count && std::equal(tokens, tokens + count, child->place.tokens.get()))
      return child;
  return nullptr;
}

void PrefixCache::insert(PrefixRoot &root, Page *parent, Page &page, const int32_t *tokens,
                         uint32_t count) noexcept {
  PrefixPlace &place = page.place;
  if (!place.filled) { // otherwise the page has only gained tokens
    Page *&first = childrenOf(root, parent);
    place.root = &root;
    place.parent = parent;
    place.next = first;
    place.depth = parent ? parent->place.depth + 1 : 0;
    place.priority = 0;
    place.pinnedUntil = 0;
    first = &page;
  }
  std::copy_n(tokens, count, place.tokens.get());
  place.filled = count;
}

void PrefixCache::publish(PrefixRoot &root, const PagedText &text, bool withPartial) noexcept {
  const uint64_t use = ++uses;
  Page *parent = nullptr;
  for (size_t i = 0; i * root.pageTokens < text.count; ++i) {
    const int32_t *tokens = text.tokens + i * root.pageTokens;
    const uint32_t count = uint32_t(std::min<size_t>(root.pageTokens, text.count - i * root.pageTokens));
    const bool partial = count < root.pageTokens;
    if ((partial && !withPartial) ||
        std::any_of(tokens, tokens + count, [](int32_t token) { return token < 0; }))
      return;
    Page *page = findChild(root, parent, tokens, count);
    if (!page)
      insert(root, parent, *(page = text.pages[i]), tokens, count);
    page->place.lastUse = use;
    parent = page;
  }
}

PrefixCache::Found PrefixCache::find(PrefixRoot &root, const int32_t *tokens, size_t count) {
  Found found;
  const uint64_t use = ++uses;
  // Down the tree; at every level the child that agrees longest, to the end of its page or to where it differs.
  for (Page *parent = nullptr;;) {
    Page *best = nullptr;
    size_t longest = 0;
    const size_t left = count - found.tokens;
    found.another = false;
    for (Page *child = childrenOf(root, parent); child; child = child->place.next) {
      const size_t common =
          commonPrefix(tokens + found.tokens, left, child->place.tokens.get(), child->place.filled);
      if (common > longest || !best) {
        best = child;
        longest = common;
      }
    }
    if (!best)
      break;
    found.tokens += longest;
    if (longest < best->place.filled) {
      found.another = true;
      found.next = best->place.tokens[longest];
    }
    if (longest) {
      found.pages.push_back(best);
      best->place.lastUse = use;
    }
    if (longest < root.pageTokens)
      break;
    parent = best;
  }
  for (const Sequence *live = root.live; live; live = live->nextLive) {
    const PagedText text = live->text();
    const size_t common = commonPrefix(tokens, count, text.tokens, text.count);
    if (common <= found.tokens)
      continue;
    found.tokens = common;
    found.pages.assign(text.pages, text.pages + (common + root.pageTokens - 1) / root.pageTokens);
    found.another = common < text.count;
    found.next = found.another ? text.tokens[common] : 0;
  }
  return found;
}

void PrefixCache::pin(PrefixRoot &root, const PagedText &text, uint32_t priority, uint64_t until) noexcept {
  publish(root, text, true);
  Page *parent = nullptr;
  for (size_t i = 0; i * root.pageTokens < text.count; ++i) {
    const uint32_t count = uint32_t(std::min<size_t>(root.pageTokens, text.count - i * root.pageTokens));
    parent = findChild(root, parent, text.tokens + i * root.pageTokens, count);
    if (!parent)
      return;
    parent->place.priority = std::max(parent->place.priority, priority);
    parent->place.pinnedUntil = std::max(parent->place.pinnedUntil, until);
  }
}

Page *PrefixCache::drop(Page &top) noexcept {
  Page **link = &childrenOf(*top.place.root, top.place.parent);
  while (*link != &top)
    link = &(*link)->place.next;
  *link = top.place.next;
  top.place.next = nullptr;
  // The pages still to do are linked by `next`, as those that are given back.
  Page *freed = nullptr;
  for (Page *work = &top; work;) {
    Page &page = *work;
    PrefixPlace &place = page.place;
    work = place.next;
    while (Page *child = place.children) {
      place.children = child->place.next;
      child->place.next = work;
      work = child;
    }
    place.root = nullptr;
    place.parent = place.next = nullptr;
    place.filled = 0;
    if (!page.references) {
      place.next = freed;
      freed = &page;
    }
  }
  return freed;
}

bool PrefixCache::evictsBefore(const PrefixPlace &a, const PrefixPlace &b) {
  return std::make_tuple(a.priority, a.lastUse, -int64_t(a.depth)) <
         std::make_tuple(b.priority, b.lastUse, -int64_t(b.depth));
}

} // namespace pith::runtime
