//===- Probes.h - what this machine can do at most --------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_BENCH_PROBES_PROBES_H
#define PITH_BENCH_PROBES_PROBES_H

#include <cstdint>

namespace pith::bench {

/// Reads bytes [0, count), a multiple of 512, with a prefetch ahead as the kernels have it. Returns something
/// of them.
uint64_t readMemory(const uint8_t *data, int64_t count);

/// Independent multiply-adds in registers; return how many multiply-adds (of scalars) were done.
int64_t multiplyAddFloats(int64_t iterations);
int64_t multiplyAddBytes(int64_t iterations); // 8-bit products, vpdpbusd or the AVX2 pair

} // namespace pith::bench

#endif // PITH_BENCH_PROBES_PROBES_H
