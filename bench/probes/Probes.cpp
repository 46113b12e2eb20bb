//===- Probes.cpp - what this machine can do at most ----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Probes.h"
#include <immintrin.h>

using namespace pith::bench;

static bool hasAVX512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"); }
static bool hasVNNI() { return hasAVX512() && __builtin_cpu_supports("avx512vnni"); }

__attribute__((target("avx512f"))) static uint64_t readMemory512(const uint8_t *data, int64_t count) {
  __m512i sums[8] = {};
  for (int64_t i = 0; i < count; i += 512)
    for (int j = 0; j < 8; ++j) {
      _mm_prefetch(reinterpret_cast<const char *>(data + i + j * 64 + 8192), _MM_HINT_T0);
      sums[j] = _mm512_xor_si512(sums[j], _mm512_loadu_si512(data + i + j * 64));
    }
  uint64_t sum = 0, lanes[8];
  for (__m512i part : sums) {
    _mm512_storeu_si512(lanes, part);
    sum ^= lanes[0];
  }
  return sum;
}

__attribute__((target("avx2"))) static uint64_t readMemory256(const uint8_t *data, int64_t count) {
  __m256i sums[8] = {};
  for (int64_t i = 0; i < count; i += 512)
    for (int j = 0; j < 8; ++j) {
      _mm_prefetch(reinterpret_cast<const char *>(data + i + j * 64 + 8192), _MM_HINT_T0);
      auto *line = reinterpret_cast<const __m256i *>(data + i + j * 64);
      sums[j] =
          _mm256_xor_si256(sums[j], _mm256_xor_si256(_mm256_loadu_si256(line), _mm256_loadu_si256(line + 1)));
    }
  uint64_t sum = 0;
  for (__m256i part : sums)
    sum ^= uint64_t(_mm256_extract_epi64(part, 0));
  return sum;
}

// The asm statements keep the registers' values unknown, so that no loop is folded away.
__attribute__((target("avx512f"))) static int64_t floats512(int64_t iterations) {
  __m512 sums[12] = {}, a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (int64_t i = 0; i < iterations; ++i)
#pragma GCC unroll 16
    for (__m512 &sum : sums) {
      sum = _mm512_fmadd_ps(a, b, sum);
      asm volatile("" : "+v"(sum));
    }
  return iterations * 12 * 16;
}

__attribute__((target("avx2,fma"))) static int64_t floats256(int64_t iterations) {
  __m256 sums[10] = {}, a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (int64_t i = 0; i < iterations; ++i)
#pragma GCC unroll 16
    for (__m256 &sum : sums) {
      sum = _mm256_fmadd_ps(a, b, sum);
      asm volatile("" : "+x"(sum));
    }
  return iterations * 10 * 8;
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static int64_t bytes512(int64_t iterations) {
  __m512i sums[12] = {}, a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (int64_t i = 0; i < iterations; ++i)
#pragma GCC unroll 16
    for (__m512i &sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, a, b);
      asm volatile("" : "+v"(sum));
    }
  return iterations * 12 * 64;
}

__attribute__((target("avx2"))) static int64_t bytes256(int64_t iterations) {
  __m256i sums[8] = {}, a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < iterations; ++i)
#pragma GCC unroll 16
    for (__m256i &sum : sums) {
      asm volatile("" : "+x"(a));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
      asm volatile("" : "+x"(sum));
    }
  return iterations * 8 * 32;
}

uint64_t pith::bench::readMemory(const uint8_t *data, int64_t count) {
  return hasAVX512() ? readMemory512(data, count) : readMemory256(data, count);
}
int64_t pith::bench::multiplyAddFloats(int64_t iterations) {
  return hasAVX512() ? floats512(iterations) : floats256(iterations);
}
int64_t pith::bench::multiplyAddBytes(int64_t iterations) {
  return hasVNNI() ? bytes512(iterations) : bytes256(iterations);
}
