//===- Async.cpp - where asynchronous operations go ------------------------------------===//
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
    return copyCommit(multiprocessor, lane);
  case PITH_EMU_COPY_WAIT:
    return copyWait(multiprocessor, lane);
  default:
    return multiprocessor.fail(lane, lane.site, "asks for operation %u, which this emulator does not know",
                               unsigned(lane.code & 0xffff));
  }
}

bool tryWait(Multiprocessor &multiprocessor, Lane &lane) { return true; }

void explainWait(Multiprocessor &multiprocessor, const Lane &lane) {
  multiprocessor.fail(lane, lane.site, "deadlock: waits for something that does not happen");
}

} // namespace pith::runtime::emulator
