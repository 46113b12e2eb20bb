//===- WalkTest.cpp - random walks over sequence operations ---------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// P7: 100,000 operations. PITH_WALK_STEPS and PITH_WALK_SEED change length and seed.
//
//===----------------------------------------------------------------------------------===//
#include "Walk.h"

#include <cstdlib>
#include <random>

using namespace pith::test;

namespace {

size_t setting(const char *name, size_t otherwise) {
  const char *text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

void run(Walk &walk, size_t operations) {
  for (size_t i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("operation " + std::to_string(i));
    walk.operate();
  }
  walk.finish();
  if (operations < 2000)
    return;
  EXPECT_GT(walk.steps, operations / 20);
  EXPECT_GT(walk.refused, operations / 100);
  EXPECT_GT(walk.hits, operations / 100);
  EXPECT_GT(walk.imports, operations / 1000);
}

std::function<uint64_t()> randomNumbers(uint64_t seed) {
  return [random = std::mt19937_64(setting("PITH_WALK_SEED", seed))]() mutable { return random(); };
}

size_t operations() { return setting("PITH_WALK_STEPS", *testDevice ? 10000 : 100000); }

TEST(WalkTest, Unlimited) {
  Walk walk(loadFake(), 1, 0, randomNumbers(1));
  run(walk, operations());
}

TEST(WalkTest, UnderAPageLimit) {
  Walk walk(loadFake(), 1, 40 * testPageBytes, randomNumbers(2));
  run(walk, operations());
}

TEST(WalkTest, SeveralThreads) {
  Walk walk(loadFake(), 2, 200 * testPageBytes, randomNumbers(3));
  run(walk, operations() / 50);
}

TEST(WalkTest, MoreThreadsThanCores) {
  Walk walk(loadFake(), 5, 0, randomNumbers(4));
  run(walk, operations() / 500);
}

} // namespace
