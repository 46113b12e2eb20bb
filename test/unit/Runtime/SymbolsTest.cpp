//===- SymbolsTest.cpp - what the library exports, needs and promises -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Looks at the built libraries with nm, and runs Inputs/old-client: a program from before, kept as a binary.
//
//===----------------------------------------------------------------------------------===//
#include "TestFile.h"

#include <cstdio>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <sys/wait.h>

using namespace pith::test;

namespace {

struct Output {
  int status = -1;
  std::string text;
};

Output run(const std::string &command) {
  Output output;
  std::FILE *pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe)
    return output;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, pipe))
    output.text.append(buffer, count);
  const int status = pclose(pipe);
  output.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

/// Symbols that nm prints for a library, without their addresses.
std::set<std::string> symbols(const std::string &options, const std::string &library) {
  const Output output = run("nm " + options + " " + library);
  EXPECT_EQ(output.status, 0) << output.text;
  std::set<std::string> names;
  std::istringstream lines(output.text);
  for (std::string line; std::getline(lines, line);)
    if (line.size() > 19 && line[17] != 'A') // versions are absolute symbols
      names.insert(line.substr(19));
  return names;
}

struct SymbolsTest : ::testing::Test {
  void SetUp() override {
    if (*PITH_TEST_SANITIZE)
      GTEST_SKIP() << "a library with sanitizers (" PITH_TEST_SANITIZE ") has their symbols";
  }
};

TEST_F(SymbolsTest, ExportsAreThoseOfTheList) {
  std::set<std::string> expected;
  std::istringstream lines(readFile(PITH_TEST_INPUTS "/exported-symbols.txt"));
  for (std::string line; std::getline(lines, line);)
    expected.insert(line);
  EXPECT_GT(expected.size(), 50u);
  EXPECT_EQ(symbols("-D --defined-only", PITH_TEST_LIBRARY), expected);
}

TEST_F(SymbolsTest, NothingThatEndsTheProcessOrReadsItsEnvironment) {
  // What the standard library's containers throw inside is caught at the C face; __cxa_rethrow is theirs too.
  std::set<std::string> forbidden = {
      "abort", "exit", "_exit", "_Exit", "quick_exit", "getenv", "secure_getenv", "setenv", "__cxa_throw",
      "__assert_fail", "raise", "kill", "printf", "puts", "perror", "__cxa_atexit", "signal", "sigaction",
      "system"};
#ifndef __clang__ // which names it for what leaves a noexcept function, where GCC leaves that to the unwinder
  forbidden.insert("_ZSt9terminatev");
#endif
  for (const std::string library : {PITH_TEST_LIBRARY, PITH_TEST_ARCHIVE}) {
    const bool shared = library == PITH_TEST_LIBRARY;
    const std::set<std::string> needed = symbols(shared ? "-D --undefined-only" : "--undefined-only", library);
    EXPECT_GT(needed.size(), 50u);
    for (const std::string &name : needed) {
      EXPECT_FALSE(forbidden.count(name.substr(0, name.find('@')))) << library << " needs " << name;
      for (const char *stranger : {"llvm", "LLVM", "mlir", "google", "protobuf", "pcre"})
        EXPECT_EQ(name.find(stranger), std::string::npos) << library << " needs " << name;
    }
  }
}

TEST_F(SymbolsTest, SmallAndAlone) {
  const TemporaryFile stripped;
  const Output output = run("strip -o " + stripped.path() + " " PITH_TEST_LIBRARY);
  ASSERT_EQ(output.status, 0) << output.text;
  struct stat facts {};
  ASSERT_EQ(stat(stripped.path().c_str(), &facts), 0);
  EXPECT_LT(facts.st_size, 2 << 20);
  const Output needs = run("readelf -d " PITH_TEST_LIBRARY);
  EXPECT_NE(needs.text.find("libc.so"), std::string::npos) << needs.text;
  for (const char *stranger : {"LLVM", "MLIR", "protobuf", "pcre"})
    EXPECT_EQ(needs.text.find(stranger), std::string::npos) << needs.text;
}

TEST_F(SymbolsTest, AnOldClientRuns) {
  const TemporaryFile model(TestFile().bytes());
  const Output output = run("LD_LIBRARY_PATH=$(dirname " PITH_TEST_LIBRARY ") " PITH_TEST_INPUTS "/old-client " +
                            model.path());
  EXPECT_EQ(output.status, 0) << output.text;
  // Its greedy continuation, computed plainly.
  std::vector<int32_t> text = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4};
  std::string tokens = "tokens";
  for (int i = 0; i < 8; ++i) {
    const std::vector<float> logits = expectedLogits(text);
    text.push_back(int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    tokens += " " + std::to_string(text.back());
  }
  const std::vector<float> last = expectedLogits(text);
  const auto best = std::max_element(last.begin(), last.end()) - last.begin();
  const std::string expected = "vocab 37, pages of 16 tokens\n" + tokens + "\nlengths 20 17, hit 20, best " +
                               std::to_string(best) +
                               ", sequences 3\nsum 11 44\nPITH_ERROR_ARGUMENT: result is null";
  EXPECT_EQ(output.text.substr(0, expected.size()), expected); // how the message goes on may change
}

} // namespace
