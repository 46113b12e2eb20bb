//===- AttentionTest.cpp - cache append and attention ---------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "AttentionReference.h"
#include "KernelHarness.h"
#include <gtest/gtest.h>

using namespace pith;
using namespace pith::cpu;
using namespace pith::cpu::test;
using namespace pith::test;

namespace {

using Element = CacheLayout::Element;

struct LaneShape {
  int64_t past, rows;
};

std::vector<std::string> machines() { return {"host", "x86-64-v3"}; }

/// The kernels of one spec, compiled for one machine.
class Kernels {
public:
  Kernels(const std::string &machine, const AttentionSpec &spec)
      : spec(spec), harness(*Machine::fromName(machine)) {
    append = getOrCreateKVAppend(*harness.module, harness.machine, spec.cache).getName().str();
    attention = getOrCreateAttention(*harness.module, harness.machine, spec).getName().str();
    error = harness.compile();
  }

  void callAppend(Team &team, const float *k, const float *v, int64_t ldk, int64_t ldv) {
    harness.call(team, append, k, v, ldk, ldv);
  }
  void callAttention(Team &team, const float *q, float *out, const float *sinks, const float *slopes,
                     int64_t ldq, int64_t ldo) {
    const bool shifts = spec.alibi || spec.bias; // `slopes` is the one or the other
    if (spec.sinks && shifts)
      harness.call(team, attention, q, out, sinks, slopes, ldq, ldo);
    else if (spec.sinks || shifts)
      harness.call(team, attention, q, out, spec.sinks ? sinks : slopes, ldq, ldo);
    else
      harness.call(team, attention, q, out, ldq, ldo);
  }

  AttentionSpec spec;
  KernelHarness harness;
  std::string append, attention, error;
};

/// All tokens of one sequence: what its rows are made from, whatever the chunks.
struct Tokens {
  Tokens(const AttentionSpec &spec, int64_t count, std::mt19937 &rng)
      : q(count * spec.heads * spec.cache.headDim), k(count * spec.cache.kvHeads * spec.cache.headDim),
        v(count * spec.cache.kvHeads * spec.cache.valueDim) {
    std::normal_distribution<float> normal;
    for (auto *values : {&q, &k, &v})
      for (float &x : *values)
        x = normal(rng);
  }
  std::vector<float> q, k, v;
};

/// One step over lanes: appends and attends. Rows are put in matrices with leading dimensions wider than
/// needed.
class Step {
public:
  Step(Kernels &kernels, Team &team, const float *sinks, const float *slopes)
      : kernels(kernels), team(team), sinks(sinks), slopes(slopes) {}

  void add(const Tokens &tokens, PagedSequence &sequence, LaneShape shape) {
    pith_exec_lane lane = {};
    lane.first_row = uint32_t(rows);
    lane.rows = uint32_t(shape.rows);
    lane.past = uint32_t(shape.past);
    lane.page_count = uint32_t(sequence.pages.size());
    lane.pages = sequence.pages.data();
    lanes.push_back(lane);
    all.push_back(&tokens);
    rows += shape.rows;
  }

