//===- tokenizer.hpp - the tokenizer for C++ programs -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A thin wrapper over tokenizer.h, header only: handles that free themselves, errors as exceptions, standard
// containers.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TOKENIZER_HPP
#define PITH_TOKENIZER_HPP

#include "pith/tokenizer.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace pith {

/// A status other than PITH_TOKENIZER_OK; what() is the message.
class TokenizerError : public std::runtime_error {
public:
  TokenizerError(pith_tokenizer_status code, const char *message) : std::runtime_error(message), statusCode(code) {}
  pith_tokenizer_status status() const { return statusCode; }

private:
  pith_tokenizer_status statusCode;
};

namespace detail {

/// Calls a function that ends with a message and its size, and throws the message. TOO_SMALL is returned.
template <typename Function, typename... Arguments>
pith_tokenizer_status checkText(Function function, Arguments... arguments) {
  char message[512] = "";
  const pith_tokenizer_status status = function(arguments..., message, sizeof message);
  if (status != PITH_TOKENIZER_OK && status != PITH_TOKENIZER_TOO_SMALL)
    throw TokenizerError(status, message);
  return status;
}

/// Calls `write(data, capacity, &size)` with enough room.
template <typename List, typename Write>
List collect(size_t guess, Write write) {
  List list;
  list.resize(guess);
  size_t size = 0;
  while (write(&list[0], list.size(), &size) == PITH_TOKENIZER_TOO_SMALL)
    list.resize(size);
  list.resize(size);
  return list;
}

} // namespace detail

class Tokenizer {
public:
  explicit Tokenizer(const std::string &path) {
    pith_tokenizer *made = nullptr;
    detail::checkText(pith_tokenizer_load_file, path.c_str(), &made);
    pointer.reset(made);
  }
  pith_tokenizer *get() const { return pointer.get(); }

  std::vector<int32_t> encode(const std::string &text, uint32_t flags = 0) const {
    return detail::collect<std::vector<int32_t>>(text.size() + 16, [&](int32_t *ids, size_t room, size_t *count) {
      return detail::checkText(pith_tokenizer_encode, static_cast<const pith_tokenizer *>(get()), text.data(),
                               text.size(), flags, ids, room, count);
    });
  }
  std::string decode(const std::vector<int32_t> &ids, uint32_t flags = 0) const {
    return detail::collect<std::string>(8 * ids.size() + 16, [&](char *text, size_t room, size_t *size) {
      return detail::checkText(pith_tokenizer_decode, static_cast<const pith_tokenizer *>(get()), ids.data(), ids.size(),
                               flags, text, room, size);
    });
  }
  /// -1 when there is no such token.
  int32_t find(const std::string &token) const { return pith_tokenizer_find(get(), token.data(), token.size()); }
  int32_t beginId() const { return pith_tokenizer_begin_id(get()); }
  std::vector<int32_t> endIds() const {
    std::vector<int32_t> ids(pith_tokenizer_end_ids(get(), nullptr, 0));
    pith_tokenizer_end_ids(get(), ids.data(), ids.size());
    return ids;
  }

private:
  struct Destroy {
    void operator()(pith_tokenizer *tokenizer) const { pith_tokenizer_destroy(tokenizer); }
  };
  std::unique_ptr<pith_tokenizer, Destroy> pointer;
};

/// Text from one token after the other.
class Detokenizer {
public:
  explicit Detokenizer(const Tokenizer &tokenizer, uint32_t flags = PITH_DECODE_SKIP_SPECIAL | PITH_DECODE_CONTINUE) {
    pith_detokenizer *made = nullptr;
    detail::checkText(pith_detokenizer_create, static_cast<const pith_tokenizer *>(tokenizer.get()), flags, &made);
    pointer.reset(made);
  }
  std::string push(int32_t id) {
    const char *text = nullptr;
    size_t size = 0;
    detail::checkText(pith_detokenizer_push, pointer.get(), id, &text, &size);
    return {text, size};
  }
  std::string flush() {
    const char *text = nullptr;
    size_t size = 0;
    detail::checkText(pith_detokenizer_flush, pointer.get(), &text, &size);
    return {text, size};
  }
  void reset() { pith_detokenizer_reset(pointer.get()); }

private:
  struct Destroy {
    void operator()(pith_detokenizer *detokenizer) const { pith_detokenizer_destroy(detokenizer); }
  };
  std::unique_ptr<pith_detokenizer, Destroy> pointer;
};

} // namespace pith
#endif // PITH_TOKENIZER_HPP
