//===- SamplerApi.cpp - the C face of sampling ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DeviceSession.h"
#include "Module.h"
#include "Result.h"
#include "Sampler.h"
#include "Session.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

using namespace pith::runtime;

/// Options as the chain takes them, and memory that every draw uses again.
struct pith_sampler {
  Sampler chain;
  SamplerOptions options;
  std::vector<LogitBias> bias;
  uint64_t seed = 0;
  uint32_t penaltyWindow = 0;
  void (*mask)(void *context, const int32_t *history, size_t count, float *logits, size_t vocab) = nullptr;
  void *maskContext = nullptr;
  std::vector<float> masked;
  std::vector<int32_t> history;
  std::vector<pith_draw> wanted;
  std::vector<int32_t> drawn; // for each of them
  std::vector<uint32_t> rows;
  std::vector<pith_exec_draw> draws; // what a device draws at once, from where, and its answer
  std::vector<const float *> hostRows;
  std::vector<int32_t> tokens;

  bool readsHistory() const {
    return mask || options.repetitionPenalty != 1 || options.frequencyPenalty != 0 ||
           options.presencePenalty != 0;
  }
};

namespace {

Status checkRange(const char *name, float value, float low, float high) {
  if (!(value >= low && value <= high)) // NaN too
    return failure(PITH_ERROR_ARGUMENT, "%s is %g, expected %g to %g", name, double(value), double(low),
                   double(high));
  return {};
}

Status readOptions(const pith_sampler_options &from, pith_sampler &sampler) {
  constexpr float most = std::numeric_limits<float>::max();
  PITH_TRY(checkRange("temperature", from.temperature, 0, most));
  PITH_TRY(checkRange("top_p", from.top_p, 0, 1));
  PITH_TRY(checkRange("min_p", from.min_p, 0, 1));
  PITH_TRY(checkRange("typical_p", from.typical_p, 0, 1));
  PITH_TRY(checkRange("repetition_penalty", from.repetition_penalty, 0, most));
  PITH_TRY(checkRange("frequency_penalty", from.frequency_penalty, -most, most));
  PITH_TRY(checkRange("presence_penalty", from.presence_penalty, -most, most));
  if (from.bias_count) {
    PITH_REQUIRE(from.bias_tokens);
    PITH_REQUIRE(from.bias_values);
  }
  for (size_t i = 0; i < from.bias_count; ++i) {
    if (std::isnan(from.bias_values[i]) || from.bias_values[i] == INFINITY)
      return failure(PITH_ERROR_ARGUMENT, "bias_values[%zu] is %g, expected a number or -infinity", i,
                     double(from.bias_values[i]));
    sampler.bias.push_back({from.bias_tokens[i], from.bias_values[i]});
  }
  SamplerOptions &options = sampler.options;
  options.temperature = from.temperature;
  options.topK = int32_t(std::min<uint32_t>(from.top_k, INT32_MAX));
  options.topP = from.top_p == 0 ? 1 : from.top_p;
  options.minP = from.min_p;
  options.typicalP = from.typical_p == 0 ? 1 : from.typical_p;
  options.repetitionPenalty = from.repetition_penalty == 0 ? 1 : from.repetition_penalty;
  options.frequencyPenalty = from.frequency_penalty;
  options.presencePenalty = from.presence_penalty;
  options.bias = sampler.bias.data();
  options.biasCount = sampler.bias.size();
  sampler.seed = from.seed;
  sampler.penaltyWindow = from.penalty_window;
  sampler.mask = from.mask;
  sampler.maskContext = from.mask_context;
  return {};
}

Status draw(pith_sampler &sampler, const float *logits, size_t vocab, const int32_t *history,
            size_t historyCount, uint32_t branch, uint64_t position, int32_t &token) {
  if (sampler.mask) {
    sampler.masked.assign(logits, logits + vocab);
    sampler.mask(sampler.maskContext, history, historyCount, sampler.masked.data(), vocab);
    logits = sampler.masked.data();
  }
  RecentTokens recent{history, historyCount};
  if (sampler.penaltyWindow && sampler.penaltyWindow < historyCount)
    recent = {history + (historyCount - sampler.penaltyWindow), sampler.penaltyWindow};
  RandomKey key;
  key.seed = sampler.seed;
  key.branch = branch;
  key.position = position;
  Sample sample;
  const SampleStatus status = sampler.chain.sample(logits, vocab, sampler.options, recent, key, sample);
  if (status != SampleStatus::Ok) {
    const bool argument = status == SampleStatus::BadOption || status == SampleStatus::BadToken;
    return failure(argument ? PITH_ERROR_ARGUMENT : PITH_ERROR_EXECUTION, "sampling: %s", describe(status));
  }
  token = sample.token;
  return {};
}

uint64_t positionOf(const Result &result, const pith_draw &wanted) {
  return wanted.position ? wanted.position : result.rows[wanted.row].nextPosition;
}

Status drawRow(pith_sampler &sampler, const Result &result, const pith_draw &wanted, int32_t &token) {
  const Result::Row &row = result.rows[wanted.row];
  const int32_t *history = wanted.history;
  size_t count = history ? wanted.history_count : 0;
  if (!history && wanted.sequence && sampler.readsHistory()) {
    // A copy, because the sequence may grow on another thread as soon as its lock is free.
    const std::lock_guard<std::mutex> lock(wanted.sequence->session->mutex);
    const std::vector<int32_t> &tokens = wanted.sequence->sequence.tokens();
    sampler.history.clear();
    std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(sampler.history),
                 [](int32_t token) { return token != embeddingRow; });
    history = sampler.history.data();
    count = sampler.history.size();
  }
  return draw(sampler, result.hostRow(row), row.vocab, history, count, wanted.branch,
              positionOf(result, wanted), token);
}

