//===- TensorAttentionTest.cpp - attention over tensors on the emulator ---===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Batches of odd numbers of queries and tokens, every option, both forms of the kernel, against the formula
// in double precision. Keys and values are columns of one wider tensor, as a fused projection leaves them.
//
//===----------------------------------------------------------------------===//
#include "EmulatedSet.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace pith::gpu;
using namespace pith::gpu::test;
using pith::test::DeviceBuffer;

namespace {
constexpr float hidden = -std::numeric_limits<float>::infinity();

struct Case {
  const char *name;
  AttentionSpec spec;
  int64_t batch, queries, tokens;
  double tolerance = 1e-5;
  bool maskOfAll[4] = {true, true, true, true}; // dimensions in which the mask has all elements
};

std::vector<Case> cases() {
  std::vector<Case> all;
  auto add = [&](const char *name, int64_t heads, int64_t kvHeads, int64_t headDim, int64_t valueDim,
                 int64_t batch, int64_t queries, int64_t tokens) -> Case & {
    AttentionSpec spec;
    spec.tensors = true;
    spec.causal = false;
    spec.cache = {Element::F32, kvHeads, headDim, valueDim, 0};
    spec.heads = heads;
    spec.scale = 1 / std::sqrt(float(headDim));
    all.push_back({name, spec, batch, queries, tokens});
    return all.back();
  };
  auto tile = [&](Case &c, Element product, int64_t parts, double tolerance) -> Case & {
    c.spec.tile = true;
    c.spec.product = product;
    c.spec.parts = parts;
    c.tolerance = tolerance;
    return c;
  };
  add("plain", 2, 2, 32, 32, 2, 5, 17);
  Case &causal = add("causal-sinks", 4, 2, 40, 24, 2, 9, 9);
  causal.spec.causal = causal.spec.sinks = true;
  // More queries than tokens: the first ones see nothing.
  Case &longer = add("causal-longer-window", 2, 1, 16, 16, 1, 12, 7);
  longer.spec.causal = true;
  longer.spec.window = 3;
  Case &added = add("mask", 3, 3, 20, 12, 2, 7, 33);
  added.spec.mask = Mask::Add;
  added.spec.softcap = 4;
  Case &kept = add("keep", 2, 2, 64, 64, 2, 3, 70);
  kept.spec.mask = Mask::Keep;
  kept.maskOfAll[1] = kept.maskOfAll[2] = false;
  add("nothing", 2, 2, 16, 16, 1, 3, 0);

  // One part of f16 rounds keys and values by 2^-11; three of bf16 are f32.
  tile(add("tile", 2, 2, 64, 64, 2, 70, 65), Element::F16, 1, 6e-3);
  tile(add("tile-exact", 2, 1, 64, 32, 1, 33, 100), Element::BF16, 3, 1e-5).spec.softcap = 5;
  Case &tileCausal = tile(add("tile-causal", 3, 1, 32, 48, 2, 50, 61), Element::F16, 2, 2e-5);
  tileCausal.spec.causal = tileCausal.spec.sinks = true;
  Case &tileWindow = tile(add("tile-longer-window", 2, 2, 80, 20, 2, 90, 41), Element::BF16, 3, 1e-5);
  tileWindow.spec.causal = true;
  tileWindow.spec.window = 13;
  Case &both = tile(add("tile-window-ahead", 1, 1, 16, 16, 1, 70, 70), Element::F16, 2, 2e-5);
  both.spec.window = 9;
  Case &tileMask = tile(add("tile-mask", 2, 2, 36, 36, 2, 35, 67), Element::BF16, 3, 1e-5);
  tileMask.spec.mask = Mask::Add;
  tileMask.maskOfAll[0] = false;
  Case &tileKeep = tile(add("tile-keep", 2, 1, 128, 128, 2, 20, 40), Element::F16, 2, 2e-5);
  tileKeep.spec.mask = Mask::Keep;
  tileKeep.maskOfAll[1] = tileKeep.maskOfAll[2] = false;
  Case &halves = tile(add("tile-halves", 2, 2, 64, 64, 1, 40, 90), Element::F16, 1, 6e-3);
  halves.spec.cache.element = halves.spec.input = halves.spec.output = Element::F16;
  Case &group = tile(add("group", 2, 1, 128, 64, 2, 70, 75), Element::F16, 1, 6e-3);
  group.spec.warpGroups = group.spec.causal = true;
  Case &groupMask = tile(add("group-mask-halves", 2, 2, 64, 64, 1, 40, 150), Element::F16, 1, 6e-3);
  groupMask.spec.cache.element = groupMask.spec.input = Element::F16;
  groupMask.spec.warpGroups = true;
  groupMask.spec.mask = Mask::Add;
  return all;
}

class Tensors : public testing::TestWithParam<std::string> {};
} // namespace

