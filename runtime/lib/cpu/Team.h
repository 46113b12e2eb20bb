//===- Team.h - the threads that run generated code -------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Kernels are short and phases many, so threads wait by spinning: each announces itself in a cache
// line of its own and watches the others' lines, about 60 ns a barrier. When a wait outlasts the
// spinning time (an oversubscribed machine, an idle session), the thread sleeps on a futex.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CPU_TEAM_H
#define PITH_RUNTIME_CPU_TEAM_H

#include "../core/Status.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <vector>

namespace pith::runtime {

/// A counter in a cache line of its own that threads wait on.
class alignas(128) Signal {
public:
  uint32_t load() const { return value.load(std::memory_order_acquire); }
  void reset() { value.store(0, std::memory_order_relaxed); }
  void set(uint32_t next);
  /// Returns when the value is no longer `old`.
  uint32_t waitWhile(uint32_t old, uint32_t spinMicroseconds);

private:
  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};
};

/// CPUs that this process may use, at least 1.
uint32_t usableCpus();

class Team {
public:
  using Task = void (*)(void *argument, uint32_t thread);

  /// threads = 0: one per usable CPU.
  static Status create(uint32_t threads, uint32_t spinMicroseconds, std::shared_ptr<Team> &team);
  static Status create(const pith_executor &executor, uint32_t spinMicroseconds, std::shared_ptr<Team> &team);
  ~Team();

  uint32_t threads() const { return count; }

  /// Runs the task on every thread, the caller being thread 0; concurrent callers take turns. False when an
  /// application's executor refuses.
  bool run(Task task, void *argument);

  /// For pith_exec_context: `team` is the Team.
  static void barrier(void *team, uint32_t thread);

private:
  explicit Team(uint32_t threads, uint32_t spinMicroseconds);
  struct Worker {
    Team *team;
    uint32_t thread;
    pthread_t handle;
  };
  void work(uint32_t thread);
  static void enter(void *team, uint32_t thread);

  const uint32_t count;
  const uint32_t spin;
  pith_executor executor{};
  std::unique_ptr<Signal[]> arrived; // by thread: how many barriers it has reached in this run
  std::unique_ptr<Signal[]> done;    // by thread: the last run it has finished
  Signal started;                    // the run that workers are to join
  uint32_t runs = 0;
  bool stopping = false; // published by `started`
  Task task = nullptr;
  void *argument = nullptr;
  std::mutex turn;
  std::vector<Worker> workers;
};

} // namespace pith::runtime

struct pith_thread_pool {
  std::shared_ptr<pith::runtime::Team> team;
};

#endif // PITH_RUNTIME_CPU_TEAM_H
