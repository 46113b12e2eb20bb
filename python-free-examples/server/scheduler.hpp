// Continuous batching: one thread steps all requests together over one session.
//
// Requests join and leave between steps. A step gives every running text its next token and fills what is left of its
// rows with pieces of prompts. When the cache's pages run out, the youngest text gives its pages back and is read again
// later. A client that reads slowly only pauses its own texts.
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef PITH_EXAMPLES_SERVER_SCHEDULER_HPP
#define PITH_EXAMPLES_SERVER_SCHEDULER_HPP

#include "request.hpp"

#include "pith/runtime.hpp"
#include "pith/tokenizer.hpp"

#include <list>
#include <optional>
#include <thread>

struct Limits {
  uint32_t threads = 0;         ///< 0: one per CPU
  uint64_t cacheBytes = 0;      ///< 0: no limit
  size_t stepRows = 256;        ///< most rows of a step
  size_t sequences = 64;        ///< most texts in the cache
  size_t requests = 1024;       ///< most requests that run or wait
  bool deterministic = false;   ///< answers do not depend on what else runs, bit by bit
};

struct Counters {
  uint64_t requests = 0, running = 0, waiting = 0, cancelled = 0, preempted = 0, steps = 0, tokens = 0, pages = 0;
};

/// Too many requests wait already.
struct Overloaded {};

class Scheduler {
public:
  Scheduler(const pith::Module &module, const pith::Tokenizer &tokenizer, const Limits &limits);
  ~Scheduler();

  std::shared_ptr<Request> submit(Wish wish);
  Counters counters() const;
  /// Ends every request with an error; later ones are refused.
  void stop();

private:
  /// One text being written: a request's choice.
  struct Text {
    std::shared_ptr<Request> request;
    size_t choice = 0;
    std::vector<int32_t> tokens; ///< the prompt and what was drawn; the sequence may have read fewer
    std::optional<pith::Sequence> sequence;
    pith::Sampler sampler;
    pith::Detokenizer detokenizer;
    std::optional<pith::Stops> stops;
    uint32_t stopState = 0;
    std::string held; ///< may turn out to be the beginning of a stop string
    Piece next;       ///< collects until there is text to show
    bool finished = false;

    Text(std::shared_ptr<Request> request, size_t choice, const pith::Tokenizer &tokenizer);
    size_t unread() const { return tokens.size() - (sequence ? sequence->length() : 0); }
    size_t drawn() const { return tokens.size() - request->wish.prompt.size(); }
  };
  using Texts = std::list<Text>;

  void run();
  void admit();
  void removeFinished();
  /// What goes into the next step: texts, each with how many tokens.
  std::vector<std::pair<Text *, size_t>> plan();
  void step(const std::vector<std::pair<Text *, size_t>> &lanes);
  bool yieldPaused();
  bool makeRoom(const std::vector<std::pair<Text *, size_t>> &lanes);
  void branch(Texts::iterator first, size_t row);
  void draw(Text &text, size_t row);
  void accept(Text &text, int32_t token);
  void finish(Text &text, const std::string &shown, const char *reason);
  void publish();

  const pith::Module &module;
  const pith::Tokenizer &tokenizer;
  const Limits limits;
  pith::Session session;
  pith::Result result;
  std::vector<int32_t> ends;
  Texts texts;             ///< the scheduler's thread only; oldest first
  bool crowded = false;    ///< pages ran out: nobody new until somebody leaves
  Counters own;            ///< the scheduler's thread only

  mutable std::mutex mutex;
  std::deque<std::shared_ptr<Request>> arrived;
  Counters published;
  bool stopping = false;
  std::shared_ptr<Signal> signal = std::make_shared<Signal>();
  std::thread thread;
};

#endif // PITH_EXAMPLES_SERVER_SCHEDULER_HPP
