//===- SequenceApi.cpp - the C face of sequences ----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"

using namespace pith::runtime;

namespace {

using Lock = std::lock_guard<std::mutex>;

/// Frees sequences that a failing call has made, with their session's lock held by the caller.
using Sequences = std::vector<std::unique_ptr<pith_sequence>>;

} // namespace

extern "C" {

pith_status pith_sequence_new(pith_session *session, pith_module *module,
                              const pith_sequence_options *options, pith_sequence **sequence,
                              pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(session);
    PITH_REQUIRE(sequence);
    pith_sequence_options value;
    PITH_TRY(readStruct(options, "options", value));
    if (value.flags)
      return failure(PITH_ERROR_UNSUPPORTED, "sequence flags 0x%x are not known", value.flags);
    const std::shared_ptr<Session> owner = session->session;
    const Lock lock(owner->mutex);
    size_t index = 0;
    PITH_TRY(owner->findModule(module ? module->module.get() : nullptr, PITH_ENTRY_STEP, index));
    auto made = std::make_unique<pith_sequence>(owner, index, value.salt);
    *sequence = made.release();
    return {};
  });
}

void pith_sequence_free(pith_sequence *sequence) {
  if (!sequence)
    return;
  const std::shared_ptr<Session> owner = sequence->session; // outlives the lock
  const Lock lock(owner->mutex);
  delete sequence;
}

size_t pith_sequence_length(const pith_sequence *sequence) {
  if (!sequence)
    return 0;
  const Lock lock(sequence->session->mutex);
  return sequence->sequence.length();
}

size_t pith_sequence_tokens(const pith_sequence *sequence, size_t from, int32_t *out, size_t count) {
  if (!sequence || !out)
    return 0;
  const Lock lock(sequence->session->mutex);
  const std::vector<int32_t> &tokens = sequence->sequence.tokens();
  if (from >= tokens.size())
    return 0;
  const size_t copied = std::min(count, tokens.size() - from);
  std::copy_n(tokens.begin() + from, copied, out);
  return copied;
}

pith_status pith_sequence_fork(pith_sequence *sequence, size_t at, size_t count, pith_sequence **out,
                               pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    if (count)
      PITH_REQUIRE(out);
    const Lock lock(sequence->session->mutex);
    if (at > sequence->sequence.length())
      return failure(PITH_ERROR_ARGUMENT, "fork at token %zu of a sequence of %zu", at,
                     sequence->sequence.length());
    Sequences made;
    made.reserve(count);
    for (size_t i = 0; i < count; ++i)
      made.push_back(std::make_unique<pith_sequence>(*sequence, at));
    for (size_t i = 0; i < count; ++i)
      out[i] = made[i].release();
    return {};
  });
}

pith_status pith_sequence_truncate(pith_sequence *sequence, size_t length, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    const Lock lock(sequence->session->mutex);
    if (length > sequence->sequence.length())
      return failure(PITH_ERROR_ARGUMENT, "truncate to %zu tokens of a sequence of %zu", length,
                     sequence->sequence.length());
    sequence->sequence.truncate(length);
    return {};
  });
}

pith_status pith_sequence_reserve(pith_sequence *sequence, size_t length, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    Session &session = *sequence->session;
    const Lock lock(session.mutex);
    const uint64_t positions = session.modules[sequence->module]->manifest().state.positions;
    const uint64_t limit = positions ? positions : INT32_MAX;
    if (length > limit)
      return failure(PITH_ERROR_LIMIT, "%zu tokens exceed the %llu positions that the model has", length,
                     (unsigned long long)limit);
    return sequence->sequence.reserve(length);
  });
}

pith_status pith_sequence_catch_up(pith_sequence *sequence, const int32_t *tokens, size_t count,
                                   pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    if (count)
      PITH_REQUIRE(tokens);
    const Lock lock(sequence->session->mutex);
    return sequence->session->catchUp(sequence->sequence, sequence->module, tokens, count);
  });
}

pith_status pith_sequence_score(pith_sequence *sequence, size_t from, size_t to, float *logprobs,
                                pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    const Lock lock(sequence->session->mutex);
    const size_t length = sequence->sequence.length();
    if (from < 1 || from > to || to > length)
      return failure(PITH_ERROR_ARGUMENT, "score of tokens %zu to %zu, expected 1 <= from <= to <= %zu", from,
                     to, length);
    if (from < to)
      PITH_REQUIRE(logprobs);
    const std::vector<int32_t> &tokens = sequence->sequence.tokens();
    for (size_t i = from - 1; i < to && from < to; ++i)
      if (tokens[i] == embeddingRow)
        return failure(PITH_ERROR_UNSUPPORTED, "token %zu is an embedding row, which cannot be scored or run again",
                       i);
    return sequence->session->score(sequence->sequence, sequence->module, from, to, logprobs);
  });
}

} // extern "C"