  /// The output [rows][heads * valueDim].
  std::vector<float> run() {
    const AttentionSpec &spec = kernels.spec;
    const CacheLayout &cache = spec.cache;
    int64_t qWidth = spec.heads * cache.headDim, kWidth = cache.kvHeads * cache.headDim;
    int64_t vWidth = cache.kvHeads * cache.valueDim, oWidth = spec.heads * cache.valueDim;
    int64_t ldq = qWidth + 3, ldk = kWidth + 1, ldv = vWidth + 2, ldo = oWidth + 5;
    Buffer<float> q(rows * ldq), k(rows * ldk), v(rows * ldv), out(rows * ldo);
    for (size_t i = 0; i < lanes.size(); ++i)
      for (int64_t row = 0; row < lanes[i].rows; ++row) {
        int64_t token = lanes[i].past + row, to = lanes[i].first_row + row;
        std::copy_n(&all[i]->q[token * qWidth], qWidth, q.data() + to * ldq);
        std::copy_n(&all[i]->k[token * kWidth], kWidth, k.data() + to * ldk);
        std::copy_n(&all[i]->v[token * vWidth], vWidth, v.data() + to * ldv);
      }
    team.context.lane = lanes.data();
    team.context.lanes = uint32_t(lanes.size());
    team.context.rows = uint32_t(rows);
    kernels.callAppend(team, k.data(), v.data(), ldk, ldv);
    kernels.callAttention(team, q.data(), out.data(), sinks, slopes, ldq, ldo);
    std::vector<float> result;
    for (int64_t row = 0; row < rows; ++row) {
      result.insert(result.end(), out.data() + row * ldo, out.data() + row * ldo + oWidth);
      for (int64_t i = oWidth; i < ldo; ++i)
        EXPECT_EQ(out[row * ldo + i], 0) << "written past the row's end";
    }
    return result;
  }

private:
  Kernels &kernels;
  Team &team;
  const float *sinks, *slopes;
  std::vector<pith_exec_lane> lanes;
  std::vector<const Tokens *> all;
  int64_t rows = 0;
};

struct HeadVectors {
  HeadVectors(int64_t heads, std::mt19937 &rng, int64_t distances = 0) : sinks(heads), slopes(heads) {
    std::normal_distribution<float> normal;
    if (distances) {
      const int64_t stride = biasStride(distances);
      slopes.assign(heads * stride, 0.f);
      sinks.resize(heads);
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = biasFront + distances; i-- > 0;)
          slopes[h * stride + i] = i < biasFront ? slopes[h * stride + biasFront] : 2 * normal(rng);
      return;
    }
    for (int64_t h = 0; h < heads; ++h) {
      sinks[h] = normal(rng);
      slopes[h] = std::ldexp(1.f, -int(h % 8) - 1);
    }
  }
  std::vector<float> sinks, slopes;
};

/// How far f32 arithmetic may be off for outputs of size one. Degree-5 exponentials belong to 16-bit caches.
constexpr double tolerance = 1e-5;

void checkCache(const PagedSequence &sequence, const Tokens &tokens, int64_t count) {
  const CacheLayout &cache = sequence.cache;
  // Half an ulp of the element, relative.
  double relative = cache.element == Element::F32 ? 0 : cache.element == Element::F16 ? 0x1p-11 : 0x1p-8;
  double smallest = cache.element == Element::F16 ? 0x1p-25 : 0;
  for (int64_t token = 0; token < count; ++token)
    for (int64_t head = 0; head < cache.kvHeads; ++head) {
      for (int64_t d = 0; d < cache.headDim; ++d) {
        double want = tokens.k[(token * cache.kvHeads + head) * cache.headDim + d];
        ASSERT_NEAR(sequence.key(head, token, d), want, std::abs(want) * relative + smallest);
      }
      for (int64_t d = 0; d < cache.valueDim; ++d) {
        double want = tokens.v[(token * cache.kvHeads + head) * cache.valueDim + d];
        ASSERT_NEAR(sequence.value(head, token, d), want, std::abs(want) * relative + smallest);
      }
    }
}

/// Lanes of several lengths in one batch, against the reference, on teams of 1, 2 and 3.
void checkBatch(const std::string &machine, const AttentionSpec &spec, const std::vector<LaneShape> &shapes) {
  Kernels kernels(machine, spec);
  ASSERT_EQ(kernels.error, "");
  std::mt19937 rng(1);
  HeadVectors heads(spec.heads, rng, spec.bias);
  std::vector<Tokens> tokens;
  std::vector<PagedSequence> sequences;
  Team one(1);
  for (const LaneShape &shape : shapes) {
    tokens.emplace_back(spec, shape.past + shape.rows, rng);
    sequences.emplace_back(spec.cache, shape.past + shape.rows, rng);
  }
  for (size_t i = 0; i < shapes.size(); ++i)
    if (shapes[i].past > 0) {
      Step history(kernels, one, heads.sinks.data(), heads.slopes.data());
      history.add(tokens[i], sequences[i], {0, shapes[i].past});
      history.run();
    }

  std::vector<float> first;
  for (uint32_t threads : {1u, 2u, 3u}) {
    Team team(threads);
    Step step(kernels, team, heads.sinks.data(), heads.slopes.data());
    for (size_t i = 0; i < shapes.size(); ++i)
      step.add(tokens[i], sequences[i], shapes[i]);
    std::vector<float> out = step.run();
    if (threads > 1) {
      EXPECT_EQ(std::memcmp(out.data(), first.data(), out.size() * 4), 0) << threads << " threads";
      continue;
    }
    first = out;
    int64_t row = 0, dim = spec.cache.valueDim;
    for (size_t i = 0; i < shapes.size(); ++i) {
      checkCache(sequences[i], tokens[i], shapes[i].past + shapes[i].rows);
      for (int64_t r = 0; r < shapes[i].rows; ++r, ++row)
        for (int64_t h = 0; h < spec.heads; ++h) {
          int64_t position = shapes[i].past + r;
          std::vector<double> want = referenceAttention(
              spec, sequences[i], &tokens[i].q[(position * spec.heads + h) * spec.cache.headDim], h, position,
              heads.sinks.data(), heads.slopes.data());
          for (int64_t d = 0; d < dim; ++d)
            ASSERT_NEAR(out[(row * spec.heads + h) * dim + d], want[d], tolerance)
                << "lane " << i << " row " << r << " head " << h << " column " << d;
        }
    }
    // Alone, each lane gives the same bits.
    row = 0;
    for (size_t i = 0; i < shapes.size(); ++i) {
      Step alone(kernels, team, heads.sinks.data(), heads.slopes.data());
      alone.add(tokens[i], sequences[i], shapes[i]);
      std::vector<float> own = alone.run();
      EXPECT_EQ(std::memcmp(own.data(), out.data() + row * spec.heads * dim, own.size() * 4), 0)
          << "lane " << i;
      row += shapes[i].rows;
    }
  }
}

