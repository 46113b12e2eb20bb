//===- Mbarrier.cpp - barriers that count arrivals and bytes ----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Operations.h"

#include <cinttypes>

namespace pith::runtime::emulator {
namespace {

/// A phase is over when nobody and no byte is missing.
void complete(Mbarrier &barrier) {
  if (barrier.pending || barrier.bytes)
    return;
  barrier.completed.join(barrier.arriving);
  barrier.arriving = View();
  barrier.pending = barrier.count;
  ++barrier.phase;
}

void arrive(Multiprocessor &multiprocessor, Lane &lane, Mbarrier &barrier, uint32_t count) {
  if (count > barrier.pending)
    return multiprocessor.fail(lane, lane.site,
                               "arrives %u times at the mbarrier at offset %u, which expects %u more", count,
                               barrier.offset, barrier.pending);
  const Warp &warp = multiprocessor.warpOf(lane);
  barrier.arriving.join(warp.view);
  barrier.arriving.seen[warp.index] = multiprocessor.tick();
  barrier.pending -= count;
  complete(barrier);
}

/// Carries out the loads that a barrier counts.
void land(Multiprocessor &multiprocessor, Mbarrier &barrier) {
  std::vector<BulkCopies::Load> &loads = multiprocessor.bulk.loads;
  for (size_t i = 0; i < loads.size();) {
    if (loads[i].mbarrier != barrier.offset) {
      ++i;
      continue;
    }
    const BulkCopies::Load load = std::move(loads[i]);
    loads.erase(loads.begin() + i);
    std::memcpy(multiprocessor.window + load.to, load.data.data(), load.data.size());
    multiprocessor.shadow.landed(load.to, uint32_t(load.data.size()), AsyncUnit);
    barrier.arriving.seen[maxWarps] = multiprocessor.tick();
    barrier.bytes -= int64_t(load.data.size());
    complete(barrier);
  }
}

} // namespace

Mbarrier *findMbarrier(Multiprocessor &multiprocessor, const Lane &lane, const void *address) {
  const uint64_t offset = multiprocessor.sharedOffset(address);
  // Whoever uses it must have seen its initialisation.
  if (!multiprocessor.checkShared(lane, offset, 8, PITH_EMU_SHARED, lane.site))
    return nullptr;
  for (Mbarrier &barrier : multiprocessor.bulk.barriers)
    if (barrier.offset == offset)
      return &barrier;
  multiprocessor.fail(lane, lane.site,
                      "names an mbarrier at offset %" PRIu64 " of shared memory, where there is none",
                      offset);
  return nullptr;
}

void mbarrier(Multiprocessor &multiprocessor, Lane &lane) {
  const uint32_t operation = lane.code & 0xffff;
  uint32_t *frame = lane.frame + (operation == PITH_EMU_MBARRIER_ARRIVE ? 2 : 0);
  const void *address = reinterpret_cast<const void *>(pair(frame));
  std::vector<Mbarrier> &barriers = multiprocessor.bulk.barriers;
  if (operation == PITH_EMU_MBARRIER_INIT) {
    const uint64_t offset = multiprocessor.sharedOffset(address);
    if (offset % 8)
      return multiprocessor.fail(lane, lane.site,
                                 "makes an mbarrier at offset %" PRIu64 ", not aligned to 8 bytes", offset);
    if (!multiprocessor.checkShared(lane, offset, 8, PITH_EMU_SHARED | PITH_EMU_WRITE, lane.site))
      return;
    Mbarrier made;
    made.offset = uint32_t(offset);
    made.count = made.pending = frame[2];
    if (!made.count)
      return multiprocessor.fail(lane, lane.site, "makes an mbarrier that expects nobody");
    for (const Mbarrier &barrier : barriers)
      if (barrier.offset == offset)
        return multiprocessor.fail(lane, lane.site,
                                   "makes an mbarrier at offset %" PRIu64 ", where there is one", offset);
    barriers.push_back(made);
    return;
  }
  Mbarrier *barrier = findMbarrier(multiprocessor, lane, address);
  if (!barrier)
    return;
  if (operation == PITH_EMU_MBARRIER_INVALIDATE) {
    barriers.erase(barriers.begin() + (barrier - barriers.data()));
    return;
  }
  setPair(lane.frame, barrier->phase);
  const uint64_t kind = immediates(lane);
  if (kind)
    barrier->bytes += frame[2];
  if (kind != 2)
    arrive(multiprocessor, lane, *barrier, kind ? 1 : frame[2]);
}

bool tryWait(Multiprocessor &multiprocessor, Lane &lane) {
  const void *address = reinterpret_cast<const void *>(pair(lane.frame + 1));
  Mbarrier *barrier = findMbarrier(multiprocessor, lane, address);
  if (!barrier)
    return true;
  const bool parity = (lane.code & 0xffff) == PITH_EMU_MBARRIER_WAIT_PARITY;
  const auto done = [&] {
    return parity ? (barrier->phase & 1) != (lane.frame[3] & 1) : barrier->phase != lane.frame[3];
  };
  // Copies take as long as they may: until somebody cannot go on without them.
  if (!done())
    land(multiprocessor, *barrier);
  if (!done())
    return false;
  multiprocessor.warpOf(lane).view.join(barrier->completed);
  lane.frame[0] = 1;
  return true;
}

void explainWait(Multiprocessor &multiprocessor, const Lane &lane) {
  const uint64_t offset = multiprocessor.sharedOffset(reinterpret_cast<const void *>(pair(lane.frame + 1)));
  for (const Mbarrier &barrier : multiprocessor.bulk.barriers)
    if (barrier.offset == offset)
      return multiprocessor.fail(
          lane, lane.site,
          "deadlock: waits for phase %u of the mbarrier at offset %u, which expects %u more "
          "arrivals and %lld more bytes in phase %u",
          lane.frame[3] & 1, barrier.offset, barrier.pending, (long long)barrier.bytes, barrier.phase & 1);
  multiprocessor.fail(lane, lane.site, "deadlock: waits for an mbarrier that is no more");
}

} // namespace pith::runtime::emulator
