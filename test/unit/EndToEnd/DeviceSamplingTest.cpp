//===- DeviceSamplingTest.cpp - tokens drawn on a device --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A model compiled for a device draws there what the host draws from the same logits, but where the rounding
// of f32 decides; the seeds here are none of those.
//
//===----------------------------------------------------------------------===//
#include "Compiled.h"
#include "gtest/gtest.h"
#include <vector>

using namespace pith;
using namespace pith::test;

namespace {

TEST(DeviceSampling, EqualsTheHost) {
  const Compiled file(PITH_TEST_MODELS_DIR "/families/qwen3/model.onnx",
                      [](CompileOptions &options) { options.target = "emulator:sm_80"; });
  const Module module(file.path());
  const uint32_t vocab = module.stepInfo().vocab;
  Session session(module, sessionOptions(1));
  Sequence sequence(session);
  Result result(session);
  const std::vector<int32_t> text = someTokens(3, 3, vocab);
  session.step({{sequence, text, PITH_ROWS_ALL}}, result);
  struct Case {
    float temperature;
    uint32_t topK;
    float topP, minP;
  };
  for (const Case &c : {Case{0, 0, 0, 0}, Case{1, 0, 0, 0}, Case{0.6f, 20, 0, 0}, Case{2, 0, 0.8f, 0},
                        Case{3, 0, 0, 0.1f}, Case{1.5f, 30, 0.9f, 0.02f}})
    for (uint64_t seed = 0; seed < 2; ++seed) {
      pith_sampler_options options = PITH_INIT(pith_sampler_options);
      options.temperature = c.temperature;
      options.top_k = c.topK;
      options.top_p = c.topP;
      options.min_p = c.minP;
      options.seed = seed;
      Sampler sampler(options);
      std::vector<pith_draw> draws(text.size(), PITH_INIT(pith_draw));
      std::vector<int32_t> drawn(text.size(), -1);
      for (uint32_t row = 0; row < text.size(); ++row)
        draws[row].row = row;
      pith_error error = PITH_INIT(pith_error);
      ASSERT_EQ(pith_sample(sampler.get(), result.get(), draws.data(), draws.size(), drawn.data(), &error),
                PITH_OK)
          << error.message;
      for (uint32_t row = 0; row < text.size(); ++row) {
        int32_t token = -1;
        ASSERT_EQ(pith_sample_logits(sampler.get(), result.logits(row), vocab, nullptr, 0, 0, row + 1, &token,
                                     &error),
                  PITH_OK)
            << error.message;
        EXPECT_EQ(drawn[row], token) << "row " << row << ", seed " << seed << ", temperature "
                                     << c.temperature << ", top_k " << c.topK << ", top_p " << c.topP
                                     << ", min_p " << c.minP;
      }
    }
}

} // namespace
