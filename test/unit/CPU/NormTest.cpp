//===- NormTest.cpp - RMS and layer normalization -------------------------===//
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

static std::vector<double> referenceNorm(const NormSpec &spec, const float *x, const float *scale,
                                         const float *bias) {
  double mean = 0, squares = 0;
  if (spec.kind == Norm::Layer) {
    for (int64_t i = 0; i < spec.k; ++i)
      mean += x[i];
    mean /= double(spec.k);
  }
  for (int64_t i = 0; i < spec.k; ++i)
    squares += (x[i] - mean) * (x[i] - mean);
  double factor = 1 / std::sqrt(squares / double(spec.k) + spec.epsilon);
  std::vector<double> out;
  for (int64_t i = 0; i < spec.k; ++i)
    out.push_back((x[i] - mean) * factor * scale[i] + (spec.bias ? bias[i] : 0));
  return out;
}

static void check(const std::string &machine, const NormSpec &spec) {
  SCOPED_TRACE(machine + (spec.kind == Norm::Layer ? " layer k=" : " rms k=") + std::to_string(spec.k));
  KernelHarness harness(*Machine::fromName(machine));
  std::string name = getOrCreateNorm(*harness.module, harness.machine, spec).getName().str();
  ASSERT_EQ(harness.compile(), "");
  std::mt19937 rng(3);
  std::normal_distribution<float> normal;
  Buffer<float> scale(spec.k), bias(spec.k);
  for (float &v : scale)
    v = normal(rng);
  for (float &v : bias)
    v = normal(rng);
  for (uint32_t threads : {1u, 2u, 3u})
    for (int64_t rows : {1, 2, 7}) {
      Team team(threads);
      // A mean far from zero: the variance must not come out of a difference of large squares.
      int64_t width = spec.heads * spec.k, groups = rows * spec.heads;
      Buffer<float> x(rows * width + 16), out(rows * width + 16), wide(rows * (width + 5));
      for (int64_t i = 0; i < rows * width; ++i)
        x[i] = wide[i / width * (width + 5) + i % width] = 20 + normal(rng);
      auto run = [&](const float *from, float *to, int64_t stride) {
        if (spec.bias)
          harness.call(team, name, from, scale.data(), bias.data(), to, rows, stride);
        else
          harness.call(team, name, from, scale.data(), to, rows, stride);
      };
      run(wide.data(), out.data(), width + 5);
      for (int64_t row = 0; row < groups; ++row) {
        std::vector<double> want = referenceNorm(spec, x.data() + row * spec.k, scale.data(), bias.data());
        // Layer: x - mean loses what 20 has more digits than 1.
        for (int64_t i = 0; i < spec.k; ++i)
          ASSERT_NEAR(out[row * spec.k + i], want[i],
                      2e-6 * (std::abs(want[i]) + 1) * (spec.kind == Norm::Layer ? 8 : 1))
              << "row " << row << " column " << i;
      }
      for (int64_t i = 0; i < 16; ++i)
        ASSERT_EQ(out[rows * width + i], 0) << "written past the end";
      run(x.data(), x.data(), width);
      EXPECT_EQ(std::memcmp(x.data(), out.data(), rows * width * 4), 0) << "in place";
    }
}

TEST(Norm, AgainstReference) {
  for (std::string machine : {"host", "x86-64-v3"})
    for (int64_t k : {7, 64, 257, 2048})
      for (Norm kind : {Norm::RMS, Norm::Layer})
        for (bool bias : {false, true})
          check(machine, {kind, k, 1, kind == Norm::RMS ? 1e-6f : 1e-5f, bias});
}

TEST(Norm, OfEachHead) {
  for (int64_t k : {7, 64})
    for (Norm kind : {Norm::RMS, Norm::Layer})
      check("host", {kind, k, 3, 1e-5f, kind == Norm::Layer});
}

TEST(Norm, OneElement) {
  check("host", {Norm::RMS, 1, 1, 1e-6f, false});
  check("x86-64-v3", {Norm::RMS, 1, 1, 1e-6f, true});
}
