//===- FaultTest.cpp - every allocation and read fails once ---------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "../Support/Faults.h"
#include "TestTokenizer.h"

#include <cstring>

using namespace pith::test;

namespace {

constexpr size_t mostFaults = 20000;

/// Loads, encodes and decodes; the first status that is not OK. Takes no memory of its own.
pith_tokenizer_status work(const char *path, char (&message)[256]) {
  const char text[] = "fn main() { let x = 10; } ünïcode\n\n  end";
  pith_tokenizer *tokenizer = nullptr;
  pith_tokenizer_status status = pith_tokenizer_load_file(path, &tokenizer, message, sizeof message);
  EXPECT_EQ(tokenizer != nullptr, status == PITH_TOKENIZER_OK);
  if (status != PITH_TOKENIZER_OK)
    return status;
  int32_t ids[128];
  size_t count = 0, size = 0;
  char decoded[256];
  status = pith_tokenizer_encode(tokenizer, text, sizeof text - 1, 0, ids, 128, &count, message, sizeof message);
  if (status == PITH_TOKENIZER_OK)
    status = pith_tokenizer_decode(tokenizer, ids, count, 0, decoded, sizeof decoded, &size, message, sizeof message);
  pith_detokenizer *stream = nullptr;
  if (status == PITH_TOKENIZER_OK)
    status = pith_detokenizer_create(tokenizer, 0, &stream, message, sizeof message);
  for (size_t i = 0; i < count && status == PITH_TOKENIZER_OK; ++i) {
    const char *piece = nullptr;
    size_t length = 0;
    status = pith_detokenizer_push(stream, ids[i], &piece, &length, message, sizeof message);
  }
  pith_detokenizer_destroy(stream);
  pith_tokenizer_destroy(tokenizer);
  return status;
}

TEST(TokenizerFaultTest, EveryAllocationAndRead) {
  if (*PITH_TEST_SANITIZE)
    GTEST_SKIP() << "the sanitizers (" PITH_TEST_SANITIZE ") have their own malloc";
  for (const char *name : {"byte-level.json", "sentencepiece.json"}) {
    const std::string path = dataFile(name);
    char message[256];
    ASSERT_EQ(work(path.c_str(), message), PITH_TOKENIZER_OK) << message;
    const int64_t allocations = livingAllocations(), mapped = livingMappedBytes();
    const size_t descriptors = openDescriptors();
    size_t n = 1, refusals = 0;
    for (bool struck = true; struck && n < mostFaults && !::testing::Test::HasFailure(); ++n) {
      armFaults(FaultMemory | FaultFiles, n);
      const pith_tokenizer_status status = work(path.c_str(), message);
      struck = disarmFaults();
      if (status == PITH_TOKENIZER_OK)
        continue;
      ++refusals;
      EXPECT_TRUE(status == PITH_TOKENIZER_NO_MEMORY || status == PITH_TOKENIZER_IO) << status << " " << message;
      EXPECT_GT(std::strlen(message), 8u) << n;
    }
    EXPECT_LT(n, mostFaults);
    EXPECT_GT(refusals, 20u);
    EXPECT_LE(livingAllocations(), allocations + 4);
    EXPECT_EQ(livingMappedBytes(), mapped);
    EXPECT_EQ(openDescriptors(), descriptors);
  }
}

} // namespace
