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

/// Buffers that grow to the largest result and are filled again and again. Where a step ran on a device, its
/// logits stay there, in memory of the result's own, until somebody reads them: then the row comes to the
/// same place of `logits`.
class Result {
public:
  /// Logits of more than this come to the host at once instead of staying on the device: the rows of all
  /// tokens of a long text can be more than the device has.
  static constexpr size_t maxDeviceBytes = size_t(64) << 20;

  struct Row {
    size_t first = 0; ///< of the result's floats
    uint32_t vocab = 0;
    uint32_t module = 0;       ///< index in the session
    uint64_t nextPosition = 0; ///< the position that the predicted token has
    bool here = true;          ///< in the host's memory
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

  /// The row on the host, if it is `here`, and where the step left it on the device, if it did.
  float *hostRow(const Row &row) const { return reinterpret_cast<float *>(logits.data()) + row.first; }
  float *deviceRow(const Row &row) const {
    return reinterpret_cast<float *>(deviceLogits.data()) + row.first;
  }

  void clear() {
    rows.clear();
    floats = 0;
    onDevice = false;
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
  size_t floats = 0;     ///< of all rows
  bool onDevice = false; ///< the step has left them in deviceLogits
  Buffer logits, deviceLogits;
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
  /// Reading a row may bring it to the host, which nobody can tell from outside.
  mutable pith::runtime::Result result;
};

#endif // PITH_RUNTIME_CORE_RESULT_H
