//===- Shadow.h - what happened to each byte of shared memory ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A stamp says who touched a byte and when. The time is a count of the events that order threads (barriers,
// arrivals, fences); each warp knows up to which time it has seen what every other warp did. Two accesses by
// different threads of which one writes are a race unless the later one's warp has seen the time of the
// earlier.
//
// Time goes on from block to block, so that nothing is cleared between them: a stamp from before the block's
// first moment is none.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_SHADOW_H
#define PITH_RUNTIME_EMULATOR_SHADOW_H

#include <cstdint>
#include <vector>

namespace pith::runtime::emulator {

/// Threads have the numbers 0 to 1023; above them stand units that are not threads.
enum Agent : uint32_t { AsyncUnit = 1024, AtomicUnit = 1056, Nobody = 1088 };

constexpr uint32_t agentBits = 11, maxThreads = 1024, maxWarps = 32;
/// One per warp, and one per unit.
constexpr uint32_t agentGroups = maxWarps + 3;

/// Up to which time a warp (or an mbarrier) knows what each group of agents did.
struct View {
  uint32_t seen[agentGroups] = {};
  void join(const View &other) {
    for (uint32_t i = 0; i < agentGroups; ++i)
      seen[i] = seen[i] < other.seen[i] ? other.seen[i] : seen[i];
  }
};

/// What an access finds wrong.
struct Finding {
  enum Kind { Fine, Uninitialized, Pending, RaceWithWrite, RaceWithRead } kind = Fine;
  uint32_t byte = 0;  ///< offset
  uint32_t agent = 0; ///< the other one
};

class Shadow {
public:
  /// A block begins that has `bytes` of shared memory, none of it written.
  void begin(uint32_t bytes, uint32_t threadsPerWarp);

  /// Moves time on and returns it: whatever came before has a smaller time.
  uint32_t tick();
  uint32_t now() const { return clock; }
  /// True when time is running out; then `rebase`, and every view becomes `now`.
  bool exhausted() const { return clock > limit; }
  void rebase();

  Finding read(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view);
  Finding write(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view);
  Finding atomic(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view);
  /// The bytes wait for an asynchronous copy: nobody may touch them until `landed`.
  Finding markPending(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view);
  void landed(uint32_t offset, uint32_t bytes, uint32_t agent);

  /// The latest plain store of a thread to these bytes that `fenced(agent, time)` does not accept, or Fine.
  template <typename Accept>
  Finding findStore(uint32_t offset, uint32_t bytes, Accept fenced) const {
    for (uint32_t i = offset; i < offset + bytes; ++i) {
      const uint32_t agent = writers[i] & agentMask, time = writers[i] >> agentBits;
      if (writers[i] != pending && time >= start && agent < maxThreads && !fenced(agent, time))
        return {Finding::RaceWithWrite, i, agent};
    }
    return {};
  }

private:
  static constexpr uint32_t agentMask = (1u << agentBits) - 1, pending = ~0u;
  static constexpr uint32_t limit = (1u << (32 - agentBits)) - 4096;
  uint32_t groupOf(uint32_t agent) const {
    return agent < maxThreads ? agent >> warpShift : maxWarps + ((agent - maxThreads) >> 5);
  }
  uint32_t stamp(uint32_t agent) const { return clock << agentBits | agent; }
  /// Whether an earlier access with this stamp is none of the block's, the agent's own, or seen.
  bool ordered(uint32_t stamp, uint32_t agent, const View &view) const {
    const uint32_t who = stamp & agentMask, time = stamp >> agentBits;
    return time < start || who == agent || time < view.seen[groupOf(who)];
  }
  Finding checkWrite(uint32_t byte, uint32_t agent, const View &view) const;

  uint32_t clock = 1, start = 1, warpShift = 5, size = 0;
  // Who wrote last, who read last, and who read last before that from another warp than the reader.
  std::vector<uint32_t> writers, readers, otherReaders;
};

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_SHADOW_H
