//===- DeviceRun.cpp - what code for a device asks for while it runs ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DeviceRun.h"

namespace pith::runtime {
namespace {

class NoMemory final : public MemorySource {
public:
  Status allocate(uint64_t bytes, const char *, void *&) override {
    return failure(PITH_ERROR_FORMAT, "the code of a step asks for %llu bytes", (unsigned long long)bytes);
  }
  void release(void *) noexcept override {}
};
NoMemory noMemory;

Status giveNothing(uint32_t output, const int64_t *, void *&) {
  return failure(PITH_ERROR_FORMAT, "the code of a step asks for output %u", output);
}

} // namespace

DeviceRun::DeviceRun(device::Stream &over, const device::Kernels &loaded)
    : DataRun(1, giveNothing, &noMemory), stream(over), kernels(loaded), mayRead(false) {}

void DeviceRun::attach(pith_exec_context &context) {
  DataRun::attach(context);
  context.threads = 1;
  context.barrier = [](void *, uint32_t) {};
  context.team = nullptr;
  context.flags |= kernels.features();
  context.launch = launch;
  context.read = read;
}

void DeviceRun::launch(const pith_exec_context *context, uint32_t kernel, const uint32_t *grid,
                       void *const *arguments) {
  DeviceRun *run = static_cast<DeviceRun *>(static_cast<DataRun *>(context->run));
  if (!grid[0] || !grid[1] || !grid[2])
    return;
  run->together(context, 0, [=]() -> void * {
    if (kernel >= run->kernels.count())
      run->outcome = failure(PITH_ERROR_FORMAT, "the code launches kernel %u, the module has %u", kernel,
                             run->kernels.count());
    else if (!run->kernels.has(kernel))
      run->outcome =
          failure(PITH_ERROR_FORMAT, "the code launches kernel %u, which the image in use has not", kernel);
    else
      run->outcome = run->stream.launch(run->kernels, kernel, grid, arguments);
    return run->outcome.ok() ? run : nullptr;
  });
}

void DeviceRun::read(const pith_exec_context *context, const void *data, void *to, uint64_t bytes) {
  DeviceRun *run = static_cast<DeviceRun *>(static_cast<DataRun *>(context->run));
  run->together(context, 0, [=]() -> void * {
    run->outcome = run->mayRead ? run->stream.download(to, data, bytes)
                                : failure(PITH_ERROR_FORMAT, "the code of a step reads the device's memory");
    if (run->outcome.ok())
      run->outcome = run->stream.synchronize();
    return run->outcome.ok() ? run : nullptr;
  });
}

} // namespace pith::runtime
