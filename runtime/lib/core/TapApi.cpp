//===- TapApi.cpp - the C face of taps ------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Tap.h"

using namespace pith::runtime;

namespace {

/// The place of a point of the stream.
Status findPlace(const TapPlaces &taps, const pith_tap_options &options, uint32_t &place) {
  const struct {
    pith_tap_point point;
    const std::vector<int32_t> &places;
    const char *absent;
  } points[] = {{PITH_TAP_BLOCK_IN, taps.blockIn, "has no place in front of it"},
                {PITH_TAP_AFTER_ATTENTION, taps.afterAttention,
                 "has no place between attention and MLP: both add to the stream at once"},
                {PITH_TAP_AFTER_MLP, taps.afterMlp, "has no place behind it"}};
  int32_t found = -1;
  if (options.point == PITH_TAP_AFTER_FINAL_NORM) {
    found = taps.afterFinalNorm;
    if (found < 0)
      return failure(PITH_ERROR_UNSUPPORTED, "the module has no norm between its last block and the output layer");
  }
  for (const auto &entry : points) {
    if (entry.point != options.point)
      continue;
    if (options.layer >= entry.places.size())
      return failure(PITH_ERROR_ARGUMENT, "layer is %u, the module has %zu", options.layer, entry.places.size());
    found = entry.places[options.layer];
    if (found < 0)
      return failure(PITH_ERROR_UNSUPPORTED, "layer %u %s", options.layer, entry.absent);
  }
  if (found < 0)
    return failure(PITH_ERROR_ARGUMENT, "point is %u, expected %d to %d", options.point, PITH_TAP_BLOCK_IN,
                   PITH_TAP_AFTER_FINAL_NORM);
  place = uint32_t(found);
  return {};
}

Status readReduce(const pith_tap_options &options, uint32_t hidden, pith_tap &tap) {
  if (options.reduce > PITH_TAP_COSINE_PREVIOUS)
    return failure(PITH_ERROR_ARGUMENT, "reduce is %u, expected 0 to %d", options.reduce,
                   PITH_TAP_COSINE_PREVIOUS);
  tap.reduce = options.reduce;
  if (tap.reduce == PITH_TAP_COSINE_PREVIOUS && tap.place == 0)
    return failure(PITH_ERROR_ARGUMENT, "no point comes before the first block to compare with");
  if (tap.reduce != PITH_TAP_DOT)
    return {};
  if (options.weight_count != hidden)
    return failure(PITH_ERROR_ARGUMENT, "weight_count is %u, expected the hidden size %u", options.weight_count,
                   hidden);
  if (!options.weights)
    return failure(PITH_ERROR_ARGUMENT, "weights is null");
  tap.weights.assign(options.weights, options.weights + hidden);
  tap.bias = options.bias;
  return {};
}

} // namespace

extern "C" {

pith_status pith_tap_new(pith_module *module, const pith_tap_options *options, pith_tap **tap,
                         pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(module);
    const char *reason = "";
    if (!module->module->supports(PITH_CAN_TAP, &reason))
      return failure(PITH_ERROR_UNSUPPORTED, "%s", reason);
    PITH_REQUIRE(options);
    PITH_REQUIRE(tap);
    pith_tap_options value;
    PITH_TRY(readStruct(options, "options", value));
    const TapPlaces &taps = module->module->stepEntry()->taps;
    auto made = std::make_unique<pith_tap>();
    made->module = module->module;
    PITH_TRY(findPlace(taps, value, made->place));
    if (value.rows < PITH_TAP_LAST || value.rows > PITH_TAP_MEAN)
      return failure(PITH_ERROR_ARGUMENT, "rows is %u, expected %d to %d", value.rows, PITH_TAP_LAST,
                     PITH_TAP_MEAN);
    made->rows = value.rows;
    made->firstRow = value.first_row;
    made->rowCount = value.row_count;
    PITH_TRY(readReduce(value, taps.hidden, *made));
    *tap = made.release();
    return {};
  });
}

void pith_tap_free(pith_tap *tap) { delete tap; }

pith_status pith_result_tap(const pith_result *result, size_t lane, size_t tap, const float **values,
                            size_t *count, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(result);
    PITH_REQUIRE(values);
    const Result &found = result->result;
    if (lane >= found.lanes.size())
      return failure(PITH_ERROR_ARGUMENT, "lane %zu, the step had %zu", lane, found.lanes.size());
    const Result::Lane &seen = found.lanes[lane];
    if (tap >= seen.tapCount)
      return failure(PITH_ERROR_ARGUMENT, "tap %zu, lane %zu had %zu", tap, lane, seen.tapCount);
    const Result::Tap &place = found.taps[seen.firstTap + tap];
    *values = found.tapValues.data() + place.first;
    if (count)
      *count = place.count;
    return {};
  });
}

} // extern "C"
