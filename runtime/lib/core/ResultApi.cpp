//===- ResultApi.cpp - the C face of results --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Result.h"
#include "Session.h"

#include <cmath>
#include <mutex>

using namespace pith::runtime;

namespace {

Status findRow(const pith_result *result, size_t index, const Result::Row *&row) {
  PITH_REQUIRE(result);
  const std::vector<Result::Row> &rows = result->result.rows;
  if (index >= rows.size())
    return failure(PITH_ERROR_ARGUMENT, "row %zu, the result has %zu", index, rows.size());
  row = &rows[index];
  return {};
}

/// The same, with its logits on the host.
Status readRow(const pith_result *result, size_t index, const Result::Row *&row, const float *&logits) {
  PITH_TRY(findRow(result, index, row));
  if (!row->here) {
    const std::lock_guard<std::mutex> lock(result->session->mutex); // its stream brings them
    const auto number = uint32_t(index);
    PITH_TRY(result->session->bring(result->result, &number, 1));
  }
  logits = result->result.hostRow(*row);
  return {};
}

Status checkToken(const Result::Row &row, int32_t token) {
  if (token < 0 || uint32_t(token) >= row.vocab)
    return failure(PITH_ERROR_ARGUMENT, "token %d, expected 0 to %u", token, row.vocab - 1);
  return {};
}

Status describeOutput(const Result &result, size_t index, pith_tensor *tensor) {
  PITH_REQUIRE(tensor);
  if (index >= result.outputCount)
    return failure(PITH_ERROR_ARGUMENT, "output %zu, the result has %zu", index, result.outputCount);
  const Result::Output &output = result.outputs[index];
  pith_tensor value = PITH_INIT(pith_tensor);
  value.type = output.port->type;
  value.name = output.port->name.c_str();
  value.dims = output.dims.data();
  value.rank = uint32_t(output.dims.size());
  value.data = output.data.data();
  return writeStruct(value, "tensor", tensor);
}

} // namespace

extern "C" {

pith_status pith_result_new(pith_session *session, pith_result **result, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(session);
    PITH_REQUIRE(result);
    auto made = std::make_unique<pith_result>();
    made->session = session->session;
    made->session->equip(made->result);
    *result = made.release();
    return {};
  });
}

void pith_result_free(pith_result *result) { delete result; }

size_t pith_result_rows(const pith_result *result) { return result ? result->result.rows.size() : 0; }

size_t pith_result_lane_rows(const pith_result *result, size_t lane, size_t *first) {
  if (!result || lane >= result->result.lanes.size())
    return 0;
  if (first)
    *first = result->result.lanes[lane].firstRow;
  return result->result.lanes[lane].rowCount;
}

const float *pith_result_logits(const pith_result *result, size_t row) {
  const float *logits = nullptr;
  const Result::Row *found = nullptr;
  (void)guarded(nullptr, [&] { return readRow(result, row, found, logits); });
  return logits;
}

pith_status pith_result_logits_for(const pith_result *result, size_t row, const int32_t *tokens, size_t count,
                                   float *logits, pith_error *error) {
  return guarded(error, [&]() -> Status {
    const Result::Row *found = nullptr;
    const float *all = nullptr;
    PITH_TRY(findRow(result, row, found));
    if (count) {
      PITH_REQUIRE(tokens);
      PITH_REQUIRE(logits);
    }
    for (size_t i = 0; i < count; ++i)
      PITH_TRY(checkToken(*found, tokens[i]));
    PITH_TRY(readRow(result, row, found, all));
    for (size_t i = 0; i < count; ++i)
      logits[i] = all[tokens[i]];
    return {};
  });
}

