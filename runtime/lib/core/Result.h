//===- Result.h - what a step or an invoke computed -------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_RESULT_H
#define PITH_RUNTIME_CORE_RESULT_H

#include "Buffer.h"
#include "Manifest.h"

#include <memory>
#include <vector>

namespace pith::runtime {

class Module;
class Session;

/// Buffers that grow to the largest result and are filled again and again.
class Result {
public:
  struct Row {
    const float *logits = nullptr;
    uint32_t vocab = 0;
    uint64_t nextPosition = 0; ///< the position that the predicted token has
  };
  struct Lane {
    size_t firstRow = 0, rowCount = 0;
    size_t firstScore = 0, scoreCount = 0;
    size_t firstTap = 0, tapCount = 0;
  };
  struct Tap {
    size_t first = 0, count = 0; ///< of tapValues
  };
  struct Output {
    const Port *port = nullptr;
    std::vector<int64_t> dims;
    Buffer data;
  };

  void clear() {
    rows.clear();
    lanes.clear();
    scores.clear();
    taps.clear();
    tapValues.clear();
    outputCount = 0;
  }

  std::vector<Row> rows;
  std::vector<Lane> lanes;
  std::vector<float> scores;
  std::vector<Tap> taps;
  std::vector<float> tapValues;
  Buffer logits;
  std::vector<Output> outputs; ///< the first outputCount are valid
  size_t outputCount = 0;
  std::shared_ptr<const Module> module; ///< owns the ports' names
};

/// The two most likely tokens of a row and what turns logits into log-probabilities.
struct RowFacts {
  int32_t first = 0, second = -1; ///< second is -1 when there is one token only
  double logSum = 0;              ///< logarithm of the sum of exponentials
};
RowFacts examineRow(const float *logits, size_t vocab);

} // namespace pith::runtime

struct pith_result {
  std::shared_ptr<pith::runtime::Session> session;
  pith::runtime::Result result;
};

#endif // PITH_RUNTIME_CORE_RESULT_H
