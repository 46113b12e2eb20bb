// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "scheduler.hpp"

#include <algorithm>

namespace {

/// Prompts are cut at multiples of this, whatever else runs: how a text is read does not depend on the load.
constexpr size_t chunkTokens = 64;

pith_session_options sessionOptions(const Limits &limits) {
  pith_session_options options = PITH_INIT(pith_session_options);
  options.threads = limits.threads;
  options.page_limit_bytes = limits.cacheBytes;
  options.flags = limits.deterministic ? PITH_SESSION_DETERMINISTIC : 0;
  return options;
}

pith_sampler_options samplerOptions(const Wish &wish) {
  pith_sampler_options options = PITH_INIT(pith_sampler_options);
  options.temperature = wish.temperature;
  options.top_k = wish.topK;
  options.top_p = wish.topP;
  options.min_p = wish.minP;
  options.repetition_penalty = wish.repetitionPenalty;
  options.frequency_penalty = wish.frequencyPenalty;
  options.presence_penalty = wish.presencePenalty;
  options.seed = wish.seed;
  options.bias_tokens = wish.biasTokens.data();
  options.bias_values = wish.biasValues.data();
  options.bias_count = wish.biasTokens.size();
  return options;
}

} // namespace

Scheduler::Text::Text(std::shared_ptr<Request> from, size_t choice, const pith::Tokenizer &tokenizer)
    : request(std::move(from)), choice(choice), tokens(request->wish.prompt), sampler(samplerOptions(request->wish)),
      detokenizer(tokenizer) {
  next.choice = choice;
  if (!request->wish.stops.empty())
    stops.emplace(request->wish.stops);
}

Scheduler::Scheduler(const pith::Module &module, const pith::Tokenizer &tokenizer, const Limits &limits)
    : module(module), tokenizer(tokenizer), limits(limits), session(module, sessionOptions(limits)), result(session),
      ends(module.eos()) {
  if (ends.empty())
    ends = tokenizer.endIds();
  thread = std::thread([this] { run(); });
}

Scheduler::~Scheduler() {
  stop();
  thread.join();
}

void Scheduler::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    stopping = true;
  }
  signal->raise();
}

std::shared_ptr<Request> Scheduler::submit(Wish wish) {
  auto request = std::make_shared<Request>(std::move(wish), signal);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (stopping || arrived.size() + published.running + published.waiting >= limits.requests)
      throw Overloaded();
    arrived.push_back(request);
  }
  signal->raise();
  return request;
}

Counters Scheduler::counters() const {
  const std::lock_guard<std::mutex> lock(mutex);
  Counters counters = published;
  counters.waiting += arrived.size();
  return counters;
}

void Scheduler::run() {
  for (;;) {
    admit();
    removeFinished();
    publish();
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (stopping)
        break;
    }
    try {
      const auto lanes = plan();
      if (!lanes.empty())
        step(lanes);
      else if (!yieldPaused())
        signal->wait();
    } catch (const std::exception &error) {
      for (Text &text : texts)
        finish(text, error.what(), "error");
    }
  }
  admit();
  for (Text &text : texts)
    finish(text, "the server is shutting down", "error");
  texts.clear();
}

void Scheduler::admit() {
  std::deque<std::shared_ptr<Request>> fresh;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    fresh.swap(arrived);
  }
  for (std::shared_ptr<Request> &request : fresh) {
    ++own.requests;
    try {
      texts.emplace_back(request, 0, tokenizer);
    } catch (const std::exception &error) {
      for (size_t i = 0; i < request->wish.choices; ++i)
        request->give({i, error.what(), 0, {}, "error"});
    }
  }
}

void Scheduler::removeFinished() {
  for (auto text = texts.begin(); text != texts.end();) {
    const bool cancelled = !text->finished && text->request->cancelled();
    if (!cancelled && !text->finished) {
      ++text;
      continue;
    }
    own.cancelled += cancelled;
    crowded = false;
    text = texts.erase(text); // and with it the sequence's pages
  }
}

void Scheduler::publish() {
  own.running = own.waiting = 0;
  for (const Text &text : texts)
    ++(text.sequence ? own.running : own.waiting);
  own.pages = session.memory().pages_used;
  const std::lock_guard<std::mutex> lock(mutex);
  published = own;
}

std::vector<std::pair<Scheduler::Text *, size_t>> Scheduler::plan() {
  std::vector<std::pair<Text *, size_t>> lanes;
  size_t rows = 0, sequences = 0;
  for (Text &text : texts) {
    sequences += text.sequence.has_value();
    if (text.sequence && text.unread() == 1 && rows < limits.stepRows && !text.request->full()) {
      lanes.emplace_back(&text, 1);
      ++rows;
    }
  }
  if (!sequences)
    crowded = false;
  for (Text &text : texts) {
    if ((text.sequence && text.unread() == 1) || text.request->full())
      continue;
    const size_t read = text.sequence ? text.sequence->length() : 0;
    const size_t count = std::min(text.unread(), chunkTokens - read % chunkTokens);
    const bool fits = rows + count <= limits.stepRows || lanes.empty();
    if (!fits || (!text.sequence && (crowded || sequences >= limits.sequences)))
      break; // in the order of arrival: a long prompt is not overtaken for ever
    if (!text.sequence) {
      text.sequence.emplace(session);
      ++sequences;
    }
    lanes.emplace_back(&text, count);
    rows += count;
  }
  return lanes;
}

