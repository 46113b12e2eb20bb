//===- runtime.hpp - the runtime for C++ programs ---------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A thin wrapper over runtime.h, header only: handles that free themselves, errors as exceptions, standard
// containers. It adds no behaviour; owner, thread and lifetime rules are those of the C functions. Every
// class gives its C handle by get(), for whatever is not wrapped.
//
//   pith::Module module("model.pith");
//   pith::Session session(module);
//   pith::Sequence sequence(session);
//   pith::Result result(session);
//   pith::Sampler sampler;
//   session.step({{sequence, prompt}}, result);
//   int32_t token = sampler.draw(result, 0, &sequence);
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_HPP
#define PITH_RUNTIME_HPP

#include "pith/runtime.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pith {

/// A status other than PITH_OK; what() is the message.
class Error : public std::runtime_error {
public:
  explicit Error(const pith_error &error) : std::runtime_error(error.message), statusCode(error.code) {}
  pith_status status() const { return statusCode; }

private:
  pith_status statusCode;
};

namespace detail {

/// Calls a C function with an error at its end, and throws it.
template <typename Function, typename... Arguments>
void check(Function function, Arguments... arguments) {
  pith_error error = PITH_INIT(pith_error);
  if (function(arguments..., &error) != PITH_OK)
    throw Error(error);
}

template <typename T, void (*Free)(T *)>
class Handle {
public:
  T *get() const { return pointer.get(); }

protected:
  Handle() = default;
  explicit Handle(T *owned) : pointer(owned) {}
  struct Deleter {
    void operator()(T *handle) const { Free(handle); }
  };
  std::unique_ptr<T, Deleter> pointer;
};

} // namespace detail

class Module : public detail::Handle<pith_module, pith_module_free> {
public:
  explicit Module(const std::string &path, uint32_t loadFlags = 0) {
    pith_load_options options = PITH_INIT(pith_load_options);
    options.flags = loadFlags;
    pith_module *made = nullptr;
    detail::check(pith_module_load, path.c_str(), &options, &made);
    pointer.reset(made);
  }

  /// A model that is linked into the program.
  explicit Module(const pith_embedded &model, uint32_t loadFlags = 0) {
    pith_load_options options = PITH_INIT(pith_load_options);
    options.flags = loadFlags;
    pith_module *made = nullptr;
    detail::check(pith_module_load_embedded, &model, &options, &made);
    pointer.reset(made);
  }

  pith_step_info stepInfo() const {
    pith_step_info info = PITH_INIT(pith_step_info);
    detail::check(pith_module_step_info, get(), &info);
    return info;
  }
  std::vector<pith_entry_info> entries() const {
    std::vector<pith_entry_info> list(pith_module_entry_count(get()), PITH_INIT(pith_entry_info));
    for (size_t i = 0; i < list.size(); ++i)
      detail::check(pith_module_entry, get(), i, &list[i]);
    return list;
  }
  size_t findEntry(const std::string &name) const {
    size_t index = 0;
    detail::check(pith_module_find_entry, get(), name.c_str(), &index);
    return index;
  }
  pith_port_info input(size_t entry, size_t index) const {
    pith_port_info info = PITH_INIT(pith_port_info);
    detail::check(pith_module_input, get(), entry, index, &info);
    return info;
  }
  pith_port_info output(size_t entry, size_t index) const {
    pith_port_info info = PITH_INIT(pith_port_info);
    detail::check(pith_module_output, get(), entry, index, &info);
    return info;
  }
  std::vector<int32_t> eos() const {
    size_t count = 0;
    const int32_t *tokens = pith_module_eos(get(), &count);
    return {tokens, tokens + count};
  }
  /// Empty when there is no such key.
  std::string metadata(const std::string &key) const {
    const char *text = pith_module_metadata(get(), key.c_str());
    return text ? text : "";
  }
  bool supports(pith_capability capability) const { return pith_module_supports(get(), capability, nullptr); }
};

/// Which hidden state a lane shows.
class Tap : public detail::Handle<pith_tap, pith_tap_free> {
public:
  Tap(const Module &module, const pith_tap_options &options) {
    pith_tap *made = nullptr;
    detail::check(pith_tap_new, module.get(), &options, &made);
    pointer.reset(made);
  }
  Tap(const Module &module, pith_tap_point point, uint32_t layer, pith_tap_rows rows = PITH_TAP_LAST,
      pith_tap_reduce reduce = PITH_TAP_WHOLE)
      : Tap(module, makeOptions(point, layer, rows, reduce)) {}

private:
  static pith_tap_options makeOptions(pith_tap_point point, uint32_t layer, pith_tap_rows rows,
                                      pith_tap_reduce reduce) {
    pith_tap_options options = PITH_INIT(pith_tap_options);
    options.point = point;
    options.layer = layer;
    options.rows = rows;
    options.reduce = reduce;
    return options;
  }
};

