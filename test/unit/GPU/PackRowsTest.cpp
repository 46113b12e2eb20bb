//===- PackRowsTest.cpp - activations as wgmma reads them, emulated -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EmulatedSet.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

using namespace pith::gpu;
using namespace pith::gpu::test;

namespace {
/// What stands for row `row` and column `k` in a part of the result: by the words of Kernels.h.
size_t placeOf(const PackRowsSpec &spec, int64_t row, int64_t k, int64_t part) {
  int64_t in = k % 32;
  if (spec.octets) { // k = 8q + 4s + 2h + e goes to 16s + 8h + 2q + e
    int64_t q = in / 8, s = in / 4 % 2, h = in / 2 % 2, e = in % 2;
    in = 16 * s + 8 * h + 2 * q + e;
  }
  int64_t inStage = k % 64 / 32 * 32 + in, unit = inStage / 8 ^ row % 8;
  int64_t piece = (row / 128 * spec.stages() + k / 64) * spec.parts + part;
  return size_t(piece * 128 * 64 + row % 128 * 64 + unit * 8 + inStage % 8);
}

void check(const PackRowsSpec &spec, int64_t rows) {
  EmulatedSet set("cuda:sm_90a");
  size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreatePackRows(m, spec); });
  ASSERT_EQ(set.compile(), "");
  std::vector<float> given = randomFloats(size_t(rows * spec.k), 5),
                     scale = randomFloats(size_t(spec.k), 6, 0.5, 2);
  auto x = set.buffer(given, spec.input), scales = set.buffer(scale);
  std::vector<uint8_t> input = toElements(given, spec.input);
  const int64_t tiles = (rows + 127) / 128;
  auto out = set.emulated.buffer(std::vector<uint8_t>(size_t(tiles * 128 * spec.rowBytes()), 0xff));
  std::vector<pith::test::KernelArgument> arguments = {x};
  if (spec.norm != Norm::None)
    arguments.push_back(scales);
  arguments.push_back(out);
  ASSERT_EQ(set.launch(kernel, arguments, {int32_t(rows)}), "");
  std::vector<uint8_t> result = out.read();
  // Two parts of f16 have no more than the smallest number of f16.
  const double rounding = spec.parts == 1 ? roundingOf(spec.product) : 2e-7,
               smallest = spec.product == Element::F16 ? 6e-8 : 1e-12;
  for (int64_t row = 0; row < tiles * 128; ++row) {
    double squares = 0, factor = 1;
    for (int64_t k = 0; k < spec.k && row < rows; ++k)
      squares += std::pow(double(fromElement(input.data(), spec.input, size_t(row * spec.k + k))), 2);
    if (spec.norm != Norm::None)
      factor = 1 / std::sqrt(squares / double(spec.k) + double(spec.normEpsilon));
    for (int64_t k = 0; k < spec.stages() * 64; ++k) {
      double want = 0, found = 0;
      if (row < rows && k < spec.k)
        want = fromElement(input.data(), spec.input, size_t(row * spec.k + k)) *
               (spec.norm != Norm::None ? factor * scale[size_t(k)] : 1);
      for (int64_t part = 0; part < spec.parts; ++part)
        found += fromElement(result.data(), spec.product, placeOf(spec, row, k, part));
      ASSERT_NEAR(found, want, std::fabs(want) * (rounding + (spec.norm != Norm::None ? 1e-6 : 0)) + smallest)
          << "row " << row << " k " << k;
    }
  }
}
} // namespace

TEST(PackRows, EveryNumberIsInItsPlace) {
  PackRowsSpec spec;
  spec.k = 192;
  check(spec, 130);
  spec.octets = true;
  check(spec, 3);
  spec.product = Element::BF16;
  spec.parts = 3;
  spec.k = 100;
  check(spec, 17);
  spec.k = 77; // rows that begin anywhere
  spec.norm = Norm::RMS;
  spec.normEpsilon = 1e-5f;
  check(spec, 128);
  spec.octets = false;
  spec.input = Element::F16;
  spec.product = Element::F16;
  spec.parts = 2;
  check(spec, 9);
  spec.k = 2112; // more than a thread's unit each
  spec.parts = 1;
  check(spec, 2);
}
