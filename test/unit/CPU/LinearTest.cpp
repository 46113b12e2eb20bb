//===- LinearTest.cpp - linear kernels against plain loops ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelHarness.h"
#include "LinearReference.h"
#include <gtest/gtest.h>

using namespace pith;
using namespace pith::cpu;
using namespace pith::test;

namespace {
struct Case {
  LinearSpec spec;
  std::vector<int64_t> parts = {}; // rows of each part
  bool kMajor = false;
  bool exactActivations = false; // activations that int8 holds without loss
};

LinearSpec specOf(WeightFormat format, int64_t n, int64_t k, int64_t block = 0, bool zeros = false) {
  LinearSpec spec;
  spec.layout = {format, n, k, block, zeros};
  return spec;
}

const std::vector<int64_t> rowCounts = {1, 2, 3, 4, 5, 17, 64};

/// Compiles all cases into one module and runs them with several numbers of rows and threads.
void run(const std::string &machineName, std::vector<Case> cases) {
  SCOPED_TRACE(machineName);
  KernelHarness harness(*Machine::fromName(machineName));
  std::vector<std::string> names;
  for (Case &c : cases) {
    if (c.parts.empty())
      c.parts = c.spec.layout.glu ? std::vector<int64_t>(2, c.spec.layout.n / 2)
                                  : std::vector<int64_t>{c.spec.layout.n};
    names.push_back(getOrCreateLinear(*harness.module, harness.machine, c.spec).getName().str());
  }
  ASSERT_EQ(harness.compile(), "");
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case &c = cases[i];
    SCOPED_TRACE(names[i]);
    const LinearLayout &layout = c.spec.layout;
    LinearData data(c.spec, c.parts, c.kMajor, /*seed=*/unsigned(i));
    LinearSpec::Scratch scratchSize = linearScratch(harness.machine, c.spec);
    int64_t outColumns = layout.glu ? layout.n / 2 : layout.n;
    for (int64_t rows : rowCounts)
      for (uint32_t threads : {1u, 2u, 3u}) {
        if (threads != 2 && rows != 1 && rows != 3 && rows != 17)
          continue;
        Buffer<float> x(rows * layout.k), out(rows * outColumns + 16), residual(rows * outColumns);
        data.fillActivations(x, c.exactActivations, unsigned(rows));
        fillRandom(residual, unsigned(rows) + 7);
        std::fill(out.begin(), out.end(), 12345.f);
        Buffer<uint8_t> scratch(scratchSize.perRow * rows + scratchSize.fixed);
        std::fill(scratch.begin(), scratch.end(), 0xff); // NaN wherever a kernel reads what it did not write
        // With a residual the output is the residual's own memory.
        if (c.spec.residual)
          std::copy(residual.begin(), residual.end(), out.begin());
        Team team(threads);
        data.call(harness, team, names[i], x.data(), out.data(), scratch.data(), rows);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < outColumns; ++j) {
            Expected want =
                data.expected(x.data() + r * layout.k, residual[r * outColumns + j], j, c.exactActivations);
            ASSERT_NEAR(out[r * outColumns + j], want.value, want.tolerance)
                << "row " << r << " of " << rows << ", column " << j << ", threads " << threads;
          }
        for (int64_t j = 0; j < 16; ++j)
          ASSERT_EQ(out[rows * outColumns + j], 12345.f) << "wrote behind the output";
      }
  }
}

void runOnMachines(const std::vector<Case> &cases) {
  run("host", cases);
  run("x86-64-v3", cases);
}
} // namespace

TEST(Linear, Floats) {
  std::vector<Case> cases;
  int64_t n = 0;
  const int64_t ns[] = {1, 15, 16, 33, 100}, ks[] = {1, 17, 100, 257, 64};
  for (WeightFormat format : {WeightFormat::F32, WeightFormat::F16, WeightFormat::BF16})
    for (int64_t i = 0; i < 5; ++i, ++n)
      cases.push_back({specOf(format, ns[i], ks[(i + n / 5) % 5]), {}, /*kMajor=*/n % 2 == 1});
  runOnMachines(cases);
}

TEST(Linear, IntegersExactly) {
  std::vector<Case> cases;
  for (WeightFormat format : {WeightFormat::Int8, WeightFormat::Int4}) {
    // Last blocks that are short, last groups that lack blocks, one block for all of K.
    cases.push_back({specOf(format, 33, 257, 32)});
    cases.push_back({specOf(format, 15, 17, 0), {}, /*kMajor=*/true});
    cases.push_back({specOf(format, 16, 100, 16, /*zeros=*/true)});
    cases.push_back({specOf(format, 48, 384, 128, /*zeros=*/true), {}, /*kMajor=*/true});
  }
  runOnMachines(cases);
}