AttentionSpec makeSpec(Element element, int64_t kvHeads, int64_t group, int64_t headDim,
                       int64_t valueDim = 0) {
  AttentionSpec spec;
  spec.cache.element = element;
  spec.cache.kvHeads = kvHeads;
  spec.cache.headDim = headDim;
  spec.cache.valueDim = valueDim ? valueDim : headDim;
  spec.cache.layerOffset = 128;
  spec.heads = kvHeads * group;
  spec.scale = 1 / std::sqrt(float(headDim));
  return spec;
}

const std::vector<LaneShape> mixedLanes = {{0, 1},   {1, 1},  {15, 2},   {16, 5}, {63, 1},
                                           {64, 33}, {65, 1}, {200, 70}, {0, 70}};

class AttentionShapes : public testing::TestWithParam<std::string> {};

} // namespace

TEST_P(AttentionShapes, HeadDimsAndGroups) {
  int i = 0;
  for (int64_t headDim : {4, 16, 64, 80, 100, 128})
    for (int64_t group : {1, 2, 4, 7}) {
      Element element = Element(i++ % 3);
      SCOPED_TRACE("headDim " + std::to_string(headDim) + " group " + std::to_string(group) + " element " +
                   std::to_string(int(element)));
      checkBatch(GetParam(), makeSpec(element, 2, group, headDim), mixedLanes);
    }
}

TEST_P(AttentionShapes, OddShapes) {
  checkBatch(GetParam(), makeSpec(Element::F16, 1, 3, 16, 40), mixedLanes);
  checkBatch(GetParam(), makeSpec(Element::F32, 3, 3, 7, 5), mixedLanes);
  checkBatch(GetParam(), makeSpec(Element::BF16, 1, 13, 33, 67), {{0, 3}, {70, 1}, {70, 9}});
  checkBatch(GetParam(), makeSpec(Element::F16, 1, 16, 192, 128), {{0, 3}, {70, 1}, {70, 9}});
  checkBatch(GetParam(), makeSpec(Element::F32, 1, 1, 256, 256), {{0, 3}, {70, 1}, {70, 9}});
}

TEST_P(AttentionShapes, Windows) {
  for (int64_t window : {1, 7, 64, 100, 1000}) {
    SCOPED_TRACE("window " + std::to_string(window));
    AttentionSpec spec = makeSpec(Element::F16, 2, 2, 32);
    spec.window = window;
    checkBatch(GetParam(), spec, mixedLanes);
  }
}

TEST_P(AttentionShapes, ScoreVariants) {
  for (int variant = 1; variant < 16; ++variant) {
    SCOPED_TRACE("variant " + std::to_string(variant));
    AttentionSpec spec = makeSpec(Element(variant % 3), 2, variant % 4 + 1, 24);
    spec.softcap = variant & 1 ? 2.5f : 0;
    spec.sinks = variant & 2;
    spec.alibi = variant & 4;
    spec.window = variant & 8 ? 70 : 0;
    spec.scale = 0.7f;
    checkBatch(GetParam(), spec, {{0, 1}, {65, 1}, {130, 40}, {0, 33}});
  }
}

