//===- PreTokenizer.h - from a text to words ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_PRETOKENIZER_H
#define PITH_RUNTIME_TOKENIZER_PRETOKENIZER_H

#include "Json.h"
#include "Pattern.h"

#include <memory>
#include <string>
#include <vector>

namespace pith::tokenizer {

/// A text cut into pieces. A step either cuts pieces further or rewrites the text, never by copying
/// piece by piece.
struct Pieces {
  std::string text;
  std::vector<Span> spans; ///< in order, none empty; gaps are text that was removed
  bool startsText;         ///< the first piece, if it begins at 0, begins what the user gave
};

class PreTokenizerStep {
public:
  virtual ~PreTokenizerStep() = default;
  virtual void apply(Pieces &pieces) const = 0;
};

/// The steps of a tokenizer.json's pre_tokenizer; none if the node is null.
std::vector<std::unique_ptr<PreTokenizerStep>> makePreTokenizer(const Node &node);

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_PRETOKENIZER_H
