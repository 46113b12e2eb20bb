//===- CApi.cpp - the C face of the tokenizer -------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Tokenizer.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

using namespace pith::tokenizer;

struct pith_tokenizer {
  std::shared_ptr<const Tokenizer> tokenizer;
};

struct pith_detokenizer {
  Detokenizer detokenizer;
};

namespace {

/// What an error is written to.
struct Message {
  char *buffer;
  size_t size;

  void write(const char *text) const noexcept {
    if (!buffer || !size)
      return;
    size_t length = std::min(std::strlen(text), size - 1);
    // A message may quote the file: do not end inside a character.
    while (length && (uint8_t(text[length]) & 0xC0) == 0x80)
      --length;
    std::memcpy(buffer, text, length);
    buffer[length] = '\0';
  }
};

/// Runs what may throw; the one place where exceptions become statuses.
template <typename Body>
pith_tokenizer_status guarded(Message message, Body body) noexcept {
  try {
    message.write("");
    return body();
  } catch (const Failure &failure) {
    message.write(failure.what());
    return failure.status;
  } catch (const std::bad_alloc &) {
    message.write("out of memory");
    return PITH_TOKENIZER_NO_MEMORY;
  } catch (const std::exception &error) {
    message.write(error.what());
    return PITH_TOKENIZER_INTERNAL;
  } catch (...) {
    message.write("unknown failure");
    return PITH_TOKENIZER_INTERNAL;
  }
}

[[noreturn]] void failArgument(const std::string &message) {
  throw Failure(PITH_TOKENIZER_BAD_ARGUMENT, message);
}

void require(bool condition, const char *message) {
  if (!condition)
    failArgument(message);
}

void requireFlags(uint32_t flags, uint32_t known) {
  if (flags & ~known)
    failArgument("unknown flags " + std::to_string(flags & ~known));
}

void requireId(const Tokenizer &tokenizer, int32_t id) {
  if (!tokenizer.contains(id))
    failArgument("id " + std::to_string(id) + " is outside the vocabulary of " +
                 std::to_string(tokenizer.size()));
}

constexpr uint32_t encodeFlags = PITH_ENCODE_ADD_SPECIAL | PITH_ENCODE_PLAIN;
constexpr uint32_t decodeFlags = PITH_DECODE_SKIP_SPECIAL | PITH_DECODE_BYTES | PITH_DECODE_CONTINUE;

/// Far beyond any real file; keeps a wrong path from filling the memory.
constexpr size_t largestFile = size_t(1) << 30;

std::string readFile(const char *path) {
  const auto fail = [path](const std::string &what) {
    throw Failure(PITH_TOKENIZER_IO, "'" + std::string(path) + "': " + what);
  };
  struct Close {
    void operator()(std::FILE *file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path, "rb"));
  if (!file)
    fail(std::string("cannot be opened: ") + std::strerror(errno));
  std::string content;
  char buffer[65536];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, file.get())) {
    content.append(buffer, count);
    if (content.size() > largestFile)
      fail("larger than 1 GiB: not a tokenizer.json");
  }
  if (std::ferror(file.get()))
    fail(std::string("cannot be read: ") + std::strerror(errno));
  return content;
}

} // namespace

