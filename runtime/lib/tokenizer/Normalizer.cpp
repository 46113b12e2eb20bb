//===- Normalizer.cpp - rewriting a text before it is cut -------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Normalizer.h"
#include "ByteLevel.h"
#include "Pattern.h"

namespace pith::tokenizer {

namespace {

std::string strip(const std::string &text, bool left, bool right) {
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const Utf8Head head = characterAt(text, begin);
    if (!isWhiteSpace(head.code))
      break;
    begin += head.size;
  }
  while (right && end > begin) {
    const size_t last = previousCharacter(text, end);
    if (!isWhiteSpace(characterAt(text, last).code))
      break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

} // namespace

Normalizer::Normalizer(const Node &node) {
  if (!node.isNull())
    add(node, 0);
}

void Normalizer::add(const Node &node, int depth) {
  if (depth > deepestNesting)
    failBadFile(node.path() + ": nested too deeply");
  const std::string &type = node.at("type").string();
  if (type == "Sequence") {
    const Node members = node.at("normalizers");
    for (size_t i = 0; i < members.size(); ++i)
      add(members.at(i), depth + 1);
  } else if (type == "NFC") {
    steps.push_back([](std::string text) { return toNFC(text); });
  } else if (type == "NFD") {
    steps.push_back([](std::string text) { return toNFD(text); });
  } else if (type == "Lowercase") {
    steps.push_back([](std::string text) { return toLower(text); });
  } else if (type == "Prepend") {
    steps.push_back([prefix = node.at("prepend").string()](std::string text) {
      return text.empty() ? text : prefix + text;
    });
  } else if (type == "Replace") {
    steps.push_back([pattern = Pattern::fromJson(node.at("pattern")), content = node.at("content").string()](
                        std::string text) { return pattern.replaceAll(text, content); });
  } else if (type == "Strip") {
    steps.push_back([left = node.at("strip_left").boolean(true),
                     right = node.at("strip_right").boolean(true)](std::string text) {
      return strip(text, left, right);
    });
  } else if (type == "ByteLevel") {
    steps.push_back([](std::string text) {
      std::string out;
      appendByteLevel(out, text);
      return out;
    });
  } else {
    failUnsupported(node.path() + ": the normalizer '" + type +
                    "' is not supported; supported are ByteLevel, Lowercase, NFC, NFD, Prepend, Replace, "
                    "Sequence and Strip");
  }
}

std::string Normalizer::apply(std::string text) const {
  for (const auto &step : steps)
    text = step(std::move(text));
  return text;
}

} // namespace pith::tokenizer
