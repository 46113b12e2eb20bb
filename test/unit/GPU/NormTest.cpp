//===- NormTest.cpp - norms and rotary embeddings on the emulator ---------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EmulatedSet.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>

using namespace pith::gpu;
using namespace pith::gpu::test;

namespace {
class Rows : public testing::TestWithParam<std::string> {};
} // namespace

TEST_P(Rows, NormEqualsReference) {
  struct Case {
    Norm kind;
    int64_t k, heads, rows;
    bool bias;
    Element output;
  };
  for (const Case &c :
       {Case{Norm::RMS, 64, 3, 3, false, Element::F32}, Case{Norm::RMS, 4096, 1, 2, false, Element::F16},
        Case{Norm::Layer, 2052, 1, 3, true, Element::F32}, Case{Norm::Layer, 77, 2, 3, true, Element::BF16},
        Case{Norm::Layer, 1025, 1, 1, false, Element::F32}}) {
    SCOPED_TRACE(c.k);
    NormSpec spec;
    spec.kind = c.kind;
    spec.k = c.k;
    spec.heads = c.heads;
    spec.epsilon = 1e-5f;
    spec.bias = c.bias;
    spec.output = c.output;
    EmulatedSet set(GetParam());
    size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateNorm(m, spec); });
    ASSERT_EQ(set.compile(), "");
    int64_t width = c.heads * c.k, ldx = width + 8;
    // A mean that is large next to the differences.
    std::vector<float> x = randomFloats(size_t(c.rows * ldx), 1, 9, 11), scale = randomFloats(size_t(c.k), 2),
                       bias = randomFloats(size_t(c.k), 3);
    auto xs = set.buffer(x), scales = set.buffer(scale), biases = set.buffer(bias);
    auto out = set.buffer(std::vector<float>(size_t(c.rows * width), -7), c.output);
    std::vector<pith::test::KernelArgument> arguments = {xs, scales};
    if (c.bias)
      arguments.push_back(biases);
    arguments.push_back(out);
    ASSERT_EQ(set.launch(kernel, arguments, {int32_t(c.rows), int32_t(ldx)}), "");
    std::vector<uint8_t> result = out.read();
    for (int64_t item = 0; item < c.rows * c.heads; ++item) {
      const float *from = x.data() + item / c.heads * ldx + item % c.heads * c.k;
      double mean = 0, squares = 0;
      for (int64_t i = 0; i < c.k && c.kind == Norm::Layer; ++i)
        mean += double(from[i]) / double(c.k);
      for (int64_t i = 0; i < c.k; ++i)
        squares += (from[i] - mean) * (from[i] - mean);
      double factor = 1 / std::sqrt(squares / double(c.k) + 1e-5);
      for (int64_t i = 0; i < c.k; ++i) {
        double want = (from[i] - mean) * factor * scale[size_t(i)] + (c.bias ? double(bias[size_t(i)]) : 0);
        ASSERT_NEAR(fromElement(result.data(), c.output, size_t(item * c.k + i)), want,
                    1e-5 + std::fabs(want) * roundingOf(c.output))
            << "item " << item << " column " << i;
      }
    }
  }
}

TEST_P(Rows, RopeEqualsReference) {
  for (bool interleaved : {false, true})
    for (int64_t rotary : {64, 20}) {
      RopeSpec spec;
      spec.heads = 3;
      spec.headDim = 64;
      spec.rotaryDim = rotary;
      spec.interleaved = interleaved;
      EmulatedSet set(GetParam());
      size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateRope(m, spec); });
      ASSERT_EQ(set.compile(), "");
      int64_t rows = 3, width = 3 * 64, ldx = width + 4, pairs = rotary / 2;
      std::vector<float> x = randomFloats(size_t(rows * ldx), 1),
                         cosines = randomFloats(size_t(rows * pairs), 2),
                         sines = randomFloats(size_t(rows * pairs), 3);
      auto xs = set.emulated.buffer(x), c = set.emulated.buffer(cosines), s = set.emulated.buffer(sines);
      // In place.
      ASSERT_EQ(set.launch(kernel, {xs, c, s, xs}, {int32_t(rows), int32_t(ldx), int32_t(ldx)}), "");
      std::vector<float> want = x, result = xs.read();
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t head = 0; head < 3; ++head)
          for (int64_t p = 0; p < pairs; ++p) {
            size_t base = size_t(row * ldx + head * 64), first = base + size_t(interleaved ? 2 * p : p),
                   second = interleaved ? first + 1 : first + size_t(pairs);
            float cosine = cosines[size_t(row * pairs + p)], sine = sines[size_t(row * pairs + p)];
            want[first] = x[first] * cosine - x[second] * sine;
            want[second] = x[second] * cosine + x[first] * sine;
          }
      for (size_t i = 0; i < want.size(); ++i)
        ASSERT_NEAR(result[i], want[i], 1e-6) << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Chips, Rows, testing::ValuesIn(emulatedChips()),
                         [](const testing::TestParamInfo<std::string> &info) {
                           return info.param.substr(info.param.find(':') + 1);
                         });