TEST_P(Tensors, Attend) {
  for (const Case &c : cases()) {
    SCOPED_TRACE(c.name);
    if (c.spec.warpGroups != (GetParam() == "cuda:sm_90a"))
      continue;
    const AttentionSpec &spec = c.spec;
    const CacheLayout &cache = spec.cache;
    ASSERT_EQ(llvm::toString(spec.check()), "");
    EmulatedSet set(GetParam());
    size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateAttention(m, spec); });
    ASSERT_EQ(set.compile(), "");

    int64_t rows = c.batch * c.queries, ldq = spec.heads * cache.headDim, ldo = spec.heads * cache.valueDim,
            keyWidth = cache.kvHeads * cache.headDim, ld = keyWidth + cache.kvHeads * cache.valueDim;
    auto round = [&](std::vector<float> values, Element element) {
      std::vector<uint8_t> bytes = toElements(values, element);
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = fromElement(bytes.data(), element, i);
      return values;
    };
    std::vector<float> q = round(randomFloats(size_t(rows * ldq), 1, -3, 3), spec.input),
                       kv = round(randomFloats(size_t(c.batch * c.tokens * ld), 2, -2, 2), cache.element),
                       sinks = randomFloats(size_t(spec.heads), 3);
    // Of the mask's elements a third hides; nothing of the last sequence's first row, or all of it.
    int64_t sizes[] = {c.batch, spec.heads, c.queries, c.tokens}, steps[4], elements = 1;
    for (int i = 3; i >= 0; --i) {
      int64_t size = c.maskOfAll[i] ? sizes[i] : 1;
      steps[i] = size > 1 ? elements : 0;
      elements *= size;
    }
    std::vector<float> mask = randomFloats(size_t(elements), 4, -1, 1);
    for (size_t i = 0; i < mask.size(); ++i)
      if (i % 3 == 0 || i < size_t(c.tokens))
        mask[i] = hidden;
    if (spec.mask == Mask::Add) // very low, but not hidden: they count where there is nothing else
      for (int64_t i = 0; i < c.tokens; ++i)
        mask[size_t(elements - 1 - i)] = -std::numeric_limits<float>::max();

    auto qBuffer = set.buffer(q, spec.input), kvBuffer = set.buffer(kv, cache.element);
    auto sinkBuffer = set.emulated.buffer(sinks);
    std::vector<uint8_t> kept;
    for (float value : mask)
      kept.push_back(value != hidden);
    auto maskBuffer = spec.mask == Mask::Keep ? set.emulated.buffer(kept) : set.buffer(mask);
    auto out = set.buffer(std::vector<float>(size_t(rows * ldo), -7), spec.output);
    const void *values = kvBuffer.data() + keyWidth * elementBytes(cache.element);
    std::vector<pith::test::KernelArgument> arguments = {qBuffer, kvBuffer, values};
    if (spec.mask != Mask::None)
      arguments.push_back(maskBuffer);
    if (spec.sinks)
      arguments.push_back(sinkBuffer);
    arguments.push_back(out);
    std::vector<int32_t> numbers = {int32_t(rows), int32_t(ldq),       int32_t(ldo),     int32_t(ld),
                                    int32_t(ld),   int32_t(c.queries), int32_t(c.tokens)};
    if (spec.mask != Mask::None)
      for (int64_t step : steps)
        numbers.push_back(int32_t(step));
    set.emulated.device.options.seed = 2;
    ASSERT_EQ(set.launch(kernel, arguments, numbers), "");

    std::vector<uint8_t> result = out.read();
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t head = 0; head < spec.heads; ++head) {
        int64_t sequence = row / c.queries, query = row % c.queries, position = query + c.tokens - c.queries,
                kvHead = head / (spec.heads / cache.kvHeads);
        std::vector<double> scores(size_t(c.tokens), double(hidden));
        double largest = spec.sinks ? double(sinks[size_t(head)]) : double(hidden);
        for (int64_t j = 0; j < c.tokens; ++j) {
          if ((spec.causal && j > position) || (spec.window > 0 && j <= position - spec.window))
            continue;
          double s = 0;
          for (int64_t d = 0; d < cache.headDim; ++d)
            s += double(q[size_t(row * ldq + head * cache.headDim + d)]) *
                 double(kv[size_t((sequence * c.tokens + j) * ld + kvHead * cache.headDim + d)]);
          s *= double(spec.scale);
          if (spec.softcap > 0)
            s = double(spec.softcap) * std::tanh(s / double(spec.softcap));
          float m = mask[size_t(sequence * steps[0] + head * steps[1] + query * steps[2] + j * steps[3])];
          if (spec.mask == Mask::Add)
            s = m < -1e30f && m != hidden ? -1e30 : s + double(m);
          else if (spec.mask == Mask::Keep && m == hidden)
            s = double(hidden);
          scores[size_t(j)] = s;
          largest = std::max(largest, s);
        }
        std::vector<double> want(size_t(cache.valueDim), 0.0);
        double sum = spec.sinks ? std::exp(double(sinks[size_t(head)]) - largest) : 0;
        for (int64_t j = 0; j < c.tokens; ++j) {
          double weight = scores[size_t(j)] == double(hidden) ? 0 : std::exp(scores[size_t(j)] - largest);
          sum += weight;
          for (int64_t d = 0; d < cache.valueDim; ++d)
            want[size_t(d)] +=
                weight *
                double(kv[size_t((sequence * c.tokens + j) * ld + keyWidth + kvHead * cache.valueDim + d)]);
        }
        for (int64_t d = 0; d < cache.valueDim; ++d) {
          double expected = sum > 0 ? want[size_t(d)] / sum : 0;
          ASSERT_NEAR(fromElement(result.data(), spec.output, size_t(row * ldo + head * cache.valueDim + d)),
                      expected, c.tolerance + std::fabs(expected) * roundingOf(spec.output))
              << "row " << row << " head " << head << " channel " << d;
        }
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, Tensors,
                         testing::Values("cuda:sm_80", "cuda:sm_90a", "hip:gfx942", "hip:gfx1100"),
                         [](const testing::TestParamInfo<std::string> &info) {
                           return info.param.substr(info.param.find(':') + 1);
                         });