TEST(Linear, Int8Activations) {
  std::vector<Case> cases;
  for (WeightFormat format : {WeightFormat::Int8, WeightFormat::Int4})
    for (auto [n, k, block, zeros] : {std::tuple{33, 257, 32, false},
                                      {16, 100, 16, true},
                                      {15, 17, 0, false},
                                      {48, 384, 128, true},
                                      {17, 1, 32, true}}) {
      LinearSpec spec = specOf(format, n, k, block, zeros);
      spec.int8Activations = true;
      cases.push_back({spec, {}, false, /*exactActivations=*/true});
    }
  runOnMachines(cases);
  run("skylake-avx512", {cases[0], cases[1], cases[5], cases[6]}); // wide vectors without VNNI
}

TEST(Linear, Epilogues) {
  std::vector<Case> cases;
  for (Activation activation : {Activation::None, Activation::Relu, Activation::Silu, Activation::Gelu,
                                Activation::GeluTanh, Activation::QuickGelu}) {
    LinearSpec spec = specOf(WeightFormat::F16, 66, 40);
    spec.activation = activation;
    spec.layout.glu = activation == Activation::Silu || activation == Activation::GeluTanh;
    spec.bias = activation != Activation::Relu;
    spec.residual = activation == Activation::None || activation == Activation::Gelu || spec.layout.glu;
    cases.push_back({spec});
  }
  LinearSpec spec = specOf(WeightFormat::Int4, 128, 96, 32, true);
  spec.layout.glu = true;
  spec.int8Activations = true;
  spec.activation = Activation::Silu;
  cases.push_back({spec, {}, false, true});
  spec.residual = spec.bias = true;
  spec.layout.n = 1000;
  cases.push_back({spec, {}, false, true});
  runOnMachines(cases);
}

TEST(Linear, Norms) {
  std::vector<Case> cases;
  for (Norm norm : {Norm::RMS, Norm::Layer})
    for (int i = 0; i < 3; ++i) {
      LinearSpec spec = i == 0   ? specOf(WeightFormat::F16, 33, 100)
                        : i == 1 ? specOf(WeightFormat::Int4, 40, 257, 32, true)
                                 : specOf(WeightFormat::Int8, 16, 128, 64);
      spec.norm = norm;
      spec.normEpsilon = 1e-5f;
      spec.normBias = norm == Norm::Layer && i != 1;
      spec.int8Activations = i == 2;
      cases.push_back({spec});
    }
  runOnMachines(cases);
}

TEST(Linear, Parts) {
  std::vector<Case> cases;
  cases.push_back({specOf(WeightFormat::F32, 100, 64), {40, 13, 47}, true});
  cases.push_back({specOf(WeightFormat::Int4, 100, 64, 32, true), {40, 13, 47}});
  run("host", cases);
}

TEST(Linear, RowsKeepTheirBitsInDeterministicMode) {
  std::vector<LinearSpec> specs = {
      specOf(WeightFormat::F32, 40, 100),          specOf(WeightFormat::F16, 33, 64),
      specOf(WeightFormat::BF16, 48, 257),         specOf(WeightFormat::Int8, 33, 257, 32),
      specOf(WeightFormat::Int4, 48, 384, 128, 1), specOf(WeightFormat::Int4, 33, 96, 32)};
  specs[1].norm = Norm::Layer;
  specs[3].norm = Norm::RMS;
  specs.back().int8Activations = true;
  constexpr int64_t most = 40;
  for (const char *machine : {"host", "x86-64-v3"}) {
    SCOPED_TRACE(machine);
    KernelHarness harness(*Machine::fromName(machine));
    std::vector<std::string> names;
    for (const LinearSpec &spec : specs)
      names.push_back(getOrCreateLinear(*harness.module, harness.machine, spec).getName().str());
    ASSERT_EQ(harness.compile(), "");
    bool differs = false; // without the flag, so that the test cannot pass by chance
    for (size_t i = 0; i < specs.size(); ++i) {
      SCOPED_TRACE(names[i]);
      const LinearLayout &layout = specs[i].layout;
      LinearData data(specs[i], {layout.n}, /*kMajor=*/false, unsigned(i));
      LinearSpec::Scratch scratchSize = linearScratch(harness.machine, specs[i]);
      Buffer<float> x(most * layout.k);
      data.fillActivations(x, /*exact=*/false, 5);
      auto compute = [&](int64_t rows, uint32_t threads, uint32_t flags) {
        Buffer<float> out(rows * layout.n);
        Buffer<uint8_t> scratch(scratchSize.perRow * rows + scratchSize.fixed);
        Team team(threads);
        team.context.flags = flags;
        data.call(harness, team, names[i], x.data(), out.data(), scratch.data(), rows);
        return std::vector<float>(out.begin(), out.end());
      };
      std::vector<float> whole = compute(most, 1, PITH_EXEC_DETERMINISTIC);
      for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 22, 37}) {
        std::vector<float> some = compute(rows, 1 + rows % 3, PITH_EXEC_DETERMINISTIC);
        EXPECT_EQ(std::memcmp(some.data(), whole.data(), some.size() * 4), 0) << rows << " rows";
      }
      std::vector<float> streamed = compute(1, 1, 0);
      differs |= std::memcmp(streamed.data(), whole.data(), streamed.size() * 4) != 0;
    }
    EXPECT_TRUE(differs);
  }
}

