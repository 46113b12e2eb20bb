//===- VectorMathTest.cpp - exponentials and their kin --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../../../lib/Codegen/CPU/KernelBuilder.h"
#include "KernelHarness.h"
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace pith;
using namespace pith::cpu;
using namespace pith::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Function {
  const char *name;
  mlir::Value (*build)(KernelBuilder &, mlir::Value);
  double (*reference)(double);
  double low, high; // where the relative error is held
  double relative;
  float atMinusInfinity, atInfinity;
};

const Function functions[] = {
    {"exp", [](KernelBuilder &k, mlir::Value x) { return k.exp(x); }, [](double x) { return std::exp(x); },
     -86, 88.7, 4e-7, 0, infinity},
    {"exp2", [](KernelBuilder &k, mlir::Value x) { return k.exp2(x); }, [](double x) { return std::exp2(x); },
     -124.9, 127.99, 4e-7, 0, infinity},
    {"exp2degree5", [](KernelBuilder &k, mlir::Value x) { return k.exp2(x, 5); },
     [](double x) { return std::exp2(x); }, -124.9, 127.99, 5e-7, 0, infinity},
    {"exp2degree4", [](KernelBuilder &k, mlir::Value x) { return k.exp2(x, 4); },
     [](double x) { return std::exp2(x); }, -124.9, 127.99, 3e-6, 0, infinity},
    {"exp2nonpositive", [](KernelBuilder &k, mlir::Value x) { return k.exp2NonPositive(x, 6); },
     [](double x) { return std::exp2(x); }, -125.9, 0, 4e-7, 0, 1},
    {"sigmoid", [](KernelBuilder &k, mlir::Value x) { return k.sigmoid(x); },
     [](double x) { return 1 / (1 + std::exp(-x)); }, -86, 200, 5e-7, 0, 1},
    {"tanh", [](KernelBuilder &k, mlir::Value x) { return k.tanh(x); }, [](double x) { return std::tanh(x); },
     -200, 200, 4e-7, -1, 1},
    {"erf", [](KernelBuilder &k, mlir::Value x) { return k.erf(x); }, [](double x) { return std::erf(x); },
     -200, 200, 4e-7, -1, 1},
};

void build(KernelHarness &harness, const Function &function, int64_t lanes) {
  std::string name = function.name + std::to_string(lanes);
  getOrCreateKernel(
      *harness.module, name, 2, 1, [&](KernelBuilder &k, llvm::ArrayRef<mlir::Value> arguments) {
        mlir::Type type = lanes == 1 ? k.f32 : mlir::Type(k.vec(lanes, k.f32));
        k.loop(k.index(0), arguments[4], lanes, [&](mlir::Value i) {
          mlir::Value offset = k.mul(i, 4);
          k.store(function.build(k, k.load(type, k.at(arguments[2], offset))), k.at(arguments[3], offset));
        });
      });
}

} // namespace

TEST(VectorMath, ErrorsAndLimits) {
  std::vector<float> points = {0,      -0.f,       1e-30f, -1e-30f, 1e-8f,  -1e-8f, 0.6249999f,
                               0.625f, 0.9999999f, 1,      4,       88.72f, -86};
  for (int i = 0; i < 200000; ++i)
    points.push_back(-200 + 400 * float(i) / 200000);
  for (int i = 0; i < 100000; ++i)
    points.push_back(-5 + 10 * float(i) / 100000);
  points.resize((points.size() + 15) / 16 * 16);
  for (std::string machine : {"host", "x86-64-v3"}) {
    KernelHarness harness(*Machine::fromName(machine));
    for (const Function &function : functions)
      for (int64_t lanes : {1, 8, 16})
        build(harness, function, lanes);
    ASSERT_EQ(harness.compile(), "");
    Team team(1);
    for (const Function &function : functions)
      for (int64_t lanes : {1, 8, 16}) {
        SCOPED_TRACE(machine + " " + function.name + " of " + std::to_string(lanes));
        std::string name = function.name + std::to_string(lanes);
        Buffer<float> y(points.size());
        harness.call(team, name, points.data(), y.data(), int64_t(points.size()));
        for (size_t i = 0; i < points.size(); ++i) {
          if (points[i] < function.low || points[i] > function.high)
            continue;
          double want = function.reference(points[i]);
          ASSERT_NEAR(y[i], want, std::abs(want) * function.relative) << "x = " << points[i];
        }
        Buffer<float> x(16);
        float special[] = {-infinity, infinity, std::nanf(""),
                           -1e30f,    1e30f,    std::numeric_limits<float>::lowest()};
        std::copy(std::begin(special), std::end(special), x.begin());
        harness.call(team, name, x.data(), y.data(), int64_t(16));
        EXPECT_EQ(y[0], function.atMinusInfinity);
        EXPECT_TRUE(std::isnan(y[2])) << y[2];
        EXPECT_EQ(y[3], function.atMinusInfinity);
        EXPECT_EQ(y[5], function.atMinusInfinity);
        if (std::string(function.name) == "exp2nonpositive")
          continue;
        EXPECT_EQ(y[1], function.atInfinity);
        EXPECT_EQ(y[4], function.atInfinity);
      }
  }
}
