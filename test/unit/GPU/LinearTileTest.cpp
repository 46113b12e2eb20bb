//===- LinearTileTest.cpp - linear layers on matrix units, emulated -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EmulatedLinear.h"
#include "pith/Codegen/GPU/Machine.h"
#include "gtest/gtest.h"

using namespace pith::gpu;
using namespace pith::gpu::test;

namespace {
LinearCase caseOf(const char *name, WeightFormat format, int64_t n, int64_t k, int64_t block, int64_t rowTile,
                  int64_t rows) {
  LinearCase c{name, {}, rows, false};
  c.spec.layout.format = format;
  c.spec.layout.n = n;
  c.spec.layout.k = k;
  c.spec.layout.block = block;
  c.spec.rowTile = rowTile;
  return c;
}

LinearCase with(LinearCase c, Element product, int64_t parts, int64_t stages = 2) {
  c.spec.product = product;
  c.spec.parts = parts;
  c.spec.stages = stages;
  return c;
}

std::vector<LinearCase> cases() {
  std::vector<LinearCase> all;
  all.push_back(caseOf("f16", WeightFormat::F16, 32, 128, 0, 16, 16));
  all.push_back(with(caseOf("f16-exact", WeightFormat::F16, 70, 200, 0, 64, 50), Element::BF16, 3));
  all.push_back(with(caseOf("f16-two-parts", WeightFormat::F16, 33, 136, 0, 32, 40), Element::F16, 2, 3));
  LinearCase copied = caseOf("f16-copied", WeightFormat::F16, 130, 320, 0, 128, 150);
  copied.spec.input = Element::F16;
  copied.spec.output = Element::F16;
  all.push_back(with(copied, Element::F16, 1, 4));
  LinearCase bf16 = caseOf("bf16-copied", WeightFormat::BF16, 48, 192, 0, 64, 20);
  bf16.spec.input = bf16.spec.output = Element::BF16;
  all.push_back(with(bf16, Element::BF16, 1, 3));
  all.push_back(with(caseOf("bf16-exact", WeightFormat::BF16, 64, 64, 0, 32, 7), Element::BF16, 3));
  all.push_back(with(caseOf("f32-exact", WeightFormat::F32, 40, 100, 0, 16, 9), Element::BF16, 3));
  all.push_back(with(caseOf("f32-odd", WeightFormat::F32, 21, 77, 0, 64, 3), Element::F16, 1));
  all.push_back(with(caseOf("int8-row", WeightFormat::Int8, 40, 300, 0, 16, 16), Element::F16, 1, 3));
  all.push_back(with(caseOf("int8-32", WeightFormat::Int8, 64, 288, 32, 64, 33), Element::BF16, 3));
  all.push_back(with(caseOf("int4-32", WeightFormat::Int4, 64, 416, 32, 16, 5), Element::BF16, 3, 4));
  all.push_back(with(caseOf("int4-128", WeightFormat::Int4, 128, 640, 128, 128, 128), Element::F16, 1, 3));
  LinearCase zeros = caseOf("int4-zeros", WeightFormat::Int4, 50, 416, 64, 32, 32);
  zeros.spec.layout.zeroPoints = true;
  all.push_back(with(zeros, Element::BF16, 3));
  zeros.name = "int8-row-zeros";
  zeros.spec.layout.format = WeightFormat::Int8;
  zeros.spec.layout.block = 0;
  zeros.spec.layout.wideScales = true;
  all.push_back(with(zeros, Element::F16, 1));
  LinearCase mlp = caseOf("int4-mlp", WeightFormat::Int4, 160, 704, 64, 64, 70);
  mlp.spec.layout.glu = true;
  mlp.spec.norm = Norm::RMS;
  mlp.spec.normEpsilon = 1e-5f;
  mlp.spec.bias = true;
  mlp.spec.activation = Activation::Silu;
  mlp.spec.residual = true;
  all.push_back(with(mlp, Element::BF16, 3));
  mlp.name = "int8-mlp-16";
  mlp.spec.layout.format = WeightFormat::Int8;
  mlp.spec.rowTile = 16;
  mlp.spec.layout.block = 0;
  mlp.rows = 16;
  all.push_back(with(mlp, Element::F16, 1, 3));
  return all;
}

class LinearTile : public testing::TestWithParam<std::string> {};
} // namespace

