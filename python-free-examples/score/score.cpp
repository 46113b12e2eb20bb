// How likely is each line of a file? Many texts go through the model in one step, however long each is.
//
//   score MODEL.pith TOKENIZER.json TEXTS.txt
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "pith/runtime.hpp"
#include "pith/tokenizer.hpp"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>

namespace {

struct Text {
  std::string line;
  std::vector<int32_t> tokens;
};

/// Prints the log-probability of each text's tokens, the first of which has nothing before it.
class Scorer {
public:
  Scorer(const pith::Module &module) : session(module), result(session), rows(module.stepInfo().max_rows) {}

  /// Texts wait until a step is full.
  void add(Text text) {
    if (waiting + text.tokens.size() > rows)
      flush();
    waiting += text.tokens.size();
    batch.push_back(std::move(text));
  }

  void flush() {
    if (batch.empty())
      return;
    std::vector<pith::Sequence> sequences;
    for (size_t i = 0; i < batch.size(); ++i)
      sequences.emplace_back(session);
    std::vector<pith::Lane> lanes;
    for (size_t i = 0; i < batch.size(); ++i)
      lanes.push_back({sequences[i], batch[i].tokens, PITH_ROWS_NONE, PITH_LANE_SCORE});
    session.step(lanes, result);
    for (size_t i = 0; i < batch.size(); ++i) {
      const std::vector<float> scores = result.scores(i);
      const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
      print(sum, scores.size(), batch[i].line);
      total += sum;
      count += scores.size();
    }
    batch.clear();
    waiting = 0;
    ++steps;
  }

  void finish() {
    flush();
    print(total, count, "(all, in " + std::to_string(steps) + " steps)");
  }

private:
  static void print(double sum, size_t tokens, const std::string &line) {
    std::printf("%10.3f %6zu %9.3f  %s\n", sum, tokens, tokens ? std::exp(-sum / double(tokens)) : NAN, line.c_str());
  }

  pith::Session session;
  pith::Result result;
  size_t rows, waiting = 0, steps = 0, count = 0;
  double total = 0;
  std::vector<Text> batch;
};

} // namespace

int main(int argc, char **argv) try {
  if (argc != 4) {
    std::fprintf(stderr, "usage: score MODEL.pith TOKENIZER.json TEXTS.txt\n");
    return 2;
  }
  const pith::Tokenizer tokenizer(argv[2]);
  const pith::Module module(argv[1]);
  std::ifstream file(argv[3]);
  if (!file)
    throw std::runtime_error(std::string(argv[3]) + ": cannot be read");
  Scorer scorer(module);
  std::printf("  log-prob tokens perplexity\n");
  for (std::string line; std::getline(file, line);) {
    Text text{line, tokenizer.encode(line, PITH_ENCODE_ADD_SPECIAL)};
    if (text.tokens.size() > 1)
      scorer.add(std::move(text));
  }
  scorer.finish();
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "score: %s\n", error.what());
  return 1;
}
