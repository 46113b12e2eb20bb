//===- Generate.cpp - pith generate -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "Encoder.h"
#include "Options.h"
#include "Text.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace pith::tool;
using Clock = std::chrono::steady_clock;

static cl::SubCommand sub("generate", "continue a text");
static ModelFlags flags(sub);
static cl::opt<std::string> tokenizerPath("tokenizer", cl::Required, cl::sub(sub), cl::desc("tokenizer.json"));
static cl::opt<std::string> prompt("prompt", cl::sub(sub), cl::desc("the text to continue"));
static cl::opt<std::string> promptFile("prompt-file", cl::sub(sub), cl::desc("file with the text to continue"));
static cl::opt<std::string> encoderPath("encoder", cl::sub(sub), cl::desc("the model's encoder: it reads the prompt, and the model's text begins anew"));
static cl::opt<int> startToken("start-token", cl::sub(sub), cl::init(-1), cl::desc("with --encoder: the token that the text begins with (default: the tokenizer's)"));
static cl::opt<unsigned> newTokens("n", cl::sub(sub), cl::init(64), cl::desc("tokens to generate at most"));
static cl::opt<float> temperature("temperature", cl::sub(sub), cl::init(0), cl::desc("0 (default): always the most likely token"));
static cl::opt<unsigned> topK("top-k", cl::sub(sub), cl::init(0), cl::desc("only the k most likely tokens"));
static cl::opt<float> topP("top-p", cl::sub(sub), cl::init(1), cl::desc("only the most likely tokens with this probability together"));
static cl::opt<float> minP("min-p", cl::sub(sub), cl::init(0), cl::desc("only tokens with this share of the most likely one's probability"));
static cl::opt<float> repetitionPenalty("repetition-penalty", cl::sub(sub), cl::init(1), cl::desc("1 (default): none"));
static cl::opt<uint64_t> seed("seed", cl::sub(sub), cl::init(0), cl::desc("seed of the random numbers"));
static cl::opt<bool> printIds("print-ids", cl::sub(sub), cl::desc("print the ids of the generated tokens, and nothing else, on stdout"));
static cl::opt<bool> ignoreEos("ignore-eos", cl::sub(sub), cl::desc("go on behind an end-of-text token"));