TEST_P(LinearTile, EqualsReference) {
  for (const LinearCase &c : cases()) {
    SCOPED_TRACE(c.name);
    // Rounding changes each product by this, as a random walk.
    double rounding = c.spec.parts == 1                ? roundingOf(c.spec.product)
                      : c.spec.product == Element::F16 ? 1e-7
                                                       : 0;
    expectLinear(GetParam(), c, rounding);
  }
}

/// Results do not depend on the number of stages, nor on what else is in the batch.
TEST_P(LinearTile, SameBitsForAnyStagesAndRows) {
  LinearCase c = with(caseOf("int4", WeightFormat::Int4, 64, 512, 32, 32, 40), Element::F16, 1);
  std::vector<uint8_t> two = runLinear(GetParam(), c);
  c.spec.stages = 4;
  EXPECT_EQ(runLinear(GetParam(), c), two);
  c.rows = 3;
  std::vector<uint8_t> few = runLinear(GetParam(), c);
  two.resize(few.size());
  EXPECT_EQ(few, two);
}

TEST(LinearTileSpec, Refusals) {
  auto why = [](const LinearCase &c) { return llvm::toString(c.spec.check()); };
  EXPECT_EQ(
      why(caseOf("", WeightFormat::Int4, 64, 512, 16, 64, 1)),
      "blocks of 16 input features on matrix units; expected a multiple of 64, or a part of it that is a "
      "multiple of 32");
  EXPECT_EQ(why(caseOf("", WeightFormat::F16, 64, 512, 0, 48, 1)),
            "a tile of 48 rows; expected 1, 2, 4, 8, 16, 32, 64 or 128");
  EXPECT_EQ(why(caseOf("", WeightFormat::BF16, 64, 512, 0, 64, 1)), "bf16 weights in products of f16");
  EXPECT_EQ(why(with(caseOf("", WeightFormat::F16, 64, 512, 0, 64, 1), Element::F16, 3)),
            "activations in 3 parts of f16; expected 1 to 2");
}

