//===- Pattern.cpp - what splits and replacements look for ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#define PCRE2_CODE_UNIT_WIDTH 8
#include "Pattern.h"
#include "Json.h"
#include "Unicode.h"

#include <pcre2.h>

#include <algorithm>

namespace pith::tokenizer {

namespace {

/// PCRE2's memory per match, in KiB, and its backtracking steps per match. Real patterns need neither;
/// they bound what a malicious file can cost.
constexpr uint32_t heapLimit = 64 * 1024;
constexpr uint32_t matchLimit = 10 * 1000 * 1000;

template <typename T, void (*release)(T *)>
struct Release {
  void operator()(T *object) const { release(object); }
};
using CompileContext =
    std::unique_ptr<pcre2_compile_context, Release<pcre2_compile_context, pcre2_compile_context_free>>;
using MatchContext =
    std::unique_ptr<pcre2_match_context, Release<pcre2_match_context, pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data, pcre2_match_data_free>>;

std::string describe(int error) {
  PCRE2_UCHAR buffer[256];
  return pcre2_get_error_message(error, buffer, sizeof buffer) < 0 ? "error " + std::to_string(error)
                                                                   : reinterpret_cast<const char *>(buffer);
}

/// Rewrites what Oniguruma and PCRE2 read differently:
///   \s \S  White_Space; PCRE2 adds U+180E
///   \w \W  letters, marks, digits and connectors; PCRE2 has neither marks nor all connectors
///   \h     a hexadecimal digit; PCRE2: horizontal space
///   \uHHHH a code point; PCRE2 has \x{HHHH} only
///   [..&&..] and [..[..]..] intersect and nest; PCRE2 reads the characters
std::string translate(const std::string &source, const std::string &where) {
  const std::string word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
  const auto refuse = [&](const std::string &what) {
    failUnsupported(where + ": the regular expression '" + source + "' uses " + what +
                    ", which is not supported");
  };
  std::string out;
  bool inClass = false;
  for (size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (c == '\\' && i + 1 < source.size()) {
      const char escaped = source[++i];
      switch (escaped) {
      case 's':
        out += "\\p{White_Space}";
        break;
      case 'S':
        out += "\\P{White_Space}";
        break;
      case 'w':
        out += inClass ? word : "[" + word + "]";
        break;
      case 'W':
        if (inClass)
          refuse("'\\W' in a character class");
        out += "[^" + word + "]";
        break;
      case 'h':
        out += inClass ? "0-9a-fA-F" : "[0-9a-fA-F]";
        break;
      case 'u': {
        const size_t digits = source.find_first_not_of("0123456789abcdefABCDEF", i + 1);
        if (std::min(digits, source.size()) < i + 5)
          refuse("'\\u' without four hexadecimal digits");
        out += "\\x{" + source.substr(i + 1, 4) + "}";
        i += 4;
        break;
      }
      case 'H':
        refuse("'\\H'");
        break;
      case 'C':
        refuse("'\\C'");
        break;
      default:
        out += c;
        out += escaped;
      }
      continue;
    }
    if (!inClass) {
      if (c == '[') {
        inClass = true;
        out += c;
        if (i + 1 < source.size() && source[i + 1] == '^')
          out += source[++i];
        if (i + 1 < source.size() && source[i + 1] == ']') // a bracket that stands first is a character
          out += source[++i];
        continue;
      }
    } else if (c == ']') {
      inClass = false;
    } else if (c == '[') {
      const size_t end =
          i + 1 < source.size() && source[i + 1] == ':' ? source.find(":]", i + 2) : source.npos;
      if (end == source.npos)
        refuse("a character class inside a character class");
      out.append(source, i, end + 2 - i);
      i = end + 1;
      continue;
    } else if (c == '&' && i + 1 < source.size() && source[i + 1] == '&') {
      refuse("'&&' in a character class");
    }
    out += c;
  }
  return out;
}

} // namespace

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.source = std::move(text);
  return pattern;
}

Pattern Pattern::regex(const std::string &source, const std::string &where) {
  const std::string translated = translate(source, where);
  const CompileContext context(pcre2_compile_context_create(nullptr));
  if (!context)
    throw std::bad_alloc();
  // Ruby's syntax, which the files assume, lets ^ and $ match at every line.
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code *code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                                   &offset, context.get());
  if (!code) {
    if (error == PCRE2_ERROR_HEAP_FAILED)
      throw std::bad_alloc();
    failUnsupported(where + ": the regular expression '" + source + "' does not compile: " + describe(error));
  }
  Pattern pattern;
  pattern.source = source;
  pattern.code = std::shared_ptr<const pcre2_code>(
      code, [](const pcre2_code *object) { pcre2_code_free(const_cast<pcre2_code *>(object)); });
  // Without a just-in-time compiler (some systems forbid one) matching is slower, not different.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return pattern;
}

Pattern Pattern::fromJson(const Node &node) {
  if (const Node text = node.at("String"); !text.isNull())
    return literal(text.string());
  const Node source = node.at("Regex");
  if (source.isNull())
    failBadFile(node.path() + ": expected a member 'String' or 'Regex'");
  return regex(source.string(), node.path());
}

void Pattern::findAll(std::string_view text, std::vector<Span> &matches) const {
  matches.clear();
  if (!code) {
    if (source.empty())
      return;
    for (size_t at = 0; (at = text.find(source, at)) != text.npos; at += source.size())
      matches.push_back({at, at + source.size()});
    return;
  }
  const MatchData data(pcre2_match_data_create(1, nullptr));
  MatchContext context;
  if (!data)
    throw std::bad_alloc();
  size_t at = 0;
  // PCRE2 must not check the whole text again at each match: the caller has.
  uint32_t options = PCRE2_NO_UTF_CHECK;
  while (at <= text.size()) {
    int found = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, options,
                            data.get(), context.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      // The interpreter keeps its backtracking on the heap and can go deeper.
      context.reset(pcre2_match_context_create(nullptr));
      if (!context)
        throw std::bad_alloc();
      pcre2_set_heap_limit(context.get(), heapLimit);
      pcre2_set_match_limit(context.get(), matchLimit);
      options |= PCRE2_NO_JIT;
      continue;
    }
    if (found == PCRE2_ERROR_NOMATCH)
      return;
    if (found == PCRE2_ERROR_NOMEMORY)
      throw std::bad_alloc();
    if (found < 0)
      throw Failure(PITH_TOKENIZER_INTERNAL, "the regular expression '" + source + "' failed at byte " +
                                                 std::to_string(at) + " of the text: " + describe(found));
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data.get());
    // \K can put a match's start behind its end or before where the search began: no such match counts.
    if (ends[0] > ends[1] || ends[0] < at)
      throw Failure(PITH_TOKENIZER_INTERNAL,
                    "the regular expression '" + source + "' moves its match's start");
    matches.push_back({ends[0], ends[1]});
    at = ends[1];
    if (ends[0] == ends[1]) {
      if (at >= text.size())
        return;
      at += utf8Size(text[at]);
    }
  }
}

std::string Pattern::replaceAll(std::string_view text, std::string_view content) const {
  std::vector<Span> matches;
  findAll(text, matches);
  std::string out;
  size_t end = 0;
  for (const Span &match : matches) {
    out += text.substr(end, match.begin - end);
    out += content;
    end = match.end;
  }
  out += text.substr(end);
  return out;
}

} // namespace pith::tokenizer
