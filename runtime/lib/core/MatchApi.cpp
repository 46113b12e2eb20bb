//===- MatchApi.cpp - the C face of the prefix cache --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"

#include <cstdio>

using namespace pith::runtime;

namespace {

constexpr size_t explanationRoom = 240;

/// Why a match ended before the last token, for pith_session_explain.
void explainMiss(const PrefixCache::Found &found, const int32_t *tokens, size_t count, uint64_t evicted,
                 std::string &explanation) {
  char text[explanationRoom];
  if (found.another)
    std::snprintf(
        text, sizeof text,
        "match: %zu of %zu tokens are cached; token %zu is %d, the nearest cached text goes on with %d",
        found.tokens, count, found.tokens, tokens[found.tokens], found.next);
  else
    std::snprintf(text, sizeof text,
                  "match: %zu of %zu tokens are cached; no cached text of this module and salt goes further "
                  "(%llu pages have been evicted so far)",
                  found.tokens, count, (unsigned long long)evicted);
  explanation.assign(text);
}

Status checkMatches(const pith_sequence &sequence) {
  const char *reason = nullptr;
  if (!sequence.session->modules[sequence.module]->supports(PITH_CAN_MATCH, &reason))
    return failure(PITH_ERROR_UNSUPPORTED, "%s", reason);
  return {};
}

} // namespace

extern "C" {

pith_status pith_sequence_match(pith_sequence *sequence, const int32_t *tokens, size_t count, size_t *hit,
                                pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    if (count)
      PITH_REQUIRE(tokens);
    PITH_REQUIRE(hit);
    Session &session = *sequence->session;
    const std::lock_guard<std::mutex> lock(session.mutex);
    PITH_TRY(checkMatches(*sequence));
    if (const size_t length = sequence->sequence.length())
      return failure(PITH_ERROR_ARGUMENT, "match into a sequence of %zu tokens, expected an empty one",
                     length);
    const uint32_t vocab = session.modules[sequence->module]->stepEntry()->vocab;
    for (size_t i = 0; i < count; ++i)
      if (tokens[i] < 0 || uint32_t(tokens[i]) >= vocab)
        return failure(PITH_ERROR_ARGUMENT, "token %zu is %d, expected 0 to %u", i, tokens[i], vocab - 1);
    session.explanation.reserve(explanationRoom); // nothing may fail after the match
    const PrefixCache::Found found = sequence->sequence.match(tokens, count);
    ++session.stats.matches;
    session.stats.match_hits += found.tokens > 0;
    session.stats.match_tokens += found.tokens;
    *hit = found.tokens;
    if (found.tokens < count)
      explainMiss(found, tokens, count, session.pool.counts().evicted, session.explanation);
    return {};
  });
}

pith_status pith_sequence_pin(pith_sequence *sequence, uint32_t priority, uint64_t milliseconds,
                              pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    if (priority > 100)
      return failure(PITH_ERROR_ARGUMENT, "priority is %u, expected 0 to 100", priority);
    const std::lock_guard<std::mutex> lock(sequence->session->mutex);
    PITH_TRY(checkMatches(*sequence));
    if (!sequence->sequence.length())
      return failure(PITH_ERROR_ARGUMENT, "the sequence is empty, expected a text to keep");
    return sequence->sequence.pin(priority, milliseconds);
  });
}

} // extern "C"
