// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "api.hpp"

#include <atomic>
#include <cmath>
#include <ctime>
#include <random>

namespace {

std::string dump(const Json &json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

[[noreturn]] void refuse(const std::string &parameter, const std::string &message) {
  throw ApiError{400, parameter + ": " + message, parameter};
}

/// The member `name`, null when it is absent or null.
const Json *member(const Json &json, const char *name) {
  const auto found = json.find(name);
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

double number(const Json &json, const char *name, double low, double high, double byDefault) {
  const Json *value = member(json, name);
  if (!value)
    return byDefault;
  if (!value->is_number())
    refuse(name, "is not a number");
  const double found = value->get<double>();
  if (!(found >= low && found <= high))
    refuse(name, "is " + dump(*value) + ", expected " + dump(low) + " to " + dump(high));
  return found;
}

size_t count(const Json &json, const char *name, size_t low, size_t high, size_t byDefault) {
  const Json *value = member(json, name);
  if (value && !value->is_number_integer())
    refuse(name, "is not a whole number");
  return size_t(number(json, name, double(low), double(high), double(byDefault)));
}

bool flag(const Json &json, const char *name) {
  const Json *value = member(json, name);
  if (value && !value->is_boolean())
    refuse(name, "is neither true nor false");
  return value && value->get<bool>();
}

std::vector<std::string> stopStrings(const Json &json) {
  std::vector<std::string> list;
  const Json *value = member(json, "stop");
  if (!value)
    return list;
  for (const Json &stop : value->is_array() ? *value : Json::array({*value})) {
    if (!stop.is_string() || stop.get<std::string>().empty())
      refuse("stop", "is not a text or a list of texts that are not empty");
    list.push_back(stop.get<std::string>());
  }
  if (list.size() > 16)
    refuse("stop", "has " + std::to_string(list.size()) + " texts, expected at most 16");
  return list;
}

void readBias(const Json &json, size_t vocab, Wish &wish) {
  const Json *value = member(json, "logit_bias");
  if (!value)
    return;
  if (!value->is_object())
    refuse("logit_bias", "is not an object");
  for (const auto &[key, bias] : value->items()) {
    const bool digits = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || size_t(std::stol(key)) >= vocab)
      refuse("logit_bias", "\"" + key + "\" is no token, expected 0 to " + std::to_string(vocab - 1));
    if (!bias.is_number() || std::fabs(bias.get<double>()) > 100)
      refuse("logit_bias", "the bias of token " + key + " is not a number from -100 to 100");
    wish.biasTokens.push_back(int32_t(std::stol(key)));
    wish.biasValues.push_back(bias.get<float>());
  }
}

std::vector<int32_t> readPrompt(const Json &json, const Served &served) {
  const Json *prompt = member(json, "prompt");
  if (!prompt)
    refuse("prompt", "is missing");
  if (prompt->is_array() && prompt->size() == 1 && (*prompt)[0].is_string())
    prompt = &(*prompt)[0];
  if (prompt->is_string())
    return served.tokenizer.encode(prompt->get<std::string>(), PITH_ENCODE_ADD_SPECIAL);
  if (!prompt->is_array())
    refuse("prompt", "is neither a text nor a list of tokens");
  std::vector<int32_t> tokens;
  for (const Json &token : *prompt) {
    if (token.is_string())
      refuse("prompt", "has several texts; this server takes one per request (requests are batched anyway)");
    if (!token.is_number_integer() || token.get<int64_t>() < 0 || token.get<int64_t>() >= int64_t(served.vocab))
      refuse("prompt", dump(token) + " is no token, expected 0 to " + std::to_string(served.vocab - 1));
    tokens.push_back(token.get<int32_t>());
  }
  return tokens;
}

std::vector<int32_t> readMessages(const Json &json, const Served &served) {
  const Json *messages = member(json, "messages");
  if (!messages || !messages->is_array() || messages->empty())
    refuse("messages", "is not a list of messages");
  std::vector<int32_t> tokens = served.format.begin();
  for (const Json &message : *messages) {
    const bool good = message.is_object() && member(message, "role") && member(message, "content") &&
                      message["role"].is_string() && message["content"].is_string();
    if (!good)
      refuse("messages", "a message has no role or no content that is a text");
    const std::string role = message["role"];
    if (role != "system" && role != "developer" && role != "user" && role != "assistant")
      refuse("messages", "unknown role \"" + role + "\", expected system, user or assistant");
    served.format.add(role, message["content"], tokens);
  }
  served.format.open("assistant", tokens);
  return tokens;
}

} // namespace

std::string ApiError::body() const {
  const Json error = {{"message", message},
                      {"type", status < 500 ? "invalid_request_error" : "server_error"},
                      {"param", parameter.empty() ? Json(nullptr) : Json(parameter)},
                      {"code", status}};
  return dump({{"error", error}});
}

Call::Call(Kind kind, const std::string &body, const Served &served) : kind(kind) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object())
    throw ApiError{400, "the body is not a JSON object", ""};
  try {
    wish.prompt = kind == Kind::Chat ? readMessages(json, served) : readPrompt(json, served);
  } catch (const pith::TokenizerError &error) {
    throw ApiError{400, error.what(), kind == Kind::Chat ? "messages" : "prompt"};
  }
  if (wish.prompt.empty()) {
    if (served.tokenizer.beginId() < 0)
      refuse("prompt", "is empty, and the model has no token to begin with");
    wish.prompt.push_back(served.tokenizer.beginId());
  }
  if (wish.prompt.size() >= served.positions)
    refuse(kind == Kind::Chat ? "messages" : "prompt",
           std::to_string(wish.prompt.size()) + " tokens leave no room, the context is " +
               std::to_string(served.positions));
  const size_t room = served.positions - wish.prompt.size();
  const char *limit = member(json, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  wish.maxTokens = std::min(count(json, limit, 1, 1 << 24, kind == Kind::Chat ? room : 16), room);
  wish.choices = count(json, "n", 1, 16, 1);
  wish.stops = stopStrings(json);
  if (kind == Kind::Chat)
    for (const std::string &stop : served.format.stops())
      wish.stops.push_back(stop);
  wish.temperature = float(number(json, "temperature", 0, 100, 1));
  wish.topP = float(number(json, "top_p", 0, 1, 1));
  wish.minP = float(number(json, "min_p", 0, 1, 0));
  wish.topK = uint32_t(count(json, "top_k", 0, served.vocab, 0));
  wish.frequencyPenalty = float(number(json, "frequency_penalty", -2, 2, 0));
  wish.presencePenalty = float(number(json, "presence_penalty", -2, 2, 0));
  wish.repetitionPenalty = float(number(json, "repetition_penalty", 0.01, 100, 1));
  wish.seed = member(json, "seed") ? count(json, "seed", 0, size_t(1) << 53, 0) : std::random_device()();
  wish.ignoreEnd = flag(json, "ignore_eos");
  readBias(json, served.vocab, wish);
  if (kind == Kind::Completion && member(json, "logprobs"))
    wish.topLogprobs = int(count(json, "logprobs", 0, 20, 0));
  if (kind == Kind::Chat && flag(json, "logprobs"))
    wish.topLogprobs = int(count(json, "top_logprobs", 0, 20, 0));
  stream = flag(json, "stream");
  if (const Json *options = member(json, "stream_options"); options && options->is_object())
    usage = flag(*options, "include_usage");
}

