//===- EmulatedLinear.h - linear layers on the emulator ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_GPU_EMULATEDLINEAR_H
#define PITH_TEST_UNIT_GPU_EMULATEDLINEAR_H

#include "../CPU/LinearReference.h"
#include "EmulatedSet.h"
#include "gtest/gtest.h"
#include <cmath>
#include <string>
#include <vector>

namespace pith::gpu::test {

struct LinearCase {
  const char *name;
  LinearSpec spec;
  int64_t rows;
  bool kMajor = false;
};

/// The same layer for the CPU, whose tests have data and reference.
inline pith::cpu::LinearSpec cpuSpec(const LinearSpec &spec) {
  pith::cpu::LinearSpec result;
  static_cast<pith::kernels::LinearFusion &>(result) = spec;
  static_cast<pith::kernels::LinearWeights &>(result.layout) = spec.layout;
  return result;
}

inline std::vector<uint8_t> pack(const LinearLayout &layout, const pith::test::LinearData &data) {
  std::vector<uint8_t> packed(size_t(layout.sizeBytes()), 0xcd);
  int64_t half = layout.panels() / 2;
  packLinear(layout, data.views, 0, half, packed.data());
  packLinear(layout, data.views, half, layout.panels() - half, packed.data() + half * layout.panelBytes());
  return packed;
}

/// A case with its random data.
struct LinearRun {
  explicit LinearRun(const LinearCase &c)
      : c(c), columns(c.spec.layout.n / (c.spec.layout.glu ? 2 : 1)),
        data(cpuSpec(c.spec),
             c.spec.layout.glu ? std::vector<int64_t>{columns, columns}
                               : std::vector<int64_t>{columns - 5, 5},
             c.kMajor, 7),
        xBytes(toElements(randomFloats(size_t(c.rows * c.spec.layout.k), 11), c.spec.input)),
        before(randomFloats(size_t(c.rows * columns), 13)) {
    // What the kernel reads: already rounded.
    for (size_t i = 0; i < size_t(c.rows * c.spec.layout.k); ++i)
      x.push_back(fromElement(xBytes.data(), c.spec.input, i));
  }

  /// The output's elements.
  std::vector<uint8_t> run(const std::string &target) {
    EmulatedSet set(target);
    size_t packing = 0;
    LinearSpec spec = c.spec; // a norm is in the packed rows
    if (spec.warpGroups) {
      packing =
          set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreatePackRows(m, PackRowsSpec::of(c.spec)); });
      spec.norm = Norm::None;
    }
    size_t kernel = set.add([&](mlir::gpu::GPUModuleOp m) { return getOrCreateLinear(m, spec); });
    EXPECT_EQ(set.compile(), "");
    auto xBuffer = set.emulated.buffer(xBytes), weights = set.emulated.buffer(pack(c.spec.layout, data));
    auto out = set.buffer(before, c.spec.output);
    auto copy = [&](auto &values) { return set.buffer(std::vector<float>(values.begin(), values.end())); };
    auto scale = copy(data.normScale), bias = copy(data.bias);
    set.emulated.device.options.seed = 3;
    const int64_t rowBytes = PackRowsSpec::of(c.spec).rowBytes();
    auto packed = set.emulated.buffer(
        std::vector<uint8_t>(size_t(spec.warpGroups ? (c.rows + 127) / 128 * 128 * rowBytes : 16), 0xff));
    if (spec.warpGroups) {
      std::vector<pith::test::KernelArgument> arguments = {xBuffer};
      if (c.spec.norm != Norm::None)
        arguments.push_back(scale);
      arguments.push_back(packed);
      EXPECT_EQ(set.launch(packing, arguments, {int32_t(c.rows)}), "");
    }
    std::vector<pith::test::KernelArgument> arguments = {xBuffer, weights, out};
    if (spec.warpGroups)
      arguments[0] = packed;
    if (spec.norm != Norm::None)
      arguments.push_back(scale);
    if (c.spec.bias)
      arguments.push_back(bias);
    if (c.spec.residual)
      arguments.push_back(out);
    EXPECT_EQ(set.launch(kernel, arguments, {int32_t(c.rows)}), "");
    return out.read();
  }

  const LinearCase &c;
  const int64_t columns;
  pith::test::LinearData data;
  std::vector<uint8_t> xBytes;
  std::vector<float> x, before;
};

inline std::vector<uint8_t> runLinear(const std::string &target, const LinearCase &c) {
  return LinearRun(c).run(target);
}

/// `rounding`: what each product may be off by, relatively.
inline void expectLinear(const std::string &target, const LinearCase &c, double rounding) {
  LinearSpec spec = c.spec;
  spec.norm = spec.warpGroups ? Norm::None : spec.norm;
  ASSERT_EQ(llvm::toString(spec.check()), "");
  LinearRun run(c);
  std::vector<uint8_t> result = run.run(target);
  const LinearLayout &layout = c.spec.layout;
  for (int64_t row = 0; row < c.rows; ++row)
    for (int64_t column = 0; column < run.columns; ++column) {
      size_t i = size_t(row * run.columns + column);
      pith::test::Expected want = run.data.expected(run.x.data() + row * layout.k,
                                                    c.spec.residual ? run.before[i] : 0, column, false);
      double tolerance = want.tolerance + std::fabs(want.value) * roundingOf(c.spec.output) +
                         // tolerance is 1e-6 of the sum of products' magnitudes
                         want.tolerance * 1e6 * rounding * 4 / std::sqrt(double(layout.k));
      ASSERT_NEAR(fromElement(result.data(), c.spec.output, i), want.value, tolerance)
          << "row " << row << " column " << column;
    }
}

} // namespace pith::gpu::test

#endif // PITH_TEST_UNIT_GPU_EMULATEDLINEAR_H
