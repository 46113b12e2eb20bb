//===- LoadTest.cpp - good and damaged files ------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestFile.h"
#include "pith/executable.h"

#include <chrono>
#include <sys/stat.h>
#include <unistd.h>

using namespace pith::test;

namespace {

pith_status load(const std::string &path, pith_error *error, uint32_t flags = 0) {
  pith_load_options options = PITH_INIT(pith_load_options);
  options.flags = flags;
  pith_module *module = nullptr;
  const pith_status status = pith_module_load(path.c_str(), &options, &module, error);
  EXPECT_EQ(module != nullptr, status == PITH_OK);
  pith_module_free(module);
  return status;
}

pith_status loadBytes(const std::string &bytes, pith_error *error, uint32_t flags = 0) {
  return load(TemporaryFile(bytes).path(), error, flags);
}

/// Runs one step and compares with the toy model of this salt.
void checkRuns(const ModulePtr &module, uint64_t salt = 0) {
  const SessionPtr session = makeSession(module);
  const SequencePtr sequence = makeSequence(session);
  const ResultPtr result = makeResult(session);
  const std::vector<int32_t> tokens = someTokens(9);
  const pith_lane lane = makeLane(sequence, tokens);
  ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
  EXPECT_EQ(rowLogits(result, 0), expectedLogits(tokens, salt));
}

TEST(LoadTest, GoodFile) {
  const TemporaryFile file(TestFile().bytes());
  for (const uint32_t flags :
       {0, int(PITH_LOAD_VERIFY_WEIGHTS), int(PITH_LOAD_POPULATE), int(PITH_LOAD_COPY_WEIGHTS)}) {
    pith_load_options options = PITH_INIT(pith_load_options);
    options.flags = flags;
    pith_module *module = nullptr;
    ASSERT_PITH_OK(pith_module_load(file.path().c_str(), &options, &module, &error));
    checkRuns(ModulePtr(module));
  }
  EXPECT_PITH_ERROR(load(file.path(), &error, 64), PITH_ERROR_UNSUPPORTED, "flags 0x40");
}

TEST(LoadTest, Description) {
  const ModulePtr module = loadFake();
  size_t size = 0;
  EXPECT_EQ(std::string(pith_module_manifest(module.get(), &size)), fakeManifest());
  EXPECT_EQ(size, fakeManifest().size());
  ASSERT_EQ(pith_module_entry_count(module.get()), 6u);
  size_t index = 99;
  ASSERT_PITH_OK(pith_module_find_entry(module.get(), "join", &index, &error));
  pith_entry_info entry = PITH_INIT(pith_entry_info);
  ASSERT_PITH_OK(pith_module_entry(module.get(), index, &entry, &error));
  EXPECT_STREQ(entry.name, "join");
  EXPECT_EQ(entry.kind, pith_entry_kind(PITH_ENTRY_INVOKE));
  EXPECT_EQ(entry.input_count, 3u);
  EXPECT_EQ(entry.output_count, 2u);
  pith_port_info port = PITH_INIT(pith_port_info);
  ASSERT_PITH_OK(pith_module_input(module.get(), index, 2, &port, &error));
  EXPECT_STREQ(port.name, "mask");
  EXPECT_EQ(port.type, pith_type(PITH_I64));
  ASSERT_EQ(port.rank, 1u);
  EXPECT_EQ(port.dims[0], -1);
  EXPECT_STREQ(port.symbols[0], "past + count");
  ASSERT_PITH_OK(pith_module_output(module.get(), 0, 0, &port, &error));
  EXPECT_EQ(port.dims[1], 4);
  EXPECT_EQ(port.symbols[1], nullptr);
  EXPECT_PITH_ERROR(pith_module_input(module.get(), 0, 2, &port, &error), PITH_ERROR_ARGUMENT, "input 2");
  EXPECT_PITH_ERROR(pith_module_entry(module.get(), 6, &entry, &error), PITH_ERROR_ARGUMENT, "entry 6");
  EXPECT_PITH_ERROR(pith_module_find_entry(module.get(), "x", &index, &error), PITH_ERROR_NOT_FOUND,
                    "\"greedy\"");

  pith_step_info step = PITH_INIT(pith_step_info);
  ASSERT_PITH_OK(pith_module_step_info(module.get(), &step, &error));
  EXPECT_EQ(step.vocab, 37u);
  EXPECT_EQ(step.max_rows, 24u);
  EXPECT_EQ(step.page_tokens, 16u);
  EXPECT_EQ(step.page_bytes, 128u);
  EXPECT_EQ(step.positions, 600u);
  EXPECT_STREQ(pith_module_metadata(module.get(), "name"), "toy");
  EXPECT_STREQ(pith_module_metadata(module.get(), "heads"), "3");
  EXPECT_STREQ(pith_module_metadata(module.get(), "free"), "{\"form\":[1,2]}");
  EXPECT_EQ(pith_module_metadata(module.get(), "absent"), nullptr);
  const int32_t *eos = pith_module_eos(module.get(), &size);
  ASSERT_EQ(size, 2u);
  EXPECT_EQ(eos[1], 5);
  const char *reason = nullptr;
  EXPECT_EQ(pith_module_supports(module.get(), PITH_CAN_STEP, &reason), 1);
  EXPECT_EQ(pith_module_supports(module.get(), PITH_CAN_TAP, &reason), 0);
  EXPECT_STREQ(reason, "the module was compiled without taps: its step is not cut into blocks");
  EXPECT_EQ(pith_module_supports(module.get(), 12345, &reason), 0);
}

TEST(LoadTest, NotAFile) {
  EXPECT_PITH_ERROR(load("/no/such/file.pith", &error), PITH_ERROR_IO,
                    "/no/such/file.pith: cannot open: No such file");
  EXPECT_PITH_ERROR(load("/tmp", &error), PITH_ERROR_IO, "/tmp: is not a regular file");
  const std::string pipe = ::testing::TempDir() + "/pith-test-pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_PITH_ERROR(load(pipe, &error), PITH_ERROR_IO, "is not a regular file");
  unlink(pipe.c_str());
  EXPECT_PITH_ERROR(loadBytes("", &error), PITH_ERROR_FORMAT, "0 bytes are too few");
  EXPECT_PITH_ERROR(loadBytes(std::string(5000, 'x'), &error), PITH_ERROR_FORMAT, "not a .pith file");
  EXPECT_PITH_ERROR(loadBytes(TestFile().elf, &error), PITH_ERROR_FORMAT, "no trailer");
}

TEST(LoadTest, TruncatedAnywhere) {
  const TestFile parts;
  const std::string bytes = parts.bytes();
  const size_t manifestAt = bytes.size() - sizeof(pith_file_trailer) - parts.manifest.size();
  std::vector<size_t> sizes = {
      0, 1, 63, 64, 127, 128, 4096, parts.elf.size(), manifestAt, manifestAt - 1, manifestAt + 1};
  for (size_t cut = 1; cut <= 200; ++cut)
    sizes.push_back(bytes.size() - cut);
  for (const size_t size : sizes) {
    SCOPED_TRACE(size);
    Error error;
    EXPECT_EQ(loadBytes(bytes.substr(0, size), &error), PITH_ERROR_FORMAT) << error.message;
  }
  EXPECT_PITH_ERROR(loadBytes(bytes + "x", &error), PITH_ERROR_FORMAT, "not a .pith file");
  // A good trailer behind less, or more, than it describes.
  const std::string end = bytes.substr(bytes.size() - 128);
  EXPECT_PITH_ERROR(loadBytes(bytes.substr(0, bytes.size() - 228) + end, &error), PITH_ERROR_FORMAT,
                    "was the file cut");
  EXPECT_PITH_ERROR(loadBytes(bytes + end, &error), PITH_ERROR_FORMAT, "was the file cut or appended to");
}

TEST(LoadTest, FlippedBytes) {
  const TestFile parts;
  const std::string bytes = parts.bytes();
  const size_t trailerAt = bytes.size() - 128, manifestAt = trailerAt - parts.manifest.size();
  std::vector<size_t> places;
  for (size_t i = 0; i < 128; ++i)
    places.push_back(trailerAt + i);
  for (size_t i = 0; i < parts.manifest.size(); i += 37)
    places.push_back(manifestAt + i);
  for (size_t i = 0; i < parts.elf.size(); i += 211)
    places.push_back(i);
  for (const size_t place : places)
    for (const int bit : {0, 7}) {
      SCOPED_TRACE("byte " + std::to_string(place) + " bit " + std::to_string(bit));
      std::string damaged = bytes;
      damaged[place] = char(damaged[place] ^ (1 << bit));
      Error error;
      const pith_status status = loadBytes(damaged, &error);
      EXPECT_TRUE(status == PITH_ERROR_FORMAT || status == PITH_ERROR_VERSION) << error.message;
    }
  // Weights are checked on request only.
  std::string damaged = bytes;
  damaged[manifestAt - 10] = char(damaged[manifestAt - 10] ^ 1);
  EXPECT_EQ(loadBytes(damaged, nullptr), PITH_OK);
  EXPECT_PITH_ERROR(loadBytes(damaged, &error, PITH_LOAD_VERIFY_WEIGHTS), PITH_ERROR_FORMAT,
                    "the weights are damaged");
}

TEST(LoadTest, TrailersThatLie) {
  const auto withTrailer = [](auto change) {
    TestFile file;
    const std::string good = file.bytes();
    std::memcpy(&file.trailer, good.data() + good.size() - 128, 128);
    change(file.trailer);
    file.trailer.trailer_checksum = 0; // a right checksum over a wrong trailer
    return file.bytes();
  };
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.version = 2; }), &error), PITH_ERROR_VERSION,
                    "file format version 2, this runtime reads version 1");
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.trailer_size = 256; }), &error),
                    PITH_ERROR_FORMAT, "256 bytes");
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.elf_size = UINT64_MAX; }), &error),
                    PITH_ERROR_FORMAT, "do not fit before the weights");
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.elf_size = 10; }), &error), PITH_ERROR_FORMAT,
                    "10 bytes of code");
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.weights_offset += 1; }), &error),
                    PITH_ERROR_FORMAT, "multiple of 4096");
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.weights_size = UINT64_MAX - 4096; }), &error),
                    PITH_ERROR_FORMAT, "do not fit");
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.manifest_size += 8; }), &error),
                    PITH_ERROR_FORMAT, "do not fit");
  EXPECT_PITH_ERROR(loadBytes(withTrailer([](auto &end) { end.manifest_offset -= 8; }), &error),
                    PITH_ERROR_FORMAT, "do not fit");
}

