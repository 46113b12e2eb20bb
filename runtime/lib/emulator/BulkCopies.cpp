//===- BulkCopies.cpp - copies by the bulk unit: rows of bytes and tensor tiles ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Operations.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <utility>
#include <vector>

namespace pith::runtime::emulator {
namespace {

/// Fails unless the bytes lie in shared memory, at the alignment that the unit needs.
bool checkPlace(Multiprocessor &multiprocessor, const Lane &lane, uint64_t offset, uint64_t bytes,
                uint32_t alignment) {
  const uint32_t size = multiprocessor.launch->sharedBytes;
  if (offset > size || bytes > size - offset) {
    multiprocessor.fail(lane, lane.site,
                        "copies %" PRIu64 " bytes at offset %" PRId64 " of shared memory, which has %u",
                        bytes, int64_t(offset), size);
    return false;
  }
  if (offset % alignment) {
    multiprocessor.fail(lane, lane.site,
                        "copies at offset %" PRIu64 " of shared memory, not aligned to %u bytes", offset,
                        alignment);
    return false;
  }
  return true;
}

/// Reads shared memory on behalf of the unit, until the thread waits for it.
bool beginStore(Multiprocessor &multiprocessor, Lane &lane, uint64_t offset, uint32_t bytes) {
  if (!multiprocessor.checkShared(lane, offset, bytes, PITH_EMU_SHARED, lane.site) ||
      !checkFenced(multiprocessor, lane, uint32_t(offset), bytes))
    return false;
  beginRead(multiprocessor, lane.stores, uint32_t(offset), bytes, lane.site);
  return true;
}

/// A tile of a tensor: the rows of its innermost dimension, one after the other in shared memory.
struct Tile {
  const pith_emu_tensor_map &map;
  const int32_t *coordinates;

  uint64_t bytes() const {
    uint64_t total = map.element_bytes;
    for (uint32_t d = 0; d < map.rank; ++d)
      total *= map.box[d];
    return total;
  }
  /// Where an element of the tile lies from its beginning, swizzled as the shared address demands.
  uint64_t swizzled(uint64_t at, uint64_t base) const {
    const uint64_t bits = map.swizzle / 16, address = base + at;
    return map.swizzle ? (address ^ (address >> 3 & (bits - 1) << 4)) - base : at;
  }
  /// The global address of an element (number in the tile), or 0 outside of the tensor.
  uint64_t address(uint64_t number) const {
    uint64_t at = map.base;
    for (uint32_t d = 0; d < map.rank; ++d) {
      const int64_t position = int64_t(coordinates[d]) + int64_t(number % map.box[d]);
      number /= map.box[d];
      if (position < 0 || uint64_t(position) >= map.sizes[d])
        return 0;
      at += uint64_t(position) * (d ? map.strides[d - 1] : map.element_bytes);
    }
    return at;
  }
};

/// Fails where a product that nobody has waited for may still read what a load replaces.
bool checkUnread(Multiprocessor &multiprocessor, const Lane &lane, uint64_t offset, uint64_t bytes) {
  for (const Warp &warp : multiprocessor.warps)
    for (const PendingReads::Read &read : warp.products.reads)
      if (read.offset < offset + bytes && offset < read.offset + read.bytes) {
        multiprocessor.fail(lane, lane.site,
                            "loads offset %" PRIu64
                            " of shared memory, which products of warp %u that have not "
                            "been waited for may still read",
                            std::max<uint64_t>(offset, read.offset), warp.index);
        return false;
      }
  return true;
}

} // namespace

void beginLoad(Multiprocessor &multiprocessor, Lane &lane, uint64_t to, std::vector<uint8_t> data,
               const void *mbarrier) {
  const Mbarrier *barrier = findMbarrier(multiprocessor, lane, mbarrier);
  if (!barrier || !checkUnread(multiprocessor, lane, to, data.size()))
    return;
  const Finding finding = multiprocessor.shadow.markPending(uint32_t(to), uint32_t(data.size()), lane.index,
                                                            multiprocessor.warpOf(lane).view);
  if (multiprocessor.report(lane, lane.site, finding, "writes"))
    multiprocessor.bulk.loads.push_back({barrier->offset, uint32_t(to), std::move(data)});
}

void bulkCopy(Multiprocessor &multiprocessor, Lane &lane) {
  const bool stores = immediates(lane) & 1;
  const uint32_t *frame = lane.frame;
  const void *shared = reinterpret_cast<const void *>(pair(frame + (stores ? 2 : 0)));
  const uint64_t global = pair(frame + (stores ? 0 : 2)), offset = multiprocessor.sharedOffset(shared);
  const uint32_t bytes = frame[stores ? 4 : 6];
  if (bytes % 16 || global % 16)
    return multiprocessor.fail(lane, lane.site, "copies %u bytes from or to %p: both must be multiples of 16",
                               bytes, reinterpret_cast<void *>(global));
  if (!checkPlace(multiprocessor, lane, offset, bytes, 16) ||
      !multiprocessor.checkGlobal(lane, global, bytes, stores ? PITH_EMU_WRITE : 0, lane.site))
    return;
  uint8_t *memory = reinterpret_cast<uint8_t *>(global);
  if (!stores)
    return beginLoad(multiprocessor, lane, offset, std::vector<uint8_t>(memory, memory + bytes),
                     reinterpret_cast<const void *>(pair(frame + 4)));
  if (beginStore(multiprocessor, lane, offset, bytes))
    std::memcpy(memory, multiprocessor.window + offset, bytes);
}

void tensorCopy(Multiprocessor &multiprocessor, Lane &lane) {
  const bool stores = immediates(lane) >> 8 & 1;
  const uint32_t rank = immediates(lane) & 0xff, *frame = lane.frame;
  const uint64_t offset = multiprocessor.sharedOffset(reinterpret_cast<const void *>(pair(frame)));
  const auto *map = reinterpret_cast<const pith_emu_tensor_map *>(pair(frame + 2));
  if (map->magic != PITH_EMU_TENSOR_MAP || map->rank != rank)
    return multiprocessor.fail(lane, lane.site, "names a tensor map that is none of %u dimensions", rank);
  const Tile tile{*map, reinterpret_cast<const int32_t *>(frame + (stores ? 4 : 6))};
  const uint64_t bytes = tile.bytes();
  if (!checkPlace(multiprocessor, lane, offset, bytes, std::max(128u, map->swizzle * 8)))
    return;
  if (stores && !beginStore(multiprocessor, lane, offset, uint32_t(bytes)))
    return;
  // What lies outside of the tensor is zero, and counts.
  std::vector<uint8_t> data(stores ? 0 : bytes);
  const uint32_t each = map->element_bytes;
  for (uint64_t number = 0; number < bytes / each; ++number) {
    const uint64_t global = tile.address(number), at = tile.swizzled(number * each, offset);
    if (!global)
      continue;
    if (!multiprocessor.checkGlobal(lane, global, each, stores ? PITH_EMU_WRITE : 0, lane.site))
      return;
    void *memory = reinterpret_cast<void *>(global);
    if (stores)
      std::memcpy(memory, multiprocessor.window + offset + at, each);
    else
      std::memcpy(data.data() + at, memory, each);
  }
  if (!stores)
    beginLoad(multiprocessor, lane, offset, std::move(data), reinterpret_cast<const void *>(pair(frame + 4)));
}

} // namespace pith::runtime::emulator
