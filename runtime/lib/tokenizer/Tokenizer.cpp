//===- Tokenizer.cpp - a whole tokenizer.json -------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Tokenizer.h"
#include "../json/Parse.h"
#include "Unicode.h"

#include <algorithm>

namespace pith::tokenizer {

namespace {

// The names under which the well-known model families keep these tokens; the first that is there wins.
const char *const beginNames[] = {"<s>",
                                  "<|begin_of_text|>",
                                  "<bos>",
                                  "<|startoftext|>",
                                  "<\xEF\xBD\x9C"
                                  "begin\xE2\x96\x81"
                                  "of\xE2\x96\x81"
                                  "sentence\xEF\xBD\x9C>",
                                  "[BOS]",
                                  "<BOS_TOKEN>"};
const char *const endNames[] = {"</s>",
                                "<|end_of_text|>",
                                "<eos>",
                                "<|endoftext|>",
                                "<\xEF\xBD\x9C"
                                "end\xE2\x96\x81"
                                "of\xE2\x96\x81"
                                "sentence\xEF\xBD\x9C>",
                                "[EOS]",
                                "<EOS_TOKEN>",
                                "<|eot_id|>",
                                "<|eom_id|>",
                                "<|im_end|>",
                                "<end_of_turn>",
                                "<|END_OF_TURN_TOKEN|>",
                                "<|end|>",
                                "<|eot|>",
                                "<|return|>"};

} // namespace

Tokenizer::Tokenizer(std::string_view text) {
  Node::Json root;
  std::string error;
  if (!json::parse(text, root, error))
    failBadFile("not JSON: " + error);
  const Node file(root, "");
  if (!root.isObject())
    failBadFile(std::string("expected a JSON object with a member 'model', found ") + root.typeName());
  readModel(file.at("model"));
  added = readAddedTokens(file.at("added_tokens"));
  normalizer = Normalizer(file.at("normalizer"));
  preTokenizer = makePreTokenizer(file.at("pre_tokenizer"));
  decoder = std::make_unique<Decoder>(file.at("decoder"));
  fillVocabulary();
  if (const Node node = file.at("post_processor"); !node.isNull())
    readPostProcessor(node, 0);
  for (const AddedToken &token : added) {
    if (token.normalized)
      normalizedFinder.add(token, normalizer.apply(token.content));
    else
      rawFinder.add(token, token.content);
  }
  rawFinder.finish();
  normalizedFinder.finish();
  guessEnds();
}

void Tokenizer::readModel(const Node &node) {
  if (node.isNull())
    failBadFile("model: missing; this is not a tokenizer.json");
  // Files from before the types had names have merges exactly if they are of this type.
  const std::string type = node.at("type").string(node.at("merges").isNull() ? "of unknown type" : "BPE");
  if (type != "BPE")
    failUnsupported("model: '" + type + "' is not supported; supported is BPE");
  model = std::make_unique<BytePairs>(node);
}

/// The vocabulary and the added tokens by id, with what they write.
void Tokenizer::fillVocabulary() {
  size_t size = model->tokens().size();
  for (const AddedToken &token : added)
    size = std::max(size, size_t(token.id) + 1);
  vocabulary.resize(size);
  std::vector<const AddedToken *> addedOfId(size, nullptr);
  for (size_t id = 0; id < model->tokens().size(); ++id)
    if (!model->tokens()[id].empty())
      vocabulary[id].token = &model->tokens()[id];
  for (const AddedToken &token : added) {
    Entry &entry = vocabulary[token.id];
    const int32_t known = model->find(token.content);
    if (known >= 0 && known != token.id)
      failBadFile("added_tokens: '" + token.content + "' has id " + std::to_string(token.id) +
                  ", but the vocabulary gives it " + std::to_string(known));
    if (entry.token && *entry.token != token.content)
      failBadFile("added_tokens: id " + std::to_string(token.id) + " is given to '" + token.content +
                  "', but is '" + *entry.token + "' already");
    entry.token = &token.content;
    entry.special = entry.special || token.special;
    addedOfId[token.id] = &token;
  }
  for (size_t id = 0; id < size; ++id) {
    Entry &entry = vocabulary[id];
    if (!entry.token)
      continue;
    const AddedToken *addedToken = addedOfId[id];
    const bool keepsNormalForm = addedToken && addedToken->normalized && !decoder->isByteLevel();
    const std::string written = keepsNormalForm ? normalizer.apply(addedToken->content) : *entry.token;
    entry.bytes = decoder->bytesOf(written, addedToken);
    if (decoder->firstDiffers())
      entry.firstBytes = decoder->bytesOfFirst(written, addedToken);
  }
}

void Tokenizer::readPostProcessor(const Node &node, int depth) {
  if (depth > deepestNesting)
    failBadFile(node.path() + ": nested too deeply");
  const std::string &type = node.at("type").string();
  if (type == "Sequence") {
    const Node members = node.at("processors");
    for (size_t i = 0; i < members.size(); ++i)
      readPostProcessor(members.at(i), depth + 1);
  } else if (type == "TemplateProcessing") {
    readTemplate(node);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    prefix.insert(prefix.begin(), pairId(node.at("cls")));
    suffix.push_back(pairId(node.at("sep")));
  } else if (type != "ByteLevel") { // ByteLevel only trims the offsets of tokens, which we do not report
    failUnsupported(
        node.path() + ": the post-processor '" + type +
        "' is not supported; supported are BertProcessing, ByteLevel, RobertaProcessing, Sequence "
        "and TemplateProcessing");
  }
}

/// The id of a ["token", id] pair.
int32_t Tokenizer::pairId(const Node &node) const {
  if (node.size() != 2)
    failBadFile(node.path() + ": expected [token, id], found " + std::to_string(node.size()) + " members");
  return int32_t(node.at(size_t(1)).integer(uint32_t(vocabulary.size())));
}

void Tokenizer::readTemplate(const Node &node) {
  const Node parts = node.at("single"), tokens = node.at("special_tokens");
  std::vector<int32_t> before, after;
  bool seenText = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Node part = parts.at(i);
    if (const Node sequence = part.at("Sequence"); !sequence.isNull()) {
      if (seenText || sequence.at("id").string() != "A")
        failUnsupported(sequence.path() + ": a template for one text must name the sequence A once");
      seenText = true;
      continue;
    }
    const Node token = part.at("SpecialToken");
    if (token.isNull())
      failBadFile(part.path() + ": expected a member 'Sequence' or 'SpecialToken'");
    const std::string &name = token.at("id").string();
    const Node ids = tokens.at(name.c_str()).isNull() ? Node(tokens.raw(), tokens.path() + "." + name)
                                                      : tokens.at(name.c_str()).at("ids");
    for (size_t k = 0; k < ids.size(); ++k)
      (seenText ? after : before).push_back(int32_t(ids.at(k).integer(uint32_t(vocabulary.size()))));
  }
  if (!seenText)
    failUnsupported(parts.path() + ": a template without the sequence A would lose the text");
  prefix.insert(prefix.begin(), before.begin(), before.end());
  suffix.insert(suffix.end(), after.begin(), after.end());
}

