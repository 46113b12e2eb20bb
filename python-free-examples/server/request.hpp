// What a client asked for, and the bounded queue by which the answer comes to its connection.
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef PITH_EXAMPLES_SERVER_REQUEST_HPP
#define PITH_EXAMPLES_SERVER_REQUEST_HPP

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

/// Wakes the scheduler's thread.
struct Signal {
  std::mutex mutex;
  std::condition_variable changed;
  bool set = false;

  void raise() {
    const std::lock_guard<std::mutex> lock(mutex);
    set = true;
    changed.notify_one();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return set; });
    set = false;
  }
};

struct Wish {
  std::vector<int32_t> prompt;
  size_t maxTokens = 16;
  size_t choices = 1;
  std::vector<std::string> stops;
  bool ignoreEnd = false;
  int topLogprobs = -1; ///< -1: no log-probabilities
  float temperature = 1, topP = 1, minP = 0, repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0;
  uint32_t topK = 0;
  uint64_t seed = 0;
  std::vector<int32_t> biasTokens;
  std::vector<float> biasValues;
};

/// A token's log-probability, and those of the most likely ones.
struct Chance {
  int32_t token = 0;
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top;
};

struct Piece {
  size_t choice = 0;
  std::string text;
  size_t tokens = 0;
  std::vector<Chance> chances;
  std::string finish; ///< "stop", "length", "error" (then the text says why); empty: there is more
};

/// Shared by a connection's thread, which takes pieces, and the scheduler's, which gives them.
class Request {
public:
  Request(Wish wish, std::shared_ptr<Signal> signal)
      : wish(std::move(wish)), open(this->wish.choices), signal(std::move(signal)) {}

  const Wish wish;

  // The connection's side.

  enum class State { Piece, Waiting, Ended };
  State next(Piece &piece, std::chrono::milliseconds patience) {
    std::unique_lock<std::mutex> lock(mutex);
    filled.wait_for(lock, patience, [&] { return !pieces.empty() || !open; });
    if (pieces.empty())
      return open ? State::Waiting : State::Ended;
    piece = std::move(pieces.front());
    pieces.pop_front();
    const bool room = pieces.size() + 1 == bound();
    lock.unlock();
    if (room)
      signal->raise();
    return State::Piece;
  }
  /// The client is gone: what it holds is freed before the next step.
  void cancel() {
    gone = true;
    signal->raise();
  }

  // The scheduler's side, which never waits for a reader.

  bool cancelled() const { return gone; }
  bool full() const {
    const std::lock_guard<std::mutex> lock(mutex);
    return pieces.size() >= bound();
  }
  void give(Piece piece) {
    const std::lock_guard<std::mutex> lock(mutex);
    open -= !piece.finish.empty();
    pieces.push_back(std::move(piece));
    filled.notify_one();
  }

private:
  size_t bound() const { return 64 * wish.choices; }

  mutable std::mutex mutex;
  std::condition_variable filled;
  std::deque<Piece> pieces;
  size_t open; ///< choices that are not finished
  std::atomic<bool> gone{false};
  std::shared_ptr<Signal> signal;
};

#endif // PITH_EXAMPLES_SERVER_REQUEST_HPP
