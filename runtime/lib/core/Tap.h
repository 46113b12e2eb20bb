//===- Tap.h - hidden states shown to the application -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The code copies whole rows out of the residual stream, chunk by chunk; here they are reduced to what each
// tap wants and put into the result. Rows are added up in double and in their order, so a mean does not
// depend on the chunks.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_TAP_H
#define PITH_RUNTIME_CORE_TAP_H

#include "Session.h"

/// Immutable once made.
struct pith_tap {
  std::shared_ptr<const pith::runtime::Module> module;
  uint32_t place = 0; ///< of the module's TapPlaces
  pith_tap_rows rows = PITH_TAP_LAST;
  size_t firstRow = 0, rowCount = 0; ///< 0 rows: to the lane's end
  pith_tap_reduce reduce = PITH_TAP_WHOLE;
  std::vector<float> weights;
  float bias = 0;

  /// Rows [begin, end) of a lane of `count` rows.
  std::pair<size_t, size_t> range(size_t count) const;
  size_t width() const;
};

namespace pith::runtime {

/// The taps of one step.
class TapRun {
public:
  explicit TapRun(Buffer memory) : copies(std::move(memory)) {}
  /// Makes room in the result for what every lane's taps will see.
  void begin(const std::vector<LaneRequest> &lanes, Result *result);
  void clearChunk() { wants.clear(); }
  /// Row `index` of the lane, which is row `row` of the chunk, if one of the lane's taps wants it.
  void want(size_t firstTap, const LaneRequest &lane, size_t index, int32_t row);
  /// Tells the code which rows to copy.
  Status bind(const TapPlaces &places, pith_exec_context &context);
  /// After the code has run.
  void reduce();
  /// After the last chunk.
  void end();

  uint64_t bytes() const { return copies.size(); }
  void release() { copies.release(); }

private:
  struct State {
    const pith_tap *tap;
    size_t firstRow, rows; // of the lane
    size_t value;          // index of its first value in the result
    size_t sum;            // index of its first sum; means only
  };
  /// A row to copy. One for a cosine is followed by the same row at the place before.
  struct Want {
    uint32_t place;
    int32_t row;
    size_t state, index; // the row among those of the tap
    bool previous;
    const float *copy;
  };
  double scalar(const pith_tap &tap, const Want &want, const float *previous) const;

  Result *result = nullptr;
  size_t hidden = 0;
  std::vector<State> states;
  std::vector<double> sums;
  std::vector<Want> wants;
  std::vector<int32_t> rowIndex;
  std::vector<pith_exec_tap> places;
  Buffer copies;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_TAP_H
