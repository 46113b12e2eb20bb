//===- LoadClient.cpp - many clients of the example server ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   load_client PORT CLIENTS SECONDS
//
// First asks every question alone, then CLIENTS connections ask them all the time: whole, streamed, streamed and read
// slowly, or broken off. Every whole answer must be the one that the question got alone, none may be lost, and in the
// end the server holds nothing.
//
//===----------------------------------------------------------------------===//
#include <atomic>
#include <cstdio>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <thread>

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

struct Question {
  std::string path;
  Json body;
  std::vector<std::string> expected; ///< one text per choice
};

enum class Manner { Whole, Streamed, Slow, BrokenOff, BrokenOffWhole };
constexpr Manner manners[] = {Manner::Whole, Manner::Streamed, Manner::Streamed, Manner::Slow, Manner::BrokenOff,
                              Manner::BrokenOffWhole};

std::atomic<unsigned> equal{0}, brokenOff{0}, failed{0};

void fail(const std::string &what) {
  if (++failed <= 10)
    std::fprintf(stderr, "%s\n", what.c_str());
}

std::string textOf(const Json &choice) {
  if (choice.contains("message"))
    return choice["message"]["content"];
  if (choice.contains("delta"))
    return choice["delta"].value("content", "");
  return choice["text"];
}

std::unique_ptr<httplib::Client> connect(int port) {
  auto client = std::make_unique<httplib::Client>("127.0.0.1", port);
  client->set_read_timeout(120);
  client->set_tcp_nodelay(true);
  return client;
}

/// The answer's texts; empty after a failure, which is reported.
std::vector<std::string> askWhole(httplib::Client &client, const Question &question) {
  const auto result = client.Post(question.path, question.body.dump(), "application/json");
  const Json json = result ? Json::parse(result->body, nullptr, false) : Json();
  if (!result || result->status != 200 || !json.is_object() || !json.contains("choices"))
    return fail("lost: " + (result ? result->body : httplib::to_string(result.error()))), std::vector<std::string>();
  std::vector<std::string> texts(json["choices"].size());
  for (const Json &choice : json["choices"])
    texts[choice["index"]] = textOf(choice);
  return texts;
}

std::vector<std::string> askStream(int port, const Question &question, bool slow) {
  Json body = question.body;
  body["stream"] = true;
  std::vector<std::string> texts(question.body.value("n", 1));
  std::string rest;
  size_t finished = 0;
  bool done = false;
  const auto read = [&](const char *data, size_t size) {
    // A small share of a stream at a time, with pauses: the server's queue and the socket's buffers fill.
    if (slow)
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    rest.append(data, size);
    for (size_t end; (end = rest.find("\n\n")) != std::string::npos; rest.erase(0, end + 2)) {
      const std::string event = rest.substr(6, end - 6);
      if (event == "[DONE]") {
        done = true;
        continue;
      }
      const Json json = Json::parse(event, nullptr, false);
      if (!json.is_object() || !json.contains("choices"))
        return fail("bad event: " + event), false;
      for (const Json &choice : json["choices"]) {
        texts[choice["index"]] += textOf(choice);
        finished += !choice["finish_reason"].is_null();
      }
    }
    return true;
  };
  httplib::Request request;
  request.method = "POST";
  request.path = question.path;
  request.body = body.dump();
  request.set_header("Content-Type", "application/json");
  request.content_receiver = [&](const char *data, size_t size, uint64_t, uint64_t) { return read(data, size); };
  auto client = connect(port);
  if (slow)
    client->set_socket_options([](socket_t socket) {
      const int bytes = 2048;
      setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    });
  const auto result = client->send(request);
  if (!result || result->status != 200 || !done || finished != texts.size())
    return fail("lost stream: " + (result ? std::to_string(result->status) : httplib::to_string(result.error()))),
           std::vector<std::string>();
  return texts;
}

/// Hangs up: after the first bytes, or while a whole answer is being written.
void breakOff(int port, const Question &question, bool stream, unsigned number) {
  Json body = question.body;
  body["stream"] = stream;
  body["max_tokens"] = 500;
  body["ignore_eos"] = true;
  body.erase("stop");
  auto client = connect(port);
  if (!stream)
    client->set_read_timeout(0, 1000 * (20 + number % 200));
  httplib::Request request;
  request.method = "POST";
  request.path = question.path;
  request.body = body.dump();
  request.set_header("Content-Type", "application/json");
  unsigned pieces = 0;
  request.content_receiver = [&](const char *, size_t, uint64_t, uint64_t) { return !stream || ++pieces < 2 + number % 5; };
  client->send(request);
  ++brokenOff;
}