class Session;
class Sequence;

/// Logits, scores and outputs of the last step or invoke that filled it.
class Result : public detail::Handle<pith_result, pith_result_free> {
public:
  inline explicit Result(const Session &session);

  size_t rows() const { return pith_result_rows(get()); }
  const float *logits(size_t row) const { return pith_result_logits(get(), row); }
  pith_confidence confidence(size_t row) const {
    pith_confidence value = PITH_INIT(pith_confidence);
    detail::check(pith_result_confidence, get(), row, &value);
    return value;
  }
  float logprob(size_t row, int32_t token) const {
    float value = 0;
    detail::check(pith_result_logprob, get(), row, token, &value);
    return value;
  }
  /// Tokens and their log-probabilities, most likely first.
  std::vector<std::pair<int32_t, float>> topK(size_t row, size_t k) const {
    std::vector<int32_t> tokens(k);
    std::vector<float> logprobs(k);
    detail::check(pith_result_top_k, get(), row, k, tokens.data(), logprobs.data());
    std::vector<std::pair<int32_t, float>> list;
    for (size_t i = 0; i < k; ++i)
      list.emplace_back(tokens[i], logprobs[i]);
    return list;
  }
  std::vector<float> scores(size_t lane) const {
    size_t count = 0;
    const float *values = pith_result_scores(get(), lane, &count);
    return {values, values + count};
  }
  /// What a lane's tap saw, row after row.
  std::vector<float> tap(size_t lane, size_t index) const {
    const float *values = nullptr;
    size_t count = 0;
    detail::check(pith_result_tap, get(), lane, index, &values, &count);
    return {values, values + count};
  }
  size_t outputs() const { return pith_result_output_count(get()); }
  pith_tensor output(size_t index) const {
    pith_tensor tensor = PITH_INIT(pith_tensor);
    detail::check(pith_result_output, get(), index, &tensor);
    return tensor;
  }
  pith_tensor output(const std::string &name) const {
    pith_tensor tensor = PITH_INIT(pith_tensor);
    detail::check(pith_result_output_named, get(), name.c_str(), &tensor);
    return tensor;
  }
};

/// One sequence's part in a step. Tokens, taps and embeddings must live until the step returns.
struct Lane {
  const Sequence &sequence;
  const std::vector<int32_t> &tokens; ///< not read with embeddings
  pith_rows rows = PITH_ROWS_LAST;
  uint32_t flags = 0;
  std::vector<const Tap *> taps = {};
  const float *embeddings = nullptr; ///< in place of tokens: rows one after the other
  size_t embeddingRows = 0;
  pith_kv_mode kvMode = PITH_KV_WRITE;
};

class Session : public detail::Handle<pith_session, pith_session_free> {
public:
  explicit Session(const Module &module,
                   const pith_session_options &options = PITH_INIT(pith_session_options))
      : Session(std::vector<const Module *>{&module}, options) {}
  explicit Session(const std::vector<const Module *> &modules,
                   const pith_session_options &options = PITH_INIT(pith_session_options)) {
    std::vector<pith_module *> list;
    for (const Module *module : modules)
      list.push_back(module->get());
    pith_session *made = nullptr;
    detail::check(pith_session_new, list.data(), list.size(), &options, &made);
    pointer.reset(made);
  }

  inline void step(const std::vector<Lane> &lanes, Result &result,
                   const pith_step_options *options = nullptr);
  /// An empty entry name means the module's only one.
  void invoke(const std::string &entry, const std::vector<pith_tensor> &inputs, Result &result,
              const Module *module = nullptr) {
    detail::check(pith_invoke, get(), module ? module->get() : nullptr,
                  entry.empty() ? nullptr : entry.c_str(), inputs.data(), inputs.size(), result.get());
  }
  void cancel() noexcept { pith_session_cancel(get()); }
  void trim() { detail::check(pith_session_trim, get()); }
  pith_memory memory() const {
    pith_memory value = PITH_INIT(pith_memory);
    detail::check(pith_session_memory, get(), &value);
    return value;
  }
  /// "cpu", "cuda:0: NVIDIA H200, sm_90"
  std::string device() const {
    std::string text(pith_session_device(get(), nullptr, 0), '\0');
    pith_session_device(get(), text.data(), text.size() + 1);
    return text;
  }
  pith_stats stats() const {
    pith_stats value = PITH_INIT(pith_stats);
    detail::check(pith_session_stats, get(), &value);
    return value;
  }
};

class Sequence : public detail::Handle<pith_sequence, pith_sequence_free> {
public:
  explicit Sequence(const Session &session, const Module *module = nullptr, const char *salt = nullptr) {
    pith_sequence_options options = PITH_INIT(pith_sequence_options);
    options.salt = salt;
    pith_sequence *made = nullptr;
    detail::check(pith_sequence_new, session.get(), module ? module->get() : nullptr, &options, &made);
    pointer.reset(made);
  }

