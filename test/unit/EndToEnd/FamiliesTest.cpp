//===- FamiliesTest.cpp - steps of raised decoders against their graphs -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a step entry computes is what the exported graph says of a whole sequence: each family's first data set is one
// sequence without earlier tokens, longer than its windows. Its tokens go to the runtime at once, and in two parts
// with single tokens behind.
//
//===----------------------------------------------------------------------===//

#include "pith/Driver/Driver.h"
#include "pith/runtime.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <unistd.h>

namespace {

/// The elements of a stored tensor of known size: raw_data is the message's last field.
template <typename T>
std::vector<T> readTail(const std::string &path, size_t count) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<T> elements(count);
  EXPECT_GE(bytes.size(), count * sizeof(T)) << path;
  if (bytes.size() >= count * sizeof(T))
    std::memcpy(elements.data(), bytes.data() + bytes.size() - count * sizeof(T), count * sizeof(T));
  return elements;
}

class Families : public ::testing::TestWithParam<const char *> {};

TEST_P(Families, StepIsTheGraph) {
  constexpr size_t kTokens = 9;
  std::string folder = std::string(PITH_TEST_MODELS_DIR "/families/") + GetParam();
  std::string path = ::testing::TempDir() + "pith-family-" + std::to_string(getpid()) + ".pith";
  pith::CompileOptions options;
  options.input = folder + "/model.onnx";
  options.output = path;
  options.cacheElement = "f32";
  std::string log;
  llvm::raw_string_ostream os(log);
  ASSERT_TRUE(pith::compile(options, os)) << log;

  pith_error error = {};
  pith_module *module = nullptr;
  pith_session *session = nullptr;
  pith_result *result = nullptr;
  ASSERT_EQ(pith_module_load(path.c_str(), nullptr, &module, &error), PITH_OK) << error.message;
  std::remove(path.c_str());
  ASSERT_EQ(pith_session_new(&module, 1, nullptr, &session, &error), PITH_OK) << error.message;
  ASSERT_EQ(pith_result_new(session, &result, &error), PITH_OK) << error.message;
  pith_step_info info = PITH_INIT(pith_step_info);
  ASSERT_EQ(pith_module_step_info(module, &info, &error), PITH_OK) << error.message;

  std::vector<int64_t> ids = readTail<int64_t>(folder + "/test_data_set_0/input_0.pb", kTokens);
  std::vector<float> want = readTail<float>(folder + "/test_data_set_0/output_0.pb", kTokens * info.vocab);
  std::vector<int32_t> tokens(ids.begin(), ids.end());
  for (std::vector<size_t> parts : {std::vector<size_t>{kTokens}, {4, 3, 1, 1}}) {
    pith_sequence *sequence = nullptr;
    ASSERT_EQ(pith_sequence_new(session, module, nullptr, &sequence, &error), PITH_OK) << error.message;
    size_t at = 0;
    for (size_t count : parts) {
      pith_lane lane = PITH_INIT(pith_lane);
      lane.sequence = sequence;
      lane.tokens = tokens.data() + at;
      lane.token_count = count;
      lane.rows = PITH_ROWS_ALL;
      ASSERT_EQ(pith_step(session, &lane, 1, nullptr, result, &error), PITH_OK) << error.message;
      for (size_t row = 0; row < count; ++row)
        for (size_t token = 0; token < info.vocab; ++token) {
          float expected = want[(at + row) * info.vocab + token];
          ASSERT_NEAR(pith_result_logits(result, row)[token], expected, 1e-4f * (1 + std::abs(expected)))
              << "token " << at + row;
        }
      at += count;
    }
    pith_sequence_free(sequence);
  }
  pith_result_free(result);
  pith_session_free(session);
  pith_module_free(module);
}

INSTANTIATE_TEST_SUITE_P(EndToEnd, Families,
                         ::testing::Values("bloom", "falcon", "gemma2", "gptj", "gptneo", "mpt", "olmo2", "qwen3"),
                         [](const auto &family) { return std::string(family.param); });

} // namespace
