//===- KernelHarness.h - compiles kernels and runs them ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_CPU_KERNELHARNESS_H
#define PITH_TEST_UNIT_CPU_KERNELHARNESS_H

#include "pith/Codegen/CPU/Kernels.h"
#include "pith/executable.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace pith::test {

/// A team of threads as the runtime has one: `run` calls a function once per thread, the caller is thread 0.
/// Waiting spins for a while and then yields, so that tests with more threads than cores end soon.
class Team {
public:
  explicit Team(uint32_t threads);
  ~Team();
  Team(const Team &) = delete;
  Team &operator=(const Team &) = delete;

  pith_exec_context context = {};
  void run(const std::function<void(const pith_exec_context *, uint32_t)> &function);

private:
  static void barrier(void *team, uint32_t thread);
  void wait();
  const std::function<void(const pith_exec_context *, uint32_t)> *job = nullptr;
  std::atomic<uint32_t> arrived{0}, epoch{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
};

/// One module of kernels for one machine. Fill `module`, call `compile`, then `call` the kernels by name.
class KernelHarness {
public:
  explicit KernelHarness(cpu::Machine machine);
  ~KernelHarness();
  KernelHarness(const KernelHarness &) = delete;
  KernelHarness &operator=(const KernelHarness &) = delete;

  const cpu::Machine machine;
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;

  /// Empty, or what went wrong.
  std::string compile();
  /// The assembly of what `module` holds (before `compile`); for looking at a kernel.
  std::string assembly();
  void *symbol(const std::string &name) const;

  /// Runs a kernel on the whole team: kernel(context, thread, arguments...).
  template <typename... Arguments>
  void call(Team &team, const std::string &name, Arguments... arguments) {
    auto kernel = reinterpret_cast<void (*)(const pith_exec_context *, uint32_t, Arguments...)>(symbol(name));
    team.run(
        [&](const pith_exec_context *context, uint32_t thread) { kernel(context, thread, arguments...); });
  }

private:
  std::string lower();
  void *library = nullptr;
};

/// 64-byte aligned memory, zeroed.
template <typename T>
class Buffer {
public:
  explicit Buffer(size_t count) : count(count) {
    size_t bytes = (count * sizeof(T) + 64 + 63) / 64 * 64;
    memory.reset(static_cast<T *>(std::aligned_alloc(64, bytes)));
    std::fill_n(reinterpret_cast<uint8_t *>(memory.get()), bytes, uint8_t(0));
  }
  T *data() { return memory.get(); }
  const T *data() const { return memory.get(); }
  T &operator[](size_t i) { return memory.get()[i]; }
  const T &operator[](size_t i) const { return memory.get()[i]; }
  size_t size() const { return count; }
  T *begin() { return data(); }
  T *end() { return data() + count; }

private:
  struct Free {
    void operator()(T *p) const { std::free(p); }
  };
  size_t count;
  std::unique_ptr<T[], Free> memory;
};

} // namespace pith::test

#endif // PITH_TEST_UNIT_CPU_KERNELHARNESS_H
