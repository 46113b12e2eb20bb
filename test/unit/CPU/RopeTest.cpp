//===- RopeTest.cpp - rotary position embedding ---------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelHarness.h"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace pith;
using namespace pith::cpu;
using namespace pith::test;

static void check(const std::string &machine, const RopeSpec &spec) {
  SCOPED_TRACE(machine + " heads " + std::to_string(spec.heads) + " headDim " + std::to_string(spec.headDim) +
               " rotary " + std::to_string(spec.rotaryDim) + (spec.interleaved ? " interleaved" : ""));
  KernelHarness harness(*Machine::fromName(machine));
  std::string name = getOrCreateRope(*harness.module, harness.machine, spec).getName().str();
  ASSERT_EQ(harness.compile(), "");
  std::mt19937 rng(4);
  std::normal_distribution<float> normal;
  int64_t width = spec.heads * spec.headDim, half = spec.rotaryDim / 2;
  for (uint32_t threads : {1u, 2u, 3u})
    for (int64_t rows : {1, 5}) {
      Team team(threads);
      int64_t ldx = width + 3, ldo = width + 7;
      Buffer<float> x(rows * ldx), cosines(rows * half), sines(rows * half), out(rows * ldo);
      for (float &v : x)
        v = normal(rng);
      for (int64_t i = 0; i < rows * half; ++i) {
        float angle = 3 * normal(rng);
        cosines[i] = std::cos(angle);
        sines[i] = std::sin(angle);
      }
      harness.call(team, name, x.data(), cosines.data(), sines.data(), out.data(), rows, ldx, ldo);
      for (int64_t row = 0; row < rows; ++row) {
        std::vector<double> want(ldo, 0.0);
        for (int64_t head = 0; head < spec.heads; ++head) {
          const float *from = x.data() + row * ldx + head * spec.headDim;
          double *to = want.data() + head * spec.headDim;
          std::copy(from, from + spec.headDim, to);
          for (int64_t i = 0; i < half; ++i) {
            int64_t a = spec.interleaved ? 2 * i : i, b = spec.interleaved ? 2 * i + 1 : i + half;
            double c = cosines[row * half + i], s = sines[row * half + i];
            to[a] = from[a] * c - from[b] * s;
            to[b] = from[b] * c + from[a] * s;
          }
        }
        for (int64_t i = 0; i < ldo; ++i)
          ASSERT_NEAR(out[row * ldo + i], want[i], 1e-6) << "row " << row << " column " << i;
      }
      // In place; what stands between the rows stays.
      Buffer<float> before(x.size());
      std::copy(x.begin(), x.end(), before.begin());
      harness.call(team, name, x.data(), cosines.data(), sines.data(), x.data(), rows, ldx, ldx);
      for (int64_t row = 0; row < rows; ++row) {
        EXPECT_EQ(std::memcmp(x.data() + row * ldx, out.data() + row * ldo, width * 4), 0)
            << "in place, row " << row;
        for (int64_t i = width; i < ldx; ++i)
          EXPECT_EQ(x[row * ldx + i], before[row * ldx + i]);
      }
    }
}

TEST(Rope, AgainstReference) {
  for (std::string machine : {"host", "x86-64-v3"})
    for (bool interleaved : {false, true})
      for (auto [heads, headDim, rotaryDim] : {std::tuple{1, 64, 64},
                                               {5, 64, 64},
                                               {3, 128, 128},
                                               {2, 80, 32},
                                               {3, 100, 20},
                                               {4, 4, 2},
                                               {2, 6, 6},
                                               {2, 96, 48},
                                               {3, 64, 0},
                                               {1, 80, 80},
                                               {2, 60, 58}})
        check(machine, {heads, headDim, rotaryDim, interleaved});
}