namespace {

/// Handles that are freed at the end of the scope.
struct Handles {
  pith_sequence *sequence = nullptr;
  pith_result *result = nullptr;
  pith_sampler *sampler = nullptr;
  ~Handles() {
    pith_sampler_free(sampler);
    pith_result_free(result);
    pith_sequence_free(sequence);
  }
};

/// What ends the text: what the model's file says, else the tokenizer's guess.
std::vector<int32_t> endTokens(const Model &model, const Tokenizer &tokenizer) {
  size_t known = 0;
  if (const int32_t *eos = pith_module_eos(model.module, &known); eos && known)
    return {eos, eos + known};
  std::vector<int32_t> ids(pith_tokenizer_end_ids(tokenizer.get(), nullptr, 0));
  pith_tokenizer_end_ids(tokenizer.get(), ids.data(), ids.size());
  return ids;
}

int run() {
  std::string text = prompt;
  if (!promptFile.empty()) {
    auto buffer = MemoryBuffer::getFile(promptFile);
    if (!buffer) {
      errs() << "pith: " << promptFile << ": " << buffer.getError().message() << "\n";
      return 1;
    }
    text = (*buffer)->getBuffer().str();
  }
  Tokenizer tokenizer = loadTokenizer(tokenizerPath);
  std::vector<int32_t> tokens;
  if (!tokenizer || !encode(tokenizer, text, tokens))
    return 1;
  std::vector<int32_t> source;
  if (!encoderPath.empty()) {
    source.swap(tokens);
    if (source.empty()) {
      errs() << "pith: --prompt: the text for the encoder is empty\n";
      return 2;
    }
    if (startToken >= 0)
      tokens.push_back(startToken);
    else if (pith_tokenizer_begin_id(tokenizer.get()) < 0) {
      errs() << "pith: --start-token: needed, because the tokenizer has no begin-of-text token\n";
      return 2;
    }
  }
  if (tokens.empty()) {
    if (int32_t begin = pith_tokenizer_begin_id(tokenizer.get()); begin >= 0)
      tokens.push_back(begin);
    else {
      errs() << "pith: --prompt: the text to continue is empty and the tokenizer has no begin-of-text token\n";
      return 2;
    }
  }

  Model model, encoder;
  ModelOptions modelOptions = flags.get(), encoderOptions = modelOptions;
  encoderOptions.path = encoderPath;
  if (!encoderPath.empty() && !encoder.open(encoderOptions))
    return 1;
  if (!model.open(modelOptions))
    return 1;
  const bool isConditioned = pith_module_supports(model.module, PITH_CAN_CONDITION, nullptr);
  if (isConditioned != !encoderPath.empty()) {
    errs() << "pith: --encoder: "
           << (isConditioned ? "needed, because the model is conditioned on an encoder's output\n"
                             : "the model takes no encoder's output\n");
    return 2;
  }
  std::vector<int32_t> ends = endTokens(model, tokenizer);
  pith_error error = PITH_INIT(pith_error);
  Handles handles;
  pith_sampler_options sampling = PITH_INIT(pith_sampler_options);
  sampling.temperature = temperature;
  sampling.top_k = topK;
  sampling.top_p = topP;
  sampling.min_p = minP;
  sampling.repetition_penalty = repetitionPenalty;
  sampling.seed = seed;
  char message[512];
  pith_detokenizer *stream = nullptr;
  if (pith_detokenizer_create(tokenizer.get(), PITH_DECODE_SKIP_SPECIAL | PITH_DECODE_CONTINUE, &stream, message, sizeof(message))) {
    errs() << "pith: " << message << "\n";
    return 1;
  }
  Detokenizer detokenizer(stream);
  if (pith_sampler_new(&sampling, &handles.sampler, &error) ||
      pith_sequence_new(model.session, model.module, nullptr, &handles.sequence, &error) ||
      pith_result_new(model.session, &handles.result, &error)) {
    fail(flags.path, error);
    return 1;
  }

  size_t promptTokens = tokens.size() + source.size(), generated = 0;
  double promptSeconds = 0;
  Clock::time_point begin = Clock::now();
  std::string encoderError;
  if (!source.empty() && !conditionOn(encoder, source, handles.sequence, encoderError)) {
    errs() << "pith: " << encoderPath << ": " << encoderError << "\n";
    return 1;
  }
  if (!printIds && source.empty())
    outs() << text;
  while (generated < newTokens) {
    pith_lane lane = PITH_INIT(pith_lane);
    lane.sequence = handles.sequence;
    lane.tokens = tokens.data();
    lane.token_count = tokens.size();
    pith_draw draw = PITH_INIT(pith_draw);
    draw.sequence = handles.sequence;
    int32_t next;
    if (pith_step(model.session, &lane, 1, nullptr, handles.result, &error) ||
        pith_sample(handles.sampler, handles.result, &draw, 1, &next, &error)) {
      outs() << "\n";
      outs().flush();
      fail(flags.path, error);
      return 1;
    }
    if (!generated++) {
      promptSeconds = seconds(begin);
      begin = Clock::now();
    }
    if (printIds) {
      outs() << (generated > 1 ? " " : "") << next;
    } else {
      const char *piece;
      size_t size;
      if (!pith_detokenizer_push(detokenizer.get(), next, &piece, &size, message, sizeof(message)))
        outs() << StringRef(piece, size);
    }
    outs().flush();
    if (!ignoreEos && is_contained(ends, next))
      break;
    tokens.assign(1, next);
  }
  if (!printIds) {
    const char *piece;
    size_t size;
    if (!pith_detokenizer_flush(detokenizer.get(), &piece, &size, message, sizeof(message)))
      outs() << StringRef(piece, size);
  }
  outs() << "\n";
  double decodeSeconds = seconds(begin);
  errs() << format("prompt %zu tokens, %.1f tokens/s; generated %zu tokens, %.1f tokens/s\n", promptTokens,
                   promptSeconds > 0 ? promptTokens / promptSeconds : 0.0, generated,
                   generated > 1 && decodeSeconds > 0 ? (generated - 1) / decodeSeconds : 0.0);
  return 0;
}

} // namespace

Command pith::tool::generateCommand{sub, run};
