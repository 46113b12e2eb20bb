//===- Session.cpp - modules at work --------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"
#include "DataRun.h"
#include "DeviceSession.h"
#include "Step.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace pith::runtime {
namespace {

uint64_t nanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return uint64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

} // namespace

class Session::Call {
public:
  /// Clears the result now, and again unless the call succeeds.
  Call(Session &owner, Result *target) : session(owner), result(target), begin(nanoseconds()) {
    if (result)
      result->clear();
    session.state.store(Running, std::memory_order_relaxed);
  }
  ~Call() {
    session.state.store(Idle, std::memory_order_relaxed);
    session.stats.total_nanoseconds += nanoseconds() - begin;
    session.stats.failed += !succeeded;
    if (!succeeded && result)
      result->clear();
  }
  Status end(Status status) {
    succeeded = status.ok();
    if (!succeeded)
      session.explanation = status.message();
    return status;
  }

private:
  Session &session;
  Result *const result;
  const uint64_t begin;
  bool succeeded = false;
};

Session::Session(uint64_t pageLimit) : pool(pageLimit) {}
Session::~Session() = default;

Status Session::create(std::vector<std::shared_ptr<const Module>> modules,
                       const pith_session_options &options, std::shared_ptr<Session> &out) {
  if (options.flags & ~uint32_t(PITH_SESSION_DETERMINISTIC))
    return failure(PITH_ERROR_UNSUPPORTED, "session flags 0x%x are not known", options.flags);
  if (options.pool && options.executor)
    return failure(PITH_ERROR_ARGUMENT, "both a thread pool and an executor are given, expected at most one");
  for (size_t i = 0; i < modules.size(); ++i) {
    const char *reason = nullptr;
    if ((options.flags & PITH_SESSION_DETERMINISTIC) &&
        !modules[i]->supports(PITH_CAN_DETERMINISTIC, &reason))
      return failure(PITH_ERROR_UNSUPPORTED, "module %zu cannot be deterministic: %s", i, reason);
    for (size_t j = 0; j < i; ++j)
      if (modules[i] == modules[j])
        return failure(PITH_ERROR_ARGUMENT, "modules %zu and %zu are the same", j, i);
  }
  std::shared_ptr<Session> session(new Session(options.page_limit_bytes));
  if (options.pool) {
    session->team = options.pool->team;
  } else if (options.executor) {
    pith_executor executor;
    PITH_TRY(readStruct(options.executor, "executor", executor));
    PITH_TRY(Team::create(executor, options.spin_microseconds, session->team));
  } else {
    PITH_TRY(Team::create(options.threads, options.spin_microseconds, session->team));
  }
  PITH_TRY(
      DeviceSession::create(modules, options.device ? options.device : "", session->team, session->device));
  if (session->device)
    session->pool.useDevice(session->device->chip().memory(), session->device->queue(),
                            !session->device->chip().watchesBounds());
  session->stepRun = std::make_unique<StepRun>(*session);
  session->equip(session->scoreResult);
  for (const std::shared_ptr<const Module> &module : modules)
    session->pool.addKind(module->manifest().state.pageBytes, module->manifest().state.pageTokens);
  for (const std::shared_ptr<const Module> &module : modules)
    session->pool.addKind(module->manifest().state.conditionPageBytes, module->manifest().state.pageTokens);
  session->modules = std::move(modules);
  session->deterministic = options.flags & PITH_SESSION_DETERMINISTIC;
  out = std::move(session);
  return {};
}

Status Session::findModule(const Module *module, pith_entry_kind kind, size_t &index) const {
  const pith_capability capability = kind == PITH_ENTRY_STEP ? PITH_CAN_STEP : PITH_CAN_INVOKE;
  size_t found = modules.size(), count = 0;
  for (size_t i = 0; i < modules.size(); ++i)
    if (module ? modules[i].get() == module : modules[i]->supports(capability, nullptr)) {
      found = i;
      ++count;
    }
  if (!count && module)
    return failure(PITH_ERROR_ARGUMENT, "the module is not one of the session's");
  if (count > 1)
    return failure(PITH_ERROR_ARGUMENT, "module is null, but %zu of the session's modules could be meant",
                   count);
  const char *reason = "none of the session's modules can";
  if (!count || !modules[found]->supports(capability, &reason))
    return failure(PITH_ERROR_UNSUPPORTED, "%s", reason);
  index = found;
  return {};
}

std::string Session::deviceName() const {
  return device ? device->chip().name() + ": " + device->chip().description() : "cpu";
}

