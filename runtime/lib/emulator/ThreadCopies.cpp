//===- ThreadCopies.cpp - a thread's own asynchronous copies (cp.async) -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Operations.h"

#include <cinttypes>

namespace pith::runtime::emulator {

void copyAsync(Multiprocessor &multiprocessor, Lane &lane) {
  const uint32_t *frame = lane.frame;
  const uint32_t site = lane.site, bytes = frame[4], used = std::min(frame[5], bytes);
  const uint8_t *to = reinterpret_cast<const uint8_t *>(pair(frame));
  const void *from = reinterpret_cast<const void *>(pair(frame + 2));
  const uint64_t offset = multiprocessor.sharedOffset(to), size = multiprocessor.launch->sharedBytes;
  if (frame[5] > bytes)
    return multiprocessor.fail(lane, site, "copies %u bytes of %u", frame[5], bytes);
  if (offset > size || bytes > size - offset)
    return multiprocessor.fail(lane, site,
                               "writes %u bytes at offset %" PRId64 " of shared memory, which has %" PRIu64,
                               bytes, int64_t(offset), size);
  if (offset % bytes || pair(frame + 2) % bytes)
    return multiprocessor.fail(
        lane, site, "copies %u bytes to offset %" PRIu64 " from %p: both must be aligned to %u bytes", bytes,
        offset, from, bytes);
  if (used && !multiprocessor.checkGlobal(lane, pair(frame + 2), used, 0, site))
    return;
  const Finding finding = multiprocessor.shadow.markPending(uint32_t(offset), bytes, lane.index,
                                                            multiprocessor.warpOf(lane).view);
  if (multiprocessor.report(lane, site, finding, "writes"))
    lane.copies.copies.push_back({uint32_t(offset), bytes, used, from});
}

/// Carries out the first `count` of a thread's copies.
static void land(Multiprocessor &multiprocessor, Lane &lane, size_t count) {
  std::vector<AsyncCopies::Copy> &copies = lane.copies.copies;
  for (size_t i = 0; i < count; ++i) {
    const AsyncCopies::Copy &copy = copies[i];
    uint8_t *to = multiprocessor.window + copy.to;
    std::memcpy(to, copy.from, copy.used);
    std::memset(to + copy.used, 0, copy.bytes - copy.used);
    multiprocessor.shadow.landed(copy.to, copy.bytes, lane.index);
  }
  copies.erase(copies.begin(), copies.begin() + count);
}

void copyWait(Multiprocessor &multiprocessor, Lane &lane) {
  const uint64_t left = immediates(lane);
  if (left != 0xffff)
    return land(multiprocessor, lane, lane.copies.groups.take(left));
  land(multiprocessor, lane, lane.copies.copies.size());
  lane.copies.clear();
}

void copyCommit(Lane &lane) { lane.copies.groups.commit(lane.copies.copies.size()); }

} // namespace pith::runtime::emulator
