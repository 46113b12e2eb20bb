//===- Pattern.h - what splits and replacements look for ----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_PATTERN_H
#define PITH_RUNTIME_TOKENIZER_PATTERN_H

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace pith::tokenizer {

/// The bytes [begin, end) of a text.
struct Span {
  size_t begin, end;
};

class Node;

/// A literal text or a regular expression. Never changes after it was made; any thread may use it.
class Pattern {
public:
  static Pattern literal(std::string text);

  /// `source` is in the syntax that tokenizer.json files are written for (Oniguruma's); `where` names it
  /// in errors. Constructs that would mean something else here are refused.
  static Pattern regex(const std::string &source, const std::string &where);

  /// {"String": ...} or {"Regex": ...}.
  static Pattern fromJson(const Node &node);

  /// Replaces `matches` by all matches in a valid UTF-8 text: in order, not overlapping, possibly empty.
  void findAll(std::string_view text, std::vector<Span> &matches) const;

  /// The text with every match replaced by `content`, which is taken literally.
  std::string replaceAll(std::string_view text, std::string_view content) const;

private:
  Pattern() = default;
  std::string source;                            ///< the literal, or what the user wrote
  std::shared_ptr<const pcre2_real_code_8> code; ///< null for a literal
};

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_PATTERN_H
