//===- BytePairs.h - a vocabulary and its merges ------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_BYTEPAIRS_H
#define PITH_RUNTIME_TOKENIZER_BYTEPAIRS_H

#include "Json.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pith::tokenizer {

/// The model of type BPE: a word is spelled in characters, then the pair of neighbours with the lowest
/// rank is merged, the leftmost among equals, until no pair has a rank.
class BytePairs {
public:
  /// Memory for one thread's calls of `encode`.
  struct Scratch {
    struct Symbol {
      int32_t id; ///< -1: merged into its predecessor
      int32_t previous, next;
    };
    struct Candidate {
      uint32_t rank;
      int32_t position;
      int32_t merged;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  explicit BytePairs(const Node &model);
  BytePairs(const BytePairs &) = delete; // the lookup points into the tokens
  BytePairs &operator=(const BytePairs &) = delete;

  /// Appends the ids of a word, valid UTF-8 of less than 2 GiB. Time grows as n log n.
  void encode(std::string_view word, Scratch &scratch, std::vector<int32_t> &ids) const;

  /// -1 if there is no such token.
  int32_t find(std::string_view token) const;
  /// The tokens by id; empty where an id is not in use.
  const std::vector<std::string> &tokens() const { return tokenOfId; }

private:
  struct Merge {
    uint64_t pair;
    uint32_t rank;
    int32_t merged; ///< -1: a free slot
  };

  void readVocabulary(const Node &node);
  void readMerges(const Node &node);
  void addMerge(int32_t left, int32_t right, uint32_t rank, int32_t merged);
  const Merge *findMerge(int32_t left, int32_t right) const;
  void spell(std::string_view word, Scratch &scratch) const;
  int32_t spellCharacter(std::string_view character, bool first, bool last) const;

  std::vector<std::string> tokenOfId;
  std::unordered_map<std::string_view, int32_t> idOfToken; ///< views into tokenOfId
  std::vector<Merge> mergeTable; ///< open addressing; a power of two, at most half full
  std::vector<int32_t> idOfCode; ///< of the one-character tokens below U+0800, which are most lookups
  int32_t idOfByte[256];         ///< of the tokens <0x00> to <0xFF>, or -1
  std::string prefix;            ///< in front of every character but a word's first
  std::string suffix;            ///< behind a word's last character
  int32_t unknown = -1;
  bool fuseUnknown = false;
  bool byteFallback = false;
  bool ignoreMerges = false;
};

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_BYTEPAIRS_H
