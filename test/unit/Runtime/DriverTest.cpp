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
#include <vector>

using namespace pith::test;
namespace device = pith::runtime::device;

extern std::atomic<size_t> heapAllocations; // AllocationCount.cpp

namespace {

constexpr uint64_t testPageBytesOnGpu = 128;

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
  EXPECT_EQ(fake.graphLaunches - before.graphLaunches, 40u);
  EXPECT_EQ(fake.copiesIn - before.copiesIn, 40u);
  EXPECT_EQ(fake.copiesOut, before.copiesOut); // nobody has asked
  EXPECT_EQ(fake.synchronizations - before.synchronizations, 40u);
  EXPECT_LT(fake.bytesIn - before.bytesIn, 40u * 1024);
  EXPECT_EQ(fake.launches, before.launches);
  EXPECT_EQ(fake.captures, before.captures);
  EXPECT_EQ(fake.allocations, before.allocations);
  EXPECT_EQ(fake.hostAllocations, before.hostAllocations);
  EXPECT_EQ(fake.copies, before.copies);
  EXPECT_EQ(fake.fills, before.fills);
  EXPECT_EQ(fake.pageableIn, 0u);
  for (int i = 0; i < 2; ++i)
    scene.expectRight();
  EXPECT_EQ(fake.bytesOut - before.bytesOut, FAKE_VOCAB * sizeof(float));
}

/// Drawing brings tokens to the host, and nothing else.
TEST_P(DriverTest, DrawingBringsTokens) {
  DriverScene scene(kind);
  const SequencePtr other = makeSequence(scene.session);
  const std::vector<int32_t> one = {7}, two = {8, 9};
  ASSERT_PITH_OK(pith_sequence_reserve(scene.sequence.get(), 600, &error));
  ASSERT_PITH_OK(pith_sequence_reserve(other.get(), 600, &error));
  const pith_lane lanes[] = {makeLane(scene.sequence, one), makeLane(other, two, PITH_ROWS_ALL)};
  for (const float temperature : {0.f, 1.f}) {
    pith_sampler_options options = PITH_INIT(pith_sampler_options);
    options.temperature = temperature;
    pith_sampler *made = nullptr;
    ASSERT_PITH_OK(pith_sampler_new(&options, &made, &error));
    const SamplerPtr sampler(made);
    pith_draw draws[] = {PITH_INIT(pith_draw), PITH_INIT(pith_draw), PITH_INIT(pith_draw)};
    for (uint32_t i = 0; i < 3; ++i)
      draws[i].row = i;
    FakeDriver before = {};
    size_t heap = 0;
    for (int i = 0; i < 30; ++i) {
      if (i == 10) {
        before = fake;
        heap = heapAllocations;
      }
      int32_t tokens[3];
      ASSERT_EQ(pith_step(scene.session.get(), lanes, 2, nullptr, scene.result.get(), nullptr), PITH_OK);
      ASSERT_EQ(pith_sample(sampler.get(), scene.result.get(), draws, 3, tokens, nullptr), PITH_OK);
    }
    EXPECT_EQ(heapAllocations, heap);
    EXPECT_EQ(fake.bytesOut - before.bytesOut, 20u * 3 * sizeof(int32_t));
    EXPECT_EQ(fake.copiesOut - before.copiesOut, 20u);
    EXPECT_EQ(fake.copiesIn - before.copiesIn, 40u);
    EXPECT_EQ(fake.graphLaunches - before.graphLaunches, 40u);
    EXPECT_EQ(fake.synchronizations - before.synchronizations, 40u);
    EXPECT_EQ(fake.captures, before.captures);
    EXPECT_EQ(fake.hostAllocations, before.hostAllocations);
  }
}

/// A file without code for it: the row comes to the host.
TEST_P(DriverTest, DrawingOnTheHost) {
  const ModulePtr module = loadFake("2", kind);
  const SessionPtr session = makeSession(module, 1);
  const SequencePtr sequence = makeSequence(session);
  const ResultPtr result = makeResult(session);
  const std::vector<int32_t> text = someTokens(5);
  const pith_lane lane = makeLane(sequence, text, PITH_ROWS_ALL);
  ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
  pith_sampler *made = nullptr;
  ASSERT_PITH_OK(pith_sampler_new(nullptr, &made, &error));
  const SamplerPtr sampler(made);
  pith_draw draw = PITH_INIT(pith_draw);
  draw.row = 4;
  const FakeDriver before = fake;
  int32_t token = -1, best = -1;
  for (int i = 0; i < 3; ++i)
    ASSERT_PITH_OK(pith_sample(sampler.get(), result.get(), &draw, 1, &token, &error));
  EXPECT_EQ(fake.bytesOut - before.bytesOut, FAKE_VOCAB * sizeof(float));
  EXPECT_EQ(fake.launches, before.launches);
  const std::vector<float> logits = expectedLogits(text, 99);
  ASSERT_PITH_OK(
      pith_sample_logits(sampler.get(), logits.data(), logits.size(), nullptr, 0, 0, 0, &best, &error));
  EXPECT_EQ(token, best);
}