void Session::deviceMemory(uint64_t &free, uint64_t &total) const {
  if (!device || !device->chip().memoryFigures(free, total).ok())
    free = total = 0;
}

Buffer Session::makeBuffer() const { return device ? Buffer(device->chip().pinned()) : Buffer(); }

void Session::equip(Result &result) const {
  result.logits = makeBuffer();
  if (device)
    result.deviceLogits = Buffer(device->chip().memory());
}

Status Session::bring(Result &result, const uint32_t *rows, size_t count) {
  device::Stream *stream = nullptr;
  for (size_t i = 0; i < count; ++i) {
    const Result::Row &row = result.rows[rows[i]];
    if (row.here)
      continue;
    PITH_TRY(result.logits.reserve(result.floats * sizeof(float), "logits"));
    stream = &device->queue();
    PITH_TRY(stream->download(result.hostRow(row), result.deviceRow(row), row.vocab * sizeof(float)));
  }
  if (stream)
    PITH_TRY(stream->synchronize());
  for (size_t i = 0; i < count; ++i)
    result.rows[rows[i]].here = true;
  return {};
}

Status Session::readPage(const Page &page, uint64_t bytes, Buffer &copy, const uint8_t *&data) {
  data = page.memory.data();
  if (!device)
    return {};
  PITH_TRY(copy.reserve(bytes, "a copy of a page"));
  PITH_TRY(device->queue().download(copy.data(), data, bytes));
  data = copy.data();
  return device->queue().synchronize();
}

Status Session::pageToWrite(void *page, uint64_t bytes, Buffer &copy, void *&data) {
  data = page;
  if (!device)
    return {};
  PITH_TRY(copy.reserve(bytes, "a copy of a page"));
  data = copy.data();
  return {};
}

Status Session::writePage(void *page, uint64_t bytes, const void *data) {
  return device ? device->queue().upload(page, data, bytes) : Status();
}

Status Session::prepareCode(const pith_exec_entry &code, pith_exec_context &context, int64_t *outputDims,
                            DataRun *data) {
  context.struct_size = sizeof context;
  context.threads = team->threads();
  context.flags = deterministic ? uint32_t(PITH_EXEC_DETERMINISTIC) : 0;
  context.barrier = Team::barrier;
  context.team = team.get();
  int64_t bytes = 0;
  if (data) {
    data->attach(context);
    PITH_TRY(data->prepare(code, context, outputDims, bytes));
  } else {
    bytes = code.prepare(&context, outputDims);
  }
  if (bytes < 0)
    return failure(PITH_ERROR_EXECUTION,
                   "entry \"%s\": the inputs lead to a size that is negative or beyond any memory",
                   code.name);
  if (device)
    return device->reserveWorkspace(uint64_t(bytes), context.workspace);
  PITH_TRY(workspace.reserve(uint64_t(bytes), "workspace"));
  context.workspace = workspace.data();
  return {};
}

Status Session::runEntry(size_t module, size_t entry, pith_exec_context &context, EntryUse use) {
  const pith_exec_entry &code = modules[module]->code(entry);
  if (!device) {
    PITH_TRY(prepareCode(code, context, nullptr));
    return runCode(code, context);
  }
  context.struct_size = sizeof context;
  context.flags = deterministic ? uint32_t(PITH_EXEC_DETERMINISTIC) : 0;
  const uint64_t begin = nanoseconds();
  Status status = device->step(module, modules[module]->manifest().entries[entry], code, context,
                               use.logitsOnDevice, use.moreFollows);
  stats.code_nanoseconds += nanoseconds() - begin;
  stats.chunks += status.ok();
  return status;
}

Status Session::finish() {
  if (!device)
    return {};
  const uint64_t begin = nanoseconds();
  Status status = device->finish();
  stats.code_nanoseconds += nanoseconds() - begin;
  return status;
}

Status Session::runCode(const pith_exec_entry &code, const pith_exec_context &context, DataRun *data) {
  struct Job {
    const pith_exec_entry &code;
    const pith_exec_context &context;
    DataRun *data;
  } job = {code, context, data};
  const uint64_t begin = nanoseconds();
  const bool ran = device ? (data->enter(code, context, 0), true)
                          : team->run(
                                [](void *argument, uint32_t thread) {
                                  const Job &work = *static_cast<const Job *>(argument);
                                  if (work.data)
                                    work.data->enter(work.code, work.context, thread);
                                  else
                                    work.code.run(&work.context, thread);
                                },
                                &job);
  stats.code_nanoseconds += nanoseconds() - begin;
  if (!ran)
    return failure(PITH_ERROR_EXECUTION, "the application's executor refused to run");
  ++stats.chunks;
  return {};
}

