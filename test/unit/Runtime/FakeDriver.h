//===- FakeDriver.h - a driver without a GPU --------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// libcuda.so.1 and libamdhip64.so for tests. As a real driver it does nothing before somebody waits: what is
// copied from or to must stay as it is until then. Memory of the device cannot be touched by the host.
// Kernels are those of FakeKernels.h. This is what a test sees of it: the symbol `fake_driver`.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_FAKE_DRIVER_H
#define PITH_TEST_FAKE_DRIVER_H

#include <cstdint>

namespace pith::test {

struct FakeDriver {
  // What has been called.
  uint64_t allocations, hostAllocations, copiesIn, copiesOut, copies, fills, launches, graphLaunches,
      captures, synchronizations, bytesIn, bytesOut, pageableIn;
  // What is there now.
  int64_t blocks, hostBlocks, streams, events, modules, graphs, contexts;
  char image[64]; ///< how the last loaded one began, without what all have in common

  // What the machine is.
  int devices, major, minor;
  char architecture[64]; ///< HIP's
  uint64_t memoryBytes;  ///< of each device

  // What goes wrong.
  char failing[64];     ///< calls of this name; "*": any
  uint64_t failingCall; ///< which one from now on, from 1; 0: none
  int failure;          ///< what it returns
  char struck[64];      ///< the call that went wrong
  char jitLog[128];     ///< what the compiler says; empty: it has nothing against the text
  char faulty[64];      ///< kernels of this name read where nothing is
};

} // namespace pith::test
#endif // PITH_TEST_FAKE_DRIVER_H
