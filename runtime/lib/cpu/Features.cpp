//===- Features.cpp - what this machine's CPU can do ----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Features.h"

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace pith::runtime {

#if defined(__x86_64__)
namespace {

enum Register { EAX, EBX, ECX, EDX };

/// Register state that the operating system must save before a feature may be used.
enum class Saved { Nothing, Ymm, Zmm, Tile };

struct Feature {
  const char *name; // LLVM's
  uint32_t leaf, subleaf;
  Register reg;
  int bit;
  Saved saved = Saved::Nothing;
};

const Feature features[] = {
    {"fxsr", 1, 0, EDX, 24},
    {"cx8", 1, 0, EDX, 8},
    {"cmov", 1, 0, EDX, 15},
    {"mmx", 1, 0, EDX, 23},
    {"sse", 1, 0, EDX, 25},
    {"sse2", 1, 0, EDX, 26},
    {"sse3", 1, 0, ECX, 0},
    {"pclmul", 1, 0, ECX, 1},
    {"ssse3", 1, 0, ECX, 9},
    {"fma", 1, 0, ECX, 12, Saved::Ymm},
    {"cx16", 1, 0, ECX, 13},
    {"sse4.1", 1, 0, ECX, 19},
    {"sse4.2", 1, 0, ECX, 20},
    {"crc32", 1, 0, ECX, 20},
    {"movbe", 1, 0, ECX, 22},
    {"popcnt", 1, 0, ECX, 23},
    {"aes", 1, 0, ECX, 25},
    {"xsave", 1, 0, ECX, 27},
    {"avx", 1, 0, ECX, 28, Saved::Ymm},
    {"f16c", 1, 0, ECX, 29, Saved::Ymm},
    {"rdrnd", 1, 0, ECX, 30},
    {"fsgsbase", 7, 0, EBX, 0},
    {"bmi", 7, 0, EBX, 3},
    {"avx2", 7, 0, EBX, 5, Saved::Ymm},
    {"bmi2", 7, 0, EBX, 8},
    {"invpcid", 7, 0, EBX, 10},
    {"avx512f", 7, 0, EBX, 16, Saved::Zmm},
    {"avx512dq", 7, 0, EBX, 17, Saved::Zmm},
    {"rdseed", 7, 0, EBX, 18},
    {"adx", 7, 0, EBX, 19},
    {"avx512ifma", 7, 0, EBX, 21, Saved::Zmm},
    {"clflushopt", 7, 0, EBX, 23},
    {"clwb", 7, 0, EBX, 24},
    {"avx512cd", 7, 0, EBX, 28, Saved::Zmm},
    {"sha", 7, 0, EBX, 29},
    {"avx512bw", 7, 0, EBX, 30, Saved::Zmm},
    {"avx512vl", 7, 0, EBX, 31, Saved::Zmm},
    {"prefetchwt1", 7, 0, ECX, 0},
    {"avx512vbmi", 7, 0, ECX, 1, Saved::Zmm},
    {"pku", 7, 0, ECX, 4},
    {"waitpkg", 7, 0, ECX, 5},
    {"avx512vbmi2", 7, 0, ECX, 6, Saved::Zmm},
    {"shstk", 7, 0, ECX, 7},
    {"gfni", 7, 0, ECX, 8},
    {"vaes", 7, 0, ECX, 9, Saved::Ymm},
    {"vpclmulqdq", 7, 0, ECX, 10, Saved::Ymm},
    {"avx512vnni", 7, 0, ECX, 11, Saved::Zmm},
    {"avx512bitalg", 7, 0, ECX, 12, Saved::Zmm},
    {"avx512vpopcntdq", 7, 0, ECX, 14, Saved::Zmm},
    {"rdpid", 7, 0, ECX, 22},
    {"cldemote", 7, 0, ECX, 25},
    {"movdiri", 7, 0, ECX, 27},
    {"movdir64b", 7, 0, ECX, 28},
    {"avx512vp2intersect", 7, 0, EDX, 8, Saved::Zmm},
    {"serialize", 7, 0, EDX, 14},
    {"amx-bf16", 7, 0, EDX, 22, Saved::Tile},
    {"avx512fp16", 7, 0, EDX, 23, Saved::Zmm},
    {"amx-tile", 7, 0, EDX, 24, Saved::Tile},
    {"amx-int8", 7, 0, EDX, 25, Saved::Tile},
    {"sha512", 7, 1, EAX, 0, Saved::Ymm},
    {"sm3", 7, 1, EAX, 1, Saved::Ymm},
    {"sm4", 7, 1, EAX, 2, Saved::Ymm},
    {"raoint", 7, 1, EAX, 3},
    {"avxvnni", 7, 1, EAX, 4, Saved::Ymm},
    {"avx512bf16", 7, 1, EAX, 5, Saved::Zmm},
    {"cmpccxadd", 7, 1, EAX, 7},
    {"amx-fp16", 7, 1, EAX, 21, Saved::Tile},
    {"avxifma", 7, 1, EAX, 23, Saved::Ymm},
    {"avxvnniint8", 7, 1, EDX, 4, Saved::Ymm},
    {"avxneconvert", 7, 1, EDX, 5, Saved::Ymm},
    {"amx-complex", 7, 1, EDX, 8, Saved::Tile},
    {"avxvnniint16", 7, 1, EDX, 10, Saved::Ymm},
    {"prefetchi", 7, 1, EDX, 14},
    {"xsaveopt", 0xd, 1, EAX, 0},
    {"xsavec", 0xd, 1, EAX, 1},
    {"xsaves", 0xd, 1, EAX, 3},
    {"sahf", 0x80000001, 0, ECX, 0},
    {"lzcnt", 0x80000001, 0, ECX, 5},
    {"sse4a", 0x80000001, 0, ECX, 6},
    {"prfchw", 0x80000001, 0, ECX, 8},
    {"xop", 0x80000001, 0, ECX, 11, Saved::Ymm},
    {"lwp", 0x80000001, 0, ECX, 15},
    {"fma4", 0x80000001, 0, ECX, 16, Saved::Ymm},
    {"tbm", 0x80000001, 0, ECX, 21},
    {"mwaitx", 0x80000001, 0, ECX, 29},
    {"64bit", 0x80000001, 0, EDX, 29},
    {"clzero", 0x80000008, 0, EBX, 0},
    {"rdpru", 0x80000008, 0, EBX, 4},
    {"wbnoinvd", 0x80000008, 0, EBX, 9},
};

struct Cpuid {
  uint32_t registers[4] = {0, 0, 0, 0};
  Cpuid(uint32_t leaf, uint32_t subleaf) {
    __get_cpuid_count(leaf, subleaf, &registers[EAX], &registers[EBX], &registers[ECX], &registers[EDX]);
  }
  bool bit(Register reg, int index) const { return registers[reg] >> index & 1; }
};

/// XCR0: the register state that the operating system saves; 0 when it cannot be read.
uint64_t savedState() {
  if (!Cpuid(1, 0).bit(ECX, 27)) // OSXSAVE
    return 0;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

uint64_t stateMask(Saved saved) {
  switch (saved) {
  case Saved::Nothing:
    return 0;
  case Saved::Ymm:
    return 0x6;
  case Saved::Zmm:
    return 0xe6;
  case Saved::Tile:
    return 0x60000;
  }
  return 0;
}

} // namespace

const char *cpuArchitecture() { return "x86_64"; }

std::vector<std::string> cpuFeatures() {
  const uint64_t saved = savedState();
  std::vector<std::string> names;
  // The instruction traps in virtual machines: once per leaf is enough, as the table is sorted by them.
  uint32_t leaf = 0, subleaf = 0;
  Cpuid cpuid(0, 0);
  for (const Feature &feature : features) {
    if (feature.leaf != leaf || feature.subleaf != subleaf) {
      cpuid = Cpuid(feature.leaf, feature.subleaf);
      leaf = feature.leaf;
      subleaf = feature.subleaf;
    }
    const uint64_t mask = stateMask(feature.saved);
    if ((saved & mask) == mask && cpuid.bit(feature.reg, feature.bit))
      names.push_back(feature.name);
  }
  // Parts of every 64-bit x86 CPU that have no bit of their own under LLVM's names.
  names.push_back("x87");
  return names;
}

#else

const char *cpuArchitecture() { return "unknown"; }
std::vector<std::string> cpuFeatures() { return {}; }

#endif

std::vector<std::string> missingCpuFeatures(const std::vector<std::string> &required) {
  const std::vector<std::string> present = cpuFeatures();
  std::vector<std::string> missing;
  for (const std::string &name : required)
    if (std::find(present.begin(), present.end(), name) == present.end())
      missing.push_back(name);
  return missing;
}

} // namespace pith::runtime