Status Session::step(const StepRequest &stepRequest, Result *result) {
  Call call(*this, result);
  Status status = stepRun->run(stepRequest, result);
  stats.steps += status.ok();
  return call.end(std::move(status));
}

Status Session::score(Sequence &sequence, size_t module, size_t from, size_t to, float *logprobs) {
  if (from == to)
    return {};
  Sequence scratch(sequence, from - 1);
  StepRequest again;
  LaneRequest lane;
  lane.sequence = &scratch;
  lane.module = module;
  lane.tokens = sequence.tokens().data() + from - 1;
  lane.count = to - from + 1;
  lane.score = true;
  again.lanes.push_back(lane);
  PITH_TRY(step(again, &scoreResult));
  std::copy(scoreResult.scores.begin(), scoreResult.scores.end(), logprobs);
  return {};
}

Status Session::catchUp(Sequence &sequence, size_t module, const int32_t *tokens, size_t count) {
  const std::vector<int32_t> &old = sequence.tokens();
  size_t common = 0;
  while (common < count && common < old.size() && tokens[common] == old[common] && old[common] >= 0)
    ++common;
  if (common == count) {
    sequence.truncate(count);
    return {};
  }
  Sequence next(sequence, common);
  StepRequest rest;
  LaneRequest lane;
  lane.sequence = &next;
  lane.module = module;
  lane.tokens = tokens + common;
  lane.count = count - common;
  rest.lanes.push_back(lane);
  PITH_TRY(step(rest, nullptr));
  sequence.swap(next);
  return {};
}

Status Session::condition(Sequence &sequence, size_t module, const float *rows, size_t count) {
  Call call(*this, nullptr);
  Condition next(pool, conditionKind(module), sequence.condition.rowsOfPage());
  Status status = next.take(count);
  if (status.ok())
    status = runCondition(next, module, rows, count);
  if (status.ok())
    sequence.condition.swap(next);
  return call.end(std::move(status));
}

Status Session::runCondition(Condition &target, size_t index, const float *rows, size_t count) {
  const Module &module = *modules[index];
  const Entry &entry = *module.conditionEntry();
  const size_t width = size_t(entry.inputs[0].sizes[1]);
  for (size_t done = 0; done < count;) {
    if (cancelled())
      return failure(PITH_ERROR_CANCELLED, "cancelled after %zu of %zu rows of the condition", done, count);
    const size_t taken = std::min<size_t>(count - done, entry.maxRows);
    const float *chunk = rows + done * width;
    if (uintptr_t(chunk) % 64 && !device) {
      PITH_TRY(inputCopies.reserve(taken * width * sizeof(float), "rows of a condition"));
      std::memcpy(inputCopies.data(), chunk, taken * width * sizeof(float));
      chunk = reinterpret_cast<const float *>(inputCopies.data());
    }
    conditionPositions.resize(taken);
    for (size_t i = 0; i < taken; ++i)
      conditionPositions[i] = int32_t(done + i);
    const pith_exec_lane lane = {0, uint32_t(taken), uint32_t(done), uint32_t(target.pageCount()),
                                 target.pageTable()};
    pith_exec_context context{};
    context.weights = module.weights();
    context.rows = uint32_t(taken);
    context.lanes = 1;
    context.positions = conditionPositions.data();
    context.lane = &lane;
    context.condition_rows = chunk;
    PITH_TRY(runEntry(index, size_t(module.manifest().conditionEntry), context));
    stats.rows += taken;
    done += taken;
  }
  return {};
}

Status Session::invoke(size_t module, size_t entry, const std::vector<pith_tensor> &inputs, Result &result) {
  Call call(*this, &result);
  result.module = modules[module];
  Status status = runInvoke(module, entry, inputs, result);
  stats.invokes += status.ok();
  return call.end(std::move(status));
}

void Session::trim() {
  pool.trim();
  workspace.release();
  inputCopies.release();
  stepRun->release();
  if (device)
    device->trim();
}

uint64_t Session::workspaceBytes() const {
  return workspace.size() + inputCopies.size() + stepRun->bytes() + (device ? device->bytes() : 0);
}

void Session::cancel() noexcept {
  int expected = Running;
  state.compare_exchange_strong(expected, Cancelled, std::memory_order_relaxed);
}

} // namespace pith::runtime
