// How a chat's messages become tokens, for the common formats of chat models.
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef PITH_EXAMPLES_CHAT_FORMAT_HPP
#define PITH_EXAMPLES_CHAT_FORMAT_HPP

#include "pith/tokenizer.hpp"

class ChatFormat {
public:
  /// The format whose special tokens the tokenizer has; else plain text, "user: ...".
  explicit ChatFormat(const pith::Tokenizer &tokenizer) : tokenizer(tokenizer) {
    static const Marks known[] = {
        {"<|im_start|>", "<|im_start|>", "\n", "<|im_end|>\n", nullptr},
        {"<|start_header_id|>", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", nullptr},
        {nullptr, "", ": ", "\n", "\nuser:"},
    };
    for (const Marks &candidate : known) {
      marks = candidate;
      if (!candidate.token || tokenizer.find(candidate.token) >= 0)
        break;
    }
  }

  /// What every chat begins with.
  std::vector<int32_t> begin() const { return tokenizer.encode("", PITH_ENCODE_ADD_SPECIAL); }
  /// A whole message. What people wrote is read as plain text: it cannot forge the end of a turn.
  void add(const std::string &role, const std::string &content, std::vector<int32_t> &tokens) const {
    open(role, tokens);
    append(tokenizer.encode(content, PITH_ENCODE_PLAIN), tokens);
    close(tokens);
  }
  /// The beginning of a message that the model is to write, and its end.
  void open(const std::string &role, std::vector<int32_t> &tokens) const {
    append(tokenizer.encode(marks.open + role + marks.between), tokens);
  }
  void close(std::vector<int32_t> &tokens) const { append(tokenizer.encode(marks.close), tokens); }
  /// Texts that end an answer beside the end tokens.
  std::vector<std::string> stops() const { return marks.stop ? std::vector<std::string>{marks.stop} : std::vector<std::string>(); }

private:
  struct Marks {
    const char *token; ///< tells the format
    std::string open, between, close;
    const char *stop;
  };
  static void append(const std::vector<int32_t> &more, std::vector<int32_t> &tokens) {
    tokens.insert(tokens.end(), more.begin(), more.end());
  }

  const pith::Tokenizer &tokenizer;
  Marks marks;
};

#endif // PITH_EXAMPLES_CHAT_FORMAT_HPP
