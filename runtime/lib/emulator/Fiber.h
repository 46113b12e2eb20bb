//===- Fiber.h - stacks that take turns on one thread -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A GPU thread changes places with its neighbours at every collective, so a switch has to cost nanoseconds:
// on x86-64 it saves the six registers that a call preserves and nothing else (no signal mask, no system
// call).
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_FIBER_H
#define PITH_RUNTIME_EMULATOR_FIBER_H

#include "../core/Status.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace pith::runtime::emulator {

/// Where an execution stands: on its own stack, or a thread's, while something else runs.
class Fiber {
public:
  using Body = void (*)(void *argument);

  /// Makes `body(argument)` what the next switch to this fiber starts, on the given stack. The body never
  /// returns: its last act is a switch.
  void start(uint8_t *stack, size_t bytes, Body body, void *argument);

  /// Goes on with `next`; returns when something switches to `current`.
  static void change(Fiber &current, Fiber &next);

private:
  // What the thread sanitizer has to hear: a fiber's new life, and every switch.
  void renew();
  static void announce(Fiber &current, Fiber &next);

#if defined(__x86_64__)
  void *stackPointer = nullptr;
#else
  ucontext_t context;
#endif
#if defined(__SANITIZE_THREAD__)
  struct Destroy {
    void operator()(void *fiber) const;
  };
  std::unique_ptr<void, Destroy> watched; // the sanitizer's own fiber
  uint32_t lives = 0;
  void *thread = nullptr; // or, where a thread's own stack was left, that thread
#endif
};

/// Stacks of equal size, each with an inaccessible page below it.
class StackPool {
public:
  StackPool() = default;
  StackPool(const StackPool &) = delete;
  StackPool &operator=(const StackPool &) = delete;
  ~StackPool();

  static constexpr size_t stackBytes = 64 * 1024;
  Status reserve(uint32_t count);
  uint8_t *stack(uint32_t i) const { return stacks[i]; }
  /// Whether an address lies on one of the stacks.
  bool contains(const void *address) const;

private:
  struct Piece {
    uint8_t *memory;
    size_t bytes;
  };
  std::vector<Piece> pieces;
  std::vector<uint8_t *> stacks;
};

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_FIBER_H
