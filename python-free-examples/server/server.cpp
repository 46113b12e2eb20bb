// An HTTP server with OpenAI's protocol: /v1/completions, /v1/chat/completions, /v1/models, /health.
//
//   server MODEL.pith TOKENIZER.json [--host H] [--port P] [--threads N] [--cache-mb N] [--sequences N]
//          [--context N] [--step-rows N] [--connections N] [--name NAME] [--deterministic]
//
// A connection's thread reads and writes; one thread (scheduler.hpp) runs the model for all of them.
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "api.hpp"
#include "scheduler.hpp"

#include <csignal>
#include <cstdio>
#include <functional>
#include <httplib.h>
#include <map>
#include <pthread.h>

namespace {

struct Options {
  std::string model, tokenizer, host = "127.0.0.1", name;
  int port = 8080;
  size_t connections = 128, context = 4096;
  Limits limits;
};

void setError(httplib::Response &response, const ApiError &error) {
  response.status = error.status;
  response.set_content(error.body(), "application/json");
}

/// Passes pieces on as they come; false when the client is gone, which only looking at the connection tells while
/// nothing is written to it.
template <typename Use>
bool forEachPiece(Request &request, httplib::DataSink &sink, Use use) {
  for (;;) {
    Piece piece;
    switch (request.next(piece, std::chrono::milliseconds(100))) {
    case Request::State::Ended:
      return true;
    case Request::State::Waiting:
      break;
    case Request::State::Piece:
      if (!use(piece))
        return false;
    }
    if (!sink.is_writable())
      return false;
  }
}

bool sendStream(Request &request, Answer &answer, httplib::DataSink &sink) {
  const auto send = [&](const std::string &json) {
    const std::string event = "data: " + json + "\n\n";
    return sink.write(event.data(), event.size());
  };
  const bool all = forEachPiece(request, sink, [&](const Piece &piece) {
    return send(piece.finish == "error" ? answer.error(piece.text) : answer.event(piece));
  });
  if (!all)
    return false;
  if (const std::string usage = answer.usageEvent(); !usage.empty() && !send(usage))
    return false;
  return send("[DONE]");
}

bool sendWhole(Request &request, Answer &answer, httplib::DataSink &sink) {
  std::string failure;
  const bool all = forEachPiece(request, sink, [&](const Piece &piece) {
    if (piece.finish == "error")
      failure = piece.text;
    answer.add(piece);
    return true;
  });
  if (!all)
    return false;
  const std::string body = failure.empty() ? answer.whole() : answer.error(failure);
  return sink.write(body.data(), body.size());
}

void handle(Kind kind, const httplib::Request &http, httplib::Response &response, Scheduler &scheduler,
            const Served &served) try {
  const Call call(kind, http.body, served);
  const auto answer = std::make_shared<Answer>(call, served);
  const std::shared_ptr<Request> request = scheduler.submit(call.wish);
  const auto provide = [request, answer, stream = call.stream](size_t, httplib::DataSink &sink) {
    const bool sent = stream ? sendStream(*request, *answer, sink) : sendWhole(*request, *answer, sink);
    if (sent)
      sink.done();
    return sent;
  };
  response.set_chunked_content_provider(call.stream ? "text/event-stream" : "application/json", provide,
                                        [request](bool) { request->cancel(); });
} catch (const ApiError &error) {
  setError(response, error);
} catch (const Overloaded &) {
  setError(response, {503, "too many requests are waiting; try again later", ""});
}

std::string health(const Scheduler &scheduler) {
  const Counters counters = scheduler.counters();
  return Json{{"status", "ok"},
              {"requests", counters.requests},
              {"running", counters.running},
              {"waiting", counters.waiting},
              {"cancelled", counters.cancelled},
              {"preempted", counters.preempted},
              {"steps", counters.steps},
              {"tokens", counters.tokens},
              {"pages", counters.pages}}
      .dump();
}

void addRoutes(httplib::Server &server, Scheduler &scheduler, const Served &served) {
  server.Get("/health", [&](const httplib::Request &, httplib::Response &response) {
    response.set_content(health(scheduler), "application/json");
  });
  server.Get("/v1/models", [&](const httplib::Request &, httplib::Response &response) {
    const Json model = {{"id", served.model}, {"object", "model"}, {"owned_by", "pith"}, {"context", served.positions}};
    response.set_content(Json{{"object", "list"}, {"data", Json::array({model})}}.dump(), "application/json");
  });
  server.Post("/v1/completions", [&](const httplib::Request &http, httplib::Response &response) {
    handle(Kind::Completion, http, response, scheduler, served);
  });
  server.Post("/v1/chat/completions", [&](const httplib::Request &http, httplib::Response &response) {
    handle(Kind::Chat, http, response, scheduler, served);
  });
  server.set_error_handler([](const httplib::Request &http, httplib::Response &response) {
    if (response.body.empty())
      setError(response, {response.status, response.status == 404 ? "no such address: " + http.path : "the request cannot be served", ""});
  });
  server.set_exception_handler([](const httplib::Request &, httplib::Response &response, std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception &error) {
      setError(response, {500, error.what(), ""});
    } catch (...) {
      setError(response, {500, "an unknown failure", ""});
    }
  });
}

