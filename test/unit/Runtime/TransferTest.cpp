//===- TransferTest.cpp - sequences to and from streams -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Stream.h"
#include "TestFile.h"

using namespace pith::test;

namespace {

struct TransferTest : ::testing::Test {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module);
  ResultPtr result = makeResult(session);
  SequencePtr sequence = makeSequence(session);
  std::vector<int32_t> text = someTokens(37);

  void SetUp() override {
    const pith_lane lane = makeLane(sequence, text);
    ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
  }
  Stream exported(size_t upto) {
    Stream stream;
    Error error;
    EXPECT_EQ(pith_sequence_export(sequence.get(), upto, Stream::write, &stream, &error), PITH_OK)
        << error.message;
    return stream;
  }
  pith_status import(const std::string &bytes, SequencePtr &out, pith_error *error, const SessionPtr &into) {
    Stream stream{bytes};
    pith_sequence *made = nullptr;
    const pith_status status = pith_sequence_import(into.get(), nullptr, Stream::read, &stream, &made, error);
    EXPECT_EQ(made != nullptr, status == PITH_OK);
    if (made) {
      EXPECT_EQ(stream.at, bytes.size());
    }
    out.reset(made);
    return status;
  }
};

TEST_F(TransferTest, ExportThenImportIsTheSameSequence) {
  for (const size_t upto : {0, 1, 16, 17, 32, 37}) {
    // Into another session of another load of the same file's contents.
    const ModulePtr again = loadFake();
    const SessionPtr other = makeSession(again);
    const ResultPtr otherResult = makeResult(other);
    SequencePtr copy;
    const Stream stream = exported(upto);
    ASSERT_PITH_OK(import(stream.bytes, copy, &error, other));
    std::vector<int32_t> expected(text.begin(), text.begin() + upto);
    EXPECT_EQ(tokensOf(copy), expected);
    Stream twice;
    ASSERT_PITH_OK(pith_sequence_export(copy.get(), upto, Stream::write, &twice, &error));
    EXPECT_EQ(twice.bytes, stream.bytes);
    const std::vector<int32_t> next = {4, 5};
    const pith_lane lane = makeLane(copy, next);
    ASSERT_PITH_OK(pith_step(other.get(), &lane, 1, nullptr, otherResult.get(), &error));
    expected.insert(expected.end(), next.begin(), next.end());
    EXPECT_EQ(rowLogits(otherResult, 0), expectedLogits(expected));
  }
}

TEST_F(TransferTest, DamageIsFound) {
  const std::string good = exported(20).bytes;
  SequencePtr copy;
  const uint64_t pages = memoryOf(session).pages_used;
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = char(bad[i] ^ 4);
    Error error;
    EXPECT_NE(import(bad, copy, &error, session), PITH_OK) << i;
  }
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_PITH_ERROR(import(good.substr(0, size), copy, &error, session), PITH_ERROR_EXECUTION,
                      "reader failed");
  EXPECT_EQ(memoryOf(session).pages_used, pages);
  EXPECT_EQ(memoryOf(session).sequences, 1u);
}

TEST_F(TransferTest, OtherModelsAreRefused) {
  const ModulePtr other = loadFake("2");
  const SessionPtr otherSession = makeSession(other);
  SequencePtr copy;
  EXPECT_PITH_ERROR(import(exported(20).bytes, copy, &error, otherSession), PITH_ERROR_MISMATCH,
                    "another model");
}

TEST_F(TransferTest, LimitsAndFailures) {
  const SessionPtr tight = makeSession(module, 1, testPageBytes);
  SequencePtr copy;
  EXPECT_PITH_ERROR(import(exported(20).bytes, copy, &error, tight), PITH_ERROR_LIMIT, "page limit");
  EXPECT_EQ(memoryOf(tight).pages_used, 0u);
  Stream failing;
  failing.failAfter = 100;
  EXPECT_PITH_ERROR(pith_sequence_export(sequence.get(), 20, Stream::write, &failing, &error),
                    PITH_ERROR_EXECUTION, "writer failed");
  EXPECT_PITH_ERROR(pith_sequence_export(sequence.get(), 38, Stream::write, &failing, &error),
                    PITH_ERROR_ARGUMENT, "export of 38 tokens of a sequence of 37");
}

} // namespace
