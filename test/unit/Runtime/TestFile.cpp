//===- TestFile.cpp - .pith files for tests -------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestFile.h"
#include "FakeModel.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace pith::test {

/// What the weights add to the toy model's hash.
static constexpr uint64_t weightSeed = 4711;

std::string readFile(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string fakeManifest(const std::string &from, const std::string &to) {
  std::string text =
      R"({"pith":1,"producer":"test","target":{"arch":"x86_64","cpu":"x86-64-v3","features":["sse2","cx16"]},
"entries":[
 {"name":"add","kind":"invoke",
  "inputs":[{"name":"a","type":"f32","dims":["rows",4]},{"name":"b","type":"f32","dims":[4]}],
  "outputs":[{"name":"c","type":"f32","dims":["rows",4]}]},
 {"name":"join","kind":"invoke",
  "inputs":[{"name":"past","type":"i64","dims":["past"]},{"name":"new","type":"i64","dims":["count"]},
            {"name":"mask","type":"i64","dims":["past + count"]}],
  "outputs":[{"name":"joined","type":"i64","dims":["past + count"]},{"name":"size","type":"i64","dims":[]}]},
 {"name":"liar","kind":"invoke","inputs":[],"outputs":[{"name":"x","type":"f32","dims":[2]}]},
 {"name":"greedy","kind":"invoke","inputs":[{"name":"x","type":"f32","dims":["n"]}],
  "outputs":[{"name":"y","type":"f32","dims":["n"]}]},
 {"name":"chosen","kind":"invoke","inputs":[{"name":"x","type":"f32","dims":["n"]}],
  "outputs":[{"name":"y","type":"f32","dims":["m"]}]},
 {"name":"step","kind":"step","vocab":37,"max_rows":24}],
"state":{"page_tokens":16,"page_bytes":128,"positions":600},
"model":{"eos":[0,5],"name":"toy","heads":3,"free":{"form":[1,2]}}})";
  if (!from.empty()) {
    const size_t at = text.find(from);
    if (at == std::string::npos)
      ADD_FAILURE() << "the manifest has no " << from;
    else
      text.replace(at, from.size(), to);
  }
  return text;
}

std::string conditionedManifest(const std::string &from, const std::string &to) {
  std::string text = fakeManifest(R"({"name":"step","kind":"step","vocab":37,"max_rows":24}],
"state":{)",
                                  R"({"name":"step","kind":"step","vocab":37,"max_rows":24},
 {"name":"condition","kind":"condition","max_rows":10,"inputs":[{"name":"hidden","type":"f32","dims":["rows",3]}]}],
"state":{"condition_page_bytes":192,)");
  const std::string smaller = R"("page_bytes":128)"; // pages of both kinds count the same
  text.replace(text.find(smaller), smaller.size(), R"("page_bytes":192)");
  if (const size_t at = text.find(from); at != std::string::npos && !from.empty())
    text.replace(at, from.size(), to);
  return text;
}

#ifdef PITH_TEST_DEVICE
const char *const testDevice = PITH_TEST_DEVICE;
const uint64_t testPageBytes = 128, testConditionedPageBytes = 192;
#else
const char *const testDevice = "";
const uint64_t testPageBytes = 4096, testConditionedPageBytes = 4096;
#endif

TestFile::TestFile(const std::string &variant, const std::string &device)
    : elf(readFile(FAKE_MODEL_FOLDER "/libfake_model" + (device.empty() ? "" : "_" + device) + variant +
                   ".so")) {
  EXPECT_FALSE(elf.empty());
  weights.assign(5000, '\1');
  std::memcpy(&weights[0], &weightSeed, sizeof weightSeed);
  manifest = variant == "_conditioned" ? conditionedManifest() : fakeManifest();
}

std::string TestFile::bytes() const {
  std::string file = elf;
  file.resize((file.size() + 4095) / 4096 * 4096);
  pith_file_trailer end = trailer;
  const auto fill = [](uint64_t &field, uint64_t value) {
    if (!field)
      field = value;
  };
  fill(end.elf_size, elf.size());
  fill(end.elf_checksum, pith_file_checksum(PITH_FILE_CHECKSUM_SEED, elf.data(), elf.size()));
  fill(end.weights_offset, file.size());
  fill(end.weights_size, weights.size());
  fill(end.weights_checksum, pith_file_checksum(PITH_FILE_CHECKSUM_SEED, weights.data(), weights.size()));
  file += weights;
  fill(end.manifest_offset, file.size());
  fill(end.manifest_size, manifest.size());
  fill(end.manifest_checksum, pith_file_checksum(PITH_FILE_CHECKSUM_SEED, manifest.data(), manifest.size()));
  file += manifest;
  if (!end.version)
    end.version = PITH_FILE_VERSION;
  if (!end.trailer_size)
    end.trailer_size = sizeof end;
  fill(end.trailer_checksum,
       pith_file_checksum(PITH_FILE_CHECKSUM_SEED, &end, offsetof(pith_file_trailer, trailer_checksum)));
  if (!end.magic[0])
    std::memcpy(end.magic, PITH_FILE_MAGIC, sizeof end.magic);
  return file.append(reinterpret_cast<const char *>(&end), sizeof end);
}

