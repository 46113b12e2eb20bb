//===- Tap.cpp - hidden states shown to the application -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Tap.h"

#include <cmath>

std::pair<size_t, size_t> pith_tap::range(size_t count) const {
  if (rows == PITH_TAP_LAST)
    return {count - 1, count};
  const size_t begin = std::min(firstRow, count);
  return {begin, rowCount ? begin + std::min(rowCount, count - begin) : count};
}

size_t pith_tap::width() const {
  return reduce == PITH_TAP_WHOLE ? module->stepEntry()->taps.hidden : 1;
}

namespace pith::runtime {

void TapRun::begin(const std::vector<LaneRequest> &lanes, Result *out) {
  states.clear();
  sums.clear();
  result = out;
  size_t values = 0;
  for (const LaneRequest &lane : lanes)
    for (size_t i = 0; i < lane.tapCount; ++i) {
      const pith_tap &tap = *lane.taps[i];
      const auto [begin, end] = tap.range(lane.count);
      const bool mean = tap.rows == PITH_TAP_MEAN;
      states.push_back({&tap, begin, end - begin, values, sums.size()});
      const size_t count = (mean ? std::min<size_t>(end - begin, 1) : end - begin) * tap.width();
      if (mean)
        sums.resize(sums.size() + count);
      result->taps.push_back({values, count});
      values += count;
    }
  if (values)
    result->tapValues.resize(values);
}

void TapRun::want(size_t firstTap, const LaneRequest &lane, size_t index, int32_t row) {
  for (size_t i = firstTap; i < firstTap + lane.tapCount; ++i) {
    const State &state = states[i];
    if (index < state.firstRow || index - state.firstRow >= state.rows)
      continue;
    const size_t at = index - state.firstRow;
    wants.push_back({state.tap->place, row, i, at, false, nullptr});
    if (state.tap->reduce == PITH_TAP_COSINE_PREVIOUS)
      wants.push_back({state.tap->place - 1, row, i, at, true, nullptr});
  }
}

Status TapRun::bind(const TapPlaces &known, pith_exec_context &context) {
  if (wants.empty())
    return {};
  hidden = known.hidden;
  places.assign(known.count, pith_exec_tap{});
  rowIndex.resize(wants.size());
  PITH_TRY(copies.reserve(wants.size() * hidden * sizeof(float), "hidden states"));
  for (const Want &want : wants)
    ++places[want.place].rows;
  size_t first = 0;
  for (pith_exec_tap &place : places) {
    place.row_index = rowIndex.data() + first;
    place.out = reinterpret_cast<float *>(copies.data()) + first * hidden;
    first += place.rows;
    place.rows = 0;
  }
  for (Want &want : wants) {
    pith_exec_tap &place = places[want.place];
    rowIndex[size_t(place.row_index - rowIndex.data()) + place.rows] = want.row;
    want.copy = place.out + place.rows * hidden;
    ++place.rows;
  }
  context.taps = places.data();
  return {};
}

double TapRun::scalar(const pith_tap &tap, const Want &want, const float *previous) const {
  double dot = 0, here = 0, before = 0;
  if (tap.reduce == PITH_TAP_DOT) {
    for (size_t i = 0; i < hidden; ++i)
      dot += double(tap.weights[i]) * want.copy[i];
    return dot + double(tap.bias);
  }
  for (size_t i = 0; i < hidden; ++i) {
    dot += double(want.copy[i]) * previous[i];
    here += double(want.copy[i]) * want.copy[i];
    before += double(previous[i]) * previous[i];
  }
  return here > 0 && before > 0 ? dot / std::sqrt(here * before) : 0;
}

void TapRun::reduce() {
  for (const Want &want : wants) {
    if (want.previous)
      continue; // has been read with the one before it
    const State &state = states[want.state];
    const pith_tap &tap = *state.tap;
    const bool mean = tap.rows == PITH_TAP_MEAN;
    double *sum = sums.data() + state.sum;
    float *value = result->tapValues.data() + state.value + (mean ? 0 : want.index * tap.width());
    if (tap.reduce != PITH_TAP_WHOLE) {
      const float *previous = tap.reduce == PITH_TAP_COSINE_PREVIOUS ? (&want)[1].copy : nullptr;
      const double number = scalar(tap, want, previous);
      if (mean)
        *sum += number;
      else
        *value = float(number);
    } else if (mean) {
      for (size_t i = 0; i < hidden; ++i)
        sum[i] += want.copy[i];
    } else {
      std::memcpy(value, want.copy, hidden * sizeof(float));
    }
  }
}

void TapRun::end() {
  for (const State &state : states)
    if (state.tap->rows == PITH_TAP_MEAN && state.rows)
      for (size_t i = 0; i < state.tap->width(); ++i)
        result->tapValues[state.value + i] = float(sums[state.sum + i] / double(state.rows));
}

} // namespace pith::runtime
