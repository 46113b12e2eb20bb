//===- Eval.cpp - pith eval -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "Options.h"
#include "Text.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace llvm;
using namespace pith::tool;

static cl::SubCommand sub("eval", "perplexity of a model on a text");
static ModelFlags flags(sub);
static cl::opt<std::string> tokenizerPath("tokenizer", cl::Required, cl::sub(sub), cl::desc("tokenizer.json"));
static cl::opt<std::string> textPath("text", cl::Required, cl::sub(sub), cl::desc("file with the text"));
static cl::opt<unsigned> context("context", cl::sub(sub), cl::init(512), cl::desc("tokens per chunk; chunks do not overlap, the first token of each is not scored"));

static int run() {
  if (context < 2) {
    errs() << "pith: --context must be at least 2, found " << context << "\n";
    return 2;
  }
  auto buffer = MemoryBuffer::getFile(textPath);
  if (!buffer) {
    errs() << "pith: " << textPath << ": " << buffer.getError().message() << "\n";
    return 1;
  }
  Tokenizer tokenizer = loadTokenizer(tokenizerPath);
  std::vector<int32_t> tokens;
  if (!tokenizer || !encode(tokenizer, (*buffer)->getBuffer(), tokens))
    return 1;
  size_t chunks = tokens.size() / context;
  if (!chunks) {
    errs() << "pith: " << textPath << ": " << tokens.size() << " tokens do not fill one chunk of " << context << "\n";
    return 1;
  }
  Model model;
  if (!model.open(flags.get()))
    return 1;
  pith_error error = PITH_INIT(pith_error);
  pith_result *result = nullptr;
  double sum = 0;
  size_t scored = 0;
  bool done = !pith_result_new(model.session, &result, &error);
  for (size_t chunk = 0; done && chunk < chunks; ++chunk) {
    pith_sequence *sequence = nullptr;
    pith_lane lane = PITH_INIT(pith_lane);
    done = !pith_sequence_new(model.session, model.module, nullptr, &sequence, &error);
    lane.sequence = sequence;
    lane.tokens = tokens.data() + chunk * context;
    lane.token_count = context;
    lane.rows = PITH_ROWS_NONE;
    lane.flags = PITH_LANE_SCORE;
    done = done && !pith_step(model.session, &lane, 1, nullptr, result, &error);
    size_t count = 0;
    if (const float *scores = done ? pith_result_scores(result, 0, &count) : nullptr)
      for (size_t i = 0; i < count; ++i)
        sum -= scores[i];
    scored += count;
    pith_sequence_free(sequence);
    if (done)
      errs() << "\r" << chunk + 1 << "/" << chunks;
  }
  errs() << "\r              \r";
  pith_result_free(result);
  if (!done) {
    fail(flags.path, error);
    return 1;
  }
  outs() << chunks << " chunks of " << context << " tokens, " << scored << " tokens scored, mean negative log-likelihood "
         << format("%.6f", sum / scored) << "\n";
  outs() << "perplexity " << format("%.4f", std::exp(sum / scored)) << "\n";
  return 0;
}

Command pith::tool::evalCommand{sub, run};
