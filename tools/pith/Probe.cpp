//===- Probe.cpp - what this machine can do at this moment -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Probe.h"
#include "Probes.h"
#include <chrono>
#include <cstring>
#include <memory>
#include <pthread.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace {

/// Seconds that `work(thread)` takes on all threads together, started at once.
template <typename Work>
double together(unsigned threads, Work work) {
  std::vector<std::thread> team;
  auto begin = std::chrono::steady_clock::now();
  for (unsigned t = 0; t < threads; ++t)
    team.emplace_back([=] { work(t); });
  for (std::thread &thread : team)
    thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

constexpr size_t kBytes = size_t(512) << 20;

/// Memory in huge pages, written once so that it is there.
struct Memory {
  char *data = static_cast<char *>(
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  Memory() {
    if (data == MAP_FAILED)
      data = nullptr;
    if (!data)
      return;
    madvise(data, kBytes, MADV_HUGEPAGE);
    std::memset(data, 1, kBytes);
  }
  ~Memory() {
    if (data)
      munmap(data, kBytes);
  }
};

/// About a tenth of a second: shorter runs end before the clock has settled and report too low a peak.
constexpr int64_t kRounds = 30000000;

} // namespace

double pith::tool::readBandwidth(unsigned threads) {
  static Memory memory; // filled once; a process measures many times
  if (!memory.data || !__builtin_cpu_supports("avx2"))
    return 0;
  size_t share = kBytes / threads / 4096 * 4096;
  auto *data = reinterpret_cast<const uint8_t *>(memory.data);
  return share * threads / together(threads, [=](unsigned t) {
           volatile uint64_t kept = bench::readMemory(data + t * share, share);
           (void)kept;
         });
}

double pith::tool::peakF32(unsigned threads) {
  if (!__builtin_cpu_supports("fma"))
    return 0;
  std::vector<int64_t> done(threads);
  double time = together(threads, [&](unsigned t) { done[t] = bench::multiplyAddFloats(kRounds); });
  return 2.0 * threads * done[0] / time;
}

double pith::tool::peakInt8(unsigned threads) {
  if (!__builtin_cpu_supports("avx512vnni"))
    return 0;
  std::vector<int64_t> done(threads);
  double time = together(threads, [&](unsigned t) { done[t] = bench::multiplyAddBytes(kRounds); });
  return 2.0 * threads * done[0] / time;
}
