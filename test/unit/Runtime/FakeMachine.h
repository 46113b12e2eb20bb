//===- FakeMachine.h - what the fake drivers drive --------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_FAKE_MACHINE_H
#define PITH_TEST_FAKE_MACHINE_H

#include "FakeDriver.h"
extern "C" {
#include "FakeKernels.h"
}

#include <csetjmp>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <sys/mman.h>
#include <thread>
#include <utility>
#include <vector>

extern "C" pith::test::FakeDriver fake_driver;

namespace pith::test {

/// The drivers' errors, of which the real numbers do not matter but for the first two.
enum {
  Invalid = 1,
  OutOfMemory = 2,
  NoDevice = 100,
  BadDevice = 101,
  BadContext = 201,
  NoBinary = 209,
  BadText = 218,
  BadHandle = 400,
  NotFound = 500,
  BadAddress = 700,
  LaunchFailed = 719,
  NotInCapture = 900
};

// ---- Devices and memory

constexpr int mostDevices = 4;
constexpr size_t arenaBytes = size_t(1) << 28;

/// Memory of all devices. Out of the host's reach but while work is done.
struct Arena {
  uint8_t *base = static_cast<uint8_t *>(
      mmap(nullptr, arenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  struct Block {
    size_t bytes, room;
    int device;
  };
  std::map<uint8_t *, Block> blocks;
  uint64_t used[mostDevices] = {};

  uint8_t *take(size_t bytes, int device) {
    if (bytes > fake_driver.memoryBytes || used[device] + bytes > fake_driver.memoryBytes)
      return nullptr;
    const size_t room = (bytes + 4096 + 255) & ~size_t(255); // a gap behind each
    uint8_t *at = base;
    for (const auto &[begin, block] : blocks) {
      if (size_t(begin - at) >= room)
        break;
      at = begin + block.room;
    }
    if (room > size_t(base + arenaBytes - at))
      return nullptr;
    blocks[at] = {bytes, room, device};
    used[device] += bytes;
    return at;
  }
  bool contains(const void *address, size_t bytes) const {
    const auto *at = static_cast<const uint8_t *>(address);
    auto after = blocks.upper_bound(const_cast<uint8_t *>(at));
    if (after == blocks.begin())
      return false;
    const auto &[begin, block] = *--after;
    return size_t(at - begin) <= block.bytes && bytes <= block.bytes - size_t(at - begin);
  }
  size_t usedBytes() const {
    if (blocks.empty())
      return 0;
    const auto &[begin, block] = *blocks.rbegin();
    return (size_t(begin - base) + block.room + 4095) & ~size_t(4095);
  }
  void open() { mprotect(base, usedBytes(), PROT_READ | PROT_WRITE); }
  void close() { mprotect(base, usedBytes(), PROT_NONE); }
};
inline Arena &arena() {
  static Arena *made = new Arena;
  return *made;
}
inline std::map<void *, size_t> &hostBlocks() {
  static auto *made = new std::map<void *, size_t>;
  return *made;
}

// ---- Work

struct Module {
  int device;
};
struct Function {
  const pith_emu_kernel *kernel;
  int device;
};
struct Launch {
  Function function;
  unsigned grid[3], block[3];
  std::vector<uint64_t> arguments;
};
using Graph = std::vector<Launch>;
struct Stream {
  int device;
  std::deque<std::function<int()>> work;
  uint64_t done = 0; // pieces of work since the beginning
  Graph *capture = nullptr;
  std::thread::id capturer;
  int failed = 0; // what the next wait says, and all after it
};
struct Event {
  Stream *stream = nullptr;
  uint64_t at = 0;
};
/// Handles that are in use: what a driver that fails has not taken back is no leak of the process.
inline std::set<void *> &handles() {
  static auto *made = new std::set<void *>;
  return *made;
}
template <typename T>
T *makeHandle(T value) {
  T *made = new T(std::move(value));
  handles().insert(made);
  return made;
}
template <typename T>
void dropHandle(T *handle) {
  handles().erase(handle);
  delete handle;
}
inline std::vector<Stream *> &streams() {
  static auto *made = new std::vector<Stream *>;
  return *made;
}

inline int drain(Stream &stream, uint64_t until = UINT64_MAX) {
  if (stream.work.empty())
    return std::exchange(stream.failed, 0);
  arena().open();
  while (!stream.work.empty() && stream.done < until) {
    if (!stream.failed)
      stream.failed = stream.work.front()();
    stream.work.pop_front();
    ++stream.done;
  }
  arena().close();
  return std::exchange(stream.failed, 0); // a real context is lost; here the test goes on
}

inline jmp_buf wrongAccess;

inline void access(pith_emu_thread *, const void *address, uint32_t bytes, uint32_t how, uint32_t) {
  const bool aligned = reinterpret_cast<uintptr_t>(address) % (how & 0xffff) == 0;
  if (!aligned || !arena().contains(address, bytes))
    longjmp(wrongAccess, 1);
}

inline int runKernel(const Launch &launch) {
  static const pith_emu_calls calls = {access, nullptr};
  if (!std::strcmp(launch.function.kernel->name, fake_driver.faulty))
    return BadAddress;
  std::vector<const void *> arguments;
  for (const uint64_t &argument : launch.arguments)
    arguments.push_back(&argument);
  pith_emu_thread thread = {};
  thread.calls = &calls;
  std::memcpy(thread.grid_size, launch.grid, sizeof thread.grid_size);
  std::memcpy(thread.block_size, launch.block, sizeof thread.block_size);
  if (setjmp(wrongAccess))
    return BadAddress;
  for (thread.block[0] = 0; thread.block[0] < launch.grid[0]; ++thread.block[0])
    for (thread.thread[0] = 0; thread.thread[0] < launch.block[0]; ++thread.thread[0])
      launch.function.kernel->entry(&thread, arguments.data());
  return 0;
}

} // namespace pith::test
#endif // PITH_TEST_FAKE_MACHINE_H