Answer::Answer(const Call &call, const Served &served)
    : kind(call.kind), wantsUsage(call.usage), wantsLogprobs(call.wish.topLogprobs >= 0), served(served),
      created(std::time(nullptr)), promptTokens(call.wish.prompt.size()), choices(call.wish.choices) {
  static std::atomic<uint64_t> number{0};
  id = (kind == Kind::Chat ? "chatcmpl-" : "cmpl-") + std::to_string(++number);
}

Json Answer::head(bool chunk) const {
  const char *object = kind == Kind::Completion ? "text_completion" : chunk ? "chat.completion.chunk" : "chat.completion";
  return {{"id", id}, {"object", object}, {"created", created}, {"model", served.model}, {"choices", Json::array()}};
}

Json Answer::usage() const {
  return {{"prompt_tokens", promptTokens}, {"completion_tokens", tokens}, {"total_tokens", promptTokens + tokens}};
}

Json Answer::tokenText(int32_t token) const {
  return served.tokenizer.decode({token}, PITH_DECODE_CONTINUE);
}

/// The two protocols' forms of the same numbers.
Json Answer::logprobs(const Piece &piece, Choice &choice) const {
  if (!wantsLogprobs)
    return nullptr;
  if (kind == Kind::Chat) {
    Json content = Json::array();
    const auto describe = [&](int32_t token, float logprob) -> Json {
      const std::string bytes = served.tokenizer.decode({token}, PITH_DECODE_CONTINUE | PITH_DECODE_BYTES);
      return {{"token", tokenText(token)},
              {"logprob", logprob},
              {"bytes", std::vector<unsigned char>(bytes.begin(), bytes.end())}};
    };
    for (const Chance &chance : piece.chances) {
      Json entry = describe(chance.token, chance.logprob);
      entry["top_logprobs"] = Json::array();
      for (const auto &[token, logprob] : chance.top)
        entry["top_logprobs"].push_back(describe(token, logprob));
      content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}};
  }
  Json list = {{"tokens", Json::array()},
               {"token_logprobs", Json::array()},
               {"top_logprobs", Json::array()},
               {"text_offset", Json::array()}};
  for (const Chance &chance : piece.chances) {
    const Json text = tokenText(chance.token);
    Json top = Json::object();
    for (const auto &[token, logprob] : chance.top)
      top[tokenText(token).get<std::string>()] = logprob;
    list["tokens"].push_back(text);
    list["token_logprobs"].push_back(chance.logprob);
    list["top_logprobs"].push_back(std::move(top));
    list["text_offset"].push_back(choice.offset);
    choice.offset += text.get_ref<const std::string &>().size();
  }
  return list;
}