TEST(LoadTest, CodeThatIsNone) {
  TestFile file;
  file.elf = std::string(4096, 'x');
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_FORMAT, "no 64-bit little-endian ELF");
  file = TestFile();
  file.elf[18] = 3; // e_machine
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_CPU, "ELF machine 3");
  file = TestFile();
  file.elf[56] = char(200); // e_phnum
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_FORMAT, "lies outside");
  file = TestFile();
  file.elf.resize(file.elf.size() / 2); // cut, with a right checksum
  EXPECT_NE(loadBytes(file.bytes(), nullptr), PITH_OK);
  EXPECT_PITH_ERROR(loadBytes(TestFile("_future").bytes(), &error), PITH_ERROR_VERSION,
                    "interface version 7");
}

TEST(LoadTest, ForeignLibraries) {
  TestFile file; // a good shared object that is no model
  for (size_t at = 0; (at = file.elf.find(PITH_EXEC_SYMBOL, at)) != std::string::npos;)
    file.elf[at] = 'q';
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_FORMAT, "exports no symbol pith_executable");
}

TEST(LoadTest, MissingFeaturesAreNamed) {
  TestFile file;
  file.manifest = fakeManifest("\"sse2\",\"cx16\"", "\"sse2\",\"avx9000\",\"cx16\",\"warp\"");
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_CPU,
                    "compiled for x86-64-v3, this CPU lacks avx9000, warp");
  file.manifest = fakeManifest("\"x86_64\"", "\"riscv64\"");
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_CPU, "compiled for \"riscv64\"");
  char features[4096];
  EXPECT_GT(pith_cpu_features(features, sizeof features), 0u);
  EXPECT_NE(std::string(features).find("sse2"), std::string::npos);
}