static std::string writeTemporary(const std::string &contents) {
  std::string name = ::testing::TempDir() + "/pith-test-XXXXXX";
  const int descriptor = mkstemp(&name[0]);
  EXPECT_GE(descriptor, 0);
  EXPECT_EQ(write(descriptor, contents.data(), contents.size()), ssize_t(contents.size()));
  close(descriptor);
  return name;
}

TemporaryFile::TemporaryFile(const std::string &contents) : name(writeTemporary(contents)) {}
TemporaryFile::~TemporaryFile() { unlink(name.c_str()); }
void TemporaryFile::replace(const std::string &contents) {
  EXPECT_EQ(std::rename(writeTemporary(contents).c_str(), name.c_str()), 0);
}

ModulePtr loadModule(const std::string &path) {
  pith_module *module = nullptr;
  Error error;
  EXPECT_EQ(pith_module_load(path.c_str(), nullptr, &module, &error), PITH_OK) << error.message;
  return ModulePtr(module);
}

ModulePtr loadFake(const std::string &variant, const std::string &device) {
  return loadModule(TemporaryFile(TestFile(variant, device).bytes()).path());
}

SessionPtr makeSession(const ModulePtr &module, uint32_t threads, uint64_t pageLimitBytes) {
  pith_session_options options = PITH_INIT(pith_session_options);
  options.threads = threads;
  options.page_limit_bytes = pageLimitBytes;
  pith_session *session = nullptr;
  pith_module *list[] = {module.get()};
  Error error;
  EXPECT_EQ(pith_session_new(list, 1, &options, &session, &error), PITH_OK) << error.message;
  return SessionPtr(session);
}

SequencePtr makeSequence(const SessionPtr &session) {
  pith_sequence *sequence = nullptr;
  Error error;
  EXPECT_EQ(pith_sequence_new(session.get(), nullptr, nullptr, &sequence, &error), PITH_OK) << error.message;
  return SequencePtr(sequence);
}

ResultPtr makeResult(const SessionPtr &session) {
  pith_result *result = nullptr;
  EXPECT_EQ(pith_result_new(session.get(), &result, nullptr), PITH_OK);
  return ResultPtr(result);
}

pith_lane makeLane(const SequencePtr &sequence, const std::vector<int32_t> &tokens, pith_rows rows) {
  pith_lane lane = PITH_INIT(pith_lane);
  lane.sequence = sequence.get();
  lane.tokens = tokens.data();
  lane.token_count = tokens.size();
  lane.rows = rows;
  return lane;
}

uint64_t fakeState(const std::vector<int32_t> &tokens, uint64_t salt) {
  uint64_t state = fake_begin(salt + weightSeed);
  for (size_t i = 0; i < tokens.size(); ++i)
    state = fake_next(state, tokens[i], int32_t(i));
  return state;
}

std::vector<float> expectedLogits(const std::vector<int32_t> &tokens, uint64_t salt) {
  const uint64_t state = fakeState(tokens, salt);
  std::vector<float> logits(FAKE_VOCAB);
  for (int32_t token = 0; token < FAKE_VOCAB; ++token)
    logits[token] = fake_logit(state, token);
  return logits;
}

std::vector<float> rowLogits(const ResultPtr &result, size_t row) {
  const float *logits = pith_result_logits(result.get(), row);
  return logits ? std::vector<float>(logits, logits + FAKE_VOCAB) : std::vector<float>();
}

double logprobAt(uint64_t state, int32_t token) {
  double sum = 0;
  for (int32_t other = 0; other < FAKE_VOCAB; ++other)
    sum += std::exp(double(fake_logit(state, other)));
  return fake_logit(state, token) - std::log(sum);
}

double expectedLogprob(const std::vector<int32_t> &before, int32_t token) {
  return logprobAt(fakeState(before), token);
}

std::vector<int32_t> someTokens(size_t count, uint32_t seed) {
  std::vector<int32_t> tokens(count);
  for (int32_t &token : tokens) {
    seed = seed * 1664525u + 1013904223u;
    token = int32_t((seed >> 8) % FAKE_VOCAB);
  }
  return tokens;
}

pith_memory memoryOf(const SessionPtr &session) {
  pith_memory memory = PITH_INIT(pith_memory);
  EXPECT_EQ(pith_session_memory(session.get(), &memory, nullptr), PITH_OK);
  return memory;
}

void expectTrimmed(const SessionPtr &session, uint64_t pages) {
  const uint64_t kept = memoryOf(session).page_bytes_free;
  if (testDevice == std::string("cuda") || testDevice == std::string("hip"))
    EXPECT_GE(kept, pages * testPageBytes);
  else
    EXPECT_EQ(kept, pages * testPageBytes);
}

pith_stats statsOf(const SessionPtr &session) {
  pith_stats stats = PITH_INIT(pith_stats);
  EXPECT_EQ(pith_session_stats(session.get(), &stats, nullptr), PITH_OK);
  return stats;
}

std::vector<int32_t> tokensOf(const SequencePtr &sequence) {
  std::vector<int32_t> tokens(pith_sequence_length(sequence.get()));
  EXPECT_EQ(pith_sequence_tokens(sequence.get(), 0, tokens.data(), tokens.size()), tokens.size());
  return tokens;
}

} // namespace pith::test
