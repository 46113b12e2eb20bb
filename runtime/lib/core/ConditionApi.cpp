//===- ConditionApi.cpp - the C face of conditions ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"

using namespace pith::runtime;

namespace {

Status check(const pith_sequence &sequence, const Entry &entry, size_t count, size_t width) {
  if (!count)
    return failure(PITH_ERROR_ARGUMENT, "count is 0, expected at least one row");
  if (count > INT32_MAX)
    return failure(PITH_ERROR_LIMIT, "a condition of %zu rows, expected at most %d", count, INT32_MAX);
  const int64_t expected = entry.inputs[0].sizes[1];
  if (width != size_t(expected))
    return failure(PITH_ERROR_ARGUMENT, "rows of %zu floats, expected %lld, the width of %s", width,
                   (long long)expected, quoteName(entry.inputs[0].name).c_str());
  if (const size_t length = sequence.sequence.length())
    return failure(PITH_ERROR_ARGUMENT,
                   "the sequence has %zu tokens, which depend on its condition; truncate it to 0 first",
                   length);
  return {};
}

} // namespace

extern "C" {

pith_status pith_sequence_condition(pith_sequence *sequence, const float *rows, size_t count, size_t width,
                                    pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    PITH_REQUIRE(rows);
    Session &session = *sequence->session;
    const std::lock_guard<std::mutex> lock(session.mutex);
    const Module &module = *session.modules[sequence->module];
    const char *reason = nullptr;
    if (!module.supports(PITH_CAN_CONDITION, &reason))
      return failure(PITH_ERROR_UNSUPPORTED, "%s", reason);
    PITH_TRY(check(*sequence, *module.conditionEntry(), count, width));
    return session.condition(sequence->sequence, sequence->module, rows, count);
  });
}

size_t pith_sequence_condition_rows(const pith_sequence *sequence) {
  if (!sequence)
    return 0;
  const std::lock_guard<std::mutex> lock(sequence->session->mutex);
  return sequence->sequence.condition.rows();
}

} // extern "C"
