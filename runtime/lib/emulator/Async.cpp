//===- Async.cpp - where asynchronous operations go, and their fences ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Operations.h"

namespace pith::runtime::emulator {

void performAsync(Multiprocessor &multiprocessor, Lane &lane) {
  switch (lane.code & 0xffff) {
  case PITH_EMU_COPY_ASYNC:
    return copyAsync(multiprocessor, lane);
  case PITH_EMU_COPY_COMMIT:
    return copyCommit(lane);
  case PITH_EMU_COPY_WAIT:
    return copyWait(multiprocessor, lane);
  case PITH_EMU_MBARRIER_INIT:
  case PITH_EMU_MBARRIER_INVALIDATE:
  case PITH_EMU_MBARRIER_ARRIVE:
    return mbarrier(multiprocessor, lane);
  case PITH_EMU_MBARRIER_WAIT_PARITY:
  case PITH_EMU_MBARRIER_WAIT_STATE:
    if (!tryWait(multiprocessor, lane))
      multiprocessor.suspend(lane, State::Waiting);
    return;
  case PITH_EMU_BULK_COPY:
    return bulkCopy(multiprocessor, lane);
  case PITH_EMU_TENSOR_COPY:
    return tensorCopy(multiprocessor, lane);
  case PITH_EMU_BULK_COMMIT:
    return lane.stores.groups.commit(lane.stores.reads.size());
  case PITH_EMU_BULK_WAIT:
    (void)finishReads(multiprocessor, lane, lane.stores, immediates(lane) & 0xffff);
    return;
  case PITH_EMU_FENCE_ASYNC:
    lane.fenced = true;
    lane.fenceTime = multiprocessor.tick();
    return;
  default:
    return multiprocessor.fail(lane, lane.site, "asks for operation %u, which this emulator does not know",
                               unsigned(lane.code & 0xffff));
  }
}

bool checkFenced(Multiprocessor &multiprocessor, const Lane &lane, uint32_t offset, uint32_t bytes) {
  const auto fenced = [&](uint32_t agent, uint32_t time) {
    const Lane &writer = multiprocessor.lanes[agent];
    return (writer.fenced && writer.fenceTime > time) || (lane.fenced && lane.fenceTime > time);
  };
  const Finding finding = multiprocessor.shadow.findStore(offset, bytes, fenced);
  if (finding.kind == Finding::Fine)
    return true;
  const Lane &writer = multiprocessor.lanes[finding.agent];
  multiprocessor.fail(
      lane, lane.site,
      "reads shared memory at offset %u, which thread (%u,%u,%u) wrote without a proxy fence behind it",
      finding.byte, writer.thread[0], writer.thread[1], writer.thread[2]);
  return false;
}

static uint64_t sumOf(const uint8_t *bytes, size_t count) {
  uint64_t sum = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < count; ++i)
    sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
  return sum;
}

void beginRead(Multiprocessor &multiprocessor, PendingReads &reads, uint32_t offset, uint32_t bytes,
               uint32_t site) {
  reads.reads.push_back({offset, bytes, site, sumOf(multiprocessor.window + offset, bytes)});
}

bool finishReads(Multiprocessor &multiprocessor, const Lane &lane, PendingReads &reads, size_t left) {
  const size_t count = reads.groups.take(left);
  for (size_t i = 0; i < count; ++i) {
    const PendingReads::Read &read = reads.reads[i];
    if (sumOf(multiprocessor.window + read.offset, read.bytes) != read.sum) {
      multiprocessor.fail(
          lane, read.site,
          "reads %u bytes at offset %u of shared memory, which changed before this was waited for",
          read.bytes, read.offset);
      return false;
    }
  }
  reads.reads.erase(reads.reads.begin(), reads.reads.begin() + count);
  return true;
}

} // namespace pith::runtime::emulator
