//===- PagePool.cpp - reference-counted pages of cache --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "PagePool.h"
#include "../device/Device.h"

#include <algorithm>
#include <cstring>

namespace pith::runtime {

namespace {

bool isEvictable(const Page &page, uint64_t now) {
  return page.place.filled && !page.references && page.place.pinnedUntil <= now;
}

} // namespace

void PagePool::addKind(uint64_t bytes, uint32_t pageTokens) {
  kinds.emplace_back();
  kinds.back().tokens = pageTokens;
  kinds.back().bytes = source ? bytes : (bytes + 4095) & ~UINT64_C(4095);
}

Status PagePool::take(uint32_t kind, Page *&page) { return takeRaw(kind, true, page); }

Status PagePool::copy(const Page &from, Page *&page) {
  PITH_TRY(takeRaw(from.kind, false, page));
  if (stream) {
    if (Status status = stream->copy(page->memory.data(), from.memory.data(), page->memory.size());
        !status.ok()) {
      release(page);
      return status;
    }
  } else {
    std::memcpy(page->memory.data(), from.memory.data(), page->memory.size());
  }
  ++copied;
  return {};
}

Status PagePool::zero(const Page &page) {
  if (stream)
    return stream->fill(page.memory.data(), 0, page.memory.size());
  std::memset(page.memory.data(), 0, page.memory.size());
  return {};
}

Status PagePool::takeRaw(uint32_t index, bool clear, Page *&page) {
  Kind &kind = kinds[index];
  findRoom(index);
  if (!kind.free.empty()) {
    page = kind.free.back();
    if (clear)
      PITH_TRY(zero(*page));
    kind.free.pop_back();
    use(*page);
    ++recycled;
    return {};
  }
  if (!makeRoom(kind.bytes))
    return failure(
        PITH_ERROR_LIMIT,
        "the page limit of %llu bytes is reached: %llu bytes are in use, a page has %llu (free sequences "
        "or raise page_limit_bytes)%s",
        (unsigned long long)limit, (unsigned long long)mapped, (unsigned long long)kind.bytes,
        counts().cached ? "; pinned prefixes hold some of them" : "");
  if (Status status = makePage(index, clear); !status.ok()) {
    // A device's memory ends without a limit too: what is only cached goes first.
    if (!source || !evict(&index))
      return status;
    return takeRaw(index, clear, page);
  }
  page = kind.pages.back().get();
  use(*page);
  return {};
}

/// Under a limit nothing may lie idle in blocks that pages of another kind could need.
uint64_t PagePool::roomForBlock() const {
  if (!limit)
    return UINT64_MAX;
  const auto isUsed = [](const Kind &kind) { return kind.bytes > 0; };
  return std::count_if(kinds.begin(), kinds.end(), isUsed) == 1 ? limit - mapped : 0;
}

Status PagePool::makePage(uint32_t index, bool clear) {
  Kind &kind = kinds[index];
  auto made = std::make_unique<Page>();
  made->kind = index;
  made->place.tokens = std::make_unique<int32_t[]>(kind.tokens);
  if (blocks)
    blocks->allow(roomForBlock());
  if (source)
    PITH_TRY(Mapping::take(*source, kind.bytes, "a cache page", made->memory));
  else
    made->memory = Mapping::anonymous(kind.bytes);
  if (!made->memory)
    return failure(PITH_ERROR_MEMORY,
                   "no memory for a cache page of %llu bytes (%llu bytes of pages are in use)",
                   (unsigned long long)kind.bytes, (unsigned long long)mapped);
  if (source && clear) // what the system maps is zero
    PITH_TRY(zero(*made));
  if (kind.free.capacity() <= kind.pages.size())
    kind.free.reserve(2 * kind.pages.size() + 16);
  kind.pages.push_back(std::move(made));
  mapped += kind.bytes;
  ++allocated;
  return {};
}

void PagePool::use(Page &page) noexcept {
  Kind &kind = kinds[page.kind];
  page.references = 1;
  kind.mostUsed = std::max(kind.mostUsed, ++kind.used);
}

void PagePool::retain(Page *page) noexcept {
  if (page->references)
    ++page->references;
  else
    use(*page);
}

void PagePool::release(Page *page) noexcept {
  if (--page->references)
    return;
  Kind &kind = kinds[page->kind];
  --kind.used;
  if (!page->place.filled)
    kind.free.push_back(page);
}

void PagePool::uncache(Page &page) noexcept {
  for (Page *freed = prefixes.drop(page); freed;) {
    Page *next = freed->place.next;
    freed->place.next = nullptr;
    kinds[freed->kind].free.push_back(freed);
    freed = next;
  }
}

/// Evicts until a page of the kind is free or may be taken from the system, or nothing is left to evict.
void PagePool::findRoom(uint32_t index) {
  const Kind &kind = kinds[index];
  if (!limit) {
    // No page is free, so those that no sequence holds are cached.
    if (kind.free.empty() && kind.pages.size() - kind.used >= kind.mostUsed)
      evict(&index);
    return;
  }
  while (kind.free.empty() && !makeRoom(kind.bytes))
    if (!evict(nullptr))
      return;
}

/// Frees the least wanted page that only the prefix cache knows (of this kind; null: of any).
bool PagePool::evict(const uint32_t *only) {
  const uint64_t now = PrefixCache::now();
  Page *least = nullptr;
  for (size_t i = 0; i < kinds.size(); ++i)
    for (const std::unique_ptr<Page> &page : kinds[i].pages)
      if ((!only || *only == i) && isEvictable(*page, now) &&
          (!least || PrefixCache::evictsBefore(page->place, least->place)))
        least = page.get();
  if (!least)
    return false;
  ++evicted;
  uncache(*least);
  return true;
}

bool PagePool::makeRoom(uint64_t bytes) {
  if (!limit || mapped + bytes <= limit)
    return true;
  for (Kind &kind : kinds)
    if (mapped + bytes > limit)
      trimKind(kind, mapped + bytes - limit);
  return mapped + bytes <= limit;
}

void PagePool::trimKind(Kind &kind, uint64_t enoughBytes) {
  uint64_t freed = 0;
  size_t kept = 0;
  for (size_t i = 0; i < kind.pages.size(); ++i) {
    const bool idle = !kind.pages[i]->references && !kind.pages[i]->place.filled;
    if (idle && freed < enoughBytes) {
      freed += kind.bytes;
      kind.pages[i].reset();
    } else {
      std::swap(kind.pages[kept++], kind.pages[i]);
    }
  }
  kind.pages.resize(kept);
  mapped -= freed;
  kind.free.clear(); // keeps its capacity
  for (const std::unique_ptr<Page> &page : kind.pages)
    if (!page->references && !page->place.filled)
      kind.free.push_back(page.get());
}

void PagePool::trim() {
  const uint64_t now = PrefixCache::now();
  for (Kind &kind : kinds)
    for (const std::unique_ptr<Page> &page : kind.pages)
      if (isEvictable(*page, now))
        uncache(*page);
  for (Kind &kind : kinds)
    trimKind(kind, UINT64_MAX);
}

PagePool::Counts PagePool::counts() const {
  Counts counts;
  counts.allocated = allocated;
  counts.recycled = recycled;
  counts.copied = copied;
  counts.evicted = evicted;
  counts.bytesFree = blocks ? blocks->idleBytes() : 0;
  const uint64_t now = PrefixCache::now();
  for (const Kind &kind : kinds)
    for (const std::unique_ptr<Page> &page : kind.pages) {
      (page->references ? counts.bytesUsed : counts.bytesFree) += kind.bytes;
      counts.used += page->references > 0;
      counts.shared += page->references > 1;
      const bool cached = page->place.filled > 0;
      counts.cached += cached && !page->references;
      counts.bytesCached += cached && !page->references ? kind.bytes : 0;
      counts.pinned += cached && page->place.pinnedUntil > now;
    }
  return counts;
}

} // namespace pith::runtime
