//===- Normalizer.h - rewriting a text before it is cut -----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_NORMALIZER_H
#define PITH_RUNTIME_TOKENIZER_NORMALIZER_H

#include "Json.h"

#include <functional>
#include <string>
#include <vector>

namespace pith::tokenizer {

/// The steps of a tokenizer.json's normalizer, in order; none if the node is null.
class Normalizer {
public:
  Normalizer() = default;
  explicit Normalizer(const Node &node);

  /// `text` is valid UTF-8, and so is the result.
  std::string apply(std::string text) const;
  bool empty() const { return steps.empty(); }

private:
  void add(const Node &node, int depth);
  std::vector<std::function<std::string(std::string)>> steps;
};

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_NORMALIZER_H
