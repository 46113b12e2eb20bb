//===- PreTokenizer.cpp - from a text to words ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "PreTokenizer.h"
#include "ByteLevel.h"

namespace pith::tokenizer {

namespace {

/// How GPT-2 cuts English.
const char *const byteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// What becomes of a match.
enum class SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

SplitBehavior parseBehavior(const Node &node, const char *otherwise) {
  const std::string name = node.string(otherwise);
  if (name == "Removed")
    return SplitBehavior::Removed;
  if (name == "Isolated")
    return SplitBehavior::Isolated;
  if (name == "MergedWithPrevious")
    return SplitBehavior::MergedWithPrevious;
  if (name == "MergedWithNext")
    return SplitBehavior::MergedWithNext;
  if (name == "Contiguous")
    return SplitBehavior::Contiguous;
  failBadFile(node.path() +
              ": expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, found '" +
              name + "'");
}

/// Cuts every piece at the matches of a pattern.
class Split final : public PreTokenizerStep {
public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert = false)
      : pattern(std::move(pattern)), behavior(behavior), invert(invert) {}

  void apply(Pieces &pieces) const override {
    std::vector<Span> result, matches;
    std::vector<Part> parts;
    for (const Span &span : pieces.spans) {
      const std::string_view text(pieces.text.data() + span.begin, span.end - span.begin);
      pattern.findAll(text, matches);
      parts.clear();
      size_t end = 0;
      for (const Span &match : matches) {
        if (match.begin != end)
          parts.push_back({end, match.begin, invert});
        parts.push_back({match.begin, match.end, !invert});
        end = match.end;
      }
      if (end != text.size())
        parts.push_back({end, text.size(), invert});
      arrange(parts);
      for (const Part &part : parts)
        if (part.begin != part.end)
          result.push_back({span.begin + part.begin, span.begin + part.end});
    }
    pieces.spans = std::move(result);
  }

private:
  struct Part {
    size_t begin, end;
    bool isMatch;
  };

  /// Removes or joins parts as the behavior says.
  void arrange(std::vector<Part> &parts) const {
    size_t kept = 0;
    bool previousIsMatch = false;
    switch (behavior) {
    case SplitBehavior::Isolated:
      return;
    case SplitBehavior::Removed:
      for (const Part &part : parts)
        if (!part.isMatch)
          parts[kept++] = part;
      break;
    case SplitBehavior::Contiguous:
      for (const Part part : parts) {
        if (kept && parts[kept - 1].isMatch == part.isMatch)
          parts[kept - 1].end = part.end;
        else
          parts[kept++] = part;
      }
      break;
    case SplitBehavior::MergedWithPrevious:
      for (const Part part : parts) {
        if (part.isMatch && !previousIsMatch && kept)
          parts[kept - 1].end = part.end;
        else
          parts[kept++] = part;
        previousIsMatch = part.isMatch;
      }
      break;
    case SplitBehavior::MergedWithNext:
      // The mirror image of the case above: from the back, filling the vector's end.
      kept = parts.size();
      for (size_t i = parts.size(); i-- > 0;) {
        const Part part = parts[i];
        if (part.isMatch && !previousIsMatch && kept < parts.size())
          parts[kept].begin = part.begin;
        else
          parts[--kept] = part;
        previousIsMatch = part.isMatch;
      }
      parts.erase(parts.begin(), parts.begin() + kept);
      return;
    }
    parts.resize(kept);
  }

  Pattern pattern;
  SplitBehavior behavior;
  bool invert;
};

/// Rewrites every piece; the pieces stay as they are cut.
template <typename Rewrite>
void rewritePieces(Pieces &pieces, Rewrite rewrite) {
  std::string text;
  text.reserve(pieces.text.size() + pieces.text.size() / 2);
  for (Span &span : pieces.spans) {
    const size_t begin = text.size();
    rewrite(std::string_view(pieces.text).substr(span.begin, span.end - span.begin),
            pieces.startsText && span.begin == 0, text);
    // An absent first piece must not make its successor the text's start.
    if (&span == &pieces.spans.front() && span.begin != 0)
      pieces.startsText = false;
    span = {begin, text.size()};
  }
  pieces.text = std::move(text);
}

/// Puts a space in front of every piece that has none.
class PrefixSpace final : public PreTokenizerStep {
public:
  void apply(Pieces &pieces) const override {
    rewritePieces(pieces, [](std::string_view piece, bool, std::string &out) {
      if (piece.front() != ' ')
        out += ' ';
      out += piece;
    });
  }
};

class BytesToCharacters final : public PreTokenizerStep {
public:
  void apply(Pieces &pieces) const override {
    rewritePieces(pieces,
                  [](std::string_view piece, bool, std::string &out) { appendByteLevel(out, piece); });
  }
};

/// Writes spaces as a visible character, and one more where a text begins.
class Metaspace final : public PreTokenizerStep {
public:
  enum class Prepend { Always, First, Never };

