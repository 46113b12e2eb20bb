//===- Bench.cpp - pith bench -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "Options.h"
#include "Probe.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <thread>

using namespace llvm;
using namespace pith::tool;
using Clock = std::chrono::steady_clock;

static cl::SubCommand sub("bench", "speed of a model, beside what the machine can do in the same minutes");
static ModelFlags flags(sub);
static cl::opt<unsigned> promptTokens("p", cl::sub(sub), cl::init(512), cl::desc("tokens of the prompt"));
static cl::opt<unsigned> newTokens("n", cl::sub(sub), cl::init(32), cl::desc("tokens to generate"));
static cl::opt<unsigned> repetitions("r", cl::sub(sub), cl::init(5), cl::desc("repetitions"));
static cl::opt<bool> printJson("json", cl::sub(sub), cl::desc("print JSON instead of a table"));

namespace {

struct Samples {
  std::vector<double> values;
  double median() const {
    std::vector<double> sorted = values;
    llvm::sort(sorted);
    return sorted.empty() ? 0 : sorted[sorted.size() / 2];
  }
  double least() const { return *std::min_element(values.begin(), values.end()); }
  double most() const { return *std::max_element(values.begin(), values.end()); }
};

/// A number of the manifest's "model" object; 0 if it is not there.
double number(const Model &model, const char *key) {
  const char *text = pith_module_metadata(model.module, key);
  double value = 0;
  return text && to_float(text, value) ? value : 0;
}

struct Pass {
  double prefill = 0, decode = 0; // seconds
  double overhead = 0;            // of a decode step, outside generated code
};

double outsideCode(const Model &model) {
  pith_stats stats = PITH_INIT(pith_stats);
  pith_session_stats(model.session, &stats, nullptr);
  return double(stats.total_nanoseconds - stats.code_nanoseconds) / 1e9;
}

/// False after an error.
bool runPass(Model &model, uint32_t vocab, Pass &pass) {
  pith_error error = PITH_INIT(pith_error);
  pith_sequence *sequence = nullptr;
  pith_result *result = nullptr;
  pith_sampler *greedy = nullptr;
  bool done = !pith_result_new(model.session, &result, &error) &&
              !pith_sampler_new(nullptr, &greedy, &error) &&
              !pith_sequence_new(model.session, model.module, nullptr, &sequence, &error) &&
              !pith_sequence_reserve(sequence, promptTokens + newTokens, &error);
  std::vector<int32_t> tokens(promptTokens);
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = (i * 7919 + 13) % vocab;
  pith_lane lane = PITH_INIT(pith_lane);
  lane.sequence = sequence;
  lane.tokens = tokens.data();
  lane.token_count = tokens.size();
  Clock::time_point begin = Clock::now();
  done = done && !pith_step(model.session, &lane, 1, nullptr, result, &error);
  pass.prefill = seconds(begin);
  double outside = outsideCode(model);
  begin = Clock::now();
  for (unsigned i = 0; done && i < newTokens; ++i) {
    pith_draw draw = PITH_INIT(pith_draw);
    done = !pith_sample(greedy, result, &draw, 1, &tokens[0], &error);
    lane.token_count = 1;
    done = done && !pith_step(model.session, &lane, 1, nullptr, result, &error);
  }
  pass.decode = seconds(begin);
  pass.overhead = (outsideCode(model) - outside) / newTokens;
  pith_sequence_free(sequence);
  pith_sampler_free(greedy);
  pith_result_free(result);
  return done || fail(flags.path, error);
}

/// Seconds to fork a sequence of `tokens` tokens; false after an error.
bool timeFork(Model &model, uint32_t vocab, uint32_t tokens, Samples &forks) {
  pith_error error = PITH_INIT(pith_error);
  pith_sequence *trunk = nullptr;
  std::vector<int32_t> text(tokens);
  for (size_t i = 0; i < text.size(); ++i)
    text[i] = (i * 31 + 7) % vocab;
  pith_lane lane = PITH_INIT(pith_lane);
  lane.tokens = text.data();
  lane.token_count = text.size();
  lane.rows = PITH_ROWS_NONE;
  bool done = !pith_sequence_new(model.session, model.module, nullptr, &trunk, &error);
  lane.sequence = trunk;
  done = done && !pith_step(model.session, &lane, 1, nullptr, nullptr, &error);
  for (unsigned i = 0; done && i < 101; ++i) {
    pith_sequence *branch = nullptr;
    Clock::time_point begin = Clock::now();
    done = !pith_sequence_fork(trunk, tokens, 1, &branch, &error);
    forks.values.push_back(seconds(begin));
    pith_sequence_free(branch);
  }
  pith_sequence_free(trunk);
  return done || fail(flags.path, error);
}

int run() {
  ModelOptions options = flags.get();
  unsigned threads = flags.threads ? flags.threads : std::max(1u, std::thread::hardware_concurrency());
  options.threads = threads;
  if (!promptTokens || !newTokens || !repetitions) {
    errs() << "pith: -p, -n and -r must be at least 1\n";
    return 2;
  }
  Model model;
  Clock::time_point begin = Clock::now();
  if (!model.open(options))
    return 1;
  double loadSeconds = seconds(begin);
  pith_step_info info = PITH_INIT(pith_step_info);
  pith_error error = PITH_INIT(pith_error);
  if (pith_module_step_info(model.module, &info, &error)) {
    fail(flags.path, error);
    return 1;
  }
  // The head runs only for rows whose logits are wanted: every token of a decode, the last of a prompt.
  double weightBytes = number(model, "row_weight_bytes") + number(model, "out_weight_bytes");
  double operations = 2 * (number(model, "row_multiply_adds") * promptTokens + number(model, "out_multiply_adds"));
  // Keys and values that a token reads: on average the prompt and half of what is generated.
  double cacheBytes = double(info.page_bytes) / info.page_tokens * (promptTokens + newTokens / 2.0);
  double tokenBytes = weightBytes + cacheBytes;

  Pass one;
  if (!runPass(model, info.vocab, one))
    return 1;
  Samples prefill, decode, bandwidth, decodeShare, f32, f32Share, int8, int8Share, overhead, fork;
  for (unsigned i = 0; i < repetitions; ++i) {
    // The probes stand on both sides of each pass: the machine's limits move while we measure.
    double read = readBandwidth(threads), peak = peakF32(threads), peak8 = peakInt8(threads);
    if (!runPass(model, info.vocab, one))
      return 1;
    read = (read + readBandwidth(threads)) / 2;
    peak = (peak + peakF32(threads)) / 2;
    peak8 = (peak8 + peakInt8(threads)) / 2;
    double perToken = one.decode / newTokens, rate = operations / one.prefill;
    prefill.values.push_back(promptTokens / one.prefill);
    overhead.values.push_back(one.overhead);
    decode.values.push_back(1 / perToken);
    bandwidth.values.push_back(read / 1e9);
    decodeShare.values.push_back(read > 0 ? tokenBytes / perToken / read : 0);
    f32.values.push_back(peak / 1e9);
    f32Share.values.push_back(peak > 0 ? rate / peak : 0);
    int8.values.push_back(peak8 / 1e9);
    int8Share.values.push_back(peak8 > 0 ? rate / peak8 : 0);
  }
  uint32_t forkTokens = info.positions ? std::min<uint64_t>(info.positions, 1000) : 1000;
  if (!timeFork(model, info.vocab, forkTokens, fork))
    return 1;

  struct Row {
    const char *name, *unit;
    const Samples &samples;
    double scale;
  };
  Row rows[] = {{"prefill", "tokens/s", prefill, 1},
                {"decode", "tokens/s", decode, 1},
                {"read bandwidth", "GB/s", bandwidth, 1},
                {"decode, share of read bandwidth", "%", decodeShare, 100},
                {"f32 peak", "GFLOP/s", f32, 1},
                {"prefill, share of f32 peak", "%", f32Share, 100},
                {"int8 peak", "GOP/s", int8, 1},
                {"prefill, share of int8 peak", "%", int8Share, 100},
                {"step overhead outside kernels", "us", overhead, 1e6},
                {"fork of a sequence", "us", fork, 1e6}};
  if (printJson) {
    json::Object object{{"model", flags.path.getValue()},     {"threads", threads},
                        {"prompt_tokens", promptTokens.getValue()}, {"new_tokens", newTokens.getValue()},
                        {"load_seconds", loadSeconds},        {"bytes_per_token", tokenBytes},
                        {"weight_bytes_per_token", weightBytes}, {"fork_tokens", forkTokens},
                        {"step_overhead_us", overhead.median() * 1e6}, {"fork_us", fork.median() * 1e6}};
    for (const Row &row : rows)
      object[row.name] = json::Object{{"unit", row.unit}, {"median", row.scale * row.samples.median()},
                                      {"min", row.scale * row.samples.least()}, {"max", row.scale * row.samples.most()}};
    outs() << formatv("{0:2}", json::Value(std::move(object))) << "\n";
    return 0;
  }
  outs() << flags.path << ", " << threads << " threads, prompt " << promptTokens << ", then " << newTokens << ", "
         << repetitions << " repetitions\n";
  outs() << format("%-34s %10s %10s %10s\n", "", "median", "min", "max");
  for (const Row &row : rows)
    outs() << format("%-34s %10.1f %10.1f %10.1f  %s\n", row.name, row.scale * row.samples.median(),
                     row.scale * row.samples.least(), row.scale * row.samples.most(), row.unit);
  outs() << format("bytes read per token %.1f MB (weights %.1f, cache %.1f); fork of %u tokens; load %.1f ms\n",
                   tokenBytes / 1e6, weightBytes / 1e6, cacheBytes / 1e6, forkTokens, loadSeconds * 1e3);
  return 0;
}

} // namespace

Command pith::tool::benchCommand{sub, run};
