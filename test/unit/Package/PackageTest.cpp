//===- PackageTest.cpp - the .pith file as it is written ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Package/Package.h"
#include "../Support/Faults.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Parser/Parser.h"
#include "pith/Conversion/Passes.h"
#include "pith/Target/X86/Target.h"
#include "pith/file.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"
#include <cstring>

using namespace mlir;
using namespace pith;

namespace {
constexpr const char *manifestText =
    R"(pith.manifest = {entries = [{kind = "step", max_rows = 8 : i64, name = "step", vocab = 4 : i64}]})";

class PackageTest : public ::testing::Test {
protected:
  void SetUp() override {
    DialectRegistry registry;
    registry.insert<PithDialect, LLVM::LLVMDialect>();
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("pith-package", folder));
    std::optional<cpu::Machine> found = cpu::Machine::fromName("x86-64-v3");
    ASSERT_TRUE(found);
    machine = *found;
    OwningOpRef<ModuleOp> code = parse("llvm.mlir.global external constant @pith_executable(42 : i32) : i32");
    llvm::Expected<llvm::SmallVector<char, 0>> emitted = x86::emitObject(*code, machine);
    ASSERT_TRUE(bool(emitted));
    object.assign(emitted->begin(), emitted->end());
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  OwningOpRef<ModuleOp> parse(const std::string &body) {
    return parseSourceString<ModuleOp>(body, ParserConfig(&context));
  }
  std::string path(llvm::StringRef name) {
    llvm::SmallString<128> result(folder);
    llvm::sys::path::append(result, name);
    return result.str().str();
  }
  /// Writes a file from the module's text; empty if it worked, else the error.
  std::string package(const std::string &body, const std::string &to) {
    OwningOpRef<ModuleOp> module =
        parse("module attributes {" + std::string(manifestText) + "} {\n" + body + "\n}");
    if (!module)
      return "does not parse";
    llvm::Expected<PackageContents> contents = takeContents(*module);
    if (!contents)
      return llvm::toString(contents.takeError());
    return llvm::toString(packageFile(*contents, object, machine, to));
  }
  /// Names of the files in the test's folder.
  std::vector<std::string> files() {
    std::vector<std::string> names;
    std::error_code code;
    for (llvm::sys::fs::directory_iterator it(folder, code), end; it != end && !code; it.increment(code))
      names.push_back(llvm::sys::path::filename(it->path()).str());
    return names;
  }

  MLIRContext context;
  llvm::SmallString<128> folder;
  cpu::Machine machine;
  llvm::SmallVector<char, 0> object;
};

const char *weights = R"(
  pith.weight @a : tensor<3xf32> = dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  pith.weight @b : tensor<2x2xf16> = dense<[[0.5, 1.5], [-2.0, 4.0]]> : tensor<2x2xf16>
  pith.packed @pb [@b] {kind = "plain", element = f32} at 64 size 16
  pith.packed @pa [@a] {kind = "plain", element = f32} at 0 size 12
)";
} // namespace

TEST_F(PackageTest, WritesCodeWeightsManifestAndTrailer) {
  std::string to = path("model.pith");
  EXPECT_EQ(package(weights, to), "");
  auto file = llvm::MemoryBuffer::getFile(to, false, false);
  ASSERT_TRUE(bool(file));
  llvm::StringRef bytes = (*file)->getBuffer();
  ASSERT_GT(bytes.size(), sizeof(pith_file_trailer));
  pith_file_trailer trailer;
  std::memcpy(&trailer, bytes.end() - sizeof(trailer), sizeof(trailer));
  EXPECT_EQ(llvm::StringRef(trailer.magic, 8), PITH_FILE_MAGIC);
  EXPECT_EQ(trailer.version, PITH_FILE_VERSION);
  EXPECT_EQ(trailer.trailer_size, sizeof(trailer));
  EXPECT_EQ(trailer.trailer_checksum, pith_file_checksum(PITH_FILE_CHECKSUM_SEED, &trailer,
                                                         offsetof(pith_file_trailer, trailer_checksum)));
  EXPECT_EQ(trailer.weights_offset % PITH_FILE_WEIGHT_ALIGNMENT, 0u);
  EXPECT_EQ(trailer.weights_size, 128u);
  EXPECT_EQ(trailer.manifest_offset + trailer.manifest_size + sizeof(trailer), bytes.size());
  auto check = [&](uint64_t offset, uint64_t size) {
    return pith_file_checksum(PITH_FILE_CHECKSUM_SEED, bytes.data() + offset, size);
  };
  EXPECT_EQ(trailer.elf_checksum, check(0, trailer.elf_size));
  EXPECT_EQ(trailer.weights_checksum, check(trailer.weights_offset, trailer.weights_size));
  EXPECT_EQ(trailer.manifest_checksum, check(trailer.manifest_offset, trailer.manifest_size));
  EXPECT_TRUE(bytes.starts_with("\x7f"
                                "ELF"));

  float values[32];
  std::memcpy(values, bytes.data() + trailer.weights_offset, sizeof(values));
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(values[2], 3);
  EXPECT_EQ(values[3], 0); // between the pieces
  EXPECT_EQ(values[16], 0.5f);
  EXPECT_EQ(values[18], -2);
  EXPECT_EQ(values[19], 4);

  llvm::StringRef manifest = bytes.substr(trailer.manifest_offset, trailer.manifest_size);
  EXPECT_NE(manifest.find("\"vocab\":4"), llvm::StringRef::npos) << manifest.str();
  EXPECT_NE(manifest.find("\"cpu\":\"x86-64-v3\""), llvm::StringRef::npos);
  EXPECT_NE(manifest.find("\"avx2\""), llvm::StringRef::npos);
  EXPECT_EQ(manifest.find("avx512"), llvm::StringRef::npos);
  EXPECT_EQ(files(), std::vector<std::string>{"model.pith"});
}

