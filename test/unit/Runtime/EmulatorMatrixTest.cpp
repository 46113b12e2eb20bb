//===- EmulatorMatrixTest.cpp - fragments in, product out -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The maps here are written out per shape, as the vendors' tables have them; the emulator's come from general
// formulas.
//
//===----------------------------------------------------------------------------------===//
#include "EmulatorTest.h"

#include <utility>

using namespace pith::test;

namespace {

using Map = std::pair<int, int> (*)(int lane, int i); // row and column of the matrix

struct Form {
  const char *name;
  uint32_t operation, lanes;
  int m, n, k;
  uint32_t type;
  int countA, countB, countC;
  Map a, b, c;
  bool halves = false;
};

#define MAP(ROW, COLUMN)                                                                                     \
  [](int l, int i) -> std::pair<int, int> {                                                                  \
    (void)i;                                                                                                 \
    const int g = l / 4, t = l % 4;                                                                          \
    (void)g, (void)t;                                                                                        \
    return {ROW, COLUMN};                                                                                    \
  }

const Map mmaC = MAP(g + 8 * (i / 2), 2 * t + i % 2);
const Map mfma16C = MAP(4 * (l / 16) + i, l % 16), mfma32C = MAP(8 * (i / 4) + 4 * (l / 32) + i % 4, l % 32);

const Form forms[] = {
    {"mma f16", PITH_EMU_MMA, 32, 16, 8, 16, PITH_EMU_F16, 8, 4, 4,
     MAP(g + 8 * ((i / 2) % 2), 2 * t + i % 2 + 8 * (i / 4)), MAP(2 * t + i % 2 + 8 * (i / 2), g), mmaC},
    {"mma bf16", PITH_EMU_MMA, 32, 16, 8, 16, PITH_EMU_BF16, 8, 4, 4,
     MAP(g + 8 * ((i / 2) % 2), 2 * t + i % 2 + 8 * (i / 4)), MAP(2 * t + i % 2 + 8 * (i / 2), g), mmaC},
    {"mma f16 k8", PITH_EMU_MMA, 32, 16, 8, 8, PITH_EMU_F16, 4, 2, 4, MAP(g + 8 * (i / 2), 2 * t + i % 2),
     MAP(2 * t + i, g), mmaC},
    {"mma tf32", PITH_EMU_MMA, 32, 16, 8, 8, PITH_EMU_TF32, 4, 2, 4, MAP(g + 8 * (i % 2), t + 4 * (i / 2)),
     MAP(t + 4 * i, g), mmaC},
    {"mma s8", PITH_EMU_MMA, 32, 16, 8, 32, PITH_EMU_S8, 16, 8, 4,
     MAP(g + 8 * ((i / 4) % 2), 4 * t + i % 4 + 16 * (i / 8)), MAP(4 * t + i % 4 + 16 * (i / 4), g), mmaC},
    {"mma s8 k16", PITH_EMU_MMA, 32, 16, 8, 16, PITH_EMU_S8, 8, 4, 4, MAP(g + 8 * (i / 4), 4 * t + i % 4),
     MAP(4 * t + i, g), mmaC},
    {"mma s4", PITH_EMU_MMA, 32, 16, 8, 64, PITH_EMU_S4, 32, 16, 4,
     MAP(g + 8 * ((i / 8) % 2), 8 * t + i % 8 + 32 * (i / 16)), MAP(8 * t + i % 8 + 32 * (i / 8), g), mmaC},
    {"mfma 16 f16", PITH_EMU_MFMA, 64, 16, 16, 16, PITH_EMU_F16, 4, 4, 4, MAP(l % 16, 4 * (l / 16) + i),
     MAP(4 * (l / 16) + i, l % 16), mfma16C},
    {"mfma 16 bf16", PITH_EMU_MFMA, 64, 16, 16, 16, PITH_EMU_BF16, 4, 4, 4, MAP(l % 16, 4 * (l / 16) + i),
     MAP(4 * (l / 16) + i, l % 16), mfma16C},
    {"mfma 16 i8 k16", PITH_EMU_MFMA, 64, 16, 16, 16, PITH_EMU_S8, 4, 4, 4, MAP(l % 16, 4 * (l / 16) + i),
     MAP(4 * (l / 16) + i, l % 16), mfma16C},
    {"mfma 16 i8 k32", PITH_EMU_MFMA, 64, 16, 16, 32, PITH_EMU_S8, 8, 8, 4, MAP(l % 16, 8 * (l / 16) + i),
     MAP(8 * (l / 16) + i, l % 16), mfma16C},
    {"mfma 16 f32", PITH_EMU_MFMA, 64, 16, 16, 4, PITH_EMU_F32, 1, 1, 4, MAP(l % 16, l / 16),
     MAP(l / 16, l % 16), mfma16C},
    {"mfma 32 f16", PITH_EMU_MFMA, 64, 32, 32, 8, PITH_EMU_F16, 4, 4, 16, MAP(l % 32, 4 * (l / 32) + i),
     MAP(4 * (l / 32) + i, l % 32), mfma32C},
    {"mfma 32 i8", PITH_EMU_MFMA, 64, 32, 32, 16, PITH_EMU_S8, 8, 8, 16, MAP(l % 32, 8 * (l / 32) + i),
     MAP(8 * (l / 32) + i, l % 32), mfma32C},
    {"wmma gfx11 f16", PITH_EMU_WMMA, 32, 16, 16, 16, PITH_EMU_F16, 16, 16, 8, MAP(l % 16, i), MAP(i, l % 16),
     MAP(2 * i + l / 16, l % 16)},
    {"wmma gfx11 i8", PITH_EMU_WMMA, 32, 16, 16, 16, PITH_EMU_S8, 16, 16, 8, MAP(l % 16, i), MAP(i, l % 16),
     MAP(2 * i + l / 16, l % 16)},
    {"wmma gfx12 bf16", PITH_EMU_WMMA, 32, 16, 16, 16, PITH_EMU_BF16, 8, 8, 8,
     MAP(l % 16, 8 * (i / 4) + 4 * (l / 16) + i % 4), MAP(8 * (i / 4) + 4 * (l / 16) + i % 4, l % 16),
     MAP(8 * (l / 16) + i, l % 16), true},
    {"wmma gfx12 i8", PITH_EMU_WMMA, 32, 16, 16, 16, PITH_EMU_S8, 8, 8, 8, MAP(l % 16, 8 * (l / 16) + i),
     MAP(8 * (l / 16) + i, l % 16), MAP(8 * (l / 16) + i, l % 16), true}};

/// Small integers, which every type holds exactly.
int valueAt(int matrix, int row, int column) {
  return (row * 7 + column * 5 + matrix * 3 + row * column) % 15 - 7;
}

/// A number in its packed form.
uint32_t encode(uint32_t type, int value) {
  switch (type) {
  case PITH_EMU_F16:
    return floatToHalf(float(value));
  case PITH_EMU_BF16:
    return bitsOf(float(value)) >> 16;
  case PITH_EMU_TF32:
  case PITH_EMU_F32:
    return bitsOf(float(value));
  case PITH_EMU_S4:
    return uint32_t(value) & 15;
  case PITH_EMU_S8:
    return uint32_t(value) & 255;
  default:
    return uint32_t(value);
  }
}

void pack(Thread::Frame &frame, uint32_t type, int matrix, int count, Map map, int lane) {
  const uint32_t bits = bitsOfType(type), first = frame.size;
  frame.reserve((count * bits + 31) / 32);
  for (int i = 0; i < count; ++i) {
    const auto [row, column] = map(lane, i);
    frame.words[first + i * bits / 32] |= encode(type, valueAt(matrix, row, column)) << i * bits % 32;
  }
}

class Matrix : public testing::TestWithParam<Form> {};

TEST_P(Matrix, IsThePlainProduct) {
  const Form &form = GetParam();
  const bool integers = isIntegerType(form.type);
  const uint32_t sumType = integers ? PITH_EMU_S32 : PITH_EMU_F32;
  const uint64_t immediates = uint64_t(form.m) | form.n << 8 | form.k << 16 | uint64_t(form.type) << 24 |
                              uint64_t(form.type) << 28 | uint64_t(sumType) << 32 |
                              uint64_t(form.halves) << 36;
  Runner runner;
  runner.warpSize = form.lanes;
  std::vector<double> result(form.m * form.n, -1e9);
  ASSERT_EQ(runner.run({}, {form.lanes}, 0,
                       [&](const Thread &thread) {
                         Thread::Frame frame;
                         frame.reserve(form.countC);
                         const int lane = int(thread.lane());
                         pack(frame, form.type, 0, form.countA, form.a, lane);
                         pack(frame, form.type, 1, form.countB, form.b, lane);
                         pack(frame, sumType, 2, form.countC, form.c, lane);
                         frame = thread.operate(form.operation, immediates, frame, 0);
                         for (int i = 0; i < form.countC; ++i) {
                           const auto [row, column] = form.c(lane, i);
                           const uint32_t word = frame.words[i];
                           result[row * form.n + column] = integers ? double(int32_t(word)) : floatOf(word);
                         }
                       }),
            "");
  for (int row = 0; row < form.m; ++row)
    for (int column = 0; column < form.n; ++column) {
      int sum = valueAt(2, row, column);
      for (int k = 0; k < form.k; ++k)
        sum += valueAt(0, row, k) * valueAt(1, k, column);
      EXPECT_EQ(result[row * form.n + column], sum) << form.name << " at " << row << ", " << column;
    }
}

INSTANTIATE_TEST_SUITE_P(All, Matrix, testing::ValuesIn(forms), [](const auto &info) {
  std::string name = info.param.name;
  for (char &c : name)
    c = c == ' ' ? '_' : c;
  return name;
});

TEST(MatrixLoad, GivesFragmentsOfA) {
  // The rule "row = lane % 16, column = 8 * (lane / 16)" gives an A fragment; transposed with two matrices,
  // one of B.
  Runner runner;
  std::vector<uint16_t> a(256);
  for (int i = 0; i < 256; ++i)
    a[i] = uint16_t(i);
  const uint16_t *from = runner.memory(a);
  std::vector<uint32_t> plain(32 * 4), transposed(32 * 2);
  ASSERT_EQ(runner.run(
                {}, {32}, 512,
                [&](const Thread &thread) {
                  const uint32_t l = thread.lane();
                  for (int i = 0; i < 8; ++i)
                    thread.store(thread.shared(2 * (8 * l + i)),
                                 thread.load<uint16_t>(from + 8 * l + i, 0, PITH_EMU_GLOBAL), 1);
                  thread.barrier(2);
                  Thread::Frame frame;
                  frame.reserve(4);
                  frame = thread.operate(PITH_EMU_LDMATRIX, 4,
                                         frame.add(thread.shared(2 * (16 * (l % 16) + 8 * (l / 16)))), 3);
                  std::copy_n(frame.words, 4, &plain[4 * l]);
                  frame = thread.operate(PITH_EMU_LDMATRIX, 2 | 1 << 8,
                                         Thread::Frame().reserve(2).add(thread.shared(2 * 16 * (l % 16))), 4);
                  std::copy_n(frame.words, 2, &transposed[2 * l]);
                }),
            "");
  for (int l = 0; l < 32; ++l) {
    for (int i = 0; i < 8; ++i) {
      const auto [row, k] = forms[0].a(l, i);
      EXPECT_EQ(plain[4 * l + i / 2] >> 16 * (i % 2) & 0xffff, uint32_t(16 * row + k));
    }
    for (int i = 0; i < 4; ++i) {
      const auto [k, column] = forms[0].b(l, i);
      EXPECT_EQ(transposed[2 * l + i / 2] >> 16 * (i % 2) & 0xffff, uint32_t(16 * k + column));
    }
  }
}

TEST(Numbers, HalfRoundTrips) {
  for (uint32_t half = 0; half < 0x10000; ++half)
    if ((half & 0x7fff) <= 0x7c00) {
      ASSERT_EQ(floatToHalf(halfToFloat(half)), half);
    }
  EXPECT_EQ(halfToFloat(1), 0x1p-24f);
  EXPECT_EQ(floatToHalf(65519.f), 0x7bffu);
  EXPECT_EQ(floatToHalf(65520.f), 0x7c00u);
  EXPECT_EQ(byteToFloat(0x7e, 4, false), 448.f);
  EXPECT_EQ(byteToFloat(0x7f, 4, true), 240.f);
  EXPECT_EQ(byteToFloat(0x7b, 5, false), 57344.f);
}

} // namespace
