//===- DriverTest.h - sessions over the fake drivers ------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_RUNTIME_DRIVERTEST_H
#define PITH_TEST_UNIT_RUNTIME_DRIVERTEST_H

#include "FakeDriver.h"
#include "TestFile.h"

#include <cstdio>
#include <dlfcn.h>
#include <string>
#include <vector>

namespace pith::test {

/// For each of "cuda" and "hip".
struct DriverTest : ::testing::TestWithParam<const char *> {
  const std::string kind = GetParam();
  const bool cuda = kind == "cuda";
  FakeDriver &fake = find(kind);
  const FakeDriver machine = fake; // as it was found

  static FakeDriver &find(const std::string &kind) {
    void *library = dlopen(kind == "cuda" ? "libcuda.so.1" : "libamdhip64.so", RTLD_NOW);
    void *symbol = library ? dlsym(library, "fake_driver") : nullptr;
    if (!symbol) {
      std::fprintf(stderr, "the fake driver for %s is not in front of a real one\n", kind.c_str());
      std::abort();
    }
    return *static_cast<FakeDriver *>(symbol);
  }

  /// Everything is given back, whatever went wrong, and the machine is whole again.
  void TearDown() override {
    expectNothingLeft();
    fake = machine;
  }
  void expectNothingLeft() const {
    EXPECT_EQ(fake.blocks, 0);
    EXPECT_EQ(fake.hostBlocks, 0);
    EXPECT_EQ(fake.streams, 0);
    EXPECT_EQ(fake.events, 0);
    EXPECT_EQ(fake.modules, 0);
    EXPECT_EQ(fake.graphs, 0);
    EXPECT_EQ(fake.contexts, 0);
  }
  void set(char (&field)[64], const std::string &value) {
    std::snprintf(field, sizeof field, "%s", value.c_str());
  }
  /// From now on the n-th call of this function fails.
  void fail(const char *cudaName, const char *hipName, uint64_t n = 1, int code = 719) {
    set(fake.failing, cuda ? cudaName : hipName);
    fake.failingCall = n;
    fake.failure = code;
  }
  std::string error(const char *cudaName, const char *hipName) const { return cuda ? cudaName : hipName; }

  pith_status open(const ModulePtr &module, const char *device, SessionPtr &session,
                   pith_error *error) const {
    pith_session_options options = PITH_INIT(pith_session_options);
    options.threads = 1;
    options.device = device;
    pith_session *made = nullptr;
    pith_module *list[] = {module.get()};
    const pith_status status = pith_session_new(list, 1, &options, &made, error);
    session.reset(made);
    return status;
  }
};

/// A session and a text in it.
struct DriverScene {
  ModulePtr module;
  SessionPtr session;
  SequencePtr sequence;
  ResultPtr result;
  std::vector<int32_t> text;

  explicit DriverScene(const std::string &kind)
      : module(loadFake("", kind)), session(makeSession(module, 1)), sequence(makeSequence(session)),
        result(makeResult(session)) {}

  pith_status step(const std::vector<int32_t> &tokens, pith_error *error = nullptr) {
    const pith_lane lane = makeLane(sequence, tokens);
    const pith_status status = pith_step(session.get(), &lane, 1, nullptr, result.get(), error);
    if (status == PITH_OK)
      text.insert(text.end(), tokens.begin(), tokens.end());
    return status;
  }
  void expectRight() const { EXPECT_EQ(rowLogits(result, 0), expectedLogits(text)); }
};

} // namespace pith::test
#endif // PITH_TEST_UNIT_RUNTIME_DRIVERTEST_H
