//===- Walk.h - random walks over sequence operations -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Sequences are compared with plain vectors of tokens after every operation, logits with a plain computation, and
// page counts with what the vectors imply. Where the choices come from is up to the caller: a random number
// generator, or a fuzzer's input.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_WALK_H
#define PITH_TEST_WALK_H

#include "TestFile.h"

#include <functional>
#include <unordered_set>

namespace pith::test {

/// What the sequences of a text have in common: the toy model's state after every one of its tokens.
struct WalkText {
  int salt = 0;
  std::vector<int32_t> tokens;
  std::vector<uint64_t> states;

  void append(int32_t token);
  void resize(size_t count);
};

class Walk {
public:
  /// On the toy model; `choose` gives any number.
  Walk(const ModulePtr &module, uint32_t threads, uint64_t pageLimitBytes, std::function<uint64_t()> choose);

  /// One operation, with all checks.
  void operate();
  /// Frees everything and checks that nothing is left.
  void finish();

  /// How often things happened, so that a test can see that they did.
  size_t steps = 0, refused = 0, failed = 0, hits = 0, hitTokens = 0, imports = 0;

private:
  struct Sequence {
    SequencePtr handle;
    WalkText text;
  };

  size_t below(size_t limit) { return choose() % limit; }
  std::vector<int32_t> randomTokens(size_t count);
  Sequence &any() { return live[below(live.size())]; }
  bool mayFail(pith_status status) const { return status == PITH_OK || (status == PITH_ERROR_LIMIT && limitPages); }
  SequencePtr makeSalted(int salt);

  void create();
  void fork();
  void truncate();
  void reserve();
  void catchUp();
  void match();
  void pin();
  void transfer();
  void score();
  void step();
  void checkLogits(const std::vector<std::vector<int32_t>> &added);
  void checkText(const Sequence &sequence);
  void checkPages();
  void remember(const WalkText &text, size_t from);
  uint64_t keyOf(int salt, uint64_t state) const { return state * 31 + uint64_t(salt); }

  std::function<uint64_t()> choose;
  SessionPtr session;
  ResultPtr result;
  const size_t limitPages;
  size_t operations = 0;
  bool refuseToRun = false; // the executor's next answer
  std::vector<Sequence> live;
  std::unordered_set<uint64_t> known; // all beginnings of texts that ever were, by salt and state
};

} // namespace pith::test
#endif
