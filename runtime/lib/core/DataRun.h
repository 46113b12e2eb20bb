//===- DataRun.h - what code asks for while it runs -------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Sizes that depend on data are known to generated code in the middle of its run. All threads of the team
// then make the same call; thread 0 does the work, the others take its answer behind a barrier. A call that
// fails ends the run on every thread: each goes back to where it entered the code, whose frames own nothing.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_DATARUN_H
#define PITH_RUNTIME_CORE_DATARUN_H

#include "Status.h"
#include "pith/executable.h"

#include <csetjmp>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace pith::runtime {

class DataRun {
public:
  /// The memory of an output whose dimensions the code has found.
  using GiveOutput = std::function<Status(uint32_t output, const int64_t *dims, void *&data)>;

  DataRun(uint32_t threads, GiveOutput giveOutput) : exits(threads), give(std::move(giveOutput)) {}
  /// Makes the calls of this run those of the context.
  void attach(pith_exec_context &context);
  /// One thread's part.
  void enter(const pith_exec_entry &code, const pith_exec_context &context, uint32_t thread);
  /// Why the run ended early, if it did.
  const Status &status() const { return outcome; }

private:
  struct Free {
    void operator()(void *memory) const { std::free(memory); }
  };
  struct alignas(64) Exit {
    jmp_buf place;
  };
  static void *allocate(const pith_exec_context *context, uint32_t thread, int64_t bytes);
  static void release(const pith_exec_context *context, uint32_t thread, void *memory);
  static void *giveOutput(const pith_exec_context *context, uint32_t thread, uint32_t output,
                          const int64_t *dims);
  static void fail(const pith_exec_context *context, uint32_t thread, const char *message);
  template <typename Work>
  void *together(const pith_exec_context *context, uint32_t thread, Work work);

  std::vector<Exit> exits;
  GiveOutput give;
  std::unordered_map<void *, std::unique_ptr<void, Free>> blocks;
  void *answer = nullptr; // of the call that is being made
  Status outcome;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_DATARUN_H
