//===- DamageTest.cpp - damaged models are refused or imported, never worse -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Mutate.h"
#include "TryImport.h"
#include "pith/Import/ONNX/Import.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cstdlib>
#include <random>

namespace {

struct DamageTest : testing::TestWithParam<const char *> {
  pith::test::ImportTrial trial;

  /// Whether the bytes import; in either case they must do so properly.
  bool imports(llvm::StringRef bytes) {
    pith::test::ImportTrial::Outcome outcome = trial.run(bytes);
    EXPECT_EQ(outcome.fault, "");
    return outcome.imported;
  }

  std::string model() {
    auto buffer = llvm::MemoryBuffer::getFile(std::string(PITH_ONNX_DATA "/") + GetParam() + ".onnx");
    EXPECT_TRUE(bool(buffer));
    return buffer ? (*buffer)->getBuffer().str() : std::string();
  }
};

TEST_P(DamageTest, WholeModelImports) { EXPECT_TRUE(imports(model())); }

TEST_P(DamageTest, TruncatedAnywhere) {
  std::string bytes = model();
  for (size_t i = 0; i < 64; ++i)
    imports(llvm::StringRef(bytes).take_front(bytes.size() * i / 64));
}

TEST_P(DamageTest, BitsFlipped) {
  std::string bytes = model();
  std::mt19937 random(42);
  for (int i = 0; i < 400; ++i) {
    std::string damaged = bytes;
    for (unsigned flips = 1 + random() % 4; flips; --flips)
      damaged[random() % damaged.size()] ^= char(1 << random() % 8);
    imports(damaged);
  }
}

TEST_P(DamageTest, BytesReplaced) {
  std::string bytes = model();
  std::mt19937 random(43);
  for (int i = 0; i < 400; ++i) {
    std::string damaged = bytes;
    for (unsigned count = 1 + random() % 8; count; --count)
      damaged[random() % damaged.size()] = char(random() % 3 ? random() % 24 : random());
    imports(damaged);
  }
}

/// PITH_MUTATIONS and PITH_MUTATION_SEED change how many and which.
TEST_P(DamageTest, StructureChanged) {
  auto setting = [](const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? std::atol(text) : otherwise;
  };
  pith::onnx::proto::ModelProto good;
  ASSERT_TRUE(good.ParseFromString(model()));
  std::mt19937_64 random(uint64_t(setting("PITH_MUTATION_SEED", 44)));
  pith::test::Mutator mutator([&] { return random(); }, pith::onnx::supportedOps());
  int imported = 0;
  const int count = int(setting("PITH_MUTATIONS", 400));
  for (int i = 0; i < count && !HasFailure(); ++i) {
    pith::onnx::proto::ModelProto changed = good;
    for (unsigned changes = 1 + random() % 4; changes; --changes)
      mutator.mutate(changed);
    const std::string bytes = changed.SerializeAsString();
    if (const char *keep = getenv("PITH_MUTATION_KEEP")) { // the last one, to look at after a failure
      std::error_code code;
      llvm::raw_fd_ostream(keep, code) << bytes;
    }
    imported += imports(bytes);
  }
  EXPECT_LT(imported, count);
}

/// The fuzzer's seeds, among them what it has found.
TEST(SeedTest, ImportOrAreRefused) {
  pith::test::ImportTrial trial;
  int imported = 0, all = 0;
  std::error_code code;
  for (llvm::sys::fs::directory_iterator it(PITH_FUZZ_SEEDS, code), end; it != end && !code; it.increment(code)) {
    auto buffer = llvm::MemoryBuffer::getFile(it->path());
    ASSERT_TRUE(bool(buffer));
    const pith::test::ImportTrial::Outcome outcome = trial.run((*buffer)->getBuffer());
    EXPECT_EQ(outcome.fault, "") << it->path();
    imported += outcome.imported;
    ++all;
  }
  EXPECT_GT(imported, 150);
  EXPECT_LT(imported, all);
}

INSTANTIATE_TEST_SUITE_P(Models, DamageTest,
                         testing::Values("shapes", "slices", "elementwise", "attention", "norms", "builder",
                                         "weights", "function", "runtime"));

} // namespace