void Tokenizer::guessEnds() {
  const auto idOf = [this](std::string_view name) {
    for (const AddedToken &token : added)
      if (token.content == name)
        return token.id;
    return -1;
  };
  if (!prefix.empty())
    begin = prefix.front();
  for (const char *name : beginNames)
    if (begin < 0)
      begin = idOf(name);
  for (const char *name : endNames)
    if (const int32_t id = idOf(name); id >= 0)
      ends.push_back(id);
}

int32_t Tokenizer::find(std::string_view token) const {
  for (const AddedToken &entry : added)
    if (entry.content == token)
      return entry.id;
  return token.empty() ? -1 : model->find(token);
}

const std::string *Tokenizer::token(int32_t id) const {
  return contains(id) ? vocabulary[id].token : nullptr;
}

std::string_view Tokenizer::bytesOf(int32_t id, bool firstOfText) const {
  const Entry &entry = vocabulary[id];
  return firstOfText && decoder->firstDiffers() ? entry.firstBytes : entry.bytes;
}

void Tokenizer::encode(std::string_view text, bool addSpecial, bool plain, std::vector<int32_t> &ids) const {
  if (text.size() >= (size_t(1) << 31))
    throw Failure(PITH_TOKENIZER_BAD_TEXT, "the text has " + std::to_string(text.size()) +
                                               " bytes; supported are less than 2147483648");
  if (const size_t at = findInvalidUtf8(text); at != text.npos)
    throw Failure(PITH_TOKENIZER_BAD_TEXT, "the text is not UTF-8 at byte " + std::to_string(at));
  BytePairs::Scratch scratch;
  if (addSpecial)
    ids.insert(ids.end(), prefix.begin(), prefix.end());
  std::vector<TokenFinder::Part> parts;
  rawFinder.cut(text, plain, parts);
  for (const auto &part : parts) {
    if (part.id >= 0)
      ids.push_back(part.id);
    else
      encodePart(text.substr(part.begin, part.end - part.begin), part.begin == 0, plain, scratch, ids);
  }
  if (addSpecial)
    ids.insert(ids.end(), suffix.begin(), suffix.end());
}

void Tokenizer::encodePart(std::string_view text, bool startsText, bool plain, BytePairs::Scratch &scratch,
                           std::vector<int32_t> &ids) const {
  const std::string normalized = normalizer.apply(std::string(text));
  std::vector<TokenFinder::Part> parts;
  normalizedFinder.cut(normalized, plain, parts);
  for (const auto &part : parts) {
    if (part.id >= 0)
      ids.push_back(part.id);
    else
      encodeWords(std::string_view(normalized).substr(part.begin, part.end - part.begin),
                  startsText && part.begin == 0, scratch, ids);
  }
}

void Tokenizer::encodeWords(std::string_view text, bool startsText, BytePairs::Scratch &scratch,
                            std::vector<int32_t> &ids) const {
  Pieces pieces{std::string(text), {{0, text.size()}}, startsText};
  for (const auto &step : preTokenizer)
    step->apply(pieces);
  for (const Span &span : pieces.spans)
    model->encode(std::string_view(pieces.text).substr(span.begin, span.end - span.begin), scratch, ids);
}

void Detokenizer::reset() {
  stream = CharacterStream();
  first = !(flags & PITH_DECODE_CONTINUE);
  toStrip = first ? tokenizer->textRules().stripCount() : 0;
}

void Detokenizer::push(int32_t id, std::string &text) {
  if ((flags & PITH_DECODE_SKIP_SPECIAL) && tokenizer->isSpecial(id))
    return;
  std::string_view bytes = tokenizer->bytesOf(id, first);
  first = false;
  fresh.clear();
  if (flags & PITH_DECODE_BYTES)
    fresh = bytes;
  else
    stream.push(bytes, fresh);
  std::string_view rest = fresh;
  const std::string &character = tokenizer->textRules().stripped();
  while (toStrip && !rest.empty()) {
    if (rest.substr(0, character.size()) != character) {
      toStrip = 0;
      break;
    }
    rest.remove_prefix(character.size());
    --toStrip;
  }
  text += rest;
}

void Detokenizer::flush(std::string &text) {
  stream.flush(text);
  reset();
}

} // namespace pith::tokenizer