Status sampleOnHost(pith_sampler &sampler, const pith_result &result) {
  const std::vector<pith_draw> &wanted = sampler.wanted;
  const std::vector<Result::Row> &rows = result.result.rows;
  const auto away = [&](const pith_draw &draw) { return !rows[draw.row].here; };
  if (std::any_of(wanted.begin(), wanted.end(), away)) {
    sampler.rows.clear();
    for (const pith_draw &draw : wanted)
      sampler.rows.push_back(draw.row);
    const std::lock_guard<std::mutex> lock(result.session->mutex); // its stream brings them
    PITH_TRY(result.session->bring(result.result, sampler.rows.data(), sampler.rows.size()));
  }
  for (size_t i = 0; i < wanted.size(); ++i)
    if (const Status status = drawRow(sampler, result.result, wanted[i], sampler.drawn[i]); !status.ok())
      return failure(status.code(), "draw %zu: %s", i, status.message().c_str());
  return {};
}

/// Of the draws [begin, end), whose rows are of one module.
Status sampleOnDevice(pith_sampler &sampler, const pith_result &result, size_t begin, size_t end) {
  Session &session = *result.session;
  const std::vector<Result::Row> &rows = result.result.rows;
  const auto rowOf = [&](size_t i) -> const Result::Row & { return rows[sampler.wanted[i].row]; };
  const bool there = result.result.onDevice;
  const Result::Row *base = &rowOf(begin); // the first of them
  for (size_t i = begin; i < end; ++i)
    base = rowOf(i).first < base->first ? &rowOf(i) : base;
  sampler.draws.clear();
  sampler.hostRows.clear();
  for (size_t i = begin; i < end; ++i) {
    RandomKey key;
    key.seed = sampler.seed;
    key.branch = sampler.wanted[i].branch;
    key.position = positionOf(result.result, sampler.wanted[i]);
    const size_t place = there ? (rowOf(i).first - base->first) / base->vocab : i - begin;
    sampler.draws.push_back({uint32_t(place), sampler.options.temperature, sampler.options.topK,
                             sampler.options.topP, sampler.options.minP, float(randomUniform(key))});
    if (!there)
      sampler.hostRows.push_back(result.result.hostRow(rowOf(i)));
  }
  const float *logits = there ? result.result.deviceRow(*base) : nullptr;
  if (!there)
    PITH_TRY(session.device->uploadRows(sampler.hostRows, base->vocab, logits));
  PITH_TRY(session.device->sample(base->module, *session.modules[base->module]->sampleCode(), logits,
                                  sampler.options.temperature == 0, sampler.draws, sampler.tokens));
  for (size_t i = begin; i < end; ++i) {
    const int32_t token = sampler.tokens[i - begin];
    if (token < 0 || uint32_t(token) >= base->vocab)
      return failure(PITH_ERROR_EXECUTION, "draw %zu: sampling: %s", i,
                     describe(token == PITH_EXEC_NOTHING_ALLOWED ? SampleStatus::NothingAllowed
                                                                 : SampleStatus::NotANumber));
    sampler.drawn[i] = token;
  }
  return {};
}