/// Fewer distances than a page has tokens, as many, more, and more than the text has.
TEST_P(AttentionShapes, BiasesByDistance) {
  for (int64_t distances : {1, 5, 64, 100, 400}) {
    SCOPED_TRACE("distances " + std::to_string(distances));
    AttentionSpec spec = makeSpec(Element(distances % 3), 2, distances % 4 + 1, 24);
    spec.bias = distances;
    spec.window = distances == 100 ? 70 : 0;
    checkBatch(GetParam(), spec, mixedLanes);
  }
}

/// Every row sees all of its own lane's condition, whatever the row's position.
TEST_P(AttentionShapes, Conditions) {
  for (int64_t group : {1, 4, 9}) {
    SCOPED_TRACE("group " + std::to_string(group));
    AttentionSpec spec = makeSpec(Element(group % 3), 2, group, 20, 12);
    Kernels append(GetParam(), spec);
    spec.condition = true;
    Kernels kernels(GetParam(), spec);
    ASSERT_EQ(append.error + kernels.error, "");
    std::mt19937 rng(3);
    Team team(2);
    const int64_t lengths[] = {1, 63, 64, 65, 200}, rowCounts[] = {1, 40, 3, 1, 7};
    const int64_t width = spec.heads * spec.cache.headDim, outWidth = spec.heads * spec.cache.valueDim;
    std::vector<PagedSequence> sequences;
    sequences.reserve(5);
    std::vector<pith_exec_lane> lanes, conditions;
    int64_t rows = 0;
    for (int i = 0; i < 5; ++i) {
      Tokens tokens(spec, lengths[i], rng);
      sequences.emplace_back(spec.cache, lengths[i], rng);
      Step fill(append, team, nullptr, nullptr);
      fill.add(tokens, sequences.back(), {0, lengths[i]});
      fill.run();
      lanes.push_back({uint32_t(rows), uint32_t(rowCounts[i]), uint32_t(7 * i), 0, nullptr});
      conditions.push_back({0, 0, uint32_t(lengths[i]), uint32_t(sequences.back().pages.size()),
                            sequences.back().pages.data()});
      rows += rowCounts[i];
    }
    Buffer<float> q(rows * width), out(rows * outWidth);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < rows * width; ++i)
      q[i] = normal(rng);
    team.context.lane = lanes.data();
    team.context.lanes = 5;
    team.context.rows = uint32_t(rows);
    team.context.conditions = conditions.data();
    kernels.callAttention(team, q.data(), out.data(), nullptr, nullptr, width, outWidth);
    for (int i = 0; i < 5; ++i)
      for (int64_t row = lanes[i].first_row; row < int64_t(lanes[i].first_row) + rowCounts[i]; ++row)
        for (int64_t h = 0; h < spec.heads; ++h) {
          const std::vector<double> want =
              referenceAttention(spec, sequences[i], &q[row * width + h * spec.cache.headDim], h,
                                 lengths[i] - 1, nullptr, nullptr);
          for (int64_t d = 0; d < spec.cache.valueDim; ++d)
            ASSERT_NEAR(out[row * outWidth + h * spec.cache.valueDim + d], want[d], tolerance)
                << "lane " << i << " row " << row << " head " << h;
        }
  }
}

/// A prompt in chunks gives the same bits as in one.
TEST_P(AttentionShapes, Chunks) {
  for (int64_t group : {1, 2, 4, 7}) {
    AttentionSpec spec = makeSpec(Element::F16, 2, group, 48);
    spec.window = group == 2 ? 50 : 0;
    Kernels kernels(GetParam(), spec);
    ASSERT_EQ(kernels.error, "");
    std::mt19937 rng(2);
    int64_t count = 150, width = spec.heads * spec.cache.valueDim;
    Tokens tokens(spec, count, rng);
    Team team(2);
    PagedSequence whole(spec.cache, count, rng), chunked(spec.cache, count, rng);
    Step step(kernels, team, nullptr, nullptr);
    step.add(tokens, whole, {0, count});
    std::vector<float> want = step.run();
    for (int64_t past = 0, rows = 1; past < count; past += rows, rows = std::min(rows + 6, count - past)) {
      Step part(kernels, team, nullptr, nullptr);
      part.add(tokens, chunked, {past, rows});
      std::vector<float> got = part.run();
      EXPECT_EQ(std::memcmp(got.data(), want.data() + past * width, got.size() * 4), 0)
          << "group " << group << " past " << past << " rows " << rows;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, AttentionShapes, testing::ValuesIn(machines()), [](const auto &info) {
  return info.param == "host" ? std::string("Host") : std::string("AVX2");
});
