//===- Emulator.h - a GPU on the host that checks what kernels do -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Runs kernels that were compiled for the host (pith/emulated.h). Blocks are dealt out to the team's threads;
// the threads of a block are fibers on one of them. An error in a kernel (an access out of bounds, a race on
// shared memory, a divergent barrier, …) ends the launch with a message that names kernel, block, thread and
// operation.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_EMULATOR_H
#define PITH_RUNTIME_EMULATOR_EMULATOR_H

#include "../core/Status.h"
#include "GlobalMemory.h"
#include "pith/emulated.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace pith::runtime {
class Team;
}

namespace pith::runtime::emulator {

class Multiprocessor;

struct Extent {
  uint32_t x = 1, y = 1, z = 1;
};

/// What a launch may change. Results must not depend on the seed.
struct Options {
  uint64_t seed = 0;                 ///< order of blocks, warps and lanes; 0: ascending
  bool checkGlobalRaces = false;     ///< of different blocks in one launch, on global memory
  uint32_t sharedLimit = 227 * 1024; ///< bytes of shared memory that a block may have
};

class Device {
public:
  /// Without a team, blocks run on the caller's thread.
  explicit Device(std::shared_ptr<Team> team = nullptr);
  ~Device();

  Options options;

  /// Memory of the device. What it holds is arbitrary; it is aligned to 4096 bytes.
  Status allocate(uint64_t bytes, void *&address) { return memory.allocate(bytes, address); }
  Status release(void *address) { return memory.release(address); }
  Status copyIn(void *to, const void *from, uint64_t bytes);
  Status copyOut(void *to, const void *from, uint64_t bytes);
  Status copy(void *to, const void *from, uint64_t bytes);
  Status fill(void *to, uint8_t value, uint64_t bytes);

  /// From here on blocks run on these threads; null: on the caller's.
  void use(std::shared_ptr<Team> workers) { team = std::move(workers); }

  /// Runs a kernel to its end: one pointer per argument, as in CUDA. `sharedBytes` of dynamic shared memory;
  /// 0: as many as the kernel says that it needs.
  Status launch(const pith_emu_kernel &kernel, Extent grid, Extent block, uint32_t sharedBytes,
                const void *const *arguments);
  /// Launches and copies are over when they return.
  Status synchronise() { return {}; }

  /// The kernel of that name, or null.
  static const pith_emu_kernel *find(const pith_emu_module &module, const char *name);

private:
  GlobalMemory memory;
  std::shared_ptr<Team> team;
  std::vector<std::unique_ptr<Multiprocessor>> multiprocessors;
};

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_EMULATOR_H
