//===- DamageTest.cpp - damaged models are refused or imported, never worse -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Mutate.h"
#include "pith/Import/ONNX/Import.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cstdlib>
#include <random>

namespace {

/// A folder of its own that goes with the test.
struct DamageTest : testing::TestWithParam<const char *> {
  llvm::SmallString<128> folder;
  void SetUp() override { ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("pith-damage", folder)); }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  /// Whether the bytes import; what is reported must not be empty if they do not.
  bool imports(llvm::StringRef bytes, int number) {
    // Files are mapped for the life of a context, so each has a name of its own.
    llvm::SmallString<128> path(folder);
    llvm::sys::path::append(path, std::to_string(number) + ".onnx");
    {
      std::error_code code;
      llvm::raw_fd_ostream out(path, code);
      EXPECT_FALSE(code);
      out << bytes;
    }
    mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
    std::string text;
    mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
      text += diagnostic.str() + "\n";
      return mlir::success();
    });
    bool good = bool(pith::onnx::importModel(&context, path));
    EXPECT_TRUE(good || !text.empty());
    EXPECT_EQ(text.find("invalid code"), std::string::npos) << text;
    llvm::sys::fs::remove(path);
    return good;
  }

  std::string model() {
    auto buffer = llvm::MemoryBuffer::getFile(std::string(PITH_ONNX_DATA "/") + GetParam() + ".onnx");
    EXPECT_TRUE(bool(buffer));
    return buffer ? (*buffer)->getBuffer().str() : std::string();
  }
};

TEST_P(DamageTest, WholeModelImports) { EXPECT_TRUE(imports(model(), 0)); }

TEST_P(DamageTest, TruncatedAnywhere) {
  std::string bytes = model();
  for (size_t i = 0; i < 64; ++i)
    imports(llvm::StringRef(bytes).take_front(bytes.size() * i / 64), i);
}

TEST_P(DamageTest, BitsFlipped) {
  std::string bytes = model();
  std::mt19937 random(42);
  for (int i = 0; i < 400; ++i) {
    std::string damaged = bytes;
    for (unsigned flips = 1 + random() % 4; flips; --flips)
      damaged[random() % damaged.size()] ^= char(1 << random() % 8);
    imports(damaged, i);
  }
}

TEST_P(DamageTest, BytesReplaced) {
  std::string bytes = model();
  std::mt19937 random(43);
  for (int i = 0; i < 400; ++i) {
    std::string damaged = bytes;
    for (unsigned count = 1 + random() % 8; count; --count)
      damaged[random() % damaged.size()] = char(random() % 3 ? random() % 24 : random());
    imports(damaged, i);
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
  pith::test::Mutator mutator([&] { return random(); });
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
    imported += imports(bytes, i);
  }
  EXPECT_LT(imported, count);
}

INSTANTIATE_TEST_SUITE_P(Models, DamageTest,
                         testing::Values("shapes", "slices", "elementwise", "attention", "norms", "builder", "weights",
                                         "function", "runtime"));

} // namespace
