//===- Team.cpp - the threads that run generated code ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Team.h"

#include <chrono>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pith::runtime {
namespace {

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

void futex(std::atomic<uint32_t> *word, int operation, uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(word), operation, value, nullptr, nullptr, 0);
}

/// Signals are the application's: threads that are made while this lives leave them all to its threads.
class BlockedSignals {
public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }

private:
  sigset_t before;
};

/// Generated code counts on the default floating-point environment (nearest, no traps, denormals kept),
/// whatever the application has set on its thread.
class FloatEnvironment {
#if defined(__x86_64__)
public:
  FloatEnvironment() : before(_mm_getcsr()) { _mm_setcsr(0x1f80); }
  ~FloatEnvironment() { _mm_setcsr(before); }

private:
  unsigned before;
#endif
};

} // namespace

void Signal::set(uint32_t next) {
  // Sequential consistency on both sides: either this sees the sleeper, or the sleeper sees the new value.
  value.store(next, std::memory_order_seq_cst);
  if (sleepers.load(std::memory_order_seq_cst))
    futex(&value, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

uint32_t Signal::waitWhile(uint32_t old, uint32_t spinMicroseconds) {
  uint32_t now = load();
  for (int i = 0; i < 64 && now == old; ++i) {
    pause();
    now = load();
  }
  if (now != old)
    return now;
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::microseconds(spinMicroseconds);
  do {
    for (int i = 0; i < 32 && now == old; ++i) {
      pause();
      now = load();
    }
    if (now != old)
      return now;
  } while (Clock::now() < end);
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while ((now = value.load(std::memory_order_seq_cst)) == old)
    futex(&value, FUTEX_WAIT_PRIVATE, old);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
  return now;
}

uint32_t usableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  const long online = sysconf(_SC_NPROCESSORS_ONLN); // more CPUs than a cpu_set_t holds
  return online > 0 ? uint32_t(online) : 1;
}

Team::Team(uint32_t threads, uint32_t spinMicroseconds)
    : count(threads), spin(spinMicroseconds ? spinMicroseconds : 50), arrived(new Signal[threads]),
      done(new Signal[threads]) {}

Status Team::create(uint32_t threads, uint32_t spinMicroseconds, std::shared_ptr<Team> &team) {
  const uint32_t count = threads ? threads : usableCpus();
  if (count > 4096)
    return failure(PITH_ERROR_ARGUMENT, "%u threads, expected at most 4096", count);
  std::shared_ptr<Team> made(new Team(count, spinMicroseconds));
  made->workers.reserve(count - 1);
  const BlockedSignals blocked;
  // Not std::thread: it throws when the system refuses, and terminates the process when it is destroyed too early.
  const auto start = [](void *argument) -> void * {
    const Worker &worker = *static_cast<const Worker *>(argument);
    worker.team->work(worker.thread);
    return nullptr;
  };
  for (uint32_t i = 1; i < count; ++i) {
    made->workers.push_back({made.get(), i, {}}); // within the reserved capacity: its address stays
    if (const int code = pthread_create(&made->workers.back().handle, nullptr, start, &made->workers.back())) {
      made->workers.pop_back();
      return failure(PITH_ERROR_MEMORY, "cannot start thread %u of %u: %s", i + 1, count,
                     systemMessage(code).c_str());
    }
  }
  team = std::move(made);
  return {};
}

Status Team::create(const pith_executor &executor, uint32_t spinMicroseconds, std::shared_ptr<Team> &team) {
  if (!executor.run)
    return failure(PITH_ERROR_ARGUMENT, "executor.run is null");
  if (executor.threads < 1 || executor.threads > 4096)
    return failure(PITH_ERROR_ARGUMENT, "executor.threads is %u, expected 1 to 4096", executor.threads);
  team.reset(new Team(executor.threads, spinMicroseconds));
  team->executor = executor;
  return {};
}

Team::~Team() {
  stopping = true;
  started.set(runs + 1);
  for (const Worker &worker : workers)
    pthread_join(worker.handle, nullptr);
}

void Team::work(uint32_t thread) {
  for (uint32_t last = 0;;) {
    last = started.waitWhile(last, spin);
    if (stopping)
      return;
    enter(this, thread);
    done[thread].set(last);
  }
}

void Team::enter(void *team, uint32_t thread) {
  Team &self = *static_cast<Team *>(team);
  FloatEnvironment environment;
  self.task(self.argument, thread);
}

bool Team::run(Task newTask, void *newArgument) {
  std::lock_guard<std::mutex> lock(turn);
  task = newTask;
  argument = newArgument;
  for (uint32_t i = 0; i < count; ++i)
    arrived[i].reset();
  if (executor.run)
    return executor.run(executor.context, count, enter, this) == 0;
  if (count == 1) {
    enter(this, 0);
    return true;
  }
  const uint32_t before = runs++;
  started.set(runs);
  enter(this, 0);
  for (uint32_t i = 1; i < count; ++i)
    done[i].waitWhile(before, spin);
  return true;
}

void Team::barrier(void *team, uint32_t thread) {
  Team &self = *static_cast<Team *>(team);
  if (self.count == 1)
    return;
  Signal &own = self.arrived[thread];
  const uint32_t epoch = own.load() + 1;
  own.set(epoch);
  // Nobody can be more than one barrier ahead, so any value but the one before is this barrier or the next.
  for (uint32_t i = 0; i < self.count; ++i)
    if (i != thread)
      self.arrived[i].waitWhile(epoch - 1, self.spin);
}

} // namespace pith::runtime
