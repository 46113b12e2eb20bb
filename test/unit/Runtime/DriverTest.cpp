//===- DriverTest.cpp - what a session asks of a driver -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DriverTest.h"
#include "FakeModel.h"
#include "device/Device.h"

#include <atomic>

using namespace pith::test;
namespace device = pith::runtime::device;

extern std::atomic<size_t> heapAllocations; // AllocationCount.cpp

namespace {

INSTANTIATE_TEST_SUITE_P(Kinds, DriverTest, ::testing::Values("cuda", "hip"));

TEST_P(DriverTest, DecodingIsOneLaunchAndTwoCopies) {
  DriverScene scene(kind);
  ASSERT_PITH_OK(pith_sequence_reserve(scene.sequence.get(), 600, &error));
  ASSERT_PITH_OK(scene.step(someTokens(5), &error));
  const std::vector<int32_t> one = {7};
  for (int i = 0; i < 3; ++i)
    ASSERT_PITH_OK(scene.step(one, &error));
  scene.text.reserve(1000);
  const FakeDriver before = fake;
  const size_t heap = heapAllocations;
  for (int i = 0; i < 40; ++i)
    ASSERT_EQ(scene.step(one), PITH_OK);
  EXPECT_EQ(heapAllocations, heap);
  scene.expectRight();
  EXPECT_EQ(fake.graphLaunches - before.graphLaunches, 40u);
  EXPECT_EQ(fake.copiesIn - before.copiesIn, 40u);
  EXPECT_EQ(fake.copiesOut - before.copiesOut, 40u);
  EXPECT_EQ(fake.synchronizations - before.synchronizations, 40u);
  EXPECT_EQ(fake.bytesOut - before.bytesOut, 40u * FAKE_VOCAB * sizeof(float));
  EXPECT_LT(fake.bytesIn - before.bytesIn, 40u * 1024);
  EXPECT_EQ(fake.launches, before.launches);
  EXPECT_EQ(fake.captures, before.captures);
  EXPECT_EQ(fake.allocations, before.allocations);
  EXPECT_EQ(fake.hostAllocations, before.hostAllocations);
  EXPECT_EQ(fake.copies, before.copies);
  EXPECT_EQ(fake.fills, before.fills);
  EXPECT_EQ(fake.pageableIn, 0u);
}

TEST_P(DriverTest, AnAddedPageLeavesTheGraph) {
  DriverScene scene(kind);
  for (int i = 0; i < 3; ++i)
    ASSERT_PITH_OK(scene.step({i}, &error));
  const FakeDriver before = fake;
  for (int i = 3; i < 103; ++i) {
    ASSERT_PITH_OK(scene.step({i % FAKE_VOCAB}, &error));
    scene.expectRight();
  }
  EXPECT_EQ(fake.graphLaunches - before.graphLaunches, 100u);
  EXPECT_EQ(fake.captures, before.captures);
  EXPECT_EQ(fake.fills - before.fills, 6u);
  EXPECT_EQ(fake.allocations - before.allocations, 6u);
}

TEST_P(DriverTest, EachShapeHasAGraph) {
  DriverScene scene(kind);
  const SequencePtr other = makeSequence(scene.session);
  std::vector<int32_t> text;
  const uint64_t captures = fake.captures;
  for (int i = 0; i < 12; ++i) {
    const std::vector<int32_t> one = {i}, two = {i, i + 1};
    ASSERT_PITH_OK(scene.step(one, &error));
    scene.expectRight();
    const pith_lane lanes[] = {makeLane(scene.sequence, one), makeLane(other, two)};
    ASSERT_PITH_OK(pith_step(scene.session.get(), lanes, 2, nullptr, scene.result.get(), &error));
    scene.text.push_back(i);
    text.insert(text.end(), {i, i + 1});
    scene.expectRight();
    EXPECT_EQ(rowLogits(scene.result, 1), expectedLogits(text));
  }
  EXPECT_EQ(fake.captures - captures, 2u);
  // Memory that moves takes the graphs with it: here the logits of more rows than before.
  const std::vector<int32_t> more = someTokens(20);
  const pith_lane lane = makeLane(other, more, PITH_ROWS_ALL);
  ASSERT_PITH_OK(pith_step(scene.session.get(), &lane, 1, nullptr, scene.result.get(), &error));
  for (int i = 0; i < 3; ++i) {
    ASSERT_PITH_OK(scene.step({1}, &error));
    scene.expectRight();
  }
  EXPECT_EQ(fake.captures - captures, 3u);
  ASSERT_PITH_OK(pith_session_trim(scene.session.get(), &error));
  for (int i = 0; i < 3; ++i) {
    ASSERT_PITH_OK(scene.step({2}, &error));
    scene.expectRight();
  }
  EXPECT_EQ(fake.captures - captures, 4u);
  EXPECT_GT(fake.graphs, 0);
}

TEST_P(DriverTest, MoreShapesThanGraphs) {
  DriverScene scene(kind);
  for (int round = 0; round < 3; ++round)
    for (size_t rows = 1; rows <= FAKE_MAX_ROWS; ++rows)
      for (const pith_rows wanted : {PITH_ROWS_NONE, PITH_ROWS_LAST, PITH_ROWS_ALL}) {
        const std::vector<int32_t> tokens = someTokens(rows);
        const pith_lane lane = makeLane(scene.sequence, tokens, wanted);
        ASSERT_PITH_OK(pith_step(scene.session.get(), &lane, 1, nullptr, scene.result.get(), &error));
        const size_t last = pith_result_rows(scene.result.get());
        if (last) {
          EXPECT_EQ(rowLogits(scene.result, last - 1), expectedLogits(tokens));
        }
        ASSERT_PITH_OK(pith_sequence_truncate(scene.sequence.get(), 0, &error));
      }
  EXPECT_LE(fake.graphs, 48);
}

TEST_P(DriverTest, WeightsGoThereOnce) {
  const ModulePtr module = loadFake("", kind);
  const uint64_t before = fake.bytesIn;
  SessionPtr first = makeSession(module, 1);
  EXPECT_EQ(fake.bytesIn - before, 5000u);
  EXPECT_EQ(fake.blocks, 1);
  EXPECT_EQ(fake.modules, 1);
  const SessionPtr second = makeSession(module, 1);
  EXPECT_EQ(fake.bytesIn - before, 5000u);
  EXPECT_EQ(fake.blocks, 1);
  EXPECT_EQ(fake.modules, 1);
  EXPECT_EQ(fake.streams, 2);
  first.reset();
  EXPECT_EQ(fake.blocks, 1);
}

TEST_P(DriverTest, SeveralDevices) {
  const ModulePtr module = loadFake("", kind);
  const std::string names[] = {kind, kind + ":1"};
  SessionPtr sessions[2];
  for (int i = 0; i < 2; ++i)
    ASSERT_PITH_OK(open(module, names[i].c_str(), sessions[i], &error));
  EXPECT_EQ(fake.blocks, 2); // the weights
  std::vector<int32_t> texts[2];
  const SequencePtr sequences[] = {makeSequence(sessions[0]), makeSequence(sessions[1])};
  const ResultPtr results[] = {makeResult(sessions[0]), makeResult(sessions[1])};
  for (int32_t i = 0; i < 20; ++i)
    for (int j = 0; j < 2; ++j) {
      const std::vector<int32_t> one = {i + j};
      const pith_lane lane = makeLane(sequences[j], one);
      ASSERT_PITH_OK(pith_step(sessions[j].get(), &lane, 1, nullptr, results[j].get(), &error));
      texts[j].push_back(i + j);
      EXPECT_EQ(rowLogits(results[j], 0), expectedLogits(texts[j]));
    }
  char name[64];
  EXPECT_GT(pith_session_device(sessions[1].get(), name, sizeof name), 10u);
  EXPECT_EQ(std::string(name), kind + ":1: Fake GPU 1, " + error("sm_90", "gfx942:sramecc+:xnack-"));
  EXPECT_EQ(memoryOf(sessions[1]).device_bytes_total, fake.memoryBytes);
  EXPECT_LT(memoryOf(sessions[1]).device_bytes_free, fake.memoryBytes);
  SessionPtr none;
  const std::string third = kind + ":2";
  EXPECT_PITH_ERROR(open(module, third.c_str(), none, &error), PITH_ERROR_DEVICE,
                    kind + ":2: no such device, the driver has 2");
}

/// The stream itself: pieces that are larger than what is staged, in order with everything else.
TEST_P(DriverTest, LargeCopies) {
  std::shared_ptr<device::Device> chip;
  ASSERT_TRUE(device::Device::open(cuda ? device::Kind::Cuda : device::Kind::Hip, 0, chip).ok());
  std::unique_ptr<device::Stream> stream;
  ASSERT_TRUE(chip->makeStream(nullptr, stream).ok());
  std::vector<uint32_t> values((20 << 20) / 4 + 5), back(values.size()), twice(values.size());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = uint32_t(i * 2654435761u);
  const std::vector<uint32_t> expected = values;
  const uint64_t bytes = values.size() * 4;
  void *a = nullptr, *b = nullptr;
  ASSERT_TRUE(chip->memory().allocate(bytes, "a", a).ok());
  ASSERT_TRUE(chip->memory().allocate(bytes, "b", b).ok());
  ASSERT_TRUE(stream->upload(a, values.data(), bytes).ok());
  std::fill(values.begin(), values.end(), 0); // the copy has been taken
  ASSERT_TRUE(stream->copy(b, a, bytes).ok());
  ASSERT_TRUE(stream->fill(a, 3, 8).ok());
  ASSERT_TRUE(stream->download(back.data(), b, bytes).ok());
  ASSERT_TRUE(stream->download(twice.data(), a, bytes).ok());
  ASSERT_TRUE(stream->synchronize().ok());
  EXPECT_EQ(back, expected);
  EXPECT_EQ(twice[1], 0x03030303u);
  EXPECT_EQ(twice[2], expected[2]);
  EXPECT_EQ(fake.hostBlocks, 2);
  stream->trim();
  EXPECT_EQ(fake.hostBlocks, 0);
  chip->memory().release(a);
  chip->memory().release(b);
}

TEST_P(DriverTest, TheBestImage) {
  struct Case {
    int major, minor;
    const char *architecture, *image;
  };
  const std::vector<Case> cases =
      cuda ? std::vector<Case>{{9, 0, "", "machine sm_90a"}, {8, 6, "", "machine sm_86"},
                               {8, 9, "", "text sm_80"},     {8, 0, "", "text sm_80"},
                               {12, 0, "", "text sm_80"},    {7, 5, "", "text sm_75"}}
           : std::vector<Case>{{0, 0, "gfx90a:sramecc+:xnack-", "machine gfx90a"},
                               {0, 0, "gfx942", "machine gfx942"}};
  const ModulePtr module = loadFake("", kind);
  SessionPtr session;
  for (const Case &each : cases) {
    fake.major = each.major;
    fake.minor = each.minor;
    set(fake.architecture, each.architecture);
    ASSERT_PITH_OK(open(module, nullptr, session, &error));
    EXPECT_EQ(std::string(fake.image), each.image);
    session.reset();
  }
  fake.major = 7;
  fake.minor = 0;
  set(fake.architecture, "gfx1100");
  EXPECT_PITH_ERROR(
      open(module, nullptr, session, &error), PITH_ERROR_DEVICE,
      cuda ? "cuda:0: no kernels for this device (Fake GPU, sm_70); the module has cuda:sm_75 (PTX), "
             "cuda:sm_80 (PTX), cuda:sm_90a (PTX), cuda:sm_86 (machine code)"
           : "hip:0: no kernels for this device (Fake GPU, gfx1100); the module has hip:gfx90a "
             "(machine code), hip:gfx942 (machine code)");
}

} // namespace
