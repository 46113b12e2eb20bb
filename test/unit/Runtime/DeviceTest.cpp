//===- DeviceTest.cpp - which device a session computes on ----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "device/Device.h"
#include "FakeModel.h"
#include "Module.h"
#include "TestFile.h"
#include "device/Images.h"
#include "device/Pool.h"

#include <thread>

using namespace pith::test;
namespace device = pith::runtime::device;
using pith::runtime::MemorySource;
using pith::runtime::Status;

namespace {

pith_status open(const std::vector<const ModulePtr *> &modules, const char *name, SessionPtr &session,
                 pith_error *error) {
  pith_session_options options = PITH_INIT(pith_session_options);
  options.threads = 1;
  options.device = name;
  std::vector<pith_module *> list;
  for (const ModulePtr *module : modules)
    list.push_back(module->get());
  pith_session *made = nullptr;
  const pith_status status = pith_session_new(list.data(), list.size(), &options, &made, error);
  session.reset(made);
  return status;
}

std::string nameOf(const SessionPtr &session) {
  std::string text(pith_session_device(session.get(), nullptr, 0), 'x');
  EXPECT_EQ(pith_session_device(session.get(), text.data(), text.size() + 1), text.size());
  return text;
}

TEST(DeviceTest, Names) {
  const ModulePtr onCpu = loadFake(), emulated = loadFake("", "emulator"), onCuda = loadFake("", "cuda");
  SessionPtr session;
  ASSERT_PITH_OK(open({&onCpu}, nullptr, session, &error));
  EXPECT_EQ(nameOf(session), "cpu");
  EXPECT_EQ(memoryOf(session).device_bytes_total, 0u);
  ASSERT_PITH_OK(open({&onCpu}, "cpu", session, &error));
  ASSERT_PITH_OK(open({&emulated}, nullptr, session, &error));
  EXPECT_EQ(nameOf(session), "emulator:0: the emulator of this machine");
  ASSERT_PITH_OK(open({&emulated}, "emulator:3", session, &error));
  EXPECT_EQ(nameOf(session), "emulator:3: the emulator of this machine");
  for (const char *wrong :
       {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:64", "cuda:1:2", "CUDA", ":1", "hip:0001"})
    EXPECT_PITH_ERROR(open({&emulated}, wrong, session, &error), PITH_ERROR_ARGUMENT,
                      "device \"" + std::string(wrong) +
                          "\" is not known, expected cpu, cuda, hip or emulator");
  EXPECT_PITH_ERROR(open({&onCpu}, "emulator", session, &error), PITH_ERROR_DEVICE,
                    "the modules are code for the CPU, not for the device emulator");
  EXPECT_PITH_ERROR(open({&emulated}, "cpu", session, &error), PITH_ERROR_DEVICE,
                    "the modules are code for a device, not for the CPU");
  EXPECT_PITH_ERROR(
      open({&onCuda}, "emulator", session, &error), PITH_ERROR_DEVICE,
      "emulator:0: no kernels for this device (the emulator of this machine); the module has cuda:sm_75");
  EXPECT_PITH_ERROR(open({&emulated, &onCpu}, nullptr, session, &error), PITH_ERROR_ARGUMENT,
                    "module 1 is code for the CPU, module 0 for a device; a session has one");
  EXPECT_PITH_ERROR(open({&onCpu, &emulated}, nullptr, session, &error), PITH_ERROR_ARGUMENT,
                    "module 0 is code for the CPU, module 1 for a device");
  EXPECT_PITH_ERROR(
      open({&emulated, &onCuda}, nullptr, session, &error), PITH_ERROR_ARGUMENT,
      "the modules have kernels for emulator and for cuda: options.device must say which device");
  EXPECT_EQ(pith_session_device(nullptr, nullptr, 0), 0u);
}

/// One file with images for all, at work on three devices at the same time.
TEST(DeviceTest, OneModuleOnEveryDevice) {
  const ModulePtr module = loadFake("", "every");
  SessionPtr none;
  EXPECT_PITH_ERROR(open({&module}, nullptr, none, &error), PITH_ERROR_ARGUMENT,
                    "options.device must say which device");
  std::vector<std::thread> threads;
  for (const char *name : {"emulator", "cuda:1", "hip", "emulator:1", "cuda"})
    threads.emplace_back([&module, name] {
      SessionPtr session;
      ASSERT_PITH_OK(open({&module}, name, session, &error));
      const SequencePtr sequence = makeSequence(session);
      const ResultPtr result = makeResult(session);
      std::vector<int32_t> text;
      for (int32_t i = 0; i < 40; ++i) {
        const std::vector<int32_t> next = i ? std::vector<int32_t>{i % FAKE_VOCAB} : someTokens(33);
        const pith_lane lane = makeLane(sequence, next);
        ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
        text.insert(text.end(), next.begin(), next.end());
        EXPECT_EQ(rowLogits(result, 0), expectedLogits(text)) << name;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
}

/// Sessions of one emulated device take turns on its memory and its kernels.
TEST(DeviceTest, SessionsShareAnEmulator) {
  const ModulePtr module = loadFake("", "emulator");
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 3; ++i)
    threads.emplace_back([&module, i] {
      for (int round = 0; round < 5; ++round) {
        const SessionPtr session = makeSession(module, 2);
        const SequencePtr sequence = makeSequence(session);
        const ResultPtr result = makeResult(session);
        const std::vector<int32_t> text = someTokens(50, i);
        const pith_lane lane = makeLane(sequence, text);
        ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
        EXPECT_EQ(rowLogits(result, 0), expectedLogits(text));
      }
    });
  for (std::thread &thread : threads)
    thread.join();
}

TEST(DeviceTest, TheDeterministicModeReachesTheCode) {
  // The toy model's shapes differ by it, no more.
  TestFile file("", "emulator");
  const std::string from = R"("kind":"step",)";
  file.manifest.replace(file.manifest.find(from), from.size(), from + R"("deterministic":true,)");
  const ModulePtr module = loadModule(TemporaryFile(file.bytes()).path());
  pith_session_options options = PITH_INIT(pith_session_options);
  options.flags = PITH_SESSION_DETERMINISTIC;
  pith_module *list[] = {module.get()};
  pith_session *made = nullptr;
  ASSERT_PITH_OK(pith_session_new(list, 1, &options, &made, &error));
  const SessionPtr session(made);
  const SequencePtr sequence = makeSequence(session);
  const ResultPtr result = makeResult(session);
  const std::vector<int32_t> text = someTokens(5);
  const pith_lane lane = makeLane(sequence, text);
  ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
  EXPECT_EQ(rowLogits(result, 0), expectedLogits(text));
}

// ---- Images

struct NamedDevice final : device::Device {
  explicit NamedDevice(device::Kind kind) : Device(kind, 0) {}
  std::string description() const override { return "a test"; }
  MemorySource &memory() override { return *source; }
  MemorySource &pinned() override { return *source; }
  Status memoryFigures(uint64_t &, uint64_t &) override { return {}; }
  Status load(const pith_exec_table &, std::unique_ptr<device::Kernels> &) override { return {}; }
  Status makeStream(const std::shared_ptr<pith::runtime::Team> &,
                    std::unique_ptr<device::Stream> &) override {
    return {};
  }
  MemorySource *source = nullptr;
};

std::string choose(device::Kind kind, const std::string &chip,
                   const std::vector<std::pair<const char *, uint32_t>> &targets) {
  std::vector<pith_exec_image> images;
  for (const auto &[target, format] : targets)
    images.push_back({target, format, 0, "", 0});
  pith_exec_table table{};
  table.image_count = uint32_t(images.size());
  table.images = images.data();
  const NamedDevice device(kind);
  const pith_exec_image *image = nullptr;
  const Status status = device::chooseImage(table, device, chip, image);
  EXPECT_EQ(status.ok(), image != nullptr) << status.message();
  return image ? std::string(image->target) + (image->format == PITH_EXEC_IMAGE_PTX ? " ptx" : "") : "none";
}

TEST(DeviceTest, ImagesOfOneChip) {
  using device::Kind;
  const uint32_t ptx = PITH_EXEC_IMAGE_PTX, cubin = PITH_EXEC_IMAGE_CUBIN, hsaco = PITH_EXEC_IMAGE_HSACO;
  // Machine code for exactly that chip, the one with its own features first.
  EXPECT_EQ(
      choose(Kind::Cuda, "sm_90", {{"cuda:sm_90", cubin}, {"cuda:sm_90a", cubin}, {"cuda:sm_90a", ptx}}),
      "cuda:sm_90a");
  EXPECT_EQ(choose(Kind::Cuda, "sm_90", {{"cuda:sm_80", cubin}, {"cuda:sm_80", ptx}}), "cuda:sm_80 ptx");
  EXPECT_EQ(choose(Kind::Cuda, "sm_90", {{"cuda:sm_80", ptx}, {"cuda:sm_90a", ptx}}), "cuda:sm_90a ptx");
  EXPECT_EQ(choose(Kind::Cuda, "sm_100", {{"cuda:sm_80", ptx}, {"cuda:sm_90a", ptx}, {"cuda:sm_90", ptx}}),
            "cuda:sm_90 ptx");
  EXPECT_EQ(choose(Kind::Cuda, "sm_89", {{"cuda:sm_90", ptx}, {"cuda:sm_86", cubin}}), "none");
  EXPECT_EQ(choose(Kind::Cuda, "sm_89", {{"cuda:nonsense", ptx}, {"", cubin}, {nullptr, ptx}}), "none");
  EXPECT_EQ(choose(Kind::Hip, "gfx90a:sramecc+:xnack-", {{"hip:gfx90a", hsaco}, {"hip:gfx942", hsaco}}),
            "hip:gfx90a");
  EXPECT_EQ(
      choose(Kind::Hip, "gfx90a:sramecc+:xnack-", {{"hip:gfx90a", hsaco}, {"hip:gfx90a:xnack-", hsaco}}),
      "hip:gfx90a:xnack-");
  EXPECT_EQ(choose(Kind::Hip, "gfx90a:sramecc+:xnack-", {{"hip:gfx90a:xnack+", hsaco}, {"hip:gfx90", hsaco}}),
            "none");
  EXPECT_EQ(choose(Kind::Hip, "gfx942", {{"cuda:sm_90", cubin}}), "none");
}

// ---- Tables

TEST(DeviceTest, TablesThatMakeNoSense) {
  const uint8_t bytes[] = {4, 8, 3};
  pith_exec_kernel kernels[] = {{"k", "", {32, 1, 1}, 0, 2, 0, bytes}};
  pith_exec_image images[] = {{"cuda:sm_80", PITH_EXEC_IMAGE_PTX, 0, "", 0}};
  const pith_exec_entry entry = {"x", PITH_EXEC_INVOKE, 0,
                                 [](const pith_exec_context *, int64_t *) { return int64_t(0); },
                                 [](const pith_exec_context *, uint32_t) {}};
  const pith_exec_table good = {PITH_EXEC_DEVICE_VERSION, 1, &entry, 1, 1, kernels, images};
  const std::string manifest =
      R"({"pith":1,"producer":"test","target":{"arch":"x86_64","features":[]},"entries":[)"
      R"({"name":"x","kind":"invoke","inputs":[],"outputs":[]}]})";
  const auto link = [&](const pith_exec_table &table) {
    std::shared_ptr<const pith::runtime::Module> module;
    return pith::runtime::Module::link(&table, nullptr, 0, manifest, module).message();
  };
  EXPECT_EQ(link(good), "");
  pith_exec_table bad = good;
  bad.image_count = 0;
  EXPECT_EQ(link(bad), "linked module: code for a device without its kernels");
  bad = good;
  bad.kernels = nullptr;
  EXPECT_EQ(link(bad), "linked module: code for a device without its kernels");
  images[0].format = 9;
  EXPECT_EQ(link(good), "linked module: image 0 is of format 9, which is not known");
  images[0].format = PITH_EXEC_IMAGE_PTX;
  kernels[0].argument_count = 3;
  EXPECT_EQ(link(good), "linked module: argument 2 of kernel \"k\" has 3 bytes, expected 4 or 8");
  kernels[0].name = nullptr;
  EXPECT_EQ(link(good), "linked module: kernel 0 has no name or no arguments");
}

// ---- The pool

TEST(DeviceTest, ThePoolKeepsPieces) {
  std::shared_ptr<device::Device> chip;
  ASSERT_TRUE(device::Device::open(device::Kind::Cuda, 0, chip).ok());
  std::unique_ptr<device::Stream> stream;
  ASSERT_TRUE(chip->makeStream(nullptr, stream).ok());
  device::Pool pool(*chip, *stream);
  void *a = nullptr, *b = nullptr, *c = nullptr;
  ASSERT_TRUE(pool.allocate(1000, "a piece", a).ok());
  ASSERT_TRUE(pool.allocate(0, "a piece", b).ok());
  EXPECT_NE(a, b);
  EXPECT_EQ(pool.bytes(), 1024u + 512);
  pool.release(a);
  ASSERT_TRUE(pool.allocate(900, "a piece", c).ok());
  EXPECT_EQ(c, a); // fits
  pool.release(c);
  ASSERT_TRUE(pool.allocate(100, "a piece", c).ok());
  EXPECT_NE(c, a); // would waste too much
  // At the end of the memory what is kept unused goes first.
  uint64_t free = 0, total = 0;
  ASSERT_TRUE(chip->memoryFigures(free, total).ok());
  void *large = nullptr;
  ASSERT_TRUE(pool.allocate(free - (1 << 18), "a large piece", large).ok());
  EXPECT_FALSE(pool.allocate(1 << 20, "another piece", a).ok());
  for (void *piece : {b, c, large})
    pool.release(piece);
  pool.release(nullptr);
  pool.trim();
  EXPECT_EQ(pool.bytes(), 0u);
}

} // namespace
