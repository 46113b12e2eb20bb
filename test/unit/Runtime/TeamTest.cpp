//===- TeamTest.cpp - threads, barriers, executors ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "cpu/Team.h"
#include "TestFile.h"

#include <atomic>
#include <chrono>
#include <thread>

using namespace pith::test;
using pith::runtime::Team;

namespace {

struct Phases {
  Team *team;
  int rounds;
  std::vector<std::atomic<int>> *slots;
  std::atomic<int> wrong{0};
};

/// Every thread counts its own slot up and, behind the barrier, must find all slots equal.
void countPhases(void *argument, uint32_t thread) {
  Phases &phases = *static_cast<Phases *>(argument);
  for (int round = 1; round <= phases.rounds; ++round) {
    (*phases.slots)[thread].store(round, std::memory_order_relaxed);
    Team::barrier(phases.team, thread);
    for (const std::atomic<int> &slot : *phases.slots)
      phases.wrong += slot.load(std::memory_order_relaxed) != round;
    Team::barrier(phases.team, thread);
  }
}

void checkTeam(const std::shared_ptr<Team> &team, int rounds) {
  std::vector<std::atomic<int>> slots(team->threads());
  Phases phases{team.get(), rounds, &slots, {}};
  EXPECT_TRUE(team->run(countPhases, &phases));
  EXPECT_EQ(phases.wrong, 0);
}

class TeamTest : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Threads, TeamTest, ::testing::Values(1u, 2u, 3u, 4u, 9u));

TEST_P(TeamTest, BarrierHoldsEverybody) {
  std::shared_ptr<Team> team;
  ASSERT_TRUE(Team::create(GetParam(), 0, team).ok());
  for (int run = 0; run < 20; ++run)
    checkTeam(team, 50);
}

TEST_P(TeamTest, SleepersWakeUp) {
  std::shared_ptr<Team> team;
  ASSERT_TRUE(Team::create(GetParam(), 1, team).ok()); // sleeps almost at once
  for (int run = 0; run < 20; ++run) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    checkTeam(team, 20);
  }
}

TEST(TeamTest, UnequalBarriersDoNotPoisonTheNextRun) {
  std::shared_ptr<Team> team;
  ASSERT_TRUE(Team::create(2, 0, team).ok());
  team->run(
      [](void *, uint32_t) {
        // no barrier at all
      },
      nullptr);
  checkTeam(team, 10);
}

TEST(TeamTest, ManyCallers) {
  std::shared_ptr<Team> team;
  ASSERT_TRUE(Team::create(2, 0, team).ok());
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int run = 0; run < 20; ++run)
        checkTeam(team, 10);
    });
  for (std::thread &caller : callers)
    caller.join();
}

TEST(TeamTest, BarrierCost) {
  std::shared_ptr<Team> team;
  ASSERT_TRUE(Team::create(2, 0, team).ok());
  struct Job {
    Team *team;
    double nanoseconds;
  } job{team.get(), 0};
  team->run(
      [](void *argument, uint32_t thread) {
        Job &work = *static_cast<Job *>(argument);
        const auto begin = std::chrono::steady_clock::now();
        for (int i = 0; i < 20000; ++i)
          Team::barrier(work.team, thread);
        if (thread == 0)
          work.nanoseconds =
              std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
      },
      &job);
  std::printf("barrier of two threads: %.0f ns\n", job.nanoseconds / 20000);
}

/// An application's threads: new ones for every run.
struct OwnThreads {
  int runs = 0;
  bool refuse = false;
  static int run(void *context, uint32_t threads, void (*task)(void *, uint32_t), void *argument) {
    OwnThreads &self = *static_cast<OwnThreads *>(context);
    if (self.refuse)
      return 1;
    ++self.runs;
    std::vector<std::thread> list;
    for (uint32_t i = 0; i < threads; ++i)
      list.emplace_back(task, argument, i);
    for (std::thread &thread : list)
      thread.join();
    return 0;
  }
};

TEST(ExecutorTest, ReplacesTheThreads) {
  const ModulePtr module = loadFake();
  OwnThreads own;
  pith_executor executor = PITH_INIT(pith_executor);
  executor.threads = 3;
  executor.context = &own;
  executor.run = OwnThreads::run;
  pith_session_options options = PITH_INIT(pith_session_options);
  options.executor = &executor;
  pith_module *list[] = {module.get()};
  pith_session *made = nullptr;
  ASSERT_PITH_OK(pith_session_new(list, 1, &options, &made, &error));
  const SessionPtr session(made);
  EXPECT_EQ(statsOf(session).threads, 3u);
  const SequencePtr sequence = makeSequence(session);
  const ResultPtr result = makeResult(session);
  const std::vector<int32_t> tokens = someTokens(50);
  pith_lane lane = makeLane(sequence, tokens);
  ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
  EXPECT_EQ(rowLogits(result, 0), expectedLogits(tokens));
  EXPECT_EQ(own.runs, 3);
  own.refuse = true;
  EXPECT_PITH_ERROR(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error), PITH_ERROR_EXECUTION,
                    "executor refused");
  EXPECT_EQ(pith_sequence_length(sequence.get()), 50u);

  executor.threads = 0;
  EXPECT_PITH_ERROR(pith_session_new(list, 1, &options, &made, &error), PITH_ERROR_ARGUMENT,
                    "executor.threads is 0");
  executor.threads = 1;
  executor.run = nullptr;
  EXPECT_PITH_ERROR(pith_session_new(list, 1, &options, &made, &error), PITH_ERROR_ARGUMENT,
                    "executor.run is null");
  options.executor = nullptr;
  options.threads = 100000;
  EXPECT_PITH_ERROR(pith_session_new(list, 1, &options, &made, &error), PITH_ERROR_ARGUMENT,
                    "100000 threads");
  options.threads = 0;
  options.flags = PITH_SESSION_DETERMINISTIC;
  EXPECT_PITH_ERROR(pith_session_new(list, 1, &options, &made, &error), PITH_ERROR_UNSUPPORTED,
                    "does not promise");
}

} // namespace
