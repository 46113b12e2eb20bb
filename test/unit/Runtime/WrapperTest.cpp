//===- WrapperTest.cpp - the C++ wrapper ----------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestFile.h"
#include "pith/runtime.hpp"

using namespace pith::test;

namespace {

TEST(WrapperTest, GeneratesGreedily) {
  const TemporaryFile file(TestFile().bytes());
  const pith::Module module(file.path());
  pith::Session session(module);
  pith::Sequence sequence(session);
  pith::Result result(session);
  pith::Sampler sampler;
  const std::vector<int32_t> prompt = {1, 2, 3};
  session.step({{sequence, prompt}}, result);
  std::vector<int32_t> text = prompt;
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> logits = expectedLogits(text);
    const auto best = int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const std::vector<int32_t> next = {sampler.draw(result, 0, &sequence)};
    EXPECT_EQ(next[0], best);
    EXPECT_EQ(result.confidence(0).token, best);
    EXPECT_EQ(result.topK(0, 2)[0].first, best);
    session.step({{sequence, next}}, result);
    text.push_back(best);
  }
  EXPECT_EQ(sequence.tokens(), text);
  pith::Sequence branch = sequence.fork(5);
  branch.truncate(4);
  EXPECT_EQ(branch.length(), 4u);
  EXPECT_NEAR(sequence.score(3, 4)[0], expectedLogprob({1, 2, 3}, text[3]), 1e-4);
  branch.catchUp({1, 2, 7});
  EXPECT_EQ(branch.tokens(), (std::vector<int32_t>{1, 2, 7}));
  EXPECT_EQ(session.memory().sequences, 2u);
  EXPECT_EQ(module.stepInfo().vocab, 37u);
  EXPECT_EQ(module.entries().size(), 6u);
  EXPECT_EQ(module.eos(), (std::vector<int32_t>{0, 5}));
  EXPECT_EQ(module.metadata("name"), "toy");
  EXPECT_FALSE(module.supports(PITH_CAN_TAP));
}

TEST(WrapperTest, ErrorsAreExceptions) {
  try {
    const pith::Module module("/no/such/file.pith");
    FAIL();
  } catch (const pith::Error &error) {
    EXPECT_EQ(error.status(), PITH_ERROR_IO);
    EXPECT_NE(std::string(error.what()).find("/no/such/file.pith"), std::string::npos);
  }
}

TEST(WrapperTest, StopsAndInvoke) {
  const pith::Stops stops({"end", "\n\n"});
  uint32_t state = 0;
  EXPECT_FALSE(stops.feed(state, "the e"));
  EXPECT_TRUE(stops.feed(state, "nd"));
  const TemporaryFile file(TestFile().bytes());
  const pith::Module module(file.path());
  pith::Session session(module);
  pith::Result result(session);
  float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8};
  const int64_t shape[] = {1, 4};
  pith_tensor first = PITH_INIT(pith_tensor);
  first.type = PITH_F32;
  first.dims = shape;
  first.rank = 2;
  first.data = a;
  pith_tensor second = first;
  second.dims = shape + 1;
  second.rank = 1;
  second.data = b;
  session.invoke("add", {first, second}, result);
  EXPECT_EQ(static_cast<float *>(result.output("c").data)[3], 12);
}

} // namespace
