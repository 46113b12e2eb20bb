//===- AttentionTest.cpp - cache append and attention on the emulator -----===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../CPU/AttentionReference.h"
#include "EmulatedSet.h"
#include "pith/executable.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

using namespace pith::gpu;
using namespace pith::gpu::test;
using pith::test::DeviceBuffer;

namespace {
/// What a sequence holds, row after row, as the reference wants to read it.
struct Sequence {
  const CacheLayout &cache;
  std::vector<float> keys, values; // [token][head][channel], rounded to the cache's element
  int64_t past, rows;
  float key(int64_t head, int64_t token, int64_t d) const {
    return keys[size_t((token * cache.kvHeads + head) * cache.headDim + d)];
  }
  float value(int64_t head, int64_t token, int64_t d) const {
    return values[size_t((token * cache.kvHeads + head) * cache.valueDim + d)];
  }
};

struct Case {
  const char *name;
  AttentionSpec spec;
  int32_t splits;
  std::vector<std::pair<int64_t, int64_t>> sequences = {{130, 1}, {0, 3}}; // past, rows
  double tolerance = 1e-5;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  auto add = [&](const char *name, CacheLayout cache, int64_t heads, int32_t splits) -> AttentionSpec & {
    AttentionSpec spec;
    spec.cache = cache;
    spec.heads = heads;
    spec.scale = 1 / std::sqrt(float(cache.headDim));
    spec.split = splits > 0;
    all.push_back({name, spec, splits, {{130, 1}, {0, 3}}, 1e-5});
    return all.back().spec;
  };
  add("f16", {Element::F16, 2, 128, 128, 0}, 8, 0);
  add("f16-split", {Element::F16, 1, 64, 64, 64}, 4, 3);
  AttentionSpec &gemma = add("softcap-window", {Element::F32, 2, 32, 32, 0}, 2, 0);
  gemma.softcap = 5;
  gemma.window = 37;
  gemma.output = Element::F16;
  AttentionSpec &oss = add("sinks-split", {Element::BF16, 1, 64, 64, 192}, 8, 2);
  oss.sinks = true;
  oss.window = 100;
  AttentionSpec &bloom = add("alibi-odd", {Element::F32, 2, 80, 20, 0}, 6, 0);
  bloom.alibi = bloom.sinks = true;
  add("wide", {Element::F16, 1, 512, 288, 0}, 2, 0);
  add("bias", {Element::F32, 2, 32, 64, 0}, 4, 0).bias = 100;
  add("bias-split", {Element::F16, 4, 64, 64, 0}, 4, 2).bias = 40;
  add("condition", {Element::F32, 2, 64, 64, 0}, 2, 0).condition = true;
  add("condition-split", {Element::F16, 1, 32, 32, 0}, 2, 3).condition = true;
  // On matrix units. Rounding to f16 changes weights and queries by 2^-11, to bf16 by 2^-8.
  auto tile = [&](const char *name, CacheLayout cache, int64_t heads, Element product, int64_t parts,
                  double tolerance) -> AttentionSpec & {
    AttentionSpec &spec = add(name, cache, heads, 0);
    spec.tile = true;
    spec.product = product;
    spec.parts = parts;
    all.back().sequences = {{70, 30}, {0, 1}, {0, 75}};
    all.back().tolerance = tolerance;
    return spec;
  };
  tile("tile-f16", {Element::F16, 1, 128, 128, 0}, 4, Element::F16, 1, 4e-3).input = Element::F16;
  AttentionSpec &exact = tile("tile-exact", {Element::F16, 2, 64, 64, 64}, 4, Element::F16, 2, 1e-5);
  exact.window = 50;
  exact.softcap = 5;
  tile("tile-bf16-exact", {Element::BF16, 1, 64, 32, 0}, 3, Element::BF16, 3, 1e-5).sinks = true;
  tile("tile-bias", {Element::F16, 2, 64, 64, 0}, 2, Element::F16, 2, 1e-5).bias = 60;
  tile("tile-condition", {Element::F16, 2, 64, 32, 0}, 4, Element::F16, 2, 1e-5).condition = true;
  AttentionSpec &odd = tile("tile-f32-odd", {Element::F32, 2, 80, 20, 0}, 6, Element::F16, 1, 4e-3);
  odd.alibi = odd.sinks = true;
  // By wgmma.
  AttentionSpec &group = tile("group", {Element::F16, 1, 128, 128, 0}, 4, Element::F16, 1, 4e-3);
  group.input = group.output = Element::F16;
  group.warpGroups = true;
  AttentionSpec &bf16 = tile("group-bf16", {Element::BF16, 2, 64, 128, 64}, 2, Element::BF16, 1, 3e-2);
  bf16.window = 50;
  bf16.sinks = bf16.warpGroups = true;
  return all;
}

std::vector<float> randomFloats(size_t count, std::mt19937 &random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float &value : values)
    value = normal(random);
  return values;
}