  Metaspace(std::string replacement, Prepend prepend)
      : replacement(std::move(replacement)), prepend(prepend) {}

  void apply(Pieces &pieces) const override {
    rewritePieces(pieces, [this](std::string_view piece, bool startsText, std::string &out) {
      const bool marked = piece.front() == ' ' || piece.substr(0, replacement.size()) == replacement;
      if (!marked && (prepend == Prepend::Always || (prepend == Prepend::First && startsText)))
        out += replacement;
      for (char c : piece)
        if (c == ' ')
          out += replacement;
        else
          out += c;
    });
  }

private:
  std::string replacement;
  Prepend prepend;
};

using Steps = std::vector<std::unique_ptr<PreTokenizerStep>>;

Pattern fixedPattern(const char *source) { return Pattern::regex(source, "pre_tokenizer"); }

void addByteLevel(const Node &node, Steps &steps) {
  if (node.at("add_prefix_space").boolean(true))
    steps.push_back(std::make_unique<PrefixSpace>());
  if (node.at("use_regex").boolean(true))
    steps.push_back(std::make_unique<Split>(fixedPattern(byteLevelPattern), SplitBehavior::Isolated));
  steps.push_back(std::make_unique<BytesToCharacters>());
}

void addMetaspace(const Node &node, Steps &steps) {
  const std::string replacement = node.at("replacement").string("\xE2\x96\x81");
  if (replacement.empty())
    failBadFile(node.path() + ".replacement: expected a character, found an empty string");
  // Files from before prepend_scheme say add_prefix_space.
  const char *older = node.at("add_prefix_space").boolean(true) ? "always" : "never";
  const std::string scheme = node.at("prepend_scheme").string(older);
  Metaspace::Prepend prepend = Metaspace::Prepend::Always;
  if (scheme == "first")
    prepend = Metaspace::Prepend::First;
  else if (scheme == "never")
    prepend = Metaspace::Prepend::Never;
  else if (scheme != "always")
    failBadFile(node.path() + ".prepend_scheme: expected always, first or never, found '" + scheme + "'");
  steps.push_back(std::make_unique<Metaspace>(replacement, prepend));
  if (node.at("split").boolean(true))
    steps.push_back(std::make_unique<Split>(Pattern::literal(replacement), SplitBehavior::MergedWithNext));
}

void addSteps(const Node &node, int depth, Steps &steps) {
  if (depth > deepestNesting)
    failBadFile(node.path() + ": nested too deeply");
  const auto split = [&](Pattern pattern, SplitBehavior behavior, bool invert = false) {
    steps.push_back(std::make_unique<Split>(std::move(pattern), behavior, invert));
  };
  const std::string &type = node.at("type").string();
  if (type == "Sequence") {
    const Node members = node.at("pretokenizers");
    for (size_t i = 0; i < members.size(); ++i)
      addSteps(members.at(i), depth + 1, steps);
  } else if (type == "ByteLevel") {
    addByteLevel(node, steps);
  } else if (type == "Metaspace") {
    addMetaspace(node, steps);
  } else if (type == "Split") {
    split(Pattern::fromJson(node.at("pattern")), parseBehavior(node.at("behavior"), ""),
          node.at("invert").boolean(false));
  } else if (type == "Digits") {
    split(fixedPattern("\\p{N}"),
          node.at("individual_digits").boolean(false) ? SplitBehavior::Isolated : SplitBehavior::Contiguous);
  } else if (type == "Punctuation") {
    split(fixedPattern(R"([\p{P}$+<=>^`|~])"), parseBehavior(node.at("behavior"), "Isolated"));
  } else if (type == "Whitespace") {
    split(fixedPattern(R"([\w\p{Join_Control}]+|[^\w\p{Join_Control}\s]+)"), SplitBehavior::Removed, true);
  } else if (type == "WhitespaceSplit") {
    split(fixedPattern(R"(\s)"), SplitBehavior::Removed);
  } else if (type == "CharDelimiterSplit") {
    split(Pattern::literal(node.at("delimiter").string()), SplitBehavior::Removed);
  } else {
    failUnsupported(node.path() + ": the pre-tokenizer '" + type +
                    "' is not supported; supported are ByteLevel, CharDelimiterSplit, Digits, Metaspace, "
                    "Punctuation, Sequence, Split, Whitespace and WhitespaceSplit");
  }
}

} // namespace

Steps makePreTokenizer(const Node &node) {
  Steps steps;
  if (!node.isNull())
    addSteps(node, 0, steps);
  return steps;
}

} // namespace pith::tokenizer