pith_status pith_result_top_k(const pith_result *result, size_t row, size_t k, int32_t *tokens,
                              float *logprobs, pith_error *error) {
  return guarded(error, [&]() -> Status {
    const Result::Row *found = nullptr;
    PITH_TRY(findRow(result, row, found));
    PITH_REQUIRE(tokens);
    if (!k || k > found->vocab)
      return failure(PITH_ERROR_ARGUMENT, "the %zu most likely of %u tokens", k, found->vocab);
    const float *logits = nullptr;
    PITH_TRY(readRow(result, row, found, logits));
    const auto likelier = [logits](int32_t a, int32_t b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    };
    // A heap with the least likely of the best k on top; tokens come in ascending order, so ties stay out.
    for (uint32_t i = 0; i < found->vocab; ++i) {
      if (i < k) {
        tokens[i] = int32_t(i);
        if (i + 1 == k)
          std::make_heap(tokens, tokens + k, likelier);
      } else if (logits[i] > logits[tokens[0]]) {
        std::pop_heap(tokens, tokens + k, likelier);
        tokens[k - 1] = int32_t(i);
        std::push_heap(tokens, tokens + k, likelier);
      }
    }
    std::sort_heap(tokens, tokens + k, likelier);
    if (logprobs) {
      const RowFacts facts = examineRow(logits, found->vocab);
      for (size_t i = 0; i < k; ++i)
        logprobs[i] = float(logits[tokens[i]] - facts.logSum);
    }
    return {};
  });
}

pith_status pith_result_logprob(const pith_result *result, size_t row, int32_t token, float *logprob,
                                pith_error *error) {
  return guarded(error, [&]() -> Status {
    const Result::Row *found = nullptr;
    PITH_TRY(findRow(result, row, found));
    PITH_REQUIRE(logprob);
    PITH_TRY(checkToken(*found, token));
    const float *logits = nullptr;
    PITH_TRY(readRow(result, row, found, logits));
    *logprob = float(logits[token] - examineRow(logits, found->vocab).logSum);
    return {};
  });
}

pith_status pith_result_confidence(const pith_result *result, size_t row, pith_confidence *confidence,
                                   pith_error *error) {
  return guarded(error, [&]() -> Status {
    const Result::Row *found = nullptr;
    PITH_TRY(findRow(result, row, found));
    PITH_REQUIRE(confidence);
    const float *logits = nullptr;
    PITH_TRY(readRow(result, row, found, logits));
    const RowFacts facts = examineRow(logits, found->vocab);
    double entropy = 0;
    for (uint32_t i = 0; i < found->vocab; ++i) {
      const double logProbability = double(logits[i]) - facts.logSum;
      if (logProbability > -700) // below, p log p is 0 and -infinity would make it NaN
        entropy -= std::exp(logProbability) * logProbability;
    }
    pith_confidence value = PITH_INIT(pith_confidence);
    value.token = facts.first;
    value.probability = float(std::exp(logits[facts.first] - facts.logSum));
    value.margin = value.probability;
    value.logit_margin = INFINITY;
    if (facts.second >= 0) {
      value.margin -= float(std::exp(logits[facts.second] - facts.logSum));
      value.logit_margin = logits[facts.first] - logits[facts.second];
    }
    value.entropy = float(entropy);
    return writeStruct(value, "confidence", confidence);
  });
}

const float *pith_result_scores(const pith_result *result, size_t lane, size_t *count) {
  const bool exists = result && lane < result->result.lanes.size() && result->result.lanes[lane].scoreCount;
  if (count)
    *count = exists ? result->result.lanes[lane].scoreCount : 0;
  return exists ? result->result.scores.data() + result->result.lanes[lane].firstScore : nullptr;
}

size_t pith_result_output_count(const pith_result *result) { return result ? result->result.outputCount : 0; }

pith_status pith_result_output(const pith_result *result, size_t index, pith_tensor *tensor,
                               pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(result);
    return describeOutput(result->result, index, tensor);
  });
}

pith_status pith_result_output_named(const pith_result *result, const char *name, pith_tensor *tensor,
                                     pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(result);
    PITH_REQUIRE(name);
    for (size_t i = 0; i < result->result.outputCount; ++i)
      if (result->result.outputs[i].port->name == name)
        return describeOutput(result->result, i, tensor);
    return failure(PITH_ERROR_NOT_FOUND, "no output %s", quoteName(name).c_str());
  });
}

} // extern "C"
