//===- HarnessTest.cpp - lowering, code generation and linking ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../../../lib/Codegen/CPU/KernelBuilder.h"
#include "KernelHarness.h"
#include "pith/Target/X86/Target.h"
#include <gtest/gtest.h>
#include <cmath>

using namespace pith;
using namespace pith::cpu;
using namespace pith::test;

/// out[i] = function(x[i]) in vectors of 16, rows shared by the team.
static void buildMap(mlir::ModuleOp module, llvm::StringRef name,
                     llvm::function_ref<mlir::Value(KernelBuilder &, mlir::Value)> function) {
  getOrCreateKernel(module, name, 2, 1, [&](KernelBuilder &k, llvm::ArrayRef<mlir::Value> args) {
    auto range = k.share(args[0], args[1], args[4]);
    k.barrier(args[0], args[1]);
    k.loop(range.begin, range.end, 1, [&](mlir::Value i) {
      mlir::Value offset = k.mul(i, 64);
      k.store(function(k, k.load(k.vec(16, k.f32), k.at(args[2], offset))), k.at(args[3], offset));
    });
  });
}

static std::vector<std::string> machines() { return {"host", "x86-64-v3"}; }

TEST(Machine, Names) {
  EXPECT_FALSE(Machine::fromName("no-such-cpu"));
  EXPECT_FALSE(Machine::fromName("x86-64")); // no AVX2
  auto v3 = Machine::fromName("x86-64-v3");
  ASSERT_TRUE(v3);
  EXPECT_EQ(v3->vectorBytes, 32);
  EXPECT_FALSE(v3->vnni);
  auto zen5 = Machine::fromName("znver5");
  ASSERT_TRUE(zen5);
  EXPECT_EQ(zen5->vectorBytes, 64);
  EXPECT_TRUE(zen5->vnni && zen5->bf16 && zen5->vbmi && zen5->avxVnni);
}

TEST(Harness, VectorMath) {
  for (const std::string &name : machines()) {
    KernelHarness harness(*Machine::fromName(name));
    buildMap(*harness.module, "map_exp", [](KernelBuilder &k, mlir::Value x) { return k.exp(x); });
    buildMap(*harness.module, "map_erf", [](KernelBuilder &k, mlir::Value x) { return k.erf(x); });
    buildMap(*harness.module, "map_tanh", [](KernelBuilder &k, mlir::Value x) {
      return mlir::Value(mlir::math::TanhOp::create(k.b, k.loc, x));
    });
    ASSERT_EQ(harness.compile(), "");
    const int64_t vectors = 1000;
    Buffer<float> x(vectors * 16), y(vectors * 16);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = -86.f + 170.f * float(i) / float(x.size());
    for (uint32_t threads : {1u, 2u, 3u}) {
      Team team(threads);
      std::fill(y.begin(), y.end(), 0.f);
      harness.call(team, "map_exp", x.data(), y.data(), vectors);
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NEAR(y[i] / std::exp(double(x[i])), 1, 5e-7) << x[i];
      harness.call(team, "map_erf", x.data(), y.data(), vectors);
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NEAR(y[i], std::erf(double(x[i])), 3e-7) << x[i];
      harness.call(team, "map_tanh", x.data(), y.data(), vectors);
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NEAR(y[i], std::tanh(double(x[i])), 3e-7) << x[i];
    }
  }
}

TEST(LinkShared, ReportsErrorsAndGoesOn) {
  KernelHarness harness(*Machine::fromName("host"));
  buildMap(*harness.module, "copy", [](KernelBuilder &, mlir::Value x) { return x; });
  std::string junk = "this is no object";
  std::string message =
      llvm::toString(x86::linkShared({junk.data(), junk.size()}, "/tmp/pith-never-written.so"));
  EXPECT_NE(message.find("cannot link"), std::string::npos) << message;

  ASSERT_EQ(harness.compile(), ""); // after an error, a link still works
  auto object = x86::emitObject(*harness.module, harness.machine);
  ASSERT_TRUE(bool(object));
  message = llvm::toString(x86::linkShared(*object, "/no-such-folder/x.so"));
  EXPECT_NE(message.find("/no-such-folder/x.so"), std::string::npos) << message;
}
