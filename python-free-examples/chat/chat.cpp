// A chat in the terminal. One sequence holds the whole conversation: a turn gives the model only what is new.
//
//   chat MODEL.pith TOKENIZER.json [TEMPERATURE [TOKENS [SYSTEM]]]
//
// A line is a message; /again lets the model answer the last one anew, /undo takes the last turn back, /quit ends.
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../common/chat_format.hpp"
#include "pith/runtime.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace {

struct Options {
  std::string model, tokenizer, system;
  float temperature = 0;
  int tokens = 256;
};

class Chat {
public:
  explicit Chat(const Options &options)
      : options(options), tokenizer(options.tokenizer), module(options.model), session(module), sequence(session),
        result(session), sampler(sampling(options)), format(tokenizer), ends(module.eos()) {
    if (ends.empty())
      ends = tokenizer.endIds();
    pending = format.begin();
    if (!options.system.empty())
      format.add("system", options.system, pending);
  }

  void say(const std::string &message) {
    turns.push_back({sequence.length(), pending, 0});
    format.add("user", message, pending);
    format.open("assistant", pending);
    turns.back().answerAt = sequence.length() + pending.size();
    answer();
  }

  /// The question stays in the cache: only its last token is read again, for its logits.
  void again() {
    if (turns.empty())
      return;
    const size_t at = turns.back().answerAt;
    pending = {sequence.tokens()[at - 1]};
    sequence.truncate(at - 1);
    ++branch;
    answer();
  }

  void undo() {
    if (turns.empty())
      return;
    sequence.truncate(turns.back().length);
    pending = turns.back().pending;
    turns.pop_back();
  }

private:
  /// Where a turn began, to come back to.
  struct Turn {
    size_t length;
    std::vector<int32_t> pending;
    size_t answerAt;
  };

  static pith_sampler_options sampling(const Options &options) {
    pith_sampler_options sampling = PITH_INIT(pith_sampler_options);
    sampling.temperature = options.temperature;
    sampling.top_p = 0.95f;
    return sampling;
  }

  void answer() {
    pith::Detokenizer text(tokenizer);
    const std::vector<std::string> strings = format.stops();
    pith::Stops stops(strings);
    uint32_t state = 0;
    std::string held; // may turn out to be the beginning of a stop string
    bool stopped = false;
    for (int i = 0; i < options.tokens && !stopped; ++i) {
      session.step({{sequence, pending}}, result);
      const int32_t token = sampler.draw(result, 0, &sequence, branch);
      pending.assign(1, token);
      if (std::count(ends.begin(), ends.end(), token))
        break;
      const std::string piece = text.push(token);
      pith_stop_match match = PITH_INIT(pith_stop_match);
      size_t keep = 0;
      stopped = stops.feed(state, piece, &match, &keep);
      held += piece;
      if (stopped)
        keep = match.length + (piece.size() - match.end);
      std::cout << held.substr(0, held.size() - keep) << std::flush;
      held.erase(0, held.size() - keep);
    }
    std::cout << (stopped ? "" : held + text.flush()) << std::endl;
    // The last token was drawn, but the sequence has not read it yet: it and the message's end come with the next
    // turn. An end token is the message's end already.
    std::vector<int32_t> end;
    format.close(end);
    if (!end.empty() && end[0] == pending[0])
      end.erase(end.begin());
    pending.insert(pending.end(), end.begin(), end.end());
  }

  Options options;
  pith::Tokenizer tokenizer;
  pith::Module module;
  pith::Session session;
  pith::Sequence sequence;
  pith::Result result;
  pith::Sampler sampler;
  ChatFormat format;
  std::vector<int32_t> ends;
  std::vector<int32_t> pending; ///< tokens that the sequence has not read yet
  std::vector<Turn> turns;
  uint32_t branch = 0; ///< another one draws other random numbers
};

} // namespace

int main(int argc, char **argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: chat MODEL.pith TOKENIZER.json [TEMPERATURE [TOKENS [SYSTEM]]]\n");
    return 2;
  }
  Options options{argv[1], argv[2], argc > 5 ? argv[5] : "", argc > 3 ? std::stof(argv[3]) : 0,
                  argc > 4 ? std::stoi(argv[4]) : 256};
  Chat chat(options);
  std::string line;
  while (std::cout << "> " << std::flush && std::getline(std::cin, line)) {
    try {
      if (line == "/quit")
        break;
      if (line == "/again")
        chat.again();
      else if (line == "/undo")
        chat.undo();
      else if (!line.empty())
        chat.say(line);
    } catch (const pith::Error &error) {
      // A failed step leaves the sequence as it was: the conversation can go on, after /undo for instance.
      std::fprintf(stderr, "chat: %s\n", error.what());
    }
  }
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "chat: %s\n", error.what());
  return 1;
}
