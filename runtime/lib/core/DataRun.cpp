//===- DataRun.cpp - what code asks for while it runs ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DataRun.h"

#include <cstdlib>

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

Status DataRun::prepare(const pith_exec_entry &code, const pith_exec_context &context, int64_t *outputDims,
                        int64_t &bytes) {
  if (setjmp(exits[0].place) == 0)
    bytes = code.prepare(&context, outputDims);
  return outcome;
}

DataRun::~DataRun() {
  for (void *memory : blocks)
    freeBlock(memory);
}

Status DataRun::takeBlock(int64_t bytes, void *&memory) {
  if (bytes < 0)
    return failure(PITH_ERROR_EXECUTION, "the data asks for a tensor of a negative size");
  if (source) {
    PITH_TRY(source->allocate(uint64_t(bytes), "a tensor whose size depends on data", memory));
  } else {
    constexpr uint64_t alignment = 64, most = UINT64_C(1) << 62;
    const uint64_t size = (uint64_t(bytes) + alignment) & ~(alignment - 1); // at least one line
    memory = size < most ? std::aligned_alloc(alignment, size) : nullptr;
    if (!memory)
      return failure(PITH_ERROR_MEMORY, "no memory for %lld bytes of a tensor whose size depends on data",
                     (long long)bytes);
  }
  try {
    blocks.insert(memory);
  } catch (...) {
    freeBlock(memory);
    throw;
  }
  return {};
}

void DataRun::freeBlock(void *memory) noexcept {
  if (source)
    source->release(memory);
  else
    std::free(memory);
}

void *DataRun::allocate(const pith_exec_context *context, uint32_t thread, int64_t bytes) {
  DataRun *run = static_cast<DataRun *>(context->run);
  return run->together(context, thread, [=]() -> void * {
    void *memory = nullptr;
    run->outcome = run->takeBlock(bytes, memory);
    return run->outcome.ok() ? memory : nullptr;
  });
}

void DataRun::release(const pith_exec_context *context, uint32_t thread, void *memory) {
  DataRun *run = static_cast<DataRun *>(context->run);
  run->together(context, thread, [=]() -> void * {
    if (run->blocks.erase(memory))
      run->freeBlock(memory);
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
