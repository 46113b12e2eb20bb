//===- Operations.h - what the lanes of a warp do together ------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The frames that the operations read and write are described in pith/emulated.h.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_OPERATIONS_H
#define PITH_RUNTIME_EMULATOR_OPERATIONS_H

#include "Multiprocessor.h"

namespace pith::runtime::emulator {

/// Calls `body(lane)` for every lane of a group.
template <typename Body>
void forEach(Warp &warp, uint64_t group, Body body) {
  for (; group; group &= group - 1)
    body(warp.lanes[__builtin_ctzll(group)]);
}

inline uint64_t pair(const uint32_t *words) { return uint64_t(words[1]) << 32 | words[0]; }
inline void setPair(uint32_t *words, uint64_t value) {
  words[0] = uint32_t(value);
  words[1] = uint32_t(value >> 32);
}
inline uint64_t immediates(const Lane &lane) { return lane.code >> 16; }

/// Fails unless all lanes of `wanted` that the block has are in the group.
bool needLanes(Multiprocessor &multiprocessor, Warp &warp, uint64_t group, uint64_t wanted);

// Collectives, by file.
bool shuffle(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);
bool vote(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);
bool reduce(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);
bool permute(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);
bool multiply(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);
bool loadMatrix(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);
/// wgmma and what orders it: each of the four warps does its 16 rows.
bool warpGroup(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);

/// What one thread does for itself (Async.cpp): asynchronous copies, mbarriers, fences.
void performAsync(Multiprocessor &multiprocessor, Lane &lane);
void copyAsync(Multiprocessor &multiprocessor, Lane &lane);
void copyCommit(Lane &lane);
void copyWait(Multiprocessor &multiprocessor, Lane &lane);
void bulkCopy(Multiprocessor &multiprocessor, Lane &lane);
void tensorCopy(Multiprocessor &multiprocessor, Lane &lane);
void mbarrier(Multiprocessor &multiprocessor, Lane &lane);
/// The mbarrier at an address, which a lane's operation names; null (and reported) when there is none.
Mbarrier *findMbarrier(Multiprocessor &multiprocessor, const Lane &lane, const void *address);
/// Begins a load by the bulk unit: its destination is pending until the mbarrier's phase completes.
void beginLoad(Multiprocessor &multiprocessor, Lane &lane, uint64_t to, std::vector<uint8_t> data,
               const void *mbarrier);

/// The bulk unit and wgmma see plain stores behind a fence only. Fails for bytes that were written without.
bool checkFenced(Multiprocessor &multiprocessor, const Lane &lane, uint32_t offset, uint32_t bytes);
/// An asynchronous unit begins to read shared memory.
void beginRead(Multiprocessor &multiprocessor, PendingReads &reads, uint32_t offset, uint32_t bytes,
               uint32_t site);
/// Waits for all but the latest `left` groups of reads; fails where the bytes have changed since.
bool finishReads(Multiprocessor &multiprocessor, const Lane &lane, PendingReads &reads, size_t left);
/// Whether what a lane waits for has happened; then the results are in its frame.
bool tryWait(Multiprocessor &multiprocessor, Lane &lane);
void explainWait(Multiprocessor &multiprocessor, const Lane &lane);

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_OPERATIONS_H