extern "C" {

pith_tokenizer_status pith_tokenizer_load_memory(const char *json, size_t json_size,
                                                 pith_tokenizer **tokenizer, char *message,
                                                 size_t message_size) {
  return guarded({message, message_size}, [&] {
    require(tokenizer, "'tokenizer' is null");
    *tokenizer = nullptr;
    require(json || !json_size, "'json' is null");
    *tokenizer = new pith_tokenizer{std::make_shared<const Tokenizer>(std::string_view(json, json_size))};
    return PITH_TOKENIZER_OK;
  });
}

pith_tokenizer_status pith_tokenizer_load_file(const char *path, pith_tokenizer **tokenizer, char *message,
                                               size_t message_size) {
  return guarded({message, message_size}, [&] {
    require(tokenizer, "'tokenizer' is null");
    *tokenizer = nullptr;
    require(path, "'path' is null");
    const std::string json = readFile(path);
    return pith_tokenizer_load_memory(json.data(), json.size(), tokenizer, message, message_size);
  });
}

void pith_tokenizer_destroy(pith_tokenizer *tokenizer) { delete tokenizer; }

pith_tokenizer_status pith_tokenizer_encode(const pith_tokenizer *tokenizer, const char *text,
                                            size_t text_size, uint32_t flags, int32_t *ids, size_t capacity,
                                            size_t *count, char *message, size_t message_size) {
  return guarded({message, message_size}, [&] {
    require(tokenizer, "'tokenizer' is null");
    require(text || !text_size, "'text' is null");
    require(ids || !capacity, "'ids' is null");
    require(count, "'count' is null");
    requireFlags(flags, encodeFlags);
    std::vector<int32_t> result;
    tokenizer->tokenizer->encode(std::string_view(text, text_size), flags & PITH_ENCODE_ADD_SPECIAL,
                                 flags & PITH_ENCODE_PLAIN, result);
    *count = result.size();
    if (result.size() > capacity)
      throw Failure(PITH_TOKENIZER_TOO_SMALL, "the text has " + std::to_string(result.size()) +
                                                  " ids, there is room for " + std::to_string(capacity));
    std::copy(result.begin(), result.end(), ids);
    return PITH_TOKENIZER_OK;
  });
}

pith_tokenizer_status pith_tokenizer_decode(const pith_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                            uint32_t flags, char *text, size_t capacity, size_t *text_size,
                                            char *message, size_t message_size) {
  return guarded({message, message_size}, [&] {
    require(tokenizer, "'tokenizer' is null");
    require(ids || !count, "'ids' is null");
    require(text || !capacity, "'text' is null");
    require(text_size, "'text_size' is null");
    requireFlags(flags, decodeFlags);
    Detokenizer detokenizer(tokenizer->tokenizer, flags);
    std::string result;
    for (size_t i = 0; i < count; ++i) {
      requireId(*tokenizer->tokenizer, ids[i]);
      detokenizer.push(ids[i], result);
    }
    detokenizer.flush(result);
    *text_size = result.size();
    if (result.size() > capacity)
      throw Failure(PITH_TOKENIZER_TOO_SMALL, "the text has " + std::to_string(result.size()) +
                                                  " bytes, there is room for " + std::to_string(capacity));
    std::copy(result.begin(), result.end(), text);
    return PITH_TOKENIZER_OK;
  });
}

pith_tokenizer_status pith_detokenizer_create(const pith_tokenizer *tokenizer, uint32_t flags,
                                              pith_detokenizer **detokenizer, char *message,
                                              size_t message_size) {
  return guarded({message, message_size}, [&] {
    require(detokenizer, "'detokenizer' is null");
    *detokenizer = nullptr;
    require(tokenizer, "'tokenizer' is null");
    requireFlags(flags, decodeFlags);
    *detokenizer = new pith_detokenizer{Detokenizer(tokenizer->tokenizer, flags)};
    return PITH_TOKENIZER_OK;
  });
}

void pith_detokenizer_destroy(pith_detokenizer *detokenizer) { delete detokenizer; }

pith_tokenizer_status pith_detokenizer_push(pith_detokenizer *detokenizer, int32_t id, const char **text,
                                            size_t *text_size, char *message, size_t message_size) {
  return guarded({message, message_size}, [&] {
    require(detokenizer, "'detokenizer' is null");
    require(text && text_size, "'text' or 'text_size' is null");
    Detokenizer &stream = detokenizer->detokenizer;
    requireId(stream.owner(), id);
    stream.result.clear();
    stream.push(id, stream.result);
    *text = stream.result.c_str();
    *text_size = stream.result.size();
    return PITH_TOKENIZER_OK;
  });
}

pith_tokenizer_status pith_detokenizer_flush(pith_detokenizer *detokenizer, const char **text,
                                             size_t *text_size, char *message, size_t message_size) {
  return guarded({message, message_size}, [&] {
    require(detokenizer, "'detokenizer' is null");
    require(text && text_size, "'text' or 'text_size' is null");
    Detokenizer &stream = detokenizer->detokenizer;
    stream.result.clear();
    stream.flush(stream.result);
    *text = stream.result.c_str();
    *text_size = stream.result.size();
    return PITH_TOKENIZER_OK;
  });
}

void pith_detokenizer_reset(pith_detokenizer *detokenizer) {
  if (detokenizer)
    detokenizer->detokenizer.reset();
}

int32_t pith_tokenizer_vocabulary_size(const pith_tokenizer *tokenizer) {
  return tokenizer ? tokenizer->tokenizer->size() : 0;
}

int32_t pith_tokenizer_find(const pith_tokenizer *tokenizer, const char *token, size_t token_size) {
  return tokenizer && token ? tokenizer->tokenizer->find(std::string_view(token, token_size)) : -1;
}

const char *pith_tokenizer_token(const pith_tokenizer *tokenizer, int32_t id, size_t *token_size) {
  const std::string *token = tokenizer ? tokenizer->tokenizer->token(id) : nullptr;
  if (token_size)
    *token_size = token ? token->size() : 0;
  return token ? token->c_str() : nullptr;
}

int pith_tokenizer_is_special(const pith_tokenizer *tokenizer, int32_t id) {
  return tokenizer && tokenizer->tokenizer->isSpecial(id) ? 1 : 0;
}

int32_t pith_tokenizer_begin_id(const pith_tokenizer *tokenizer) {
  return tokenizer ? tokenizer->tokenizer->beginId() : -1;
}

int32_t pith_tokenizer_end_id(const pith_tokenizer *tokenizer) {
  return tokenizer && !tokenizer->tokenizer->endIds().empty() ? tokenizer->tokenizer->endIds().front() : -1;
}

size_t pith_tokenizer_end_ids(const pith_tokenizer *tokenizer, int32_t *ids, size_t capacity) {
  if (!tokenizer)
    return 0;
  const std::vector<int32_t> &ends = tokenizer->tokenizer->endIds();
  if (ids)
    std::copy_n(ends.begin(), std::min(capacity, ends.size()), ids);
  return ends.size();
}

} // extern "C"