TEST(Linear, UsesDotProductInstructions) {
  for (auto [cpu, instruction] :
       {std::pair{"znver4", "vpdpbusd"}, {"alderlake", "vpdpbusd"}, {"haswell", "vpmaddubsw"}}) {
    KernelHarness harness(*Machine::fromName(cpu));
    LinearSpec spec = specOf(WeightFormat::Int4, 16, 32, 32);
    spec.int8Activations = true;
    getOrCreateLinear(*harness.module, harness.machine, spec);
    EXPECT_NE(harness.assembly().find(instruction), std::string::npos) << cpu;
  }
}

TEST(Linear, EqualSpecsShareAFunction) {
  KernelHarness harness(*Machine::fromName("host"));
  LinearSpec spec = specOf(WeightFormat::F32, 16, 16);
  auto first = getOrCreateLinear(*harness.module, harness.machine, spec);
  EXPECT_EQ(first, getOrCreateLinear(*harness.module, harness.machine, spec));
  spec.bias = true;
  EXPECT_NE(first, getOrCreateLinear(*harness.module, harness.machine, spec));
}

TEST(Packing, ConvertsBetweenFloats) {
  // Every f16 goes through f32 and back unchanged; from f32 the nearest is taken.
  std::vector<float> values = {0.f,   -0.f,          1.f,     65504.f,    65519.f,    65520.f,      1e-8f,
                               6e-8f, 5.9604645e-8f, 6.1e-5f, 1.0004883f, 1.0009765f, -3.14159265f, INFINITY};
  for (float value : values) {
    _Float16 want = _Float16(value);
    WeightView view;
    view.format = WeightFormat::F32;
    view.n = view.k = 1;
    view.data = &value;
    LinearLayout layout{WeightFormat::F16, 1, 1};
    Buffer<uint8_t> panel(layout.sizeBytes());
    packLinear(layout, view, 0, 1, panel.data());
    EXPECT_EQ(std::memcmp(panel.data(), &want, 2), 0) << value;
  }
}

TEST(Embedding, ReadsRowsOfPanels) {
  for (const char *machine : {"host", "x86-64-v3"}) {
    KernelHarness harness(*Machine::fromName(machine));
    std::vector<LinearSpec> specs = {specOf(WeightFormat::F32, 50, 33),
                                     specOf(WeightFormat::F16, 50, 33),
                                     specOf(WeightFormat::BF16, 50, 33),
                                     specOf(WeightFormat::Int8, 50, 100, 32),
                                     specOf(WeightFormat::Int4, 50, 100, 32, true),
                                     specOf(WeightFormat::Int4, 50, 31)};
    std::vector<std::string> names;
    for (const LinearSpec &spec : specs)
      names.push_back(
          getOrCreateEmbedding(*harness.module, harness.machine, spec.layout, 1.5f).getName().str());
    ASSERT_EQ(harness.compile(), "");
    for (size_t i = 0; i < specs.size(); ++i) {
      SCOPED_TRACE(names[i]);
      const LinearLayout &layout = specs[i].layout;
      LinearData data(specs[i], {layout.n}, false, unsigned(i));
      std::vector<int32_t> tokens = {0, 49, 17, 16, 15, 3};
      Buffer<float> out(tokens.size() * layout.k);
      Team team(2);
      harness.call(team, names[i], tokens.data(), data.packed.data(), out.data(), int64_t(tokens.size()));
      for (size_t r = 0; r < tokens.size(); ++r)
        for (int64_t k = 0; k < layout.k; ++k)
          ASSERT_NEAR(out[r * layout.k + k], 1.5 * data.weight(tokens[r], k), 1e-6) << r << " " << k;
    }
  }
}
