//===- Decoder.cpp - from tokens to text ------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Decoder.h"
#include "ByteLevel.h"

#include <algorithm>

namespace pith::tokenizer {

namespace {

/// The byte of a token like <0x0A>, or -1.
int fallbackByte(const std::string &token) {
  if (token.size() != 6 || token.compare(0, 3, "<0x") != 0 || token[5] != '>')
    return -1;
  int value = 0;
  for (char c : {token[3], token[4]}) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0)
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

/// The bytes of a token of a byte-level vocabulary. A token with any other character is taken as written.
std::string byteLevelBytes(const std::string &token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    const Utf8Head head = characterAt(token, i);
    const int byte = head.kind == Utf8Head::Character ? codeToByte(head.code) : -1;
    if (byte < 0)
      return token;
    bytes += char(byte);
    i += head.size;
  }
  return bytes;
}

bool startsWith(std::string_view text, std::string_view front) {
  return text.substr(0, front.size()) == front;
}

std::string stripEnds(std::string text, const std::string &character, uint32_t start, uint32_t stop) {
  const size_t size = character.size();
  size_t begin = 0, end = text.size();
  for (; start > 0 && startsWith(std::string_view(text).substr(begin), character); --start)
    begin += size;
  for (; stop > 0 && end >= begin + size && text.compare(end - size, size, character) == 0; --stop)
    end -= size;
  return text.substr(begin, end - begin);
}

std::string withoutCharacter(std::string text, const std::string &character) {
  for (size_t at = 0; (at = text.find(character, at)) != text.npos;)
    text.erase(at, character.size());
  return text;
}

/// A member that must be one character.
std::string oneCharacter(const Node &node) {
  const std::string &text = node.string();
  if (text.empty() || utf8Size(text[0]) != text.size())
    failBadFile(node.path() + ": expected one character, found '" + text + "'");
  return text;
}

} // namespace

Decoder::Decoder(const Node &node) {
  if (node.isNull())
    joinWithSpaces = true;
  else
    add(node, true, 0);
}

void Decoder::add(const Node &node, bool alone, int depth) {
  if (depth > deepestNesting)
    failBadFile(node.path() + ": nested too deeply");
  const std::string &type = node.at("type").string();
  if (type == "Sequence") {
    const Node members = node.at("decoders");
    for (size_t i = 0; i < members.size(); ++i)
      add(members.at(i), alone && members.size() == 1, depth + 1);
    return;
  }
  if (type == "Strip") {
    const std::string character = oneCharacter(node.at("content"));
    const uint32_t start = node.at("start").integer(1u << 16), stop = node.at("stop").integer(1u << 16);
    if (!fused) {
      steps.push_back([=](std::string token) { return stripEnds(std::move(token), character, start, stop); });
      return;
    }
    if (stop != 0)
      failUnsupported(node.path() +
                      ": stripping the end of a text is not supported; expected stop 0, found " +
                      std::to_string(stop));
    if (stripLimit != 0)
      failUnsupported(node.path() + ": stripping the front of a text twice is not supported");
    stripCharacter = character;
    stripLimit = start;
    return;
  }
  if (type == "Fuse") {
    fused = true;
    return;
  }
  if (type != "Replace" && type != "ByteFallback" && type != "ByteLevel" && type != "Metaspace")
    failUnsupported(node.path() + ": the decoder '" + type +
                    "' is not supported; supported are ByteFallback, ByteLevel, Fuse, Metaspace, Replace, "
                    "Sequence and Strip");
  if (fused || bytes)
    failUnsupported(
        node.path() + ": the decoder '" + type +
        "' behind ByteFallback, ByteLevel or Fuse is not supported; there, only Fuse and Strip are");
  if (type == "Replace") {
    steps.push_back([pattern = Pattern::fromJson(node.at("pattern")), content = node.at("content").string()](
                        std::string token) { return pattern.replaceAll(token, content); });
  } else if (type == "ByteFallback") {
    steps.push_back([](std::string token) {
      const int byte = fallbackByte(token);
      return byte < 0 ? token : std::string(1, char(byte));
    });
    bytes = true;
  } else if (type == "ByteLevel") {
    byteLevel = true;
    fused = true;
  } else {
    if (!alone)
      failUnsupported(node.path() + ": the decoder 'Metaspace' inside a sequence is not supported");
    const Node replacement = node.at("replacement");
    const std::string mark = replacement.isNull() ? "\xE2\x96\x81" : oneCharacter(replacement);
    const char *older = node.at("add_prefix_space").boolean(true) ? "always" : "never";
    if (node.at("prepend_scheme").string(older) != "never")
      dropInFirst = mark;
    steps.push_back(
        [pattern = Pattern::literal(mark)](std::string token) { return pattern.replaceAll(token, " "); });
  }
}

std::string Decoder::bytesOf(const std::string &token, bool added) const {
  std::string text = bytesOfFirst(token, added);
  if (joinWithSpaces)
    return " " + text;
  if (dropInFirst.empty())
    return text;
  text = token;
  for (const auto &step : steps)
    text = step(std::move(text));
  return text;
}

std::string Decoder::bytesOfFirst(const std::string &token, bool added) const {
  // An added token was taken from the text as it is, so it is put back as it is.
  if (byteLevel && added)
    return token;
  std::string text = dropInFirst.empty() ? token : withoutCharacter(token, dropInFirst);
  for (const auto &step : steps)
    text = step(std::move(text));
  return byteLevel ? byteLevelBytes(text) : text;
}

void CharacterStream::push(std::string_view bytes, std::string &text) {
  std::string joined;
  if (!held.empty()) {
    joined = held;
    joined += bytes;
    bytes = joined;
    held.clear();
  }
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Head head = decodeUtf8(bytes.substr(i));
    if (head.kind == Utf8Head::Incomplete) {
      held = bytes.substr(i);
      return;
    }
    if (head.kind == Utf8Head::Character)
      text += bytes.substr(i, head.size);
    else
      text += replacementCharacter;
    i += head.size;
  }
}

void CharacterStream::flush(std::string &text) {
  if (!held.empty())
    text += replacementCharacter;
  held.clear();
}

} // namespace pith::tokenizer