Options readOptions(int argc, char **argv) {
  Options options;
  uint64_t cacheMegabytes = 0;
  const auto whole = [](const std::string &text) { return std::stoull(text); };
  using Set = std::function<void(const std::string &)>;
  const std::map<std::string, Set> known = {
      {"--host", [&](const std::string &text) { options.host = text; }},
      {"--name", [&](const std::string &text) { options.name = text; }},
      {"--port", [&](const std::string &text) { options.port = int(whole(text)); }},
      {"--threads", [&](const std::string &text) { options.limits.threads = uint32_t(whole(text)); }},
      {"--cache-mb", [&](const std::string &text) { cacheMegabytes = whole(text); }},
      {"--sequences", [&](const std::string &text) { options.limits.sequences = whole(text); }},
      {"--step-rows", [&](const std::string &text) { options.limits.stepRows = whole(text); }},
      {"--context", [&](const std::string &text) { options.context = whole(text); }},
      {"--connections", [&](const std::string &text) { options.connections = whole(text); }},
  };
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto option = known.find(argument);
    if (option != known.end() && i + 1 < argc)
      option->second(argv[++i]);
    else if (argument == "--deterministic")
      options.limits.deterministic = true;
    else if (argument.compare(0, 2, "--") == 0)
      throw std::runtime_error("unknown option, or one without its value: " + argument);
    else
      files.push_back(argument);
  }
  if (files.size() != 2)
    throw std::runtime_error("usage: server MODEL.pith TOKENIZER.json [options]");
  options.model = files[0];
  options.tokenizer = files[1];
  options.limits.cacheBytes = cacheMegabytes << 20;
  return options;
}

/// Tokens that one text can have: as many as asked for, as the model knows and as the cache holds.
size_t positionsOf(const pith::Module &module, const Options &options) {
  const pith_step_info info = module.stepInfo();
  uint64_t positions = options.context;
  if (info.positions)
    positions = std::min(positions, info.positions);
  if (options.limits.cacheBytes)
    positions = std::min(positions, options.limits.cacheBytes / info.page_bytes * info.page_tokens);
  return positions;
}

} // namespace

int main(int argc, char **argv) try {
  const Options options = readOptions(argc, argv);
  const pith::Tokenizer tokenizer(options.tokenizer);
  const pith::Module module(options.model);
  std::string name = options.name.empty() ? module.metadata("name") : options.name;
  if (name.empty())
    name = options.model.substr(options.model.find_last_of('/') + 1);
  const Served served{name, tokenizer, ChatFormat(tokenizer), module.stepInfo().vocab,
                      positionsOf(module, options)};

  // Every thread inherits the mask; one waits for the signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Scheduler scheduler(module, tokenizer, options.limits);
  httplib::Server server;
  server.new_task_queue = [&] { return new httplib::ThreadPool(options.connections); };
  server.set_payload_max_length(size_t(16) << 20);
  server.set_tcp_nodelay(true);
  server.set_write_timeout(30); // a client that reads nothing for so long is gone
  // The library asks for a queue of 5 connections, which the system overflows when many clients come at once.
  int socket = -1;
  // The system would hold megabytes for a client that does not read; connections inherit what the socket has.
  server.set_socket_options([&](int opened) {
    const int yes = 1, bytes = 64 << 10;
    setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(opened, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    socket = opened;
  });
  addRoutes(server, scheduler, served);
  const int port = options.port ? options.port : server.bind_to_any_port(options.host);
  if (port < 0 || (options.port && !server.bind_to_port(options.host, options.port)))
    throw std::runtime_error("cannot listen on " + options.host + ":" + std::to_string(options.port));
  listen(socket, 1024);
  std::printf("listening on http://%s:%d\n", options.host.c_str(), port);
  std::fflush(stdout);

  std::thread([&server, &scheduler, signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    scheduler.stop();
    server.stop();
  }).detach();
  server.listen_after_bind();
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "server: %s\n", error.what());
  return 1;
}
