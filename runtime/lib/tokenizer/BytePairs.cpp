//===- BytePairs.cpp - a vocabulary and its merges --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "BytePairs.h"
#include "Unicode.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace pith::tokenizer {

namespace {

bool isZero(const json::Value &value) { return value.isNumber() && std::strtod(value.dump().c_str(), nullptr) == 0; }

constexpr uint32_t tabledCodes = 0x800;

uint64_t pairOf(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

size_t slotOf(uint64_t pair, size_t mask) { return (pair * 0x9E3779B97F4A7C15u >> 29) & mask; }

/// Heap order: std's heaps have the largest in front, so the order is turned around.
bool later(const BytePairs::Scratch::Candidate &a, const BytePairs::Scratch::Candidate &b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

} // namespace

BytePairs::BytePairs(const Node &model) {
  if (const Node dropout = model.at("dropout"); !dropout.isNull() && !isZero(dropout.raw()))
    failUnsupported("model.dropout: merges that are left out at random are for training; expected null");
  prefix = model.at("continuing_subword_prefix").string("");
  suffix = model.at("end_of_word_suffix").string("");
  fuseUnknown = model.at("fuse_unk").boolean(false);
  byteFallback = model.at("byte_fallback").boolean(false);
  ignoreMerges = model.at("ignore_merges").boolean(false);
  readVocabulary(model.at("vocab"));
  readMerges(model.at("merges"));
  if (const Node token = model.at("unk_token"); !token.isNull()) {
    unknown = find(token.string());
    if (unknown < 0)
      failBadFile("model.unk_token: '" + token.string() + "' is not in the vocabulary");
  }
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    idOfByte[byte] = byteFallback ? find(name) : -1;
  }
}

void BytePairs::readVocabulary(const Node &node) {
  if (!node.raw().isObject())
    failBadFile("model.vocab: expected an object from tokens to ids, found " +
                std::string(node.raw().typeName()));
  const json::List<json::Member> entries = node.raw().members();
  uint32_t size = 0;
  for (const auto &[token, id] : entries)
    size = std::max(size, Node(id, "model.vocab").integer(largestVocabulary) + 1);
  // Empty tokens exist in some files; `used` tells them from free ids.
  std::vector<bool> used(size);
  tokenOfId.resize(size);
  for (const auto &[token, value] : entries) {
    const uint32_t id = uint32_t(value.integer());
    if (used[id])
      failBadFile("model.vocab: id " + std::to_string(id) + " is given to '" + tokenOfId[id] + "' and to '" +
                  token + "'");
    used[id] = true;
    tokenOfId[id] = token;
  }
  idOfToken.reserve(entries.size());
  idOfCode.assign(tabledCodes, -1);
  for (uint32_t id = 0; id < size; ++id) {
    if (!used[id])
      continue;
    const std::string &token = tokenOfId[id];
    idOfToken.emplace(token, int32_t(id));
    if (!token.empty() && token.size() == utf8Size(token[0]) && token.size() <= 2)
      idOfCode[characterAt(token, 0).code] = int32_t(id);
  }
}

void BytePairs::readMerges(const Node &node) {
  const size_t count = node.size();
  size_t slots = 16;
  while (slots < 2 * count)
    slots *= 2;
  mergeTable.assign(slots, {0, 0, -1});
  std::string merged;
  for (size_t rank = 0; rank < count; ++rank) {
    const Node::Json &entry = node.raw()[rank];
    const auto fail = [&](const std::string &message) { failBadFile(node.at(rank).path() + ": " + message); };
    std::string_view left, right;
    if (entry.isString()) {
      const std::string_view text = entry.string();
      const size_t space = text.find(' ');
      if (space == text.npos || text.find(' ', space + 1) != text.npos)
        fail("expected two tokens with one space between them, found '" + std::string(text) + "'");
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (entry.isArray() && entry.size() == 2 && entry[0].isString() && entry[1].isString()) {
      left = entry[0].string();
      right = entry[1].string();
    } else {
      fail(std::string("expected \"left right\" or [left, right], found ") + entry.typeName());
    }
    // A right half that continues a word loses its mark inside the merged token.
    if (right.substr(0, prefix.size()) != prefix)
      fail("'" + std::string(right) + "' does not begin with the prefix '" + prefix + "'");
    merged.assign(left);
    merged += right.substr(prefix.size());
    const int32_t ids[] = {find(left), find(right), find(merged)};
    const std::string names[] = {std::string(left), std::string(right), merged};
    for (int i = 0; i < 3; ++i)
      if (ids[i] < 0)
        fail("'" + names[i] + "' is not in the vocabulary");
    addMerge(ids[0], ids[1], uint32_t(rank), ids[2]);
  }
}

void BytePairs::addMerge(int32_t left, int32_t right, uint32_t rank, int32_t merged) {
  const uint64_t pair = pairOf(left, right);
  const size_t mask = mergeTable.size() - 1;
  size_t slot = slotOf(pair, mask);
  while (mergeTable[slot].merged >= 0 && mergeTable[slot].pair != pair)
    slot = (slot + 1) & mask;
  mergeTable[slot] = {pair, rank, merged}; // of a pair that stands twice, the last entry counts
}

const BytePairs::Merge *BytePairs::findMerge(int32_t left, int32_t right) const {
  const uint64_t pair = pairOf(left, right);
  const size_t mask = mergeTable.size() - 1;
  for (size_t slot = slotOf(pair, mask); mergeTable[slot].merged >= 0; slot = (slot + 1) & mask)
    if (mergeTable[slot].pair == pair)
      return &mergeTable[slot];
  return nullptr;
}

int32_t BytePairs::find(std::string_view token) const {
  const auto found = idOfToken.find(token);
  return found == idOfToken.end() ? -1 : found->second;
}

int32_t BytePairs::spellCharacter(std::string_view character, bool first, bool last) const {
  const bool prefixed = !first && !prefix.empty(), suffixed = last && !suffix.empty();
  if (prefixed || suffixed) {
    std::string token = prefixed ? prefix : std::string();
    token += character;
    if (suffixed)
      token += suffix;
    return find(token);
  }
  if (character.size() <= 2)
    return idOfCode[characterAt(character, 0).code];
  return find(character);
}

/// The word's characters as a linked list of symbols.
void BytePairs::spell(std::string_view word, Scratch &scratch) const {
  auto &symbols = scratch.symbols;
  symbols.clear();
  const auto add = [&](int32_t id) {
    const int32_t position = int32_t(symbols.size());
    symbols.push_back({id, position - 1, position + 1});
  };
  bool unknownPending = false; // so that a run of unknown characters can be one token
  for (size_t i = 0, size; i < word.size(); i += size) {
    size = utf8Size(word[i]);
    const std::string_view character = word.substr(i, size);
    const int32_t id = spellCharacter(character, i == 0, i + size >= word.size());
    if (id >= 0) {
      if (unknownPending)
        add(unknown);
      unknownPending = false;
      add(id);
      continue;
    }
    if (byteFallback &&
        std::all_of(character.begin(), character.end(), [&](char c) { return idOfByte[uint8_t(c)] >= 0; })) {
      for (char c : character)
        add(idOfByte[uint8_t(c)]);
      continue;
    }
    if (unknown < 0)
      continue; // without an unknown token such characters vanish, as in the reference
    if (unknownPending && !fuseUnknown)
      add(unknown);
    unknownPending = true;
  }
  if (unknownPending)
    add(unknown);
  if (!symbols.empty())
    symbols.back().next = -1;
}

void BytePairs::encode(std::string_view word, Scratch &scratch, std::vector<int32_t> &ids) const {
  if (word.empty())
    return;
  if (ignoreMerges) {
    if (const int32_t id = find(word); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  spell(word, scratch);
  auto &symbols = scratch.symbols;
  auto &heap = scratch.heap;
  heap.clear();
  const auto offer = [&](int32_t position, bool sift) {
    const auto &symbol = symbols[position];
    if (symbol.next < 0)
      return;
    if (const Merge *merge = findMerge(symbol.id, symbols[symbol.next].id)) {
      heap.push_back({merge->rank, position, merge->merged});
      if (sift)
        std::push_heap(heap.begin(), heap.end(), later);
    }
  };
  for (size_t i = 0; i < symbols.size(); ++i)
    offer(int32_t(i), false);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const auto candidate = heap.back();
    heap.pop_back();
    auto &left = symbols[candidate.position];
    if (left.id < 0 || left.next < 0)
      continue;
    // The pair may have changed since it was offered.
    auto &right = symbols[left.next];
    const Merge *merge = findMerge(left.id, right.id);
    if (!merge || merge->merged != candidate.merged)
      continue;
    left.id = candidate.merged;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0)
      symbols[left.next].previous = candidate.position;
    if (left.previous >= 0)
      offer(left.previous, true);
    offer(candidate.position, true);
  }
  if (!symbols.empty())
    for (int32_t i = 0; i >= 0; i = symbols[i].next)
      ids.push_back(symbols[i].id);
}

} // namespace pith::tokenizer