TEST_F(PackageTest, RefusesAnOutputThatIsNotAFile) {
  ASSERT_FALSE(llvm::sys::fs::create_directory(path("folder")));
  EXPECT_NE(package(weights, path("folder")).find("not a regular file"), std::string::npos);
  EXPECT_NE(package(weights, "/dev/full").find("not a regular file"), std::string::npos);
  EXPECT_NE(package(weights, path("absent/model.pith")), "");
  EXPECT_EQ(files(), std::vector<std::string>{"folder"});
}

TEST_F(PackageTest, LeavesNothingAfterAnError) {
  std::string missing = R"(
    pith.weight @a : tensor<4xf32> = #pith.file<"no-such-file.onnx", 0, 16>
    pith.packed @p [@a] {kind = "plain", element = f32} at 0 size 16)";
  EXPECT_NE(package(missing, path("model.pith")).find("no-such-file.onnx"), std::string::npos);
  std::string wrongSize = R"(
    pith.weight @a : tensor<4xf32> = dense<1.0> : tensor<4xf32>
    pith.packed @p [@a] {kind = "plain", element = f32} at 0 size 64)";
  EXPECT_EQ(package(wrongSize, path("model.pith")), "packed weight 'p' has 16 bytes, expected 64");
  std::string overlap = R"(
    pith.weight @a : tensor<32xf32> = dense<1.0> : tensor<32xf32>
    pith.packed @p [@a] {kind = "plain", element = f32} at 0 size 128
    pith.packed @q [@a] {kind = "plain", element = f32} at 64 size 128)";
  EXPECT_NE(package(overlap, path("model.pith")).find("packed weight 'q' at 64"), std::string::npos);
  std::string layout = R"(
    pith.weight @a : tensor<4x4xf32> = dense<1.0> : tensor<4x4xf32>
    pith.packed @p [@a] {kind = "linear", format = "f32", n = 4 : i64, k = -1 : i64, block = 0 : i64} at 0 size 64)";
  EXPECT_NE(package(layout, path("model.pith")).find("'k'"), std::string::npos);
  EXPECT_TRUE(files().empty());
}

/// Whichever open, read, write, link or rename fails: an error and the old file, or the whole new one; never a rest.
TEST_F(PackageTest, EveryFaultLeavesTheOldFileOrTheNewOne) {
  if (*PITH_TEST_SANITIZE)
    GTEST_SKIP() << "the sanitizers (" PITH_TEST_SANITIZE ") have their own system calls";
  std::string scratch = path("scratch"), to = path("model.pith");
  ASSERT_FALSE(llvm::sys::fs::create_directory(scratch));
  const char *before = getenv("TMPDIR");
  std::string saved = before ? before : "";
  setenv("TMPDIR", scratch.c_str(), 1);
  auto contents = [&] {
    auto file = llvm::MemoryBuffer::getFile(to, false, false);
    return file ? (*file)->getBuffer().str() : std::string("unreadable");
  };
  ASSERT_EQ(package(weights, to), "");
  std::string whole = contents();
  size_t n = 1, refusals = 0;
  for (bool struck = true; struck && n < 1000 && !HasFailure(); ++n) {
    {
      std::error_code code;
      llvm::raw_fd_ostream(to, code) << "old";
      ASSERT_FALSE(code);
    }
    test::armFaults(test::FaultFiles, n);
    std::string error = package(weights, to);
    struck = test::disarmFaults();
    refusals += !error.empty();
    EXPECT_EQ(contents(), error.empty() ? whole : "old") << "fault " << n << ": " << error;
    EXPECT_TRUE(error.empty() || error.size() > 10);
    std::vector<std::string> names = files();
    llvm::sort(names);
    EXPECT_EQ(names, (std::vector<std::string>{"model.pith", "scratch"})) << "fault " << n << ": " << error;
    std::error_code code;
    EXPECT_EQ(llvm::sys::fs::directory_iterator(scratch, code), llvm::sys::fs::directory_iterator())
        << "fault " << n << ": " << error;
  }
  before ? setenv("TMPDIR", saved.c_str(), 1) : unsetenv("TMPDIR");
  EXPECT_GT(refusals, 5u);
  EXPECT_LT(n, 1000u);
}

TEST_F(PackageTest, NeedsTheManifest) {
  OwningOpRef<ModuleOp> module = parse("module {}");
  llvm::Expected<PackageContents> contents = takeContents(*module);
  ASSERT_FALSE(bool(contents));
  EXPECT_NE(llvm::toString(contents.takeError()).find("the phase 'kernels' has not run"), std::string::npos);
}
