//===- TokenizerFuzzer.cpp - any tokenizer.json on any text ---------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The file, a zero byte, flags, the text.
//
//===----------------------------------------------------------------------------------===//
#include "pith/tokenizer.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

void require(bool condition) {
  if (!condition)
    std::abort();
}

void check(const pith_tokenizer *tokenizer, const std::string &text, uint32_t flags) {
  std::vector<int32_t> ids(text.size() + 64);
  size_t count = 0;
  pith_tokenizer_status status = pith_tokenizer_encode(tokenizer, text.data(), text.size(), flags & 3, ids.data(),
                                                       ids.size(), &count, nullptr, 0);
  if (status == PITH_TOKENIZER_TOO_SMALL) {
    ids.resize(count);
    status = pith_tokenizer_encode(tokenizer, text.data(), text.size(), flags & 3, ids.data(), ids.size(), &count,
                                   nullptr, 0);
  }
  if (status != PITH_TOKENIZER_OK)
    return;
  require(count <= ids.size());
  ids.resize(count);
  for (const int32_t id : ids)
    require(id >= 0 && id < pith_tokenizer_vocabulary_size(tokenizer));
  std::string decoded(16, '\0');
  size_t size = 0;
  const uint32_t decodeFlags = flags >> 2 & 7;
  status = pith_tokenizer_decode(tokenizer, ids.data(), ids.size(), decodeFlags, &decoded[0], decoded.size(), &size,
                                 nullptr, 0);
  require(status != PITH_TOKENIZER_TOO_SMALL || size > decoded.size());
  pith_detokenizer *stream = nullptr;
  if (pith_detokenizer_create(tokenizer, decodeFlags, &stream, nullptr, 0) != PITH_TOKENIZER_OK)
    return;
  const char *piece = nullptr;
  for (const int32_t id : ids)
    require(pith_detokenizer_push(stream, id, &piece, &size, nullptr, 0) == PITH_TOKENIZER_OK && piece);
  require(pith_detokenizer_flush(stream, &piece, &size, nullptr, 0) == PITH_TOKENIZER_OK && piece);
  pith_detokenizer_destroy(stream);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *end = std::find(data, data + size, 0);
  pith_tokenizer *tokenizer = nullptr;
  char message[128] = "";
  const pith_tokenizer_status status = pith_tokenizer_load_memory(
      reinterpret_cast<const char *>(data), size_t(end - data), &tokenizer, message, sizeof message);
  require((status == PITH_TOKENIZER_OK) == (tokenizer != nullptr));
  require(status == PITH_TOKENIZER_OK || message[0]);
  if (tokenizer && data + size - end > 1)
    check(tokenizer, std::string(end + 2, data + size), end[1]);
  pith_tokenizer_destroy(tokenizer);
  return 0;
}
