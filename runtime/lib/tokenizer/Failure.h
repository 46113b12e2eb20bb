//===- Failure.h - errors inside the tokenizer --------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Inside, an error is an exception: loading recurses through descriptions that nest. The C face
// (CApi.cpp) catches every one.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_FAILURE_H
#define PITH_RUNTIME_TOKENIZER_FAILURE_H

#include "pith/tokenizer.h"

#include <stdexcept>
#include <string>

namespace pith::tokenizer {

struct Failure : std::runtime_error {
  Failure(pith_tokenizer_status status, const std::string &message)
      : std::runtime_error(message), status(status) {}
  pith_tokenizer_status status;
};

[[noreturn]] inline void failBadFile(const std::string &message) {
  throw Failure(PITH_TOKENIZER_BAD_FILE, message);
}
[[noreturn]] inline void failUnsupported(const std::string &message) {
  throw Failure(PITH_TOKENIZER_UNSUPPORTED, message);
}

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_FAILURE_H
