//===- Multiprocessor.h - runs the blocks of a launch one after the other ---*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Every thread of the block is a fiber. The fibers of a warp run in turn until each has ended or waits; then
// the warp's collective is carried out for all lanes that wait at the same place (where lanes have diverged,
// the place that comes first in the program goes first, so that they meet again). When no warp can go on,
// barriers and asynchronous copies are looked at. When these cannot go on either, it is a deadlock.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_MULTIPROCESSOR_H
#define PITH_RUNTIME_EMULATOR_MULTIPROCESSOR_H

#include "AsyncCopies.h"
#include "Emulator.h"
#include "Fiber.h"
#include "Shadow.h"

#include <atomic>
#include <cstdarg>
#include <mutex>

namespace pith::runtime::emulator {

/// One launch, as all multiprocessors see it.
struct Launch {
  Launch(const pith_emu_kernel &kernel, Extent grid, Extent block, uint32_t sharedBytes,
         const void *const *arguments, const Options &options, const GlobalMemory &memory)
      : kernel(kernel), grid(grid), block(block), sharedBytes(sharedBytes), arguments(arguments),
        options(options), memory(memory) {}

  const pith_emu_kernel &kernel;
  Extent grid, block;
  uint32_t sharedBytes;
  const void *const *arguments;
  const Options &options;
  const GlobalMemory &memory;

  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex turn;
  Status status; // the first failure

  void fail(Status reason);
};

enum class State : uint8_t { Ready, Collective, Barrier, Waiting, Yielding, Ended };

struct Lane : pith_emu_thread {
  Fiber fiber;
  Multiprocessor *home = nullptr;
  uint32_t index = 0; ///< in the block
  State state = State::Ready;
  bool fenced = false; ///< has executed a fence at `fenceTime`
  uint32_t fenceTime = 0;
  uint32_t atomics = 0;
  // What it waits in.
  uint32_t site = 0, barrier = 0;
  uint64_t code = 0;
  uint32_t *frame = nullptr;
  AsyncCopies copies;
  PendingReads stores; ///< of its bulk stores
};

struct Warp {
  Lane *lanes = nullptr;
  uint32_t index = 0, count = 0;
  uint64_t ready = 0, waiting = 0; ///< lanes that can run, that are in a collective
  uint64_t all = 0;                ///< lanes that the block gave it
  uint32_t rotation = 0;
  View view;
  PendingReads products; ///< of its wgmma
};

/// The named barriers of a block; 0 is the block's own.
struct NamedBarrier {
  uint32_t arrived = 0, expected = 0;
  View view;
};

class Multiprocessor {
public:
  /// Runs blocks of the launch until none is left or one fails.
  void work(Launch &launch);

  // For the entry points and the operations (Access.cpp, Operations.cpp and those behind them).

  /// Reports what is wrong with a lane's operation; the first report counts. Leaves the lane for good when it
  /// runs.
  void fail(const Lane &lane, uint32_t site, const char *format, ...) __attribute__((format(printf, 4, 5)));
  void access(Lane &lane, const void *address, uint32_t bytes, uint32_t how, uint32_t site);
  void operate(Lane &lane, uint64_t code, uint32_t *frame, uint32_t site);

  /// Checks an access to shared memory by a lane, at an offset that may be anything.
  bool checkShared(const Lane &lane, uint64_t offset, uint32_t bytes, uint32_t how, uint32_t site);
  bool checkGlobal(const Lane &lane, uintptr_t address, uint64_t bytes, uint32_t how, uint32_t site);
  /// The offset of a pointer to shared memory (not yet checked).
  uint64_t sharedOffset(const void *address) const {
    return uint64_t(static_cast<const uint8_t *>(address) - window);
  }
  bool inShared(const void *address) const { return sharedOffset(address) < windowBytes; }
  bool report(const Lane &lane, uint32_t site, const Finding &finding, const char *deed);

  /// Gives the turn to another lane until something makes this one ready.
  void suspend(Lane &lane, State state);
  void wake(Lane &lane);
  uint32_t tick();

  Warp &warpOf(const Lane &lane) { return warps[lane.warp]; }
  bool failed() const { return blockFailed; }

  static constexpr uint32_t windowBytes = 256 * 1024;
  Launch *launch = nullptr;
  Shadow shadow;
  BulkCopies bulk;
  uint8_t *window = nullptr;
  std::vector<Lane> lanes;
  std::vector<Warp> warps;

  Multiprocessor() = default;
  Multiprocessor(const Multiprocessor &) = delete;
  Multiprocessor &operator=(const Multiprocessor &) = delete;
  ~Multiprocessor();

private:
  Status prepare(Launch &launch);
  void runBlock(uint64_t number);
  void startBlock(uint64_t number);
  bool runWarp(Warp &warp);
  void runReady(Warp &warp);
  bool releaseBarriers();
  bool wakeWaiting();
  void explainDeadlock();
  void explainBarrier(const Lane &waiting);
  Fiber &nextOf(Warp &warp);
  void arrive(Lane &lane, uint32_t id, uint32_t count, bool waits, uint32_t site);
  static void runLane(void *lane);

  StackPool stacks;
  Fiber scheduler;
  Lane *running = nullptr;
  bool blockFailed = false;
  uint32_t alive = 0;
  uint64_t idleRounds = 0;
  NamedBarrier barriers[16];
  const Range *recent[4] = {};
  uint32_t nextRecent = 0;
  uint32_t blockNumber = 0;
};

/// What a group of lanes of a warp does together; false when it failed (and was reported).
bool performCollective(Multiprocessor &multiprocessor, Warp &warp, uint64_t group);

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_MULTIPROCESSOR_H