void ask(int port, httplib::Client &client, const Question &question, Manner manner, unsigned number) {
  if (manner == Manner::BrokenOff || manner == Manner::BrokenOffWhole)
    return breakOff(port, question, manner == Manner::BrokenOff, number);
  const std::vector<std::string> texts =
      manner == Manner::Whole ? askWhole(client, question) : askStream(port, question, manner == Manner::Slow);
  if (texts.empty())
    return;
  if (texts != question.expected)
    return fail("differs: " + question.body.dump() + "\nfound    " + Json(texts).dump() + "\nexpected " +
                Json(question.expected).dump());
  ++equal;
}

std::vector<Question> makeQuestions(double temperature) {
  const char *beginnings[] = {"def main(", "import os\nimport ", "class Parser:\n    def ", "for i in range(",
                              "    return ", "# Copyright ", "try:\n    import json\nexcept ", "x = ["};
  std::vector<Question> questions;
  for (const char *beginning : beginnings) {
    const size_t i = questions.size();
    std::string prompt = beginning;
    if (i % 3 == 2) // several pieces of prompt, some of them long
      for (size_t line = 0; line < 12 * i; ++line)
        prompt = "value_" + std::to_string(line) + " = compute(" + std::to_string(line * 7) + ")\n" + prompt;
    Json body = {{"prompt", prompt}, {"max_tokens", 6 + 5 * i}, {"temperature", 0}, {"ignore_eos", true}};
    questions.push_back({"/v1/completions", body, {}});
  }
  questions[1].body["stop"] = {"(", "sys"};
  questions[3].body["n"] = 2;
  questions.push_back({"/v1/chat/completions",
                       {{"messages", Json::array({{{"role", "user"}, {"content", "print a list"}}})},
                        {"max_tokens", 16},
                        {"temperature", 0}},
                       {}});
  for (size_t i = 0; i < questions.size() && temperature > 0; i += 2) {
    questions[i].body["temperature"] = temperature;
    questions[i].body["seed"] = i;
    questions[i].body["frequency_penalty"] = 0.5;
  }
  return questions;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 4 && argc != 5)
    return std::fprintf(stderr, "usage: load_client PORT CLIENTS SECONDS [TEMPERATURE]\n"), 2;
  const int port = std::stoi(argv[1]), clients = std::stoi(argv[2]);
  const double seconds = std::stod(argv[3]), temperature = argc == 5 ? std::stod(argv[4]) : 0;
  std::vector<Question> questions = makeQuestions(temperature);
  const auto single = connect(port);
  for (Question &question : questions) {
    question.expected = askWhole(*single, question);
    if (question.expected.empty())
      return 1;
  }
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(int64_t(1000 * seconds));
  std::vector<std::thread> threads;
  for (int client = 0; client < clients; ++client)
    threads.emplace_back([&, client] {
      const auto connection = connect(port);
      // At least one round, however short the time.
      for (unsigned round = 0; round < 2 || Clock::now() < end; ++round) {
        const unsigned number = unsigned(client) * 31 + round * 17;
        ask(port, *connection, questions[number % questions.size()], manners[(number / 3) % std::size(manners)], number);
      }
    });
  for (std::thread &thread : threads)
    thread.join();

  // What was broken off is noticed between two steps.
  Json health;
  for (int i = 0; i < 100; ++i) {
    const auto result = single->Get("/health");
    health = result ? Json::parse(result->body, nullptr, false) : Json();
    if (health.is_object() && health["running"] == 0 && health["waiting"] == 0 && health["pages"] == 0)
      break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  std::printf("%u equal, %u broken off, %u failed\n%s\n", equal.load(), brokenOff.load(), failed.load(),
              health.dump().c_str());
  const bool empty = health.is_object() && health["running"] == 0 && health["waiting"] == 0 && health["pages"] == 0;
  return failed || !equal || !empty;
}