/// Whether the device draws all of them: by the law that it draws one of them by, whatever else is drawn.
bool isForDevice(const pith_sampler &sampler, const pith_result &result) {
  if (!result.session->device || !sampler.options.isPlain() || sampler.mask)
    return false;
  const auto drawable = [&](const pith_draw &draw) {
    return result.session->modules[result.result.rows[draw.row].module]->sampleCode() != nullptr;
  };
  return std::all_of(sampler.wanted.begin(), sampler.wanted.end(), drawable);
}

Status sample(pith_sampler &sampler, const pith_result &result) {
  const std::vector<pith_draw> &wanted = sampler.wanted;
  const std::vector<Result::Row> &rows = result.result.rows;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i].row >= rows.size())
      return failure(PITH_ERROR_ARGUMENT, "draw %zu: row %u, the result has %zu", i, wanted[i].row,
                     rows.size());
  sampler.drawn.resize(wanted.size());
  if (!isForDevice(sampler, result))
    return sampleOnHost(sampler, result);
  const std::lock_guard<std::mutex> lock(result.session->mutex);
  for (size_t begin = 0, end = 0; begin < wanted.size(); begin = end) {
    const Result::Row &first = rows[wanted[begin].row];
    const size_t most = result.result.onDevice
                            ? wanted.size()
                            : std::max<size_t>(1, Result::maxDeviceBytes / (first.vocab * sizeof(float)));
    while (end < wanted.size() && end - begin < most && rows[wanted[end].row].module == first.module)
      ++end;
    PITH_TRY(sampleOnDevice(sampler, result, begin, end));
  }
  return {};
}

} // namespace

extern "C" {

pith_status pith_sampler_new(const pith_sampler_options *options, pith_sampler **sampler, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sampler);
    pith_sampler_options value;
    PITH_TRY(readStruct(options, "options", value));
    auto made = std::make_unique<pith_sampler>();
    PITH_TRY(readOptions(value, *made));
    *sampler = made.release();
    return {};
  });
}

void pith_sampler_free(pith_sampler *sampler) { delete sampler; }

pith_status pith_sample(pith_sampler *sampler, const pith_result *result, const pith_draw *draws,
                        size_t count, int32_t *tokens, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sampler);
    PITH_REQUIRE(result);
    if (!count)
      return {};
    PITH_REQUIRE(draws);
    PITH_REQUIRE(tokens);
    sampler->wanted.resize(count);
    for (size_t i = 0; i < count; ++i) {
      const auto *bytes = reinterpret_cast<const unsigned char *>(draws) + i * draws->struct_size;
      PITH_TRY(readStruct(reinterpret_cast<const pith_draw *>(bytes), "draw", sampler->wanted[i],
                          draws->struct_size));
    }
    PITH_TRY(sample(*sampler, *result));
    std::copy(sampler->drawn.begin(), sampler->drawn.end(), tokens); // all or nothing
    return {};
  });
}

pith_status pith_sample_logits(pith_sampler *sampler, const float *logits, size_t vocab,
                               const int32_t *history, size_t history_count, uint32_t branch,
                               uint64_t position, int32_t *token, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sampler);
    PITH_REQUIRE(logits);
    PITH_REQUIRE(token);
    if (history_count)
      PITH_REQUIRE(history);
    if (!vocab || vocab > INT32_MAX)
      return failure(PITH_ERROR_ARGUMENT, "vocab is %zu, expected 1 to %d", vocab, INT32_MAX);
    int32_t drawn = 0;
    PITH_TRY(draw(*sampler, logits, vocab, history, history_count, branch, position, drawn));
    *token = drawn;
    return {};
  });
}

} // extern "C"
