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

/// What one thread does for itself (Async.cpp): asynchronous copies, mbarriers, fences.
void performAsync(Multiprocessor &multiprocessor, Lane &lane);
void copyAsync(Multiprocessor &multiprocessor, Lane &lane);
void copyCommit(Multiprocessor &multiprocessor, Lane &lane);
void copyWait(Multiprocessor &multiprocessor, Lane &lane);
/// Whether what a lane waits for has happened; then the results are in its frame.
bool tryWait(Multiprocessor &multiprocessor, Lane &lane);
void explainWait(Multiprocessor &multiprocessor, const Lane &lane);

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_OPERATIONS_H