TEST(LinearTileSpec, StagesFitTheChip) {
  for (const Machine &machine : machines()) {
    LinearCase c = caseOf("", WeightFormat::F16, 8192, 8192, 0, 128, 1);
    c.spec.stages = c.spec.stagesFor(machine);
    EXPECT_GE(c.spec.stages, 2);
    EXPECT_LE(c.spec.stages * 32768, machine.sharedBytes) << machine.name();
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, LinearTile,
                         testing::Values("cuda:sm_80", "hip:gfx90a", "hip:gfx1100", "hip:gfx1201"),
                         [](const testing::TestParamInfo<std::string> &info) {
                           return info.param.substr(info.param.find(':') + 1);
                         });

/// By warp groups, on the only chip that has them.
TEST(WarpGroups, EqualReference) {
  std::vector<LinearCase> all;
  auto add = [&](LinearCase c, Element input) {
    c.spec.warpGroups = true;
    c.spec.input = input;
    all.push_back(c);
  };
  add(with(caseOf("f16", WeightFormat::F16, 128, 128, 0, 128, 128), Element::F16, 1, 3), Element::F16);
  // More tiles of rows than are taken together would be slow; odd features, rows and k (a stage of 16).
  add(with(caseOf("f16-256", WeightFormat::F16, 150, 456, 0, 256, 300), Element::F16, 1, 4), Element::F16);
  add(with(caseOf("f16-one-stage", WeightFormat::F16, 20, 40, 0, 128, 3), Element::F16, 1, 2), Element::F32);
  add(with(caseOf("f16-two-stages", WeightFormat::F16, 20, 100, 0, 128, 3), Element::F16, 2, 2),
      Element::F32);
  add(with(caseOf("bf16-exact", WeightFormat::BF16, 70, 192, 0, 128, 40), Element::BF16, 3, 3), Element::F32);
  add(with(caseOf("f16-exact", WeightFormat::F16, 40, 250, 0, 128, 9), Element::BF16, 3, 3), Element::F32);
  add(with(caseOf("f32-two-parts", WeightFormat::F32, 40, 203, 0, 128, 9), Element::F16, 2, 2), Element::F32);
  add(with(caseOf("int8-row", WeightFormat::Int8, 140, 300, 0, 256, 260), Element::F16, 1, 5), Element::F32);
  add(with(caseOf("int8-64-exact", WeightFormat::Int8, 40, 288, 64, 128, 9), Element::BF16, 3, 3),
      Element::F32);
  add(with(caseOf("int4-32", WeightFormat::Int4, 130, 416, 32, 256, 70), Element::F16, 1, 6), Element::F32);
  add(with(caseOf("int4-128", WeightFormat::Int4, 128, 640, 128, 128, 17), Element::F16, 1, 3), Element::F16);
  add(with(caseOf("int4-128-exact", WeightFormat::Int4, 48, 384, 128, 128, 17), Element::BF16, 3, 3),
      Element::F32);
  LinearCase zeros = caseOf("int4-zeros", WeightFormat::Int4, 50, 416, 64, 128, 32);
  zeros.spec.layout.zeroPoints = true;
  add(with(zeros, Element::F16, 1, 4), Element::F32);
  zeros.name = "int8-row-zeros-wide";
  zeros.spec.layout.format = WeightFormat::Int8;
  zeros.spec.layout.block = 0;
  zeros.spec.layout.wideScales = true;
  add(with(zeros, Element::F16, 1, 4), Element::F32);
  LinearCase mlp = caseOf("f16-mlp", WeightFormat::F16, 160, 200, 0, 128, 33);
  mlp.spec.layout.glu = true;
  mlp.spec.norm = Norm::RMS;
  mlp.spec.normEpsilon = 1e-5f;
  mlp.spec.bias = mlp.spec.residual = true;
  mlp.spec.activation = Activation::Silu;
  add(with(mlp, Element::F16, 2, 3), Element::F32);
  mlp.name = "int4-mlp";
  mlp.spec.layout.format = WeightFormat::Int4;
  mlp.spec.layout.block = 64;
  mlp.spec.layout.n = 300;
  add(with(mlp, Element::BF16, 3, 3), Element::F32);
  for (const LinearCase &c : all) {
    SCOPED_TRACE(c.name);
    // A scale that multiplies weights of f16 rounds their products once more; so does a norm in front.
    const bool integer =
        c.spec.layout.format == WeightFormat::Int4 || c.spec.layout.format == WeightFormat::Int8;
    const double rounds =
        c.spec.input == c.spec.product && !integer ? 0 : roundingOf(c.spec.product) * (integer ? 2 : 1);
    expectLinear("cuda:sm_90a", c, c.spec.parts == 1 ? rounds : c.spec.product == Element::F16 ? 1e-7 : 0);
  }
}

/// The number of stages, and the rows beside, change no bit.
TEST(WarpGroups, SameBitsForAnyStagesAndRows) {
  LinearCase c = with(caseOf("int4", WeightFormat::Int4, 32, 512, 32, 128, 40), Element::F16, 1);
  c.spec.warpGroups = true;
  std::vector<uint8_t> two = runLinear("cuda:sm_90a", c);
  c.spec.stages = 5;
  EXPECT_EQ(runLinear("cuda:sm_90a", c), two);
  c.spec.rowTile = 256;
  c.rows = 3;
  std::vector<uint8_t> few = runLinear("cuda:sm_90a", c);
  two.resize(few.size());
  EXPECT_EQ(few, two);
}

/// Ten tiles of rows: the last two come behind eight that are computed together.
TEST(WarpGroups, EveryTileIsComputed) {
  LinearCase c = with(caseOf("f16", WeightFormat::F16, 130, 32, 0, 128, 1200), Element::F16, 1);
  c.spec.warpGroups = true;
  c.spec.input = Element::F16;
  expectLinear("cuda:sm_90a", c, 0);
}

TEST(WarpGroups, Refusals) {
  auto why = [](LinearCase c) {
    c.spec.warpGroups = true;
    return llvm::toString(c.spec.check());
  };
  LinearCase c = caseOf("", WeightFormat::Int4, 64, 512, 32, 256, 1);
  EXPECT_EQ(why(c), "");
  EXPECT_EQ(why(with(c, Element::BF16, 3)),
            "blocks of 32 input features whose scales multiply sums, with warp "
            "groups; expected a multiple of 64");
  c.spec.layout.block = 128;
  EXPECT_EQ(why(with(c, Element::BF16, 3)),
            "a tile of 256 rows in parts, or whose sums have scales; expected 128 for warp groups");
  c.spec.layout.wideScales = true;
  EXPECT_EQ(why(c), "a tile of 256 rows in parts, or whose sums have scales; expected 128 for warp groups");
  c.spec.norm = Norm::RMS;
  EXPECT_EQ(why(c), "a norm in front of warp groups; expected one in front of the packed rows");
  EXPECT_EQ(why(with(caseOf("", WeightFormat::F32, 64, 512, 0, 128, 1), Element::BF16, 3)),
            "weights in 3 parts with warp groups");
  c.spec.rowTile = 64;
  EXPECT_EQ(why(c), "a tile of 64 rows; expected 128 or 256 for warp groups");
}