std::vector<float> rounded(const std::vector<float> &values, Element element) {
  std::vector<uint8_t> bytes = toElements(values, element);
  std::vector<float> result(values.size());
  for (size_t i = 0; i < values.size(); ++i)
    result[i] = fromElement(bytes.data(), element, i);
  return result;
}

class Cache : public testing::TestWithParam<std::string> {};
} // namespace

/// Two sequences grow by what is appended: all tokens of their past, then the step's rows, over which
/// attention runs. With a condition, what was appended is the condition.
TEST_P(Cache, AppendAndAttend) {
  for (const Case &c : cases()) {
    SCOPED_TRACE(c.name);
    const AttentionSpec &spec = c.spec;
    const CacheLayout &cache = spec.cache;
    if (spec.warpGroups != (GetParam() == "cuda:sm_90a"))
      continue;
    ASSERT_FALSE(bool(spec.check()));
    AppendSpec appendSpec;
    appendSpec.cache = cache;
    EmulatedSet set(GetParam());
    size_t append = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateKVAppend(m, appendSpec); });
    size_t attention = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateAttention(m, spec); });
    size_t merge = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateAttentionMerge(m, spec); });
    ASSERT_EQ(set.compile(), "");

    std::mt19937 random(5);
    int64_t keyWidth = cache.kvHeads * cache.headDim, valueWidth = cache.kvHeads * cache.valueDim;
    std::vector<Sequence> sequences;
    for (auto [past, rows] : c.sequences)
      sequences.push_back({cache, {}, {}, past, rows});
    std::vector<std::vector<float>> keys, values;
    std::vector<DeviceBuffer<uint8_t>> pages;
    std::vector<DeviceBuffer<void *>> tables;
    for (Sequence &s : sequences) {
      int64_t tokens = s.past + s.rows;
      keys.push_back(randomFloats(size_t(tokens * keyWidth), random));
      values.push_back(randomFloats(size_t(tokens * valueWidth), random));
      s.keys = rounded(keys.back(), cache.element);
      s.values = rounded(values.back(), cache.element);
      std::vector<void *> table;
      for (int64_t page = 0; page * CacheLayout::pageTokens < tokens; ++page) {
        // NaN in every element type until something is written.
        pages.push_back(
            set.emulated.buffer(std::vector<uint8_t>(size_t(cache.layerOffset + cache.layerBytes()), 0xff)));
        table.push_back(pages.back().data());
      }
      tables.push_back(set.emulated.buffer(table));
    }

    // A step of `rows` rows of each sequence behind `past` tokens.
    auto appendRows = [&](size_t sequence, int64_t past, int64_t rows) {
      pith_exec_lane lane = {0, uint32_t(rows), uint32_t(past), 0, tables[sequence].data()};
      auto lanes = set.emulated.buffer(std::vector<pith_exec_lane>{lane});
      auto rowLanes = set.emulated.buffer(std::vector<int32_t>(size_t(rows), 0));
      auto slice = [&](const std::vector<float> &all, int64_t width) {
        return set.emulated.buffer(
            std::vector<float>(all.begin() + past * width, all.begin() + (past + rows) * width));
      };
      auto k = slice(keys[sequence], keyWidth), v = slice(values[sequence], valueWidth);
      return set.launch(
          append, {k, v, rowLanes, lanes},
          {int32_t(rows), int32_t(keyWidth), int32_t(valueWidth), int32_t(cache.layerOffset / 64)});
    };
    std::vector<pith_exec_lane> lanes, conditions;
    std::vector<int32_t> rowLanes;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const Sequence &s = sequences[i];
      if (s.past) {
        ASSERT_EQ(appendRows(i, 0, s.past), "");
      }
      ASSERT_EQ(appendRows(i, s.past, s.rows), "");
      void *const *table = tables[i].data(), *const *own = spec.condition ? nullptr : table;
      lanes.push_back({uint32_t(rowLanes.size()), uint32_t(s.rows), uint32_t(s.past), 0, own});
      conditions.push_back({0, 0, uint32_t(s.past + s.rows), 0, table});
      rowLanes.insert(rowLanes.end(), size_t(s.rows), int32_t(i));
    }

    int64_t rows = int64_t(rowLanes.size()), ldq = spec.heads * cache.headDim,
            ldo = spec.heads * cache.valueDim;
    std::vector<float> q = rounded(randomFloats(size_t(rows * ldq), random), spec.input),
                       sinks = randomFloats(size_t(spec.heads), random),
                       slopes = randomFloats(size_t(spec.heads), random),
                       bias = randomFloats(size_t(spec.heads * biasStride(spec.bias)), random);
    auto qs = set.buffer(q, spec.input);
    auto sinkBuffer = set.emulated.buffer(sinks), slopeBuffer = set.emulated.buffer(slopes),
         biasBuffer = set.emulated.buffer(bias);
    auto laneBuffer = set.emulated.buffer(lanes), conditionBuffer = set.emulated.buffer(conditions);
    auto rowBuffer = set.emulated.buffer(rowLanes);
    auto out = set.buffer(std::vector<float>(size_t(rows * ldo), -7), spec.output);
    auto parts =
        set.emulated.buffer<float>(size_t(rows * spec.heads * std::max(c.splits, 1) * (2 + cache.valueDim)));
    std::vector<pith::test::KernelArgument> arguments = {qs, rowBuffer, laneBuffer};
    if (spec.condition)
      arguments.push_back(conditionBuffer);
    if (spec.sinks && !spec.split)
      arguments.push_back(sinkBuffer);
    if (spec.alibi)
      arguments.push_back(slopeBuffer);
    if (spec.bias)
      arguments.push_back(biasBuffer);
    int32_t layer = int32_t(cache.layerOffset / 64);
    set.emulated.device.options.seed = 2;
    if (spec.split) {
      arguments.push_back(parts);
      ASSERT_EQ(set.launch(attention, arguments, {int32_t(rows), int32_t(ldq), layer, c.splits}), "");
      std::vector<pith::test::KernelArgument> mergeArguments = {parts};
      if (spec.sinks)
        mergeArguments.push_back(sinkBuffer);
      mergeArguments.push_back(out);
      ASSERT_EQ(set.launch(merge, mergeArguments, {int32_t(rows), int32_t(ldo), c.splits}), "");
    } else {
      arguments.push_back(out);
      ASSERT_EQ(set.launch(attention, arguments, {int32_t(rows), int32_t(ldq), int32_t(ldo), layer}), "");
    }

    std::vector<uint8_t> result = out.read();
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t head = 0; head < spec.heads; ++head) {
        const Sequence &s = sequences[size_t(rowLanes[size_t(row)])];
        int64_t p = s.past + row - int64_t(lanes[size_t(rowLanes[size_t(row)])].first_row);
        if (spec.condition)
          p = s.past + s.rows - 1;
        std::vector<double> want =
            pith::cpu::test::referenceAttention(spec, s, q.data() + row * ldq + head * cache.headDim, head, p,
                                                sinks.data(), spec.bias ? bias.data() : slopes.data());
        for (int64_t d = 0; d < cache.valueDim; ++d)
          ASSERT_NEAR(fromElement(result.data(), spec.output, size_t(row * ldo + head * cache.valueDim + d)),
                      want[size_t(d)], c.tolerance + std::fabs(want[size_t(d)]) * roundingOf(spec.output))
              << "row " << row << " head " << head << " channel " << d;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, Cache,
                         testing::Values("cuda:sm_80", "cuda:sm_90a", "hip:gfx942", "hip:gfx1100",
                                         "hip:gfx1201"),
                         [](const testing::TestParamInfo<std::string> &info) {
                           return info.param.substr(info.param.find(':') + 1);
                         });
