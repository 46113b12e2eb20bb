//===- SampleTest.cpp - softmax, sampling and codes on the emulator -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EmulatedSet.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "pith/executable.h"
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
int32_t referenceSample(const float *x, int64_t n, const pith_exec_draw &o) {
  std::vector<int32_t> order(size_t(n), 0);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return x[a] > x[b]; });
  if (o.top_k > 0 && o.top_k < n)
    order.resize(size_t(o.top_k));
  auto weight = [&](int32_t i) {
    return std::exp((double(x[i]) - double(x[order[0]])) / double(o.temperature));
  };
  if (o.top_p < 1) {
    double total = 0, sum = 0;
    for (int32_t i : order)
      total += weight(i);
    size_t keep = 0;
    while (keep < order.size() && sum < double(o.top_p) * total)
      sum += weight(order[keep++]);
    order.resize(std::max<size_t>(keep, 1));
  }
  double total = 0, sum = 0;
  std::vector<int32_t> kept;
  for (int32_t i : order)
    if (weight(i) >= double(o.min_p))
      kept.push_back(i);
  std::sort(kept.begin(), kept.end());
  for (int32_t i : kept)
    total += weight(i);
  for (int32_t i : kept)
    if ((sum += weight(i)) > double(o.uniform) * total)
      return i;
  return kept.back();
}

class Sample : public testing::TestWithParam<std::string> {};
} // namespace

TEST_P(Sample, EqualsReference) {
  int64_t n = 1500;
  std::vector<pith_exec_draw> draws = {
      {0, 1, 0, 1, 0, 0},           {1, 0.7f, 40, 1, 0, 0},       {2, 1, 0, 0.9f, 0, 0},
      {3, 2, 100, 0.5f, 0, 0},      {4, 1, 1, 1, 0, 0},           {5, 1, 0, 1, 0.3f, 0},
      {7, 1.5f, 20, 0.8f, 0.1f, 0}, {8, 1, 7, 1, 0, 0},           {0, 1, 0, 0.001f, 0, 0},
      {3, 1, 5000, 0.99f, 0, 0},    {2, 1e-38f, 0, 0.5f, 0, 0},   {7, 1e38f, 0, 0.9f, 0, 0},
      {1, 1, 0, 1, 0, 0},           {1, 0.01f, 0, 0.9f, 0.01f, 0}};
  size_t rows = 9;
  std::vector<float> x = randomFloats(rows * size_t(n), 3, -6, 6),
                     uniform = randomFloats(draws.size(), 4, 0, 1);
  for (size_t i = 0; i < draws.size(); ++i)
    draws[i].uniform = i == 12 ? 0 : uniform[i];
  // Row 8: many equal logits, of which 7 stay, the first ones. Row 7: what is banned.
  for (int64_t i = 0; i < n; ++i) {
    x[size_t(8 * n + i)] = i % 3 == 1 ? 2.5f : -1;
    if (i % 5)
      x[size_t(7 * n + i)] = -INFINITY;
  }
  EmulatedSet set(GetParam());
  size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateSample(m, n); });
  ASSERT_EQ(set.compile(), "");
  auto logits = set.buffer(x);
  auto settings = set.emulated.buffer(draws);
  auto out = set.emulated.buffer(std::vector<int32_t>(draws.size(), -7));
  ASSERT_EQ(set.launch(kernel, {logits, settings, out}, {int32_t(draws.size())}), "");
  std::vector<int32_t> tokens = out.read();
  for (size_t i = 0; i < draws.size(); ++i)
    EXPECT_EQ(tokens[i], referenceSample(x.data() + draws[i].row * size_t(n), n, draws[i])) << "draw " << i;
}

TEST_P(Sample, ArgmaxTakesTheFirstOfEqual) {
  for (int64_t n : {1, 100, 3000}) {
    EmulatedSet set(GetParam());
    size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateArgmax(m, n); });
    ASSERT_EQ(set.compile(), "");
    std::vector<float> x = randomFloats(size_t(2 * n), 1);
    x[size_t(n + n / 2)] = x[size_t(n + n / 3)] = 2;
    std::vector<pith_exec_draw> draws(3);
    draws[1].row = 1;
    auto xs = set.buffer(x);
    auto settings = set.emulated.buffer(draws);
    auto out = set.emulated.buffer<int32_t>(3);
    ASSERT_EQ(set.launch(kernel, {xs, settings, out}, {3}), "");
    std::vector<int32_t> result = out.read();
    EXPECT_EQ(result[0], std::max_element(x.begin(), x.begin() + n) - x.begin());
    EXPECT_EQ(result[1], n / 3);
    EXPECT_EQ(result[2], result[0]);
  }
}

/// Both say why there is no token.
TEST_P(Sample, RowsThatCannotBeDrawnFrom) {
  int64_t n = 700;
  EmulatedSet set(GetParam());
  size_t argmax = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateArgmax(m, n); });
  size_t sample = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateSample(m, n); });
  ASSERT_EQ(set.compile(), "");
  std::vector<float> x = randomFloats(size_t(4 * n), 1);
  x[size_t(n - 1)] = NAN;
  x[size_t(n + 300)] = INFINITY;
  std::fill_n(x.begin() + 2 * n, n, -INFINITY);
  std::fill_n(x.begin() + 3 * n, n, -INFINITY);
  x[size_t(3 * n + 5)] = -3;
  std::vector<pith_exec_draw> draws;
  for (uint32_t row = 0; row < 4; ++row)
    draws.push_back({row, 1, 10, 0.9f, 0.1f, 0.5f});
  auto logits = set.buffer(x);
  auto settings = set.emulated.buffer(draws);
  for (size_t kernel : {argmax, sample}) {
    auto out = set.emulated.buffer(std::vector<int32_t>(4, -7));
    ASSERT_EQ(set.launch(kernel, {logits, settings, out}, {4}), "");
    EXPECT_EQ(out.read(), (std::vector<int32_t>{PITH_EXEC_NOT_A_NUMBER, PITH_EXEC_NOT_A_NUMBER,
                                                PITH_EXEC_NOTHING_ALLOWED, 5}));
  }
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
