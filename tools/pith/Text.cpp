//===- Text.cpp - text, tokens and the model that continues them -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Text.h"
#include "llvm/Support/raw_ostream.h"

using namespace pith::tool;

Tokenizer pith::tool::loadTokenizer(llvm::StringRef path) {
  char message[512];
  pith_tokenizer *tokenizer = nullptr;
  if (pith_tokenizer_load_file(path.str().c_str(), &tokenizer, message, sizeof(message)))
    llvm::errs() << "pith: " << path << ": " << message << "\n";
  return Tokenizer(tokenizer);
}

bool pith::tool::encode(const Tokenizer &tokenizer, llvm::StringRef text, std::vector<int32_t> &ids) {
  char message[512];
  size_t count = 0;
  ids.resize(text.size() + 8);
  pith_tokenizer_status status;
  while ((status = pith_tokenizer_encode(tokenizer.get(), text.data(), text.size(), PITH_ENCODE_ADD_SPECIAL, ids.data(),
                                         ids.size(), &count, message, sizeof(message))) == PITH_TOKENIZER_TOO_SMALL)
    ids.resize(count);
  ids.resize(count);
  if (status)
    llvm::errs() << "pith: text: " << message << "\n";
  return !status;
}
