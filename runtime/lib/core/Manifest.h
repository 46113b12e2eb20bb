//===- Manifest.h - what a .pith file says about itself ---------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_MANIFEST_H
#define PITH_RUNTIME_CORE_MANIFEST_H

#include "Status.h"

#include <map>
#include <string>
#include <vector>

namespace pith::runtime {

/// A dimension: fixed, or a name ("batch"), or a sum of names and numbers ("past + sequence").
struct Dim {
  int64_t size = -1; ///< -1: symbolic
  std::string symbol;
  std::vector<std::string> terms; ///< names to add up; empty when the text is no such sum
  int64_t offset = 0;             ///< numbers in the sum
};

struct Port {
  std::string name;
  pith_type type = PITH_TYPE_NONE;
  std::vector<Dim> dims;
  // The same in the form that the C face hands out.
  std::vector<int64_t> sizes;
  std::vector<const char *> symbols;
};

/// Places of the residual stream where hidden states can be seen, numbered in its order; -1: there is none.
struct TapPlaces {
  uint32_t count = 0, hidden = 0;
  std::vector<int32_t> blockIn, afterAttention, afterMlp; ///< by layer
  int32_t afterFinalNorm = -1;
};

struct Entry {
  std::string name;
  pith_entry_kind kind = PITH_ENTRY_INVOKE;
  std::vector<Port> inputs, outputs; ///< INVOKE
  // STEP; a CONDITION has maxRows and one input
  uint32_t vocab = 0, maxRows = 0;
  uint32_t embeddingRow = 0; ///< floats that can stand for a token's embedding; 0: tokens only
  bool deterministic = false;
  TapPlaces taps;
};

struct StateLayout {
  uint32_t pageTokens = 0;
  uint64_t pageBytes = 0;
  uint64_t positions = 0;          ///< 0: no limit
  uint64_t conditionPageBytes = 0; ///< 0: the model takes no condition
};

struct Manifest {
  std::string producer, arch, cpu;
  std::string device; ///< "cuda:sm_80,sm_90a", …; empty: code for the CPU
  std::vector<std::string> features;
  std::vector<Entry> entries;
  int stepEntry = -1;      ///< index of the entry of kind STEP, -1: none
  int conditionEntry = -1; ///< index of the entry of kind CONDITION, -1: none
  StateLayout state;
  std::vector<int32_t> eos;
  std::map<std::string, std::string> metadata; ///< "model", values as text
};

/// Nothing in `text` is trusted: whatever it holds, the answer is a valid manifest or an error that names the
/// field.
Status parseManifest(const std::string &text, Manifest &manifest);

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_MANIFEST_H
