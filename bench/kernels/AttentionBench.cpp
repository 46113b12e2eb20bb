//===- AttentionBench.cpp - attention against its limits ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   pith-bench-attention [keys] [threads] [rows] [megabytes]
//
// Decode: one row over `keys` keys in as many layers as fill `megabytes`, as a share of the speed of reading
// memory. Prefill: `rows` rows of an empty sequence, as a share of the f32 multiply-add rate.
//
//===----------------------------------------------------------------------===//
#include "KernelHarness.h"
#include "Probes.h"
#include "pith/Codegen/CPU/Kernels.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <sys/mman.h>

using namespace pith;
using namespace pith::bench;
using namespace pith::cpu;
using namespace pith::test;

namespace {

/// Huge pages where the system gives them, filled with zeros.
class Memory {
public:
  explicit Memory(size_t wanted) : bytes((wanted + (2 << 20) - 1) >> 21 << 21) {
    base = static_cast<uint8_t *>(std::aligned_alloc(2 << 20, bytes));
    madvise(base, bytes, MADV_HUGEPAGE);
    std::memset(base, 0, bytes);
  }
  ~Memory() { std::free(base); }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;
  uint8_t *data() const { return base; }
  size_t size() const { return bytes; }

private:
  uint8_t *base;
  size_t bytes;
};

/// The best of some repetitions: on a shared host the only figure that repeats.
double bestSeconds(int repetitions, const std::function<void()> &call) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    auto start = std::chrono::steady_clock::now();
    call();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// Bytes per second of the team reading `memory` once.
double readRate(Team &team, const Memory &memory) {
  std::atomic<uint64_t> sink{0};
  double seconds = bestSeconds(9, [&] {
    team.run([&](const pith_exec_context *context, uint32_t thread) {
      size_t share = memory.size() / context->threads / 512 * 512;
      sink += readMemory(memory.data() + thread * share, int64_t(share));
    });
  });
  return double(memory.size()) / seconds;
}

/// Multiply-adds of one f32 each per second, all threads together.
double multiplyAddRate(Team &team) {
  std::atomic<int64_t> count{0};
  double seconds = bestSeconds(9, [&] {
    count = 0;
    team.run([&](const pith_exec_context *, uint32_t) { count += multiplyAddFloats(500000); });
  });
  return double(count) / seconds;
}

struct Case {
  const char *name;
  CacheLayout::Element element;
  int64_t heads, kvHeads, headDim;
};

constexpr Case cases[] = {
    {"f16 32/8 heads of 64", CacheLayout::Element::F16, 32, 8, 64},
    {"f16 32/8 heads of 128", CacheLayout::Element::F16, 32, 8, 128},
    {"f16 9/3 heads of 64", CacheLayout::Element::F16, 9, 3, 64},
    {"f16 16/16 heads of 64", CacheLayout::Element::F16, 16, 16, 64},
    {"f16 14/2 heads of 64", CacheLayout::Element::F16, 14, 2, 64},
    {"bf16 32/8 heads of 64", CacheLayout::Element::BF16, 32, 8, 64},
    {"f32 32/8 heads of 64", CacheLayout::Element::F32, 32, 8, 64},
};

/// Layers share pages, as in a model.
struct Model {
  Model(const Case &c, int64_t keys, size_t bytes) : c(c) {
    CacheLayout layout;
    layout.element = c.element;
    layout.kvHeads = c.kvHeads;
    layout.headDim = layout.valueDim = c.headDim;
    int64_t pageCount = (keys + CacheLayout::pageTokens - 1) / CacheLayout::pageTokens;
    layers = std::max<int64_t>(1, int64_t(bytes) / (layout.layerBytes() * pageCount));
    memory = std::make_unique<Memory>(layers * layout.layerBytes() * pageCount);
    for (int64_t i = 0; i < pageCount; ++i)
      pages.push_back(memory->data() + i * layers * layout.layerBytes());
    std::shuffle(pages.begin(), pages.end(), std::mt19937(1));
    for (int64_t layer = 0; layer < layers; ++layer) {
      AttentionSpec spec;
      spec.cache = layout;
      spec.cache.layerOffset = layer * layout.layerBytes();
      spec.heads = c.heads;
      spec.scale = 1 / std::sqrt(float(c.headDim));
      specs.push_back(spec);
    }
  }
  void fill(KernelHarness &harness, Team &team, int64_t keys) {
    int64_t width = c.kvHeads * c.headDim;
    std::mt19937 rng(2);
    std::normal_distribution<float> normal;
    Buffer<float> values(width * CacheLayout::pageTokens);
    for (float &v : values)
      v = normal(rng);
    for (int64_t past = 0; past < keys; past += CacheLayout::pageTokens) {
      set(team, past, std::min(keys - past, CacheLayout::pageTokens));
      for (const std::string &name : append)
        harness.call(team, name, values.data(), values.data(), width, width);
    }
  }
  void set(Team &team, int64_t past, int64_t rows) {
    lane = {};
    lane.rows = uint32_t(rows);
    lane.past = uint32_t(past);
    lane.page_count = uint32_t(pages.size());
    lane.pages = pages.data();
    team.context.lane = &lane;
    team.context.lanes = 1;
    team.context.rows = uint32_t(rows);
  }
  const Case &c;
  int64_t layers;
  std::unique_ptr<Memory> memory;
  std::vector<void *> pages;
  std::vector<AttentionSpec> specs;
  std::vector<std::string> append, attention;
  pith_exec_lane lane = {};
};

bool benchmark(const Case &c, int64_t keys, uint32_t threads, int64_t rows, size_t cacheBytes) {
  keys = std::max(keys, rows);
  Model model(c, keys, cacheBytes);
  KernelHarness harness(*Machine::fromName("host"));
  for (const AttentionSpec &spec : model.specs) {
    model.append.push_back(getOrCreateKVAppend(*harness.module, harness.machine, spec.cache).getName().str());
    model.attention.push_back(getOrCreateAttention(*harness.module, harness.machine, spec).getName().str());
  }
  if (std::string error = harness.compile(); !error.empty()) {
    std::fprintf(stderr, "%s: %s\n", c.name, error.c_str());
    return false;
  }
  Team team(threads);
  model.fill(harness, team, keys);
  int64_t width = c.heads * c.headDim;
  Buffer<float> q(rows * width), out(rows * width);
  std::mt19937 rng(3);
  std::normal_distribution<float> normal;
  for (float &v : q)
    v = normal(rng);

  double memoryRate = readRate(team, *model.memory), fmas = multiplyAddRate(team);
  model.set(team, keys - 1, 1);
  double decode = bestSeconds(15, [&] {
    for (const std::string &name : model.attention)
      harness.call(team, name, q.data(), out.data(), width, width);
  });
  double bytes = double(keys) * double(model.specs[0].cache.layerBytes()) / CacheLayout::pageTokens *
                 double(model.layers);
  memoryRate = (memoryRate + readRate(team, *model.memory)) / 2;

  model.set(team, 0, rows);
  double prefill =
      bestSeconds(15, [&] { harness.call(team, model.attention[0], q.data(), out.data(), width, width); });
  double products =
      double(rows) * double(rows + 1) * double(c.headDim) * double(c.heads); // q k and p v, causal half
  model.set(team, keys - rows, rows);
  double late =
      bestSeconds(7, [&] { harness.call(team, model.attention[0], q.data(), out.data(), width, width); });
  double lateProducts =
      2 * double(rows) * (double(keys) - double(rows) / 2) * double(c.headDim) * double(c.heads);
  std::printf(
      "%-24s decode %6.1f GB/s of %6.1f = %.2f   prefill %6.1f GFMA/s of %6.1f = %.2f, last chunk %.2f\n",
      c.name, bytes / decode * 1e-9, memoryRate * 1e-9, bytes / decode / memoryRate,
      products / prefill * 1e-9, fmas * 1e-9, products / prefill / fmas, lateProducts / late / fmas);
  return true;
}

} // namespace

int main(int count, char **arguments) {
  auto number = [&](int i, int64_t otherwise) { return i < count ? std::atoll(arguments[i]) : otherwise; };
  int64_t keys = number(1, 8192), threads = number(2, 2), rows = number(3, 512), megabytes = number(4, 128);
  if (keys < 1 || threads < 1 || rows < 1 || megabytes < 1) {
    std::fprintf(stderr,
                 "usage: pith-bench-attention [keys] [threads] [rows] [megabytes], each at least 1\n");
    return 2;
  }
  std::printf("%lld keys, %lld threads, prefill of %lld rows\n", (long long)keys, (long long)threads,
              (long long)rows);
  bool good = true;
  for (const Case &c : cases)
    good &= benchmark(c, keys, uint32_t(threads), rows, size_t(megabytes) << 20);
  return good ? 0 : 1;
}
