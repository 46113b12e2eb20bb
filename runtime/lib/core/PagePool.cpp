//===- PagePool.cpp - reference-counted pages of cache --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "PagePool.h"

namespace pith::runtime {

void PagePool::addKind(uint64_t bytes) {
  kinds.emplace_back();
  kinds.back().bytes = (bytes + 4095) & ~UINT64_C(4095);
}

Status PagePool::take(uint32_t kind, Page *&page) { return takeRaw(kind, true, page); }

Status PagePool::copy(const Page &from, Page *&page) {
  PITH_TRY(takeRaw(from.kind, false, page));
  std::memcpy(page->memory.data(), from.memory.data(), page->memory.size());
  ++copied;
  return {};
}

Status PagePool::takeRaw(uint32_t index, bool clear, Page *&page) {
  Kind &kind = kinds[index];
  if (!kind.free.empty()) {
    page = kind.free.back();
    kind.free.pop_back();
    if (clear)
      std::memset(page->memory.data(), 0, page->memory.size());
    page->references = 1;
    ++recycled;
    return {};
  }
  if (!makeRoom(kind.bytes))
    return failure(
        PITH_ERROR_LIMIT,
        "the page limit of %llu bytes is reached: %llu bytes are in use, a page has %llu (free sequences "
        "or raise page_limit_bytes)",
        (unsigned long long)limit, (unsigned long long)mapped, (unsigned long long)kind.bytes);
  auto made = std::make_unique<Page>();
  made->kind = index;
  made->memory = Mapping::anonymous(kind.bytes);
  if (!made->memory)
    return failure(PITH_ERROR_MEMORY,
                   "no memory for a cache page of %llu bytes (%llu bytes of pages are in use)",
                   (unsigned long long)kind.bytes, (unsigned long long)mapped);
  if (kind.free.capacity() <= kind.pages.size())
    kind.free.reserve(2 * kind.pages.size() + 16);
  kind.pages.push_back(std::move(made));
  mapped += kind.bytes;
  ++allocated;
  page = kind.pages.back().get();
  page->references = 1;
  return {};
}

void PagePool::release(Page *page) noexcept {
  if (--page->references == 0)
    kinds[page->kind].free.push_back(page);
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
    if (!kind.pages[i]->references && freed < enoughBytes) {
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
    if (!page->references)
      kind.free.push_back(page.get());
}

void PagePool::trim() {
  for (Kind &kind : kinds)
    trimKind(kind, UINT64_MAX);
}

PagePool::Counts PagePool::counts() const {
  Counts counts;
  counts.allocated = allocated;
  counts.recycled = recycled;
  counts.copied = copied;
  for (const Kind &kind : kinds)
    for (const std::unique_ptr<Page> &page : kind.pages) {
      (page->references ? counts.bytesUsed : counts.bytesFree) += kind.bytes;
      counts.used += page->references > 0;
      counts.shared += page->references > 1;
    }
  return counts;
}

} // namespace pith::runtime
