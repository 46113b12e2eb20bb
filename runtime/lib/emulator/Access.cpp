//===- Access.cpp - checks loads, stores and atomics -----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Multiprocessor.h"

namespace pith::runtime::emulator {
namespace {

/// An address that is wrong by no more than this is told by its distance from an allocation.
constexpr uintptr_t nearby = 1 << 20;

const char *deedOf(uint32_t how) {
  return how & PITH_EMU_ATOMIC ? "updates" : how & PITH_EMU_WRITE ? "writes" : "reads";
}

} // namespace

void Multiprocessor::access(Lane &lane, const void *address, uint32_t bytes, uint32_t how, uint32_t site) {
  if (!bytes)
    return;
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  const bool shared = how & PITH_EMU_SHARED || (!(how & PITH_EMU_GLOBAL) && inShared(address));
  if (const uint32_t alignment = how & 0xffff; alignment && at & (alignment - 1)) {
    const Range *range = shared ? nullptr : launch->memory.find(at);
    const uint64_t offset = shared ? sharedOffset(address) : range ? at - range->begin : at;
    return fail(lane, site, "%s %u bytes at offset %lld of %s memory, which is not aligned to %u bytes",
                deedOf(how), bytes, (long long)offset, shared ? "shared" : "global", alignment);
  }
  if (shared) {
    checkShared(lane, sharedOffset(address), bytes, how, site);
  } else {
    const uint8_t *stack = stacks.stack(lane.index);
    const bool own = !(how & PITH_EMU_GLOBAL) && address >= stack && address < stack + StackPool::stackBytes;
    if (!own)
      checkGlobal(lane, at, bytes, how, site);
  }
  // A thread that looks at a word again and again must let the others write it.
  if (how & PITH_EMU_ATOMIC && (++lane.atomics & 63) == 0) {
    lane.site = site;
    suspend(lane, State::Yielding);
  }
}

bool Multiprocessor::report(const Lane &lane, uint32_t site, const Finding &finding, const char *deed) {
  const uint32_t byte = finding.byte;
  switch (finding.kind) {
  case Finding::Fine:
    return true;
  case Finding::Uninitialized:
    fail(lane, site, "%s shared memory at offset %u, which nobody has written", deed, byte);
    return false;
  case Finding::Pending:
    fail(lane, site, "%s shared memory at offset %u, where an asynchronous copy is pending", deed, byte);
    return false;
  case Finding::RaceWithWrite:
  case Finding::RaceWithRead:
    break;
  }
  const char *what = finding.kind == Finding::RaceWithWrite ? "wrote" : "read";
  if (finding.agent >= maxThreads) {
    fail(lane, site, "race on shared memory: %s offset %u, which %s %s without a barrier in between", deed,
         byte, finding.agent == AsyncUnit ? "an asynchronous copy" : "an atomic operation", what);
    return false;
  }
  const Lane &other = lanes[finding.agent];
  fail(lane, site,
       "race on shared memory: %s offset %u, which thread (%u,%u,%u) %s without a barrier in between", deed,
       byte, other.thread[0], other.thread[1], other.thread[2], what);
  return false;
}

bool Multiprocessor::checkShared(const Lane &lane, uint64_t offset, uint32_t bytes, uint32_t how,
                                 uint32_t site) {
  const uint32_t size = launch->sharedBytes;
  const char *deed = deedOf(how);
  if (offset > size || bytes > size - offset) {
    fail(lane, site, "%s %u bytes at offset %lld of shared memory, which has %u bytes", deed, bytes,
         (long long)offset, size);
    return false;
  }
  const View &view = warps[lane.warp].view;
  const uint32_t at = uint32_t(offset);
  const Finding finding = how & PITH_EMU_ATOMIC  ? shadow.atomic(at, bytes, lane.index, view)
                          : how & PITH_EMU_WRITE ? shadow.write(at, bytes, lane.index, view)
                                                 : shadow.read(at, bytes, lane.index, view);
  return finding.kind == Finding::Fine || report(lane, site, finding, deed);
}

bool Multiprocessor::checkGlobal(const Lane &lane, uintptr_t address, uint64_t bytes, uint32_t how,
                                 uint32_t site) {
  const Range *found = nullptr;
  for (const Range *range : recent)
    if (range && range->contains(address, bytes)) {
      found = range;
      break;
    }
  if (!found) {
    found = launch->memory.find(address);
    if (!found || !found->contains(address, bytes)) {
      // The allocation that it runs out of, on either side: the nearer one.
      const Range *after = launch->memory.next(address);
      if (after && (!found || after->begin - address < address - found->end))
        found = after;
      // Far from both, it is none of them.
      const uintptr_t distance = !found                   ? 0
                                 : address < found->begin ? found->begin - address
                                                          : address - found->begin;
      if (!found || distance > found->end - found->begin + nearby)
        fail(lane, site, "%s %llu bytes at %p, where nothing is allocated", deedOf(how),
             (unsigned long long)bytes, reinterpret_cast<void *>(address));
      else
        fail(lane, site, "%s %llu bytes at offset %lld of an allocation of %llu bytes in global memory",
             deedOf(how), (unsigned long long)bytes, (long long)(address - found->begin),
             (unsigned long long)(found->end - found->begin));
      return false;
    }
    recent[nextRecent++ % 4] = found;
  }
  if (!found->writers || how & PITH_EMU_ATOMIC)
    return true;
  const uint32_t mine = blockNumber + 1;
  for (size_t i = address - found->begin, end = i + bytes; i < end; ++i) {
    const uint32_t writer = found->writers[i].load(std::memory_order_relaxed);
    const uint32_t reader = found->readers[i].load(std::memory_order_relaxed);
    const bool writes = how & PITH_EMU_WRITE;
    if ((writer && writer != mine) || (writes && reader && reader != mine)) {
      fail(lane, site,
           "race on global memory: %s offset %zu of an allocation, which block %u of the grid has %s",
           deedOf(how), i, (writer && writer != mine ? writer : reader) - 1,
           writer && writer != mine ? "written" : "read");
      return false;
    }
    (writes ? found->writers : found->readers)[i].store(mine, std::memory_order_relaxed);
  }
  return true;
}

} // namespace pith::runtime::emulator
