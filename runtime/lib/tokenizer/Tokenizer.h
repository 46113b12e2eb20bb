//===- Tokenizer.h - a whole tokenizer.json -----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_TOKENIZER_H
#define PITH_RUNTIME_TOKENIZER_TOKENIZER_H

#include "AddedTokens.h"
#include "BytePairs.h"
#include "Decoder.h"
#include "Normalizer.h"
#include "PreTokenizer.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pith::tokenizer {

/// text -> added tokens cut out -> normalized -> normalized added tokens cut out -> words -> ids, with
/// the post-processor's ids around them. Never changes after it was made.
class Tokenizer {
public:
  /// Throws a Failure.
  explicit Tokenizer(std::string_view text);

  void encode(std::string_view text, bool addSpecial, bool plain, std::vector<int32_t> &ids) const;

  /// The bytes that a token writes; the id is in the vocabulary.
  std::string_view bytesOf(int32_t id, bool firstOfText) const;
  const Decoder &textRules() const { return *decoder; }

  int32_t size() const { return int32_t(vocabulary.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size(); }
  bool isSpecial(int32_t id) const { return contains(id) && vocabulary[id].special; }
  int32_t find(std::string_view token) const;
  /// The token as written in the file; null if the id is not in use.
  const std::string *token(int32_t id) const;
  int32_t beginId() const { return begin; }
  const std::vector<int32_t> &endIds() const { return ends; }

private:
  struct Entry {
    const std::string *token = nullptr;
    std::string bytes;
    std::string firstBytes; ///< only where the decoder says that they differ
    bool special = false;
  };

  void readModel(const Node &model);
  void readPostProcessor(const Node &node, int depth);
  void readTemplate(const Node &node);
  int32_t pairId(const Node &node) const;
  void fillVocabulary();
  void guessEnds();
  void encodePart(std::string_view text, bool startsText, bool plain, BytePairs::Scratch &scratch,
                  std::vector<int32_t> &ids) const;
  void encodeWords(std::string_view text, bool startsText, BytePairs::Scratch &scratch,
                   std::vector<int32_t> &ids) const;

  std::unique_ptr<BytePairs> model;
  std::vector<AddedToken> added;
  TokenFinder rawFinder, normalizedFinder;
  Normalizer normalizer;
  std::vector<std::unique_ptr<PreTokenizerStep>> preTokenizer;
  std::vector<int32_t> prefix, suffix; ///< of the post-processor
  std::unique_ptr<Decoder> decoder;
  std::vector<Entry> vocabulary;
  int32_t begin = -1;
  std::vector<int32_t> ends;
};

/// A text that is decoded id by id.
class Detokenizer {
public:
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, uint32_t flags)
      : tokenizer(std::move(tokenizer)), flags(flags) {
    reset();
  }

  void reset();
  /// Appends to `text` what is certain by now; the id is in the vocabulary.
  void push(int32_t id, std::string &text);
  void flush(std::string &text);

  const Tokenizer &owner() const { return *tokenizer; }

  std::string result; ///< what the C face handed out last

private:
  std::shared_ptr<const Tokenizer> tokenizer;
  uint32_t flags;
  CharacterStream stream;
  bool first = true;
  uint32_t toStrip = 0;
  std::string fresh;
};

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_TOKENIZER_H
