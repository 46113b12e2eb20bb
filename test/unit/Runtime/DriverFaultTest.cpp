//===- DriverFaultTest.cpp - drivers that fail ----------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DriverTest.h"
#include "Stream.h"
#include "device/Driver.h"

#include <functional>

using namespace pith::test;
namespace device = pith::runtime::device;

namespace {

struct DriverFaultTest : DriverTest {};
INSTANTIATE_TEST_SUITE_P(Kinds, DriverFaultTest, ::testing::Values("cuda", "hip"));

TEST_P(DriverFaultTest, NoDriver) {
  const device::Kind which = cuda ? device::Kind::Cuda : device::Kind::Hip;
  device::Driver driver;
  pith::runtime::Status status = device::Driver::openLibrary(which, "libno-such-driver.so", driver);
  EXPECT_EQ(status.code(), PITH_ERROR_DEVICE);
  EXPECT_EQ(status.message().rfind(kind + ": no driver: libno-such-driver.so: ", 0), 0u) << status.message();
  status = device::Driver::openLibrary(which, "libm.so.6", driver);
  EXPECT_EQ(status.code(), PITH_ERROR_DEVICE);
  EXPECT_EQ(status.message(),
            kind + ": the driver in libm.so.6 is too old: it has no " + error("cuInit", "hipInit"));
  fake.devices = 0;
  status = device::Driver::openLibrary(which, cuda ? "libcuda.so.1" : "libamdhip64.so", driver);
  EXPECT_EQ(status.code(), PITH_ERROR_DEVICE);
  EXPECT_EQ(status.message(),
            kind + ": the driver does not start: " + error("CUDA_ERROR_NO_DEVICE", "hipErrorNoDevice") +
                ": no device is detected");
}

TEST_P(DriverFaultTest, NoMemory) {
  const std::string words = error("CUDA_ERROR_OUT_OF_MEMORY", "hipErrorOutOfMemory") + ": out of memory";
  {
    const ModulePtr module = loadFake("", kind);
    SessionPtr session;
    fake.memoryBytes = 4999;
    EXPECT_PITH_ERROR(open(module, nullptr, session, &error), PITH_ERROR_MEMORY,
                      kind + ":0: no memory for 5000 bytes of weights (4999 of 4999 are free): " + words);
    fake.memoryBytes = machine.memoryBytes;
  }
  DriverScene scene(kind);
  ASSERT_PITH_OK(scene.step(someTokens(16), &error));
  fake.memoryBytes = 100;
  EXPECT_PITH_ERROR(scene.step({1}, &error), PITH_ERROR_MEMORY,
                    "lane 0: " + kind + ":0: no memory for 128 bytes of");
  EXPECT_EQ(tokensOf(scene.sequence), scene.text);
  fake.memoryBytes = machine.memoryBytes;
  ASSERT_PITH_OK(scene.step({1}, &error));
  scene.expectRight();
}

TEST_P(DriverFaultTest, CachedTextsGoBeforeTheMemoryEnds) {
  DriverScene scene(kind);
  SequencePtr other = makeSequence(scene.session);
  const std::vector<int32_t> text = someTokens(48, 5);
  const pith_lane lane = makeLane(other, text);
  ASSERT_PITH_OK(scene.step(someTokens(48), &error));
  ASSERT_PITH_OK(pith_step(scene.session.get(), &lane, 1, nullptr, scene.result.get(), &error));
  other.reset();
  EXPECT_EQ(memoryOf(scene.session).pages_cached, 3u);
  fake.memoryBytes = 100;
  // In the blocks of six pages there are two more.
  for (int i = 0; i < 80; ++i)
    ASSERT_PITH_OK(scene.step({3}, &error));
  scene.expectRight();
  EXPECT_EQ(memoryOf(scene.session).pages_cached, 0u);
  EXPECT_PITH_ERROR(scene.step({3}, &error), PITH_ERROR_MEMORY, "bytes of a cache page");
  fake.memoryBytes = machine.memoryBytes;
}

TEST_P(DriverFaultTest, TheCompilerSpeaks) {
  if (!cuda)
    GTEST_SKIP() << "nothing is compiled for hip";
  const ModulePtr module = loadFake("", kind);
  SessionPtr session;
  fake.major = 8;
  std::snprintf(fake.jitLog, sizeof fake.jitLog,
                "ptxas application, line 9; error: Unknown symbol 'q'\nfatal: no more");
  EXPECT_PITH_ERROR(
      open(module, nullptr, session, &error), PITH_ERROR_DEVICE,
      "cuda:0: loading the kernels for \"cuda:sm_80\": CUDA_ERROR_INVALID_PTX: a PTX JIT compilation "
      "failed: ptxas application, line 9; error: Unknown symbol 'q' fatal: no more");
}

TEST_P(DriverFaultTest, ALaunchFails) {
  DriverScene scene(kind);
  ASSERT_PITH_OK(scene.step(someTokens(20), &error));
  const std::string words =
      error("CUDA_ERROR_LAUNCH_FAILED", "hipErrorLaunchFailure") + ": unspecified launch failure";
  // Once while launches are made, once while they are recorded.
  for (int i = 0; i < 2; ++i) {
    fail("cuLaunchKernel", "hipModuleLaunchKernel", 2);
    EXPECT_PITH_ERROR(scene.step({1}, &error), PITH_ERROR_DEVICE,
                      kind + ":0: kernel \"fake_hash\" (toy.hash) on 1 x 1 x 1 blocks: " + words);
    EXPECT_EQ(tokensOf(scene.sequence), scene.text);
    ASSERT_PITH_OK(scene.step({1}, &error));
    scene.expectRight();
  }
  fail("cuGraphLaunch", "hipGraphLaunch");
  EXPECT_PITH_ERROR(
      scene.step({2}, &error), PITH_ERROR_DEVICE,
      kind +
          ":0: one of the kernels from kernel \"fake_append\" (toy.append) to kernel \"fake_logits\" "
          "(toy.logits): " +
          words);
  EXPECT_EQ(tokensOf(scene.sequence), scene.text);
  ASSERT_PITH_OK(scene.step({2}, &error));
  scene.expectRight();
}

TEST_P(DriverFaultTest, AKernelFails) {
  DriverScene scene(kind);
  ASSERT_PITH_OK(scene.step(someTokens(20), &error));
  for (int i = 0; i < 4; ++i) { // launched, recorded, repeated
    set(fake.faulty, "fake_hash");
    EXPECT_PITH_ERROR(scene.step({1}, &error), PITH_ERROR_DEVICE,
                      "to kernel \"fake_logits\" (toy.logits): " +
                          this->error("CUDA_ERROR_ILLEGAL_ADDRESS", "hipErrorIllegalAddress"));
    EXPECT_EQ(tokensOf(scene.sequence), scene.text);
    EXPECT_EQ(pith_result_rows(scene.result.get()), 0u);
    set(fake.faulty, "");
    ASSERT_PITH_OK(scene.step({1}, &error));
    scene.expectRight();
  }
}

/// Every call to the driver fails once: what was asked for fails with the driver's words or not at all,
/// nothing changes, and the next time it works.
TEST_P(DriverFaultTest, EveryCallFailsOnce) {
  const ModulePtr module = loadFake("", kind);
  const std::vector<int32_t> prompt = someTokens(30), one = {4};
  size_t failures = 0;
  for (uint64_t n = 1;; ++n) {
    SCOPED_TRACE("call " + std::to_string(n));
    fail("*", "*", n);
    set(fake.struck, "");
    const auto must = [&](const std::function<pith_status(pith_error *)> &call) {
      Error error;
      pith_status status = call(&error);
      if (status != PITH_OK) {
        ++failures;
        EXPECT_TRUE(status == PITH_ERROR_DEVICE || status == PITH_ERROR_MEMORY) << error.message;
        EXPECT_NE(std::string(error.message).find(kind), std::string::npos) << error.message;
        EXPECT_NE(fake.struck[0], 0) << error.message;
        status = call(&error);
      }
      EXPECT_EQ(status, PITH_OK) << error.message << " after " << fake.struck;
    };
    {
      SessionPtr session;
      must([&](pith_error *error) { return open(module, nullptr, session, error); });
      ASSERT_TRUE(session);
      const ResultPtr result = makeResult(session);
      pith_sampler *made = nullptr;
      ASSERT_EQ(pith_sampler_new(nullptr, &made, nullptr), PITH_OK);
      const SamplerPtr sampler(made);
      SequencePtr a = makeSequence(session), b;
      std::vector<int32_t> text;
      const auto step = [&](const SequencePtr &sequence, const std::vector<int32_t> &tokens) {
        const pith_lane lane = makeLane(sequence, tokens);
        must([&](pith_error *error) {
          const pith_status status = pith_step(session.get(), &lane, 1, nullptr, result.get(), error);
          EXPECT_EQ(tokensOf(sequence).size(), text.size() + (status ? 0 : tokens.size()));
          return status;
        });
        text.insert(text.end(), tokens.begin(), tokens.end());
        int32_t token = -1, best = -1;
        const pith_draw draw = PITH_INIT(pith_draw);
        must([&](pith_error *error) {
          return pith_sample(sampler.get(), result.get(), &draw, 1, &token, error);
        });
        must([&](pith_error *error) { return pith_result_top_k(result.get(), 0, 1, &best, nullptr, error); });
        EXPECT_EQ(token, best);
        EXPECT_EQ(rowLogits(result, 0), expectedLogits(text));
      };
      step(a, prompt);
      for (int i = 0; i < 4; ++i)
        step(a, one);
      pith_sequence *fork = nullptr;
      ASSERT_PITH_OK(pith_sequence_fork(a.get(), text.size(), 1, &fork, &error));
      b.reset(fork);
      step(b, one);
      Stream stream;
      must([&](pith_error *error) {
        stream = Stream();
        return pith_sequence_export(b.get(), text.size(), Stream::write, &stream, error);
      });
      must([&](pith_error *error) {
        stream.at = 0;
        pith_sequence *made = nullptr;
        const pith_status status =
            pith_sequence_import(session.get(), nullptr, Stream::read, &stream, &made, error);
        if (status == PITH_OK)
          a.reset(made);
        return status;
      });
      step(a, one);
      must([&](pith_error *error) {
        const std::vector<float> values = {1, -2, 3};
        const int64_t dims[] = {3};
        pith_tensor tensor = PITH_INIT(pith_tensor);
        tensor.type = PITH_F32;
        tensor.rank = 1;
        tensor.dims = dims;
        tensor.data = const_cast<float *>(values.data());
        return pith_invoke(session.get(), nullptr, "chosen", &tensor, 1, result.get(), error);
      });
      ASSERT_PITH_OK(pith_session_trim(session.get(), &error));
    }
    const std::string struck = fake.struck;
    fake.failingCall = 0;
    // What is not given back because the driver refuses to take it is lost.
    bool refused = false;
    for (const char *part : {"Free", "Destroy", "Unload", "Release", "PushCurrent", "PopCurrent"})
      refused |= struck.find(part) != std::string::npos;
    if (refused)
      fake.blocks = fake.hostBlocks = fake.streams = fake.events = fake.modules = fake.graphs =
          fake.contexts = 0;
    else
      expectNothingLeft();
    if (struck.empty())
      break;
  }
  EXPECT_GT(failures, 60u);
}

} // namespace
