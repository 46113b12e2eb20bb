//===- Probe.cpp - what this machine can do at this moment -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Probe.h"
#include <chrono>
#include <cstring>
#include <immintrin.h>
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

__attribute__((target("avx2"))) void readAll(const char *data, size_t size) {
  __m256i sum[4] = {};
  for (size_t i = 0; i < size; i += 128) {
    _mm_prefetch(data + i + 8192, _MM_HINT_T0); // past the end it does nothing
    _mm_prefetch(data + i + 8256, _MM_HINT_T0);
    for (int j = 0; j < 4; ++j)
      sum[j] = _mm256_xor_si256(sum[j], _mm256_load_si256(reinterpret_cast<const __m256i *>(data + i + 32 * j)));
  }
  for (__m256i &part : sum)
    asm volatile("" ::"x"(part));
}

constexpr int64_t kRounds = 3000000, kChains = 12;

__attribute__((target("avx512f"))) void fma512() {
  __m512 sum[kChains], factor = _mm512_set1_ps(1.0f), term = _mm512_set1_ps(1e-9f);
  for (__m512 &part : sum)
    part = _mm512_set1_ps(1e-9f);
  for (int64_t i = 0; i < kRounds; ++i) {
    for (__m512 &part : sum)
      part = _mm512_fmadd_ps(part, factor, term);
    asm volatile("" : "+x"(factor));
  }
  for (__m512 &part : sum)
    asm volatile("" ::"x"(part));
}

__attribute__((target("avx2,fma"))) void fma256() {
  __m256 sum[kChains], factor = _mm256_set1_ps(1.0f), term = _mm256_set1_ps(1e-9f);
  for (__m256 &part : sum)
    part = _mm256_set1_ps(1e-9f);
  for (int64_t i = 0; i < kRounds; ++i) {
    for (__m256 &part : sum)
      part = _mm256_fmadd_ps(part, factor, term);
    asm volatile("" : "+x"(factor));
  }
  for (__m256 &part : sum)
    asm volatile("" ::"x"(part));
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) void vnni512() {
  __m512i sum[kChains], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(2);
  for (__m512i &part : sum)
    part = _mm512_setzero_si512();
  for (int64_t i = 0; i < kRounds; ++i) {
    for (__m512i &part : sum)
      part = _mm512_dpbusd_epi32(part, a, b);
    asm volatile("" : "+x"(a));
  }
  for (__m512i &part : sum)
    asm volatile("" ::"x"(part));
}

} // namespace

double pith::tool::readBandwidth(unsigned threads) {
  static Memory memory; // filled once; a process measures many times
  if (!memory.data || !__builtin_cpu_supports("avx2"))
    return 0;
  size_t share = kBytes / threads / 4096 * 4096;
  return share * threads / together(threads, [=](unsigned t) { readAll(memory.data + t * share, share); });
}

double pith::tool::peakF32(unsigned threads) {
  bool wide = __builtin_cpu_supports("avx512f");
  if (!wide && !__builtin_cpu_supports("fma"))
    return 0;
  double time = together(threads, [=](unsigned) { wide ? fma512() : fma256(); });
  return threads * double(kRounds) * kChains * (wide ? 32 : 16) / time;
}

double pith::tool::peakInt8(unsigned threads) {
  if (!__builtin_cpu_supports("avx512vnni"))
    return 0;
  return threads * double(kRounds) * kChains * 128 / together(threads, [](unsigned) { vnni512(); });
}
