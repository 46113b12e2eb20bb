//===- Text.h - text, tokens and the model that continues them -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_TEXT_H
#define PITH_TOOLS_TEXT_H

#include "pith/tokenizer.h"
#include "llvm/ADT/StringRef.h"
#include <memory>
#include <vector>

namespace pith::tool {

struct DestroyTokenizer {
  void operator()(pith_tokenizer *tokenizer) const { pith_tokenizer_destroy(tokenizer); }
  void operator()(pith_detokenizer *detokenizer) const { pith_detokenizer_destroy(detokenizer); }
};
using Tokenizer = std::unique_ptr<pith_tokenizer, DestroyTokenizer>;
using Detokenizer = std::unique_ptr<pith_detokenizer, DestroyTokenizer>;

/// Both say on stderr what is wrong and return null or false then.
Tokenizer loadTokenizer(llvm::StringRef path);
bool encode(const Tokenizer &tokenizer, llvm::StringRef text, std::vector<int32_t> &ids);

} // namespace pith::tool

#endif // PITH_TOOLS_TEXT_H
