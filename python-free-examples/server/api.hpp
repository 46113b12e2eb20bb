// The protocol: JSON of requests and answers as OpenAI's completions and chat completions have them.
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef PITH_EXAMPLES_SERVER_API_HPP
#define PITH_EXAMPLES_SERVER_API_HPP

#include "../common/chat_format.hpp"
#include "request.hpp"

#include <nlohmann/json.hpp>

using Json = nlohmann::ordered_json;

/// What a client did wrong, or what went wrong; becomes the answer.
struct ApiError {
  int status;
  std::string message, parameter;
  std::string body() const;
};

/// What requests are checked against.
struct Served {
  std::string model;
  const pith::Tokenizer &tokenizer;
  ChatFormat format;
  size_t vocab;
  size_t positions; ///< tokens that a text may have, prompt and answer together
  bool deterministic; ///< the same question gets the same answer whatever else runs
};

enum class Kind { Completion, Chat };

/// A request's body, checked. Throws ApiError.
struct Call {
  Call(Kind kind, const std::string &body, const Served &served);

  Kind kind;
  Wish wish;
  bool stream = false, usage = false;
};

/// Makes an answer's JSON from its pieces.
class Answer {
public:
  Answer(const Call &call, const Served &served);

  /// One event of a stream.
  std::string event(const Piece &piece);
  /// The event behind the last one, if the client asked for it.
  std::string usageEvent() const;
  /// The whole answer, after `add` of every piece.
  void add(const Piece &piece);
  std::string whole() const;
  std::string error(const std::string &message) const { return ApiError{500, message, ""}.body(); }

private:
  struct Choice {
    std::string text, finish;
    Json logprobs;
    size_t offset = 0;
    bool begun = false;
  };
  Json head(bool chunk) const;
  Json usage() const;
  Json logprobs(const Piece &piece, Choice &choice) const;
  Json tokenText(int32_t token) const;

  Kind kind;
  bool wantsUsage, wantsLogprobs;
  const Served &served;
  std::string id;
  int64_t created;
  size_t promptTokens, tokens = 0;
  std::vector<Choice> choices;
};

#endif // PITH_EXAMPLES_SERVER_API_HPP