  size_t length() const { return pith_sequence_length(get()); }
  /// Conditions the empty sequence on rows of `width` floats, one after the other.
  void condition(const std::vector<float> &rows, size_t width) {
    detail::check(pith_sequence_condition, get(), rows.data(), width ? rows.size() / width : 0, width);
  }
  size_t conditionRows() const { return pith_sequence_condition_rows(get()); }
  std::vector<int32_t> tokens() const {
    std::vector<int32_t> list(length());
    list.resize(pith_sequence_tokens(get(), 0, list.data(), list.size()));
    return list;
  }
  Sequence fork(size_t at) const {
    pith_sequence *made = nullptr;
    detail::check(pith_sequence_fork, get(), at, size_t(1), &made);
    return Sequence(made);
  }
  Sequence fork() const { return fork(length()); }
  void truncate(size_t newLength) { detail::check(pith_sequence_truncate, get(), newLength); }
  void reserve(size_t tokenCount) { detail::check(pith_sequence_reserve, get(), tokenCount); }
  void catchUp(const std::vector<int32_t> &list) {
    detail::check(pith_sequence_catch_up, get(), list.data(), list.size());
  }
  /// Fills the empty sequence from the cached prefixes; how many of the tokens it has then.
  size_t match(const std::vector<int32_t> &list) {
    size_t hit = 0;
    detail::check(pith_sequence_match, get(), list.data(), list.size(), &hit);
    return hit;
  }
  void pin(uint32_t priority, uint64_t milliseconds) {
    detail::check(pith_sequence_pin, get(), priority, milliseconds);
  }
  /// Log-probabilities of tokens [from, to).
  std::vector<float> score(size_t from, size_t to) const {
    std::vector<float> values(to > from ? to - from : 0);
    detail::check(pith_sequence_score, get(), from, to, values.data());
    return values;
  }

private:
  explicit Sequence(pith_sequence *owned) : Handle(owned) {}
};

class Sampler : public detail::Handle<pith_sampler, pith_sampler_free> {
public:
  /// Greedy by default.
  explicit Sampler(const pith_sampler_options &options = PITH_INIT(pith_sampler_options)) {
    pith_sampler *made = nullptr;
    detail::check(pith_sampler_new, &options, &made);
    pointer.reset(made);
  }

  /// The token that follows `row`; penalties and masks see the sequence's tokens.
  int32_t draw(const Result &result, size_t row, const Sequence *history = nullptr, uint32_t branch = 0) {
    pith_draw wanted = PITH_INIT(pith_draw);
    wanted.row = uint32_t(row);
    wanted.sequence = history ? history->get() : nullptr;
    wanted.branch = branch;
    int32_t token = 0;
    detail::check(pith_sample, get(), result.get(), &wanted, size_t(1), &token);
    return token;
  }
};

/// Stop strings; the state belongs to one stream.
class Stops : public detail::Handle<pith_stops, pith_stops_free> {
public:
  explicit Stops(const std::vector<std::string> &strings) {
    std::vector<const char *> texts;
    std::vector<size_t> sizes;
    for (const std::string &string : strings) {
      texts.push_back(string.data());
      sizes.push_back(string.size());
    }
    pith_stops *made = nullptr;
    detail::check(pith_stops_new, texts.data(), sizes.data(), strings.size(), &made);
    pointer.reset(made);
  }

  bool feed(uint32_t &state, const std::string &piece, pith_stop_match *match = nullptr,
            size_t *held = nullptr) const {
    return pith_stops_feed(get(), &state, piece.data(), piece.size(), match, held);
  }
};

inline Result::Result(const Session &session) {
  pith_result *made = nullptr;
  detail::check(pith_result_new, session.get(), &made);
  pointer.reset(made);
}

inline void Session::step(const std::vector<Lane> &lanes, Result &result, const pith_step_options *options) {
  std::vector<pith_lane> list;
  list.reserve(lanes.size());
  std::vector<std::vector<const pith_tap *>> taps(lanes.size());
  for (const Lane &lane : lanes) {
    pith_lane value = PITH_INIT(pith_lane);
    value.sequence = lane.sequence.get();
    value.tokens = lane.embeddings ? nullptr : lane.tokens.data();
    value.embeddings = lane.embeddings;
    value.token_count = lane.embeddings ? lane.embeddingRows : lane.tokens.size();
    value.rows = lane.rows;
    value.flags = lane.flags;
    value.kv_mode = lane.kvMode;
    for (const Tap *tap : lane.taps)
      taps[list.size()].push_back(tap->get());
    value.taps = taps[list.size()].data();
    value.tap_count = taps[list.size()].size();
    list.push_back(value);
  }
  detail::check(pith_step, get(), static_cast<const pith_lane *>(list.data()), list.size(), options,
                result.get());
}

} // namespace pith
#endif // PITH_RUNTIME_HPP
