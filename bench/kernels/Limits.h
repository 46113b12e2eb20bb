//===- Limits.h - what memory and arithmetic give -----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels are compared with limits measured in the same process, by generated code on the same team: the speed of
// reading memory, and of f32 fused multiply-adds on registers. A shared host gives different absolute figures from
// minute to minute; shares of these limits are what can be compared.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_BENCH_KERNELS_LIMITS_H
#define PITH_BENCH_KERNELS_LIMITS_H

#include "KernelHarness.h"
#include <chrono>
#include <functional>

namespace pith::bench {

/// Huge pages where the system gives them, filled with zeros.
class Memory {
public:
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;
  uint8_t *data() const { return base; }
  size_t size() const { return bytes; }

private:
  uint8_t *base;
  size_t bytes;
};

/// Seconds of one call: the best of `repetitions`. On a shared host the best is the only figure that repeats.
double bestSeconds(int repetitions, const std::function<void()> &call);

/// Adds the kernels that `readRate` and `fmaRate` run to the harness's module; before `compile`.
void addLimitKernels(test::KernelHarness &harness);
/// Bytes per second of reading `memory` once.
double readRate(test::KernelHarness &harness, test::Team &team, const Memory &memory);
/// Fused multiply-adds (of one f32 each) per second, all threads together.
double fmaRate(test::KernelHarness &harness, test::Team &team);

} // namespace pith::bench

#endif // PITH_BENCH_KERNELS_LIMITS_H
