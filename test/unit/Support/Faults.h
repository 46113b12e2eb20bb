//===- Faults.h - allocations and system calls that fail on demand ----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A program that links Faults.cpp gets its own malloc, mmap, open, read, write and the like in front of the C library's.
// While armed, the n-th call of the chosen kinds fails as a full memory or disk would let it fail.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_FAULTS_H
#define PITH_TEST_FAULTS_H

#include <cstddef>
#include <cstdint>

namespace pith::test {

enum FaultKinds : unsigned {
  FaultMemory = 1,  ///< malloc and its relatives, mmap
  FaultFiles = 2,   ///< open, read, write, close, rename, link and their relatives: errors
  FaultThreads = 4, ///< pthread_create
  FaultEvery = 7,
  FaultShort = 8,      ///< read and write give half of what they were asked for
  FaultInterrupt = 16, ///< open, read and write are interrupted by a signal
};

/// Lets the n-th call (from 1) of these kinds fail, in any thread. n = 0 only counts them.
void armFaults(unsigned kinds, size_t n);
/// Ends it; says whether the fault has happened.
bool disarmFaults();
/// Calls seen since arming.
size_t faultCalls();

/// Living allocations of the heap, and bytes of living mappings.
int64_t livingAllocations();
int64_t livingMappedBytes();
/// Open file descriptors of the process.
size_t openDescriptors();

} // namespace pith::test
#endif
