//===- DataRun.cpp - what code asks for while it runs ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DataRun.h"

#include <cstdlib>
#include <new>

namespace pith::runtime {

void DataRun::attach(pith_exec_context &context) {
  context.allocate = allocate;
  context.release = release;
  context.give_output = giveOutput;
  context.fail = fail;
  context.run = this;
}

void DataRun::enter(const pith_exec_entry &code, const pith_exec_context &context, uint32_t thread) {
  if (setjmp(exits[thread].place) == 0)
    code.run(&context, thread);
}

/// The answer of thread 0 to all; null ends the run. Nothing with a destructor lives here when it does.
template <typename Work>
void *DataRun::together(const pith_exec_context *context, uint32_t thread, Work work) {
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
  if (!result)
    longjmp(exits[thread].place, 1);
  return result;
}

void *DataRun::allocate(const pith_exec_context *context, uint32_t thread, int64_t bytes) {
  DataRun *run = static_cast<DataRun *>(context->run);
  return run->together(context, thread, [=]() -> void * {
    if (bytes < 0) {
      run->outcome = failure(PITH_ERROR_EXECUTION, "the data asks for a tensor of a negative size");
      return nullptr;
    }
    constexpr uint64_t alignment = 64, most = UINT64_C(1) << 62;
    const uint64_t size = (uint64_t(bytes) + alignment) & ~(alignment - 1); // at least one line
    std::unique_ptr<void, Free> block(size < most ? std::aligned_alloc(alignment, size) : nullptr);
    if (!block) {
      run->outcome = failure(PITH_ERROR_MEMORY, "no memory for %lld bytes of a tensor whose size depends on data",
                             (long long)bytes);
      return nullptr;
    }
    void *memory = block.get();
    run->blocks.emplace(memory, std::move(block));
    return memory;
  });
}

void DataRun::release(const pith_exec_context *context, uint32_t thread, void *memory) {
  DataRun *run = static_cast<DataRun *>(context->run);
  run->together(context, thread, [=]() -> void * {
    run->blocks.erase(memory);
    return run;
  });
}

void *DataRun::giveOutput(const pith_exec_context *context, uint32_t thread, uint32_t output,
                          const int64_t *dims) {
  DataRun *run = static_cast<DataRun *>(context->run);
  return run->together(context, thread, [=]() -> void * {
    void *data = nullptr;
    run->outcome = run->give(output, dims, data);
    // An output without elements has no memory, but an answer.
    return !run->outcome.ok() ? nullptr : data ? data : run;
  });
}

void DataRun::fail(const pith_exec_context *context, uint32_t thread, const char *message) {
  DataRun *run = static_cast<DataRun *>(context->run);
  run->together(context, thread, [=]() -> void * {
    run->outcome = failure(PITH_ERROR_EXECUTION, "%s", message);
    return nullptr;
  });
}

} // namespace pith::runtime