std::string Answer::event(const Piece &piece) {
  Choice &choice = choices[piece.choice];
  tokens += piece.tokens;
  Json part = {{"index", piece.choice}};
  if (kind == Kind::Chat) {
    part["delta"] = Json::object();
    if (!std::exchange(choice.begun, true))
      part["delta"]["role"] = "assistant";
    part["delta"]["content"] = piece.text;
  } else {
    part["text"] = piece.text;
  }
  part["logprobs"] = logprobs(piece, choice);
  part["finish_reason"] = piece.finish.empty() ? Json(nullptr) : Json(piece.finish);
  Json json = head(true);
  json["choices"].push_back(std::move(part));
  return dump(json);
}

std::string Answer::usageEvent() const {
  if (!wantsUsage)
    return "";
  Json json = head(true);
  json["usage"] = usage();
  return dump(json);
}

void Answer::add(const Piece &piece) {
  Choice &choice = choices[piece.choice];
  tokens += piece.tokens;
  choice.text += piece.text;
  choice.finish = piece.finish;
  Json more = logprobs(piece, choice);
  if (choice.logprobs.is_null()) {
    choice.logprobs = std::move(more);
    return;
  }
  for (auto &[key, list] : more.items())
    for (Json &value : list)
      choice.logprobs[key].push_back(std::move(value));
}

std::string Answer::whole() const {
  Json json = head(false);
  for (size_t i = 0; i < choices.size(); ++i) {
    Json part = {{"index", i}};
    if (kind == Kind::Chat)
      part["message"] = {{"role", "assistant"}, {"content", choices[i].text}};
    else
      part["text"] = choices[i].text;
    part["logprobs"] = choices[i].logprobs;
    part["finish_reason"] = choices[i].finish;
    json["choices"].push_back(std::move(part));
  }
  json["usage"] = usage();
  return dump(json);
}
