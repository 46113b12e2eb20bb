//===- Emulator.cpp - a GPU on the host that checks what kernels do --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Emulator.h"
#include "../cpu/Team.h"
#include "Multiprocessor.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>
#include <utility>

namespace pith::runtime::emulator {

static_assert(offsetof(pith_emu_thread, block) == 28 && offsetof(pith_emu_thread, lane) == 64 &&
                  sizeof(pith_emu_thread) == 80,
              "generated code reads a thread's fields by their offsets");

Device::Device(std::shared_ptr<Team> team) : team(std::move(team)) {}
Device::~Device() = default;

Status Device::copyIn(void *to, const void *from, uint64_t bytes) {
  PITH_TRY(memory.check(to, bytes, "copies to the device"));
  std::memcpy(to, from, bytes);
  return {};
}

Status Device::copyOut(void *to, const void *from, uint64_t bytes) {
  PITH_TRY(memory.check(from, bytes, "copies from the device"));
  std::memcpy(to, from, bytes);
  return {};
}

Status Device::copy(void *to, const void *from, uint64_t bytes) {
  PITH_TRY(memory.check(from, bytes, "copies from the device"));
  return copyIn(to, from, bytes);
}

Status Device::fill(void *to, uint8_t value, uint64_t bytes) {
  PITH_TRY(memory.check(to, bytes, "fills"));
  std::memset(to, value, bytes);
  return {};
}

const pith_emu_kernel *Device::find(const pith_emu_module &module, const char *name) {
  for (uint32_t i = 0; module.version == PITH_EMULATED_VERSION && i < module.kernel_count; ++i)
    if (!std::strcmp(module.kernels[i].name, name))
      return &module.kernels[i];
  return nullptr;
}

Status Device::launch(const pith_emu_kernel &kernel, Extent grid, Extent block, uint32_t sharedBytes,
                      const void *const *arguments) {
  const std::string name = quoteName(kernel.name);
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
  if (threads < 1 || threads > maxThreads || block.x > maxThreads || block.y > maxThreads)
    return failure(PITH_ERROR_ARGUMENT,
                   "kernel %s: a block of %u x %u x %u threads, expected 1 to %u together", name.c_str(),
                   block.x, block.y, block.z, maxThreads);
  if (blocks < 1 || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535)
    return failure(PITH_ERROR_ARGUMENT,
                   "kernel %s: a grid of %u x %u x %u blocks, expected 1 to %u x 65535 x 65535", name.c_str(),
                   grid.x, grid.y, grid.z, unsigned(INT32_MAX));
  const uint32_t *known = kernel.block_size;
  if (known[0] && (known[0] != block.x || known[1] != block.y || known[2] != block.z))
    return failure(PITH_ERROR_ARGUMENT,
                   "kernel %s: a block of %u x %u x %u threads, compiled for %u x %u x %u", name.c_str(),
                   block.x, block.y, block.z, known[0], known[1], known[2]);
  if (kernel.warp_size != 32 && kernel.warp_size != 64)
    return failure(PITH_ERROR_FORMAT, "kernel %s: warps of %u threads, expected 32 or 64", name.c_str(),
                   kernel.warp_size);
  const uint64_t shared = uint64_t(kernel.static_bytes) + (sharedBytes ? sharedBytes : kernel.shared_bytes);
  const uint32_t limit = std::min(options.sharedLimit, Multiprocessor::windowBytes);
  if (shared > limit)
    return failure(PITH_ERROR_ARGUMENT, "kernel %s: %llu bytes of shared memory, expected at most %u",
                   name.c_str(), (unsigned long long)shared, limit);
  if (options.checkGlobalRaces)
    PITH_TRY(memory.clearRecords());
  else
    memory.dropRecords();

  Launch launch(kernel, grid, block, uint32_t(shared), arguments, options, memory);
  const size_t workers = std::min<uint64_t>(team ? team->threads() : 1, blocks);
  while (multiprocessors.size() < workers)
    multiprocessors.push_back(std::make_unique<Multiprocessor>());
  const auto run = [](Multiprocessor &multiprocessor, Launch &launch) {
    try {
      multiprocessor.work(launch);
    } catch (const std::bad_alloc &) {
      launch.fail(failure(PITH_ERROR_MEMORY, "no memory for the threads of a block"));
    }
  };
  if (workers == 1) {
    run(*multiprocessors[0], launch);
    return launch.status;
  }
  struct Task {
    Device *device;
    Launch *launch;
    size_t workers;
    void (*run)(Multiprocessor &, Launch &);
  } task{this, &launch, workers, run};
  const auto work = [](void *argument, uint32_t thread) {
    Task &task = *static_cast<Task *>(argument);
    if (thread < task.workers)
      task.run(*task.device->multiprocessors[thread], *task.launch);
  };
  if (!team->run(work, &task))
    return failure(PITH_ERROR_EXECUTION, "kernel %s: the executor refuses to run it", name.c_str());
  return launch.status;
}

} // namespace pith::runtime::emulator
