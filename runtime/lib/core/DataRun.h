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

#include "Memory.h"
#include "Status.h"
#include "pith/executable.h"

#include <csetjmp>
#include <functional>
#include <new>
#include <unordered_set>
#include <vector>

namespace pith::runtime {

class DataRun {
public:
  /// The memory of an output whose dimensions the code has found.
  using GiveOutput = std::function<Status(uint32_t output, const int64_t *dims, void *&data)>;

  /// Tensors whose sizes depend on data come from the source; null: from the host's heap.
  DataRun(uint32_t threads, GiveOutput giveOutput, MemorySource *memory = nullptr)
      : exits(threads), give(std::move(giveOutput)), source(memory) {}
  DataRun(const DataRun &) = delete;
  DataRun &operator=(const DataRun &) = delete;
  virtual ~DataRun();
  /// Makes the calls of this run those of the context.
  virtual void attach(pith_exec_context &context);
  /// Asks the code for its workspace, which may need values of its inputs.
  Status prepare(const pith_exec_entry &code, const pith_exec_context &context, int64_t *outputDims,
                 int64_t &bytes);
  /// One thread's part.
  void enter(const pith_exec_entry &code, const pith_exec_context &context, uint32_t thread);
  /// Why the run ended early, if it did.
  const Status &status() const { return outcome; }

protected:
  /// Does the work on thread 0 and gives its answer to all; null ends the run, for the reason in `outcome`.
  template <typename Work>
  void *together(const pith_exec_context *context, uint32_t thread, Work work) {
    // Before: what is released may still be read, and the last answer too.
    context->barrier(context->team, thread);
    if (thread == 0) {
      try {
        answer = work();
      } catch (const std::bad_alloc &) {
        answer = nullptr;
        outcome = failure(PITH_ERROR_MEMORY, "no memory for a tensor whose size depends on data");
      }
    }
    context->barrier(context->team, thread);
    void *result = answer;
    if (!result) // nothing with a destructor lives here now
      longjmp(exits[thread].place, 1);
    return result;
  }
  Status outcome;

private:
  struct alignas(64) Exit {
    jmp_buf place;
  };
  Status takeBlock(int64_t bytes, void *&memory);
  void freeBlock(void *memory) noexcept;
  static void *allocate(const pith_exec_context *context, uint32_t thread, int64_t bytes);
  static void release(const pith_exec_context *context, uint32_t thread, void *memory);
  static void *giveOutput(const pith_exec_context *context, uint32_t thread, uint32_t output,
                          const int64_t *dims);
  static void fail(const pith_exec_context *context, uint32_t thread, const char *message);
  std::vector<Exit> exits;
  GiveOutput give;
  MemorySource *const source;
  std::unordered_set<void *> blocks;
  void *answer = nullptr; // of the call that is being made
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_DATARUN_H
