//===- Fiber.cpp - stacks that take turns on one thread --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Fiber.h"

#include <cerrno>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace pith::runtime::emulator {

/// A stack that was left for good keeps what an instrumented build marked on it.
static void clean(uint8_t *stack, size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack, bytes);
#endif
}

#if defined(__SANITIZE_THREAD__)
void Fiber::Destroy::operator()(void *fiber) const { __tsan_destroy_fiber(fiber); }
void Fiber::renew() {
  // Making one is slow; but a stack left for good leaves its calls on the sanitizer's, which is short.
  if (lives++ % 256 == 0)
    watched.reset(__tsan_create_fiber(0));
}
void Fiber::announce(Fiber &current, Fiber &next) {
  if (!current.watched)
    current.thread = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(next.watched ? next.watched.get() : next.thread, 0);
}
#else
void Fiber::renew() {}
void Fiber::announce(Fiber &, Fiber &) {}
#endif

#if defined(__x86_64__)

extern "C" void pithFiberSwitch(void **save, void *next);
extern "C" void pithFiberStart();

// The first switch to a fiber "returns" to pithFiberStart with the body in r13 and its argument in r12.
asm(R"(
  .text
  .p2align 4
  .hidden pithFiberSwitch
  .globl pithFiberSwitch
  .type pithFiberSwitch, @function
pithFiberSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size pithFiberSwitch, .-pithFiberSwitch
  .p2align 4
  .hidden pithFiberStart
  .globl pithFiberStart
  .type pithFiberStart, @function
pithFiberStart:
  movq %r12, %rdi
  call *%r13
  ud2
  .size pithFiberStart, .-pithFiberStart
)");

void Fiber::start(uint8_t *stack, size_t bytes, Body body, void *argument) {
  clean(stack, bytes);
  renew();
  void **top = reinterpret_cast<void **>(stack + bytes);
  // r15, r14, r13, r12, rbx, rbp, the address to return to; behind it the stack is aligned to 16.
  top -= 2;
  void **frame = top - 7;
  frame[0] = frame[1] = nullptr;
  frame[2] = reinterpret_cast<void *>(body);
  frame[3] = argument;
  frame[4] = frame[5] = nullptr;
  frame[6] = reinterpret_cast<void *>(pithFiberStart);
  stackPointer = frame;
}

void Fiber::change(Fiber &current, Fiber &next) {
  announce(current, next);
  pithFiberSwitch(&current.stackPointer, next.stackPointer);
}

#else

void Fiber::start(uint8_t *stack, size_t bytes, Body body, void *argument) {
  clean(stack, bytes);
  renew();
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = bytes;
  context.uc_link = nullptr;
  // makecontext passes ints: a pointer goes in two halves.
  const auto begin = +[](unsigned bodyHigh, unsigned bodyLow, unsigned high, unsigned low) {
    const auto join = [](unsigned h, unsigned l) { return uintptr_t(uint64_t(h) << 32 | l); };
    reinterpret_cast<Body>(join(bodyHigh, bodyLow))(reinterpret_cast<void *>(join(high, low)));
  };
  const uint64_t code = reinterpret_cast<uintptr_t>(body), data = reinterpret_cast<uintptr_t>(argument);
  makecontext(&context, reinterpret_cast<void (*)()>(begin), 4, unsigned(code >> 32), unsigned(code),
              unsigned(data >> 32), unsigned(data));
}

void Fiber::change(Fiber &current, Fiber &next) {
  announce(current, next);
  swapcontext(&current.context, &next.context);
}

#endif

Status StackPool::reserve(uint32_t count) {
  constexpr size_t page = 4096, stride = stackBytes + page;
  if (count <= stacks.size())
    return {};
  const size_t more = count - stacks.size();
  void *memory = mmap(nullptr, more * stride, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return failure(PITH_ERROR_MEMORY, "no memory for the stacks of %u threads: %s", count,
                   systemMessage(errno).c_str());
  uint8_t *base = static_cast<uint8_t *>(memory);
  pieces.push_back({base, more * stride});
  for (size_t i = 0; i < more; ++i) {
    // A process has a limited number of mappings; without the page an overflow is only found later.
    (void)mprotect(base + i * stride, page, PROT_NONE);
    stacks.push_back(base + i * stride + page);
  }
  return {};
}

bool StackPool::contains(const void *address) const {
  const uint8_t *byte = static_cast<const uint8_t *>(address);
  for (const Piece &piece : pieces)
    if (byte >= piece.memory && byte < piece.memory + piece.bytes)
      return true;
  return false;
}

StackPool::~StackPool() {
  for (const Piece &piece : pieces) {
    clean(piece.memory, piece.bytes);
    munmap(piece.memory, piece.bytes);
  }
}

} // namespace pith::runtime::emulator