void Scheduler::step(const std::vector<std::pair<Text *, size_t>> &lanes) {
  std::vector<std::vector<int32_t>> tokens;
  std::vector<pith::Lane> list;
  tokens.reserve(lanes.size());
  for (const auto &[text, count] : lanes) {
    const auto from = text->tokens.end() - ptrdiff_t(text->unread());
    tokens.emplace_back(from, from + ptrdiff_t(count));
    list.push_back({*text->sequence, tokens.back(), count == text->unread() ? PITH_ROWS_LAST : PITH_ROWS_NONE});
  }
  try {
    session.step(list, result);
  } catch (const pith::Error &error) {
    // Nothing happened to any sequence. Without room for all, fewer go on.
    const bool noRoom = error.status() == PITH_ERROR_LIMIT || error.status() == PITH_ERROR_MEMORY;
    if (!noRoom || !makeRoom(lanes))
      for (const auto &[text, count] : lanes)
        finish(*text, error.what(), "error");
    return;
  }
  ++own.steps;
  size_t row = 0;
  for (const auto &[text, count] : lanes) {
    if (text->unread())
      continue; // more of the prompt to come
    const size_t at = row++;
    if (!text->choice && !text->drawn() && text->request->wish.choices > 1)
      for (auto first = texts.begin(); first != texts.end(); ++first)
        if (&*first == text)
          branch(first, at);
    draw(*text, at);
  }
}

/// Nobody can go on but texts that have no place in the cache: those whose clients do not read give theirs up.
bool Scheduler::yieldPaused() {
  const auto waits = [](const Text &text) { return !text.sequence && !text.request->full(); };
  if (std::none_of(texts.begin(), texts.end(), waits))
    return false;
  for (Text &text : texts) {
    own.preempted += text.sequence.has_value();
    text.sequence.reset();
  }
  return true;
}

/// Takes the pages of the youngest text; it is read again when there is room. False when there is only one.
bool Scheduler::makeRoom(const std::vector<std::pair<Text *, size_t>> &lanes) {
  const auto holder = [](const Text &text) { return text.sequence.has_value(); };
  if (std::count_if(texts.begin(), texts.end(), holder) < 2)
    return false;
  // A paused text first: its client reads slower than the others.
  auto victim = std::find_if(texts.rbegin(), texts.rend(), [&](const Text &text) {
    const auto same = [&](const auto &lane) { return lane.first == &text; };
    return holder(text) && std::none_of(lanes.begin(), lanes.end(), same);
  });
  if (victim == texts.rend())
    victim = std::find_if(texts.rbegin(), texts.rend(), holder);
  victim->sequence.reset();
  crowded = true;
  ++own.preempted;
  return true;
}

/// The prompt is read once; the other choices begin as forks of the first.
void Scheduler::branch(Texts::iterator first, size_t row) {
  auto after = std::next(first);
  for (size_t choice = 1; choice < first->request->wish.choices; ++choice) {
    auto text = texts.end();
    try {
      text = texts.emplace(after, first->request, choice, tokenizer);
      text->sequence.emplace(first->sequence->fork());
      draw(*text, row);
    } catch (const std::exception &error) {
      if (text == texts.end())
        first->request->give({choice, error.what(), 0, {}, "error"});
      else
        finish(*text, error.what(), "error");
    }
  }
}

void Scheduler::draw(Text &text, size_t row) {
  try {
    // Penalties count what was written, not the prompt. The random numbers depend on seed, choice and position.
    pith_draw wanted = PITH_INIT(pith_draw);
    wanted.row = uint32_t(row);
    wanted.history = text.tokens.data() + text.request->wish.prompt.size();
    wanted.history_count = text.drawn();
    wanted.branch = uint32_t(text.choice);
    int32_t token = 0;
    pith_error error = PITH_INIT(pith_error);
    if (pith_sample(text.sampler.get(), result.get(), &wanted, 1, &token, &error))
      throw pith::Error(error);
    if (const int top = text.request->wish.topLogprobs; top >= 0) {
      Chance chance{token, result.logprob(row, token), {}};
      if (top > 0)
        chance.top = result.topK(row, size_t(top));
      text.next.chances.push_back(std::move(chance));
    }
    accept(text, token);
  } catch (const std::exception &error) {
    finish(text, error.what(), "error");
  }
}

void Scheduler::accept(Text &text, int32_t token) {
  const Wish &wish = text.request->wish;
  text.tokens.push_back(token);
  ++text.next.tokens;
  ++own.tokens;
  if (!wish.ignoreEnd && std::count(ends.begin(), ends.end(), token))
    return finish(text, text.held + text.detokenizer.flush(), "stop");
  const std::string piece = text.detokenizer.push(token);
  size_t keep = 0;
  pith_stop_match match = PITH_INIT(pith_stop_match);
  const bool stopped = text.stops && text.stops->feed(text.stopState, piece, &match, &keep);
  text.held += piece;
  if (stopped)
    keep = match.length + (piece.size() - match.end);
  std::string shown = text.held.substr(0, text.held.size() - keep);
  if (stopped)
    return finish(text, shown, "stop");
  text.held.erase(0, shown.size());
  if (text.drawn() >= wish.maxTokens)
    return finish(text, shown + text.held + text.detokenizer.flush(), "length");
  if (shown.empty() && text.next.chances.empty())
    return;
  text.next.text = std::move(shown);
  text.request->give(std::exchange(text.next, Piece{text.choice, "", 0, {}, ""}));
}

void Scheduler::finish(Text &text, const std::string &shown, const char *reason) {
  if (text.finished)
    return;
  text.finished = true;
  text.next.text = shown;
  text.next.finish = reason;
  text.request->give(std::move(text.next));
  // Its choices that do not exist yet cannot begin any more.
  const bool alone = !text.choice && !text.drawn();
  for (size_t choice = 1; alone && choice < text.request->wish.choices; ++choice)
    text.request->give({choice, shown, 0, {}, reason});
}