TEST(LoadTest, EntriesMustMatchTheCode) {
  TestFile file;
  file.manifest = fakeManifest("\"name\":\"add\"", "\"name\":\"sub\"");
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_FORMAT,
                    "entry \"sub\", which the code lacks");
  file.manifest = fakeManifest("\"name\":\"step\",\"kind\":\"step\"",
                               "\"name\":\"step\",\"inputs\":[],\"outputs\":[],\"kind\":\"invoke\"");
  EXPECT_PITH_ERROR(loadBytes(file.bytes(), &error), PITH_ERROR_FORMAT,
                    "entry \"step\" is of kind 2 in the code");
}

TEST(LoadTest, WithoutWeights) {
  TestFile file;
  file.weights.clear();
  EXPECT_EQ(loadBytes(file.bytes(), nullptr, PITH_LOAD_VERIFY_WEIGHTS), PITH_OK);
  EXPECT_EQ(loadBytes(file.bytes(), nullptr, PITH_LOAD_COPY_WEIGHTS), PITH_OK);
}

TEST(LoadTest, ReplacedFileBesideTheOldOne) {
  // One name, two files after another: each module runs its own code and weights.
  TemporaryFile file(TestFile().bytes());
  ModulePtr old = loadModule(file.path());
  file.replace(TestFile("2").bytes());
  const ModulePtr fresh = loadModule(file.path());
  checkRuns(old);
  checkRuns(fresh, 99);
  old.reset();
  file.replace(TestFile().bytes());
  const ModulePtr third = loadModule(file.path());
  checkRuns(fresh, 99);
  checkRuns(third);
}

