//===- TestTokenizer.h - the C face with C++ manners, for tests ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_TOKENIZER_TESTTOKENIZER_H
#define PITH_TEST_UNIT_TOKENIZER_TESTTOKENIZER_H

#include "pith/tokenizer.h"

#include "gtest/gtest.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace pith::test {

inline std::string readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string dataFile(const std::string &name) {
  return std::string(PITH_TOKENIZER_TEST_DATA) + "/" + name;
}

using Ids = std::vector<int32_t>;

class TestTokenizer {
public:
  explicit TestTokenizer(const std::string &json) {
    char text[512];
    status = pith_tokenizer_load_memory(json.data(), json.size(), &handle, text, sizeof text);
    message = text;
    EXPECT_EQ(status == PITH_TOKENIZER_OK, handle != nullptr);
    EXPECT_EQ(status == PITH_TOKENIZER_OK, message.empty()) << message;
  }
  ~TestTokenizer() { pith_tokenizer_destroy(handle); }
  TestTokenizer(const TestTokenizer &) = delete;

  Ids encode(const std::string &text, uint32_t flags = 0) {
    Ids ids;
    size_t count = 0;
    char buffer[512];
    for (int attempt = 0; attempt < 2; ++attempt) {
      status = pith_tokenizer_encode(handle, text.data(), text.size(), flags, ids.data(), ids.size(), &count,
                                     buffer, sizeof buffer);
      message = buffer;
      ids.resize(status == PITH_TOKENIZER_OK || status == PITH_TOKENIZER_TOO_SMALL ? count : 0);
    }
    return ids;
  }

  std::string decode(const Ids &ids, uint32_t flags = 0) {
    std::string text;
    size_t size = 0;
    char buffer[512];
    for (int attempt = 0; attempt < 2; ++attempt) {
      status = pith_tokenizer_decode(handle, ids.data(), ids.size(), flags, &text[0], text.size(), &size,
                                     buffer, sizeof buffer);
      message = buffer;
      text.resize(status == PITH_TOKENIZER_OK || status == PITH_TOKENIZER_TOO_SMALL ? size : 0);
    }
    return text;
  }

  /// The texts of each push, and of flush.
  std::vector<std::string> stream(const Ids &ids, uint32_t flags = 0) {
    std::vector<std::string> texts;
    pith_detokenizer *detokenizer = nullptr;
    const char *text = nullptr;
    size_t size = 0;
    EXPECT_EQ(pith_detokenizer_create(handle, flags, &detokenizer, nullptr, 0), PITH_TOKENIZER_OK);
    for (int32_t id : ids) {
      EXPECT_EQ(pith_detokenizer_push(detokenizer, id, &text, &size, nullptr, 0), PITH_TOKENIZER_OK);
      texts.emplace_back(text, size);
    }
    EXPECT_EQ(pith_detokenizer_flush(detokenizer, &text, &size, nullptr, 0), PITH_TOKENIZER_OK);
    texts.emplace_back(text, size);
    pith_detokenizer_destroy(detokenizer);
    return texts;
  }

  pith_tokenizer *handle = nullptr;
  pith_tokenizer_status status;
  std::string message; ///< of the last call
};

} // namespace pith::test
#endif // PITH_TEST_UNIT_TOKENIZER_TESTTOKENIZER_H
