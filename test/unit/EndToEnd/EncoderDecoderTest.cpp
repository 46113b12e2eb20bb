//===- EncoderDecoderTest.cpp - conditioned steps against exported graphs -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A decoder that is conditioned on an encoder's output, token by token and in pieces, computes what its
// exported graph computes of the whole text. Texts are longer than the distances that T5 tells apart,
// conditions longer than a page.
//
//===----------------------------------------------------------------------===//

#include "Compiled.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

using namespace pith;
using namespace pith::test;

namespace {

std::vector<float> someFloats(size_t count, uint32_t seed) {
  std::vector<float> list(count);
  for (float &x : list)
    x = float(int32_t(seed = seed * 1664525 + 1013904223)) / float(1u << 31);
  return list;
}

struct Case {
  const char *folder, *name;
  const char *target = "cpu";
};

class EncoderDecoder : public ::testing::TestWithParam<Case> {
protected:
  /// The exported graph's logits of the whole text, a switch for earlier keys and values turned off.
  std::vector<float> wholeText(const Module &module, Session &session, const std::vector<int32_t> &tokens,
                               const std::vector<float> &rows, size_t width) {
    const size_t entry = module.findEntry("main");
    std::vector<int64_t> ids(tokens.begin(), tokens.end()), ones(rows.size() / width, 1);
    const uint8_t off = 0;
    std::vector<pith_tensor> inputs;
    std::vector<std::vector<int64_t>> sizes(module.entries()[entry].input_count);
    for (size_t i = 0; i < sizes.size(); ++i) {
      const pith_port_info port = module.input(entry, i);
      pith_tensor tensor = PITH_INIT(pith_tensor);
      tensor.type = port.type;
      tensor.rank = port.rank;
      const std::string name = port.name;
      // Of what is past there is nothing; the batch is one.
      const bool isSource = name.find("encoder_") == 0, isTokens = name == "input_ids";
      for (uint32_t d = 0; d < port.rank; ++d)
        sizes[i].push_back(port.dims[d] >= 0          ? port.dims[d]
                           : d == 1 && isTokens       ? int64_t(ids.size())
                           : d == 1 && isSource       ? int64_t(ones.size())
                           : d == 2 && port.rank == 4 ? pastSize(name, ones.size())
                                                      : 1);
      tensor.dims = sizes[i].data();
      if (name == "input_ids")
        tensor.data = ids.data();
      else if (name == "encoder_attention_mask")
        tensor.data = ones.data();
      else if (name == "encoder_hidden_states")
        tensor.data = const_cast<float *>(rows.data());
      else if (name == "use_cache_branch")
        tensor.data = const_cast<uint8_t *>(&off);
      else
        tensor.data = const_cast<float *>(pastFloats(sizes[i]));
      inputs.push_back(tensor);
    }
    Result result(session);
    session.invoke("main", inputs, result);
    const pith_tensor logits = result.output("logits");
    const float *data = static_cast<const float *>(logits.data);
    return {data, data + tokens.size() * logits.dims[2]};
  }

private:
  static int64_t pastSize(const std::string &name, size_t source) {
    return name.find(".encoder.") == std::string::npos ? 0 : int64_t(source);
  }
  const float *pastFloats(const std::vector<int64_t> &sizes) {
    int64_t count = 1;
    for (int64_t size : sizes)
      count *= size;
    return pasts.emplace_back(size_t(count) + 1).data();
  }
  std::deque<std::vector<float>> pasts;
};

TEST_P(EncoderDecoder, StepsAreTheGraph) {
  const std::string model = std::string(GetParam().folder) + "/" + GetParam().name + "/model.onnx";
  if (!std::filesystem::exists(model))
    GTEST_SKIP() << model << " is not there";
  const Compiled compiled(model, [](CompileOptions &options) {
    options.cacheElement = "f32";
    options.target = GetParam().target;
  });
  const Module module(compiled.path());
  ASSERT_TRUE(module.supports(PITH_CAN_CONDITION));
  const pith_step_info info = module.stepInfo();
  Session session(module, sessionOptions(1));
  Result result(session);
  // Two sequences of their own conditions, side by side.
  const size_t lengths[] = {70, 5};
  const size_t most = info.positions ? std::min<size_t>(150, info.positions) : 150;
  const std::vector<int32_t> tokens = someTokens(most, 3, info.vocab);
  const std::vector<float> rows[] = {someFloats(lengths[0] * info.condition, 1),
                                     someFloats(lengths[1] * info.condition, 2)};
  std::vector<float> want[2];
  Sequence sequences[] = {Sequence(session), Sequence(session)};
  for (int i = 0; i < 2; ++i) {
    sequences[i].condition(rows[i], info.condition);
    want[i] = wholeText(module, session, tokens, rows[i], info.condition);
  }
  size_t at = 0;
  for (const size_t wish : {1, 1, 60, 1, 4, 82, 1}) {
    const size_t count = std::min(wish, most - at);
    if (!count)
      break;
    const std::vector<int32_t> piece(tokens.begin() + at, tokens.begin() + at + count);
    session.step({{sequences[0], piece, PITH_ROWS_ALL}, {sequences[1], piece, PITH_ROWS_ALL}}, result);
    for (size_t row = 0; row < 2 * count; ++row)
      for (size_t token = 0; token < info.vocab; ++token) {
        const float expected = want[row / count][(at + row % count) * info.vocab + token];
        ASSERT_NEAR(result.logits(row)[token], expected, 2e-4f * (1 + std::abs(expected)))
            << "sequence " << row / count << ", token " << at + row % count;
      }
    at += count;
  }
  ASSERT_EQ(at, tokens.size());
  // A fork goes on under the same condition.
  Sequence fork = sequences[0].fork(20);
  const std::vector<int32_t> next = {tokens[20]};
  session.step({{fork, next, PITH_ROWS_LAST}}, result);
  for (size_t token = 0; token < info.vocab; ++token)
    ASSERT_NEAR(result.logits(0)[token], want[0][20 * info.vocab + token], 2e-3f);
}

constexpr const char *kShared = PITH_SHARED_MODELS_DIR "/tiny/t5";
INSTANTIATE_TEST_SUITE_P(
    Models, EncoderDecoder,
    ::testing::Values(Case{PITH_TEST_MODELS_DIR "/families", "flan-t5"}, Case{kShared, "decoder_model"},
                      Case{PITH_TEST_MODELS_DIR "/families", "flan-t5", "emulator:sm_80"}),
    [](const auto &info) { return "case" + std::to_string(info.index); });

} // namespace