TEST(LoadTest, DescriptorNumbersAreReused) {
  for (int i = 0; i < 10; ++i)
    checkRuns(loadFake(i % 2 ? "2" : ""), i % 2 ? 99 : 0);
}

TEST(LoadTest, TheSameFileTwice) {
  const TemporaryFile file(TestFile().bytes());
  ModulePtr one = loadModule(file.path()), two = loadModule(file.path());
  one.reset();
  checkRuns(two);
}

TEST(LoadTest, DoesNotReadTheWeights) {
  TestFile parts;
  const std::string head = parts.bytes();
  // A sparse gigabyte of weights: reading it would take far longer.
  TemporaryFile file(head.substr(0, (parts.elf.size() + 4095) / 4096 * 4096));
  const uint64_t offset = (parts.elf.size() + 4095) / 4096 * 4096, size = UINT64_C(1) << 30;
  parts.trailer.weights_offset = offset;
  parts.trailer.weights_size = size;
  parts.trailer.weights_checksum = 1;
  parts.trailer.manifest_offset = offset + size;
  const std::string all = parts.bytes();
  const std::string tail = all.substr(all.size() - 128 - parts.manifest.size());
  FILE *stream = std::fopen(file.path().c_str(), "r+b");
  ASSERT_EQ(std::fseek(stream, long(offset + size), SEEK_SET), 0);
  ASSERT_EQ(std::fwrite(tail.data(), 1, tail.size(), stream), tail.size());
  std::fclose(stream);
  const auto begin = std::chrono::steady_clock::now();
  const ModulePtr module = loadModule(file.path());
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
  std::printf("loading a file of 1 GiB: %.2f ms\n", time.count());
  EXPECT_LT(time.count(), 50);
}

} // namespace
