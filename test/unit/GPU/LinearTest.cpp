//===- LinearTest.cpp - linear layers and embeddings on the emulator ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EmulatedLinear.h"
#include "gtest/gtest.h"

using namespace pith::gpu;
using namespace pith::gpu::test;

namespace {
LinearSpec specOf(WeightFormat format, int64_t n, int64_t k, int64_t block, int64_t rowTile) {
  LinearSpec spec;
  spec.layout.format = format;
  spec.layout.n = n;
  spec.layout.k = k;
  spec.layout.block = block;
  spec.rowTile = rowTile;
  return spec;
}

std::vector<LinearCase> cases() {
  std::vector<LinearCase> all;
  all.push_back({"f32", specOf(WeightFormat::F32, 48, 256, 0, 1), 1});
  all.push_back({"f32-odd", specOf(WeightFormat::F32, 33, 37, 0, 2), 3, true});
  all.push_back({"f16", specOf(WeightFormat::F16, 64, 512, 0, 1), 2});
  all.push_back({"f16-odd", specOf(WeightFormat::F16, 21, 77, 0, 4), 5});
  all.push_back({"bf16", specOf(WeightFormat::BF16, 32, 264, 0, 8), 8, true});
  all.push_back({"int8-row", specOf(WeightFormat::Int8, 32, 300, 0, 1), 1});
  all.push_back({"int8-32", specOf(WeightFormat::Int8, 40, 288, 32, 2), 2});
  all.push_back({"int4-row", specOf(WeightFormat::Int4, 32, 512, 0, 1), 1});
  all.push_back({"int4-128", specOf(WeightFormat::Int4, 32, 1280, 128, 2), 3});
  all.push_back({"int4-16", specOf(WeightFormat::Int4, 32, 1000, 16, 1), 1});
  LinearCase zeros{"int4-zeros", specOf(WeightFormat::Int4, 50, 416, 32, 1), 2};
  zeros.spec.layout.zeroPoints = true;
  all.push_back(zeros);
  zeros.name = "int8-row-zeros";
  zeros.spec.layout.format = WeightFormat::Int8;
  zeros.spec.layout.block = 0;
  zeros.spec.layout.wideScales = true;
  all.push_back(zeros);
  LinearCase mlp{"int4-mlp", specOf(WeightFormat::Int4, 80, 704, 64, 2), 3};
  mlp.spec.layout.glu = true;
  mlp.spec.norm = Norm::RMS;
  mlp.spec.normEpsilon = 1e-5f;
  mlp.spec.bias = true;
  mlp.spec.activation = Activation::Silu;
  mlp.spec.residual = true;
  all.push_back(mlp);
  LinearCase half{"f16-norm-half", specOf(WeightFormat::F16, 96, 256, 0, 1), 2};
  half.spec.norm = Norm::RMS;
  half.spec.normEpsilon = 1e-5f;
  half.spec.input = Element::F16;
  half.spec.output = Element::BF16;
  half.spec.activation = Activation::GeluTanh;
  all.push_back(half);
  // Several panels of a block.
  all.push_back({"wide", specOf(WeightFormat::Int4, 16384, 64, 32, 1), 1});
  return all;
}

class Linear : public testing::TestWithParam<std::string> {};
} // namespace

TEST_P(Linear, EqualsReference) {
  for (const LinearCase &c : cases()) {
    SCOPED_TRACE(c.name);
    expectLinear(GetParam(), c, 0);
  }
}

TEST_P(Linear, EmbeddingEqualsReference) {
  for (const LinearCase &c : cases()) {
    SCOPED_TRACE(c.name);
    if (c.spec.layout.glu)
      continue;
    EmbeddingSpec spec;
    spec.layout = c.spec.layout;
    spec.scale = 1.5f;
    const LinearLayout &layout = spec.layout;
    pith::test::LinearData data(cpuSpec(c.spec), {layout.n}, c.kMajor, 9);
    EmulatedSet set(GetParam());
    size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateEmbedding(m, spec); });
    ASSERT_EQ(set.compile(), "");
    std::vector<int32_t> tokens = {int32_t(layout.n - 1), 0, 17};
    auto out = set.emulated.buffer<float>(size_t(3 * layout.k));
    auto ids = set.emulated.buffer(tokens);
    auto weights = set.emulated.buffer(pack(layout, data));
    ASSERT_EQ(set.launch(kernel, {ids, weights, out}, {3}), "");
    std::vector<float> result = out.read();
    for (int64_t row = 0; row < 3; ++row)
      for (int64_t k = 0; k < layout.k; ++k) {
        double want = data.weight(tokens[size_t(row)], k) * 1.5;
        ASSERT_NEAR(result[size_t(row * layout.k + k)], want, std::fabs(want) * 1e-6)
            << "row " << row << " k " << k;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, Linear, testing::ValuesIn(emulatedChips()),
                         [](const testing::TestParamInfo<std::string> &info) {
                           return info.param.substr(info.param.find(':') + 1);
                         });
