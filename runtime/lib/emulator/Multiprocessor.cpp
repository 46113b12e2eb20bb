//===- Multiprocessor.cpp - runs the blocks of a launch one after the other ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Multiprocessor.h"
#include "Operations.h"

#include <cerrno>
#include <cstdio>
#include <sched.h>
#include <sys/mman.h>

namespace pith::runtime::emulator {
namespace {

/// A well-mixed number from a seed and a position (splitmix64); 0 stays 0 for seed 0.
uint64_t mix(uint64_t seed, uint64_t position) {
  if (!seed)
    return 0;
  uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + position * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

const pith_emu_calls calls = {
    [](pith_emu_thread *thread, const void *address, uint32_t bytes, uint32_t how, uint32_t site) {
      Lane &lane = *static_cast<Lane *>(thread);
      lane.home->access(lane, address, bytes, how, site);
    },
    [](pith_emu_thread *thread, uint64_t code, uint32_t *frame, uint32_t site) {
      Lane &lane = *static_cast<Lane *>(thread);
      lane.home->operate(lane, code, frame, site);
    }};

} // namespace

void Launch::fail(Status reason) {
  std::lock_guard<std::mutex> lock(turn);
  if (!failed)
    status = std::move(reason);
  failed = true;
}

Multiprocessor::~Multiprocessor() {
  if (window)
    munmap(window, windowBytes);
}

Status Multiprocessor::prepare(Launch &newLaunch) {
  launch = &newLaunch;
  const Extent &block = launch->block;
  const uint32_t threads = block.x * block.y * block.z, warpSize = launch->kernel.warp_size;
  PITH_TRY(stacks.reserve(threads));
  if (!window) {
    void *memory = mmap(nullptr, windowBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return failure(PITH_ERROR_MEMORY, "no memory for shared memory: %s", systemMessage(errno).c_str());
    window = static_cast<uint8_t *>(memory);
  }
  if (lanes.size() < threads)
    lanes.resize(threads);
  warps.assign((threads + warpSize - 1) / warpSize, Warp());
  for (const Range *&range : recent)
    range = nullptr;
  return {};
}

void Multiprocessor::work(Launch &newLaunch) {
  if (Status status = prepare(newLaunch); !status.ok())
    return launch->fail(std::move(status));
  const uint64_t blocks = uint64_t(launch->grid.x) * launch->grid.y * launch->grid.z;
  const uint64_t seed = launch->options.seed, shift = mix(seed, 1) % blocks;
  while (!launch->failed) {
    const uint64_t turn = launch->next++;
    if (turn >= blocks)
      return;
    // A seed begins somewhere and goes up or down.
    const uint64_t number = (turn + shift) % blocks;
    runBlock(mix(seed, 2) & 1 ? blocks - 1 - number : number);
  }
}

void Multiprocessor::startBlock(uint64_t number) {
  const Extent &grid = launch->grid, &block = launch->block;
  const uint32_t threads = block.x * block.y * block.z, warpSize = launch->kernel.warp_size;
  blockNumber = uint32_t(number);
  blockFailed = false;
  alive = threads;
  shadow.begin(launch->sharedBytes, warpSize);
  bulk.clear();
  for (NamedBarrier &barrier : barriers)
    barrier = NamedBarrier();
  for (uint32_t w = 0; w < warps.size(); ++w) {
    Warp &warp = warps[w];
    warp = Warp();
    warp.lanes = &lanes[w * warpSize];
    warp.index = w;
    warp.count = std::min(warpSize, threads - w * warpSize);
    warp.all = warp.ready = warp.count == 64 ? ~UINT64_C(0) : (UINT64_C(1) << warp.count) - 1;
    warp.rotation = uint32_t(mix(launch->options.seed, number * maxWarps + w + 3) % warp.count);
  }
  const uint32_t blockId[3] = {uint32_t(number % grid.x), uint32_t(number / grid.x % grid.y),
                               uint32_t(number / grid.x / grid.y)};
  for (uint32_t i = 0; i < threads; ++i) {
    Lane &lane = lanes[i];
    lane.calls = &calls;
    lane.shared = window;
    lane.thread[0] = i % block.x;
    lane.thread[1] = i / block.x % block.y;
    lane.thread[2] = i / block.x / block.y;
    std::copy_n(blockId, 3, lane.block);
    lane.block_size[0] = block.x, lane.block_size[1] = block.y, lane.block_size[2] = block.z;
    lane.grid_size[0] = grid.x, lane.grid_size[1] = grid.y, lane.grid_size[2] = grid.z;
    lane.lane = i % warpSize;
    lane.warp = i / warpSize;
    lane.warp_size = warpSize;
    lane.shared_bytes = launch->sharedBytes;
    lane.home = this;
    lane.index = i;
    lane.state = State::Ready;
    lane.fenced = false;
    lane.copies.clear();
    lane.stores.clear();
    lane.fiber.start(stacks.stack(i), StackPool::stackBytes, runLane, &lane);
  }
}

void Multiprocessor::runLane(void *argument) {
  Lane &lane = *static_cast<Lane *>(argument);
  Multiprocessor &home = *lane.home;
  home.launch->kernel.entry(&lane, home.launch->arguments);
  --home.alive;
  home.suspend(lane, State::Ended);
}

Fiber &Multiprocessor::nextOf(Warp &warp) {
  if (!warp.ready || blockFailed) {
    running = nullptr;
    return scheduler;
  }
  const uint64_t above = warp.ready >> warp.rotation << warp.rotation;
  running = &warp.lanes[__builtin_ctzll(above ? above : warp.ready)];
  return running->fiber;
}

void Multiprocessor::suspend(Lane &lane, State state) {
  Warp &warp = warps[lane.warp];
  const uint64_t bit = UINT64_C(1) << lane.lane;
  lane.state = state;
  warp.ready &= ~bit;
  if (state == State::Collective)
    warp.waiting |= bit;
  Fiber::change(lane.fiber, nextOf(warp));
}

void Multiprocessor::wake(Lane &lane) {
  lane.state = State::Ready;
  warps[lane.warp].ready |= UINT64_C(1) << lane.lane;
}

uint32_t Multiprocessor::tick() {
  if (shadow.exhausted()) {
    shadow.rebase();
    for (Warp &warp : warps)
      std::fill(std::begin(warp.view.seen), std::end(warp.view.seen), shadow.now());
  }
  return shadow.tick();
}

void Multiprocessor::runReady(Warp &warp) {
  Fiber &first = nextOf(warp);
  if (&first != &scheduler)
    Fiber::change(scheduler, first);
  running = nullptr;
}

/// Runs a warp until all its lanes have ended or wait for something outside of it. Says whether any moved.
bool Multiprocessor::runWarp(Warp &warp) {
  bool moved = false;
  while (!blockFailed) {
    moved |= warp.ready != 0;
    runReady(warp);
    if (blockFailed || !warp.waiting)
      break;
    uint32_t site = ~0u;
    for (uint64_t rest = warp.waiting; rest; rest &= rest - 1)
      site = std::min(site, warp.lanes[__builtin_ctzll(rest)].site);
    uint64_t group = 0;
    for (uint64_t rest = warp.waiting; rest; rest &= rest - 1)
      if (warp.lanes[__builtin_ctzll(rest)].site == site)
        group |= rest & -rest;
    if (!performCollective(*this, warp, group))
      break;
    warp.waiting &= ~group;
    warp.ready |= group;
    for (uint64_t rest = group; rest; rest &= rest - 1)
      warp.lanes[__builtin_ctzll(rest)].state = State::Ready;
  }
  return moved;
}

void Multiprocessor::runBlock(uint64_t number) {
  startBlock(number);
  const uint32_t count = uint32_t(warps.size());
  idleRounds = 0;
  for (uint64_t round = 0; alive && !blockFailed; ++round) {
    bool moved = false;
    const uint32_t first = uint32_t(mix(launch->options.seed, number + (round << 20)) % count);
    for (uint32_t i = 0; i < count && !blockFailed; ++i) {
      moved |= runWarp(warps[(first + i) % count]);
      if (!blockFailed)
        moved |= releaseBarriers();
    }
    if (blockFailed || !alive)
      break;
    moved |= wakeWaiting();
    if (!moved && !blockFailed)
      explainDeadlock();
  }
}

void Multiprocessor::arrive(Lane &lane, uint32_t id, uint32_t count, bool waits, uint32_t site) {
  const uint32_t threads = launch->block.x * launch->block.y * launch->block.z;
  const uint32_t expected = count ? count : threads;
  if (id >= 16)
    return fail(lane, site, "names barrier %u, expected 0 to 15", id);
  if (expected > threads || (count && count % lane.warp_size))
    return fail(lane, site, "expects %u threads at barrier %u, in a block of %u threads in warps of %u",
                count, id, threads, lane.warp_size);
  NamedBarrier &barrier = barriers[id];
  if (barrier.arrived && barrier.expected != expected)
    return fail(lane, site, "divergent barrier: expects %u threads at barrier %u, where others expect %u",
                expected, id, barrier.expected);
  barrier.expected = expected;
  ++barrier.arrived;
  barrier.view.join(warpOf(lane).view);
  barrier.view.seen[lane.warp] = shadow.now() + 1;
  if (!waits) {
    tick(); // what it does from here on is not covered
    return;
  }
  lane.site = site;
  lane.barrier = id;
  suspend(lane, State::Barrier);
}

bool Multiprocessor::releaseBarriers() {
  bool released = false;
  for (uint32_t id = 0; id < 16; ++id) {
    NamedBarrier &barrier = barriers[id];
    if (!barrier.arrived || barrier.arrived < barrier.expected)
      continue;
    const Lane *first = nullptr;
    const bool whole = barrier.expected == launch->block.x * launch->block.y * launch->block.z;
    View view = barrier.view;
    const uint32_t time = tick();
    // A barrier of the whole block covers all that happened; the atomics and copies that have landed too.
    for (uint32_t group = 0; group < agentGroups; ++group)
      if (whole || group >= maxWarps)
        view.seen[group] = time;
    barrier = NamedBarrier();
    for (Warp &warp : warps) {
      bool joined = false;
      for (uint32_t l = 0; l < warp.count; ++l) {
        Lane &lane = warp.lanes[l];
        if (lane.state != State::Barrier || lane.barrier != id)
          continue;
        if (!first)
          first = &lane;
        // A barrier of all threads is one place in the program; lanes of a warp come together to any.
        if (lane.site != first->site && (whole || lane.warp == first->warp)) {
          const pith_emu_site &other = launch->kernel.sites[first->site];
          fail(lane, lane.site, "divergent barrier: thread (%u,%u,%u) waits at another one, %s%s%s",
               first->thread[0], first->thread[1], first->thread[2], other.op, *other.location ? " at " : "",
               other.location);
          return true;
        }
        wake(lane);
        joined = true;
      }
      if (joined)
        warp.view.join(view);
    }
    released = true;
  }
  return released;
}

bool Multiprocessor::wakeWaiting() {
  bool moved = false, yielded = false;
  for (Warp &warp : warps)
    for (uint32_t l = 0; l < warp.count; ++l) {
      Lane &lane = warp.lanes[l];
      if (lane.state == State::Waiting && tryWait(*this, lane)) {
        wake(lane);
        moved = true;
      } else if (lane.state == State::Yielding) {
        wake(lane);
        yielded = true;
      }
      if (blockFailed)
        return true;
    }
  if (moved || !yielded) {
    idleRounds = 0;
    return moved;
  }
  // Only threads that look again and again: perhaps at what another block does.
  if (++idleRounds > 1000000) {
    for (const Lane &lane : lanes)
      if (lane.state == State::Ready) {
        fail(lane, lane.site, "waits in a loop for something that does not happen");
        break;
      }
  } else if (idleRounds % 64 == 0) {
    sched_yield();
  }
  return true;
}

void Multiprocessor::explainBarrier(const Lane &waiting) {
  for (const Warp &warp : warps)
    for (uint32_t l = 0; l < warp.count; ++l) {
      const Lane &other = warp.lanes[l];
      if (other.state == State::Barrier && other.barrier == waiting.barrier)
        continue;
      const pith_emu_site &site = launch->kernel.sites[other.site];
      const bool ended = other.state == State::Ended;
      return fail(waiting, waiting.site,
                  "divergent barrier: %u of %u threads came, thread (%u,%u,%u) %s%s%s%s",
                  barriers[waiting.barrier].arrived, barriers[waiting.barrier].expected, other.thread[0],
                  other.thread[1], other.thread[2], ended ? "has ended" : "waits in ", ended ? "" : site.op,
                  ended || !*site.location ? "" : " at ", ended ? "" : site.location);
    }
  fail(waiting, waiting.site, "deadlock: %u threads came to barrier %u, which expects %u",
       barriers[waiting.barrier].arrived, waiting.barrier, barriers[waiting.barrier].expected);
}

void Multiprocessor::explainDeadlock() {
  for (const State state : {State::Waiting, State::Barrier})
    for (const Warp &warp : warps)
      for (uint32_t l = 0; l < warp.count; ++l)
        if (warp.lanes[l].state == state)
          return state == State::Waiting ? explainWait(*this, warp.lanes[l]) : explainBarrier(warp.lanes[l]);
}

void Multiprocessor::fail(const Lane &lane, uint32_t site, const char *format, ...) {
  char text[512], head[256];
  va_list list;
  va_start(list, format);
  std::vsnprintf(text, sizeof text, format, list);
  va_end(list);
  const pith_emu_kernel &kernel = launch->kernel;
  const pith_emu_site none = {"an operation", ""},
                      &place = site < kernel.site_count ? kernel.sites[site] : none;
  std::snprintf(head, sizeof head, "block (%u,%u,%u), thread (%u,%u,%u), %.60s%s%.100s", lane.block[0],
                lane.block[1], lane.block[2], lane.thread[0], lane.thread[1], lane.thread[2], place.op,
                *place.location ? " at " : "", place.location);
  if (!blockFailed)
    launch->fail(
        failure(PITH_ERROR_EXECUTION, "kernel %s: %s: %s", quoteName(kernel.name).c_str(), head, text));
  blockFailed = true;
  if (running) { // on the lane's own stack: for good
    Fiber left;
    running = nullptr;
    Fiber::change(left, scheduler);
  }
}

} // namespace pith::runtime::emulator