/// A prompt's chunks follow each other; where the application looks on, each is waited for.
TEST_P(DriverTest, ChunksFollowEachOther) {
  DriverScene scene(kind);
  std::vector<int32_t> prompt = someTokens(5 * FAKE_MAX_ROWS - 3);
  FakeDriver before = fake;
  ASSERT_PITH_OK(scene.step(prompt, &error));
  EXPECT_EQ(fake.copiesIn - before.copiesIn, 5u);
  EXPECT_LE(fake.synchronizations - before.synchronizations, 3u); // two of them where memory grows
  scene.expectRight();
  before = fake;
  ASSERT_PITH_OK(scene.step(prompt, &error));
  EXPECT_EQ(fake.copiesIn - before.copiesIn, 5u);
  EXPECT_EQ(fake.synchronizations - before.synchronizations, 1u);
  scene.expectRight();

  pith_step_options options = PITH_INIT(pith_step_options);
  std::vector<uint64_t> waits;
  struct Watch {
    std::vector<uint64_t> &waits;
    const FakeDriver &fake;
  } watch{waits, fake};
  options.progress = [](void *context, size_t, size_t) {
    auto &self = *static_cast<Watch *>(context);
    self.waits.push_back(self.fake.synchronizations);
    return int(self.waits.size() == 3);
  };
  options.progress_context = &watch;
  before = fake;
  const pith_lane lane = makeLane(scene.sequence, prompt);
  EXPECT_PITH_ERROR(pith_step(scene.session.get(), &lane, 1, &options, scene.result.get(), &error),
                    PITH_ERROR_CANCELLED, "cancelled by the progress callback after 72 of 117 rows");
  const uint64_t first = before.synchronizations + 1;
  EXPECT_EQ(waits, (std::vector<uint64_t>{first, first + 1, first + 2}));
  ASSERT_PITH_OK(scene.step({3}, &error));
  scene.expectRight();
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
  EXPECT_EQ(fake.allocations - before.allocations, 3u); // of 1, 2 and 4 pages
}

/// Pages come in blocks that grow with what is in use, within the limit, and go back with their last page.
TEST_P(DriverTest, PagesComeInBlocks) {
  const ModulePtr module = loadFake("", kind);
  for (const uint64_t limit : {0, 20}) {
    const SessionPtr session = makeSession(module, 1, limit * testPageBytesOnGpu);
    const ResultPtr result = makeResult(session);
    const auto stepped = [&](const SequencePtr &sequence, size_t tokens) {
      const std::vector<int32_t> text = someTokens(tokens);
      const pith_lane lane = makeLane(sequence, text, PITH_ROWS_NONE);
      return pith_step(session.get(), &lane, 1, nullptr, nullptr, nullptr);
    };
    SequencePtr first = makeSequence(session);
    ASSERT_EQ(stepped(first, 16 * 16), PITH_OK);
    uint64_t before = fake.allocations;
    SequencePtr second = makeSequence(session);
    ASSERT_EQ(stepped(second, 16), PITH_OK); // a block of 16, or of the 4 that the limit leaves
    EXPECT_EQ(fake.allocations - before, 1u);
    pith_memory memory = memoryOf(session);
    EXPECT_EQ(memory.page_bytes_used, 17 * testPageBytesOnGpu);
    EXPECT_EQ(memory.page_bytes_free, (limit ? 3 : 15) * testPageBytesOnGpu);
    ASSERT_EQ(stepped(second, 3 * 16), PITH_OK);
    EXPECT_EQ(fake.allocations - before, 1u);
    if (limit) {
      const std::vector<int32_t> one = {1};
      const pith_lane lane = makeLane(second, one, PITH_ROWS_NONE);
      EXPECT_PITH_ERROR(pith_step(session.get(), &lane, 1, nullptr, nullptr, &error), PITH_ERROR_LIMIT,
                        "the page limit of 2560 bytes is reached: 2560 bytes are in use, a page has 128");
    }
    const int64_t blocks = fake.blocks;
    second.reset();
    ASSERT_PITH_OK(pith_session_trim(session.get(), &error));
    EXPECT_LT(fake.blocks, blocks);
    memory = memoryOf(session);
    EXPECT_EQ(memory.page_bytes_used, 16 * testPageBytesOnGpu);
    EXPECT_EQ(memory.page_bytes_free, 0u);
    first.reset();
    ASSERT_PITH_OK(pith_session_trim(session.get(), &error));
    EXPECT_EQ(fake.blocks, 1); // the weights
    // Where there is no room for a block there is for a page.
    SequencePtr third = makeSequence(session);
    ASSERT_EQ(stepped(third, 2 * 16), PITH_OK);
    fake.memoryBytes = machine.memoryBytes - memoryOf(session).device_bytes_free + testPageBytesOnGpu;
    before = fake.allocations;
    ASSERT_EQ(stepped(third, 16), PITH_OK);
    EXPECT_EQ(fake.allocations - before, 2u);
    fake.memoryBytes = machine.memoryBytes;
  }
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
