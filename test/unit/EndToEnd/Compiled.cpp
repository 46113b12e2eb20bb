//===- Compiled.cpp - models compiled for a test --------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Compiled.h"
#include "gtest/gtest.h"
#include <cstdio>
#include <unistd.h>

using namespace pith;
using namespace pith::test;

Compiled::Compiled(const std::string &model, const std::function<void(CompileOptions &)> &configure) {
  static int count = 0;
  file = ::testing::TempDir() + "pith-compiled-" + std::to_string(getpid()) + "-" + std::to_string(count++) + ".pith";
  CompileOptions options;
  options.input = model;
  options.output = file;
  if (configure)
    configure(options);
  std::string log;
  llvm::raw_string_ostream os(log);
  EXPECT_TRUE(compile(options, os)) << log;
}

Compiled::~Compiled() { std::remove(file.c_str()); }

std::vector<int32_t> pith::test::someTokens(size_t count, uint32_t seed, uint32_t vocab) {
  std::vector<int32_t> list;
  for (size_t i = 0; i < count; ++i)
    list.push_back(int32_t((seed = seed * 1664525 + 1013904223) / 7 % vocab));
  return list;
}

pith_session_options pith::test::sessionOptions(uint32_t threads, uint32_t flags) {
  pith_session_options options = PITH_INIT(pith_session_options);
  options.threads = threads;
  options.flags = flags;
  return options;
}

std::vector<float> pith::test::rowOf(const Result &result, size_t row, uint32_t vocab) {
  const float *logits = result.logits(row);
  return logits ? std::vector<float>(logits, logits + vocab) : std::vector<float>();
}
