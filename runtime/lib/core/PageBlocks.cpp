//===- PageBlocks.cpp - pages from larger blocks --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "PageBlocks.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pith::runtime {

Status PageBlocks::allocate(uint64_t bytes, const char *what, void *&memory) {
  constexpr uint64_t alignment = 64, largest = UINT64_C(32) << 20;
  const uint64_t stride = (bytes + alignment - 1) & ~(alignment - 1);
  uint64_t used = 0;
  // The first that has one: later blocks have a chance to become empty.
  for (auto &[base, block] : blocks)
    if (block.stride == stride) {
      if (!block.unused.empty()) {
        memory = take(base, block);
        return {};
      }
      used += block.count;
    }
  const uint64_t count = std::max<uint64_t>(std::min({used, largest / stride, most / stride}), 1);
  Status status = addBlock(bytes, stride, count, what);
  if (!status.ok() && count > 1)
    status = addBlock(bytes, stride, 1, what);
  return status.ok() ? allocate(bytes, what, memory) : status;
}

Status PageBlocks::addBlock(uint64_t bytes, uint64_t stride, uint64_t count, const char *what) {
  Block block;
  block.stride = stride;
  block.count = uint32_t(count);
  for (uint32_t i = 0; i < count; ++i)
    block.unused.push_back(uint32_t(count) - 1 - i);
  void *base = nullptr;
  PITH_TRY(source.allocate(count > 1 ? count * stride : bytes, what, base));
  try {
    blocks.emplace(static_cast<uint8_t *>(base), std::move(block));
  } catch (...) {
    source.release(base);
    throw;
  }
  idle += count * stride;
  return {};
}

void *PageBlocks::take(uint8_t *base, Block &block) {
  const uint32_t place = block.unused.back();
  block.unused.pop_back();
  idle -= block.stride;
  return base + place * block.stride;
}

void PageBlocks::release(void *memory) noexcept {
  const auto found = std::prev(blocks.upper_bound(static_cast<uint8_t *>(memory)));
  Block &block = found->second;
  block.unused.push_back(uint32_t(uint64_t(static_cast<uint8_t *>(memory) - found->first) / block.stride));
  idle += block.stride;
  if (block.unused.size() < block.count)
    return;
  idle -= block.count * block.stride;
  source.release(found->first);
  blocks.erase(found);
}

} // namespace pith::runtime
