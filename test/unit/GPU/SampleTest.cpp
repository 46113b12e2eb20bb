//===- SampleTest.cpp - softmax, sampling and codes on the emulator -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EmulatedSet.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

using namespace pith::gpu;
using namespace pith::gpu::test;

namespace {
/// In plain doubles: sorts, cuts, draws.
int32_t referenceSample(const float *x, int64_t n, SampleOptions o, double uniform) {
  std::vector<int32_t> order(size_t(n), 0);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return x[a] > x[b]; });
  if (o.temperature == 0)
    return order[0];
  if (o.topK > 0 && o.topK < n)
    order.resize(size_t(o.topK));
  auto weight = [&](int32_t i) {
    return std::exp((double(x[i]) - double(x[order[0]])) / double(o.temperature));
  };
  if (o.topP < 1) {
    double total = 0, sum = 0;
    for (int32_t i : order)
      total += weight(i);
    size_t keep = 0;
    while (keep < order.size() && sum < double(o.topP) * total)
      sum += weight(order[keep++]);
    order.resize(std::max<size_t>(keep, 1));
  }
  double total = 0, sum = 0;
  std::vector<int32_t> kept;
  for (int32_t i : order)
    if (weight(i) >= double(o.minP))
      kept.push_back(i);
  std::sort(kept.begin(), kept.end());
  for (int32_t i : kept)
    total += weight(i);
  for (int32_t i : kept)
    if ((sum += weight(i)) > uniform * total)
      return i;
  return kept.back();
}

class Sample : public testing::TestWithParam<std::string> {};
} // namespace

TEST_P(Sample, EqualsReference) {
  int64_t n = 1500;
  std::vector<SampleOptions> options = {{1, 0, 1, 0},      {0, 0, 1, 0},           {0.7f, 40, 1, 0},
                                        {1, 0, 0.9f, 0},   {2, 100, 0.5f, 0},      {1, 1, 1, 0},
                                        {1, 0, 1, 0.3f},   {1.5f, 20, 0.8f, 0.1f}, {1, 7, 1, 0},
                                        {1, 0, 0.001f, 0}, {1, 5000, 0.99f, 0}};
  size_t rows = options.size();
  std::vector<float> x = randomFloats(rows * size_t(n), 3, -6, 6), uniform = randomFloats(rows, 4, 0, 1);
  // Row 8: many equal logits, of which 7 stay, the first ones. Row 7: what is banned.
  for (int64_t i = 0; i < n; ++i) {
    x[size_t(8 * n + i)] = i % 3 == 1 ? 2.5f : -1;
    if (i % 5)
      x[size_t(7 * n + i)] = -INFINITY;
  }
  EmulatedSet set(GetParam());
  size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateSample(m, n); });
  ASSERT_EQ(set.compile(), "");
  auto logits = set.buffer(x), uniforms = set.buffer(uniform);
  auto settings = set.emulated.buffer(options);
  auto out = set.emulated.buffer(std::vector<int32_t>(rows, -1));
  ASSERT_EQ(set.launch(kernel, {logits, settings, uniforms, out}, {int32_t(rows)}), "");
  std::vector<int32_t> tokens = out.read();
  for (size_t row = 0; row < rows; ++row)
    EXPECT_EQ(tokens[row], referenceSample(x.data() + row * size_t(n), n, options[row], double(uniform[row])))
        << "row " << row;
}

TEST_P(Sample, Softmax) {
  for (int64_t n : {77, 1300}) {
    std::vector<float> x = randomFloats(size_t(2 * n), 5, -8, 8);
    EmulatedSet set(GetParam());
    size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateSoftmax(m, n); });
    ASSERT_EQ(set.compile(), "");
    auto values = set.buffer(x);
    auto out = set.emulated.buffer<float>(size_t(2 * n));
    ASSERT_EQ(set.launch(kernel, {values, out}, {2}), "");
    std::vector<float> result = out.read();
    for (int64_t row = 0; row < 2; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i)
        sum += std::exp(double(x[size_t(row * n + i)]));
      for (int64_t i = 0; i < n; ++i) {
        double want = std::exp(double(x[size_t(row * n + i)])) / sum;
        ASSERT_NEAR(result[size_t(row * n + i)], want, want * 1e-5) << "row " << row << " column " << i;
      }
    }
  }
}

TEST_P(Sample, CodesAndBack) {
  for (int64_t block : {0, 32}) {
    QuantizeSpec spec;
    spec.k = 300;
    spec.block = block;
    spec.element = block ? Element::F16 : Element::F32;
    int64_t length = block ? block : spec.k, blocks = (spec.k + length - 1) / length, rows = 3;
    EmulatedSet set(GetParam());
    size_t there = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateQuantize(m, spec); });
    size_t back = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateDequantize(m, spec); });
    ASSERT_EQ(set.compile(), "");
    std::vector<float> x = randomFloats(size_t(rows * spec.k), 6);
    std::fill(x.begin() + spec.k, x.begin() + 2 * spec.k, 0.0f); // a row of zeros
    auto values = set.buffer(x, spec.element), out = set.buffer(x, spec.element);
    auto codes = set.emulated.buffer<int8_t>(size_t(rows * spec.k));
    auto scales = set.emulated.buffer<float>(size_t(rows * blocks));
    ASSERT_EQ(set.launch(there, {values, codes, scales}, {int32_t(rows)}), "");
    ASSERT_EQ(set.launch(back, {codes, scales, out}, {int32_t(rows)}), "");
    std::vector<uint8_t> in = values.read(), result = out.read();
    std::vector<float> scale = scales.read();
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t i = 0; i < spec.k; ++i) {
        float largest = 0;
        for (int64_t j = i / length * length; j < std::min(spec.k, (i / length + 1) * length); ++j)
          largest =
              std::max(largest, std::fabs(fromElement(in.data(), spec.element, size_t(row * spec.k + j))));
        size_t at = size_t(row * spec.k + i);
        ASSERT_NEAR(scale[size_t(row * blocks + i / length)], largest / 127, largest * 1e-8);
        ASSERT_NEAR(fromElement(result.data(), spec.element, at), fromElement(in.data(), spec.element, at),
                    largest / 253 + largest * roundingOf(spec.element))
            << "row " << row << " column " << i;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, Sample, testing::ValuesIn(emulatedChips()),
                         [](const testing::TestParamInfo<std::string> &info) {
                           return info.param.substr(info.param.find(':') + 1);
                         });
