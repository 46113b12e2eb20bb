//===- EmulatorTest.h - kernels in C++ for the emulator ---------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_RUNTIME_EMULATORTEST_H
#define PITH_TEST_UNIT_RUNTIME_EMULATORTEST_H

#include "emulator/Emulator.h"
#include "emulator/Numbers.h"

#include "gtest/gtest.h"

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pith::test {

using namespace pith::runtime::emulator;

/// What a kernel in C++ does: what generated code does, by hand. Sites are numbers that the caller gives;
/// lanes meet at equal ones.
struct Thread {
  pith_emu_thread *thread;
  uint32_t x() const { return thread->thread[0]; }
  uint32_t lane() const { return thread->lane; }
  uint8_t *shared(size_t offset = 0) const { return thread->shared + offset; }

  template <typename T>
  T load(const void *address, uint32_t site, uint32_t flags = 0) const {
    thread->calls->access(thread, address, sizeof(T), alignof(T) | flags, site);
    T value;
    std::memcpy(&value, address, sizeof(T));
    return value;
  }
  template <typename T>
  void store(void *address, T value, uint32_t site, uint32_t flags = 0) const {
    thread->calls->access(thread, address, sizeof(T), alignof(T) | PITH_EMU_WRITE | flags, site);
    std::memcpy(address, &value, sizeof(T));
  }
  void operate(uint64_t operation, uint64_t immediates, uint32_t *frame, uint32_t site) const {
    thread->calls->operate(thread, operation | immediates << 16, frame, site);
  }
  void barrier(uint32_t site) const { operate(PITH_EMU_BARRIER, 0, nullptr, site); }

  /// A frame of results and operands; pointers take two words. On the thread's stack: a thread that is found
  /// wrong never returns.
  struct Frame {
    uint32_t words[160] = {}, size = 0;
    Frame &reserve(uint32_t count) { return size += count, *this; }
    Frame &add(uint32_t word) { return words[size++] = word, *this; }
    Frame &add(const void *pointer) { return addPair(reinterpret_cast<uintptr_t>(pointer)); }
    Frame &addPair(uint64_t value) { return add(uint32_t(value)).add(uint32_t(value >> 32)); }
  };
  Frame operate(uint64_t operation, uint64_t immediates, Frame frame, uint32_t site) const {
    operate(operation, immediates, frame.words, site);
    return frame;
  }

  void copyAsync(size_t to, const void *from, uint32_t bytes, uint32_t used, uint32_t site) const {
    operate(PITH_EMU_COPY_ASYNC, 0, Frame().add(shared(to)).add(from).add(bytes).add(used), site);
  }
  void commit(uint32_t site) const { operate(PITH_EMU_COPY_COMMIT, 0, nullptr, site); }
  void wait(uint32_t left, uint32_t site) const { operate(PITH_EMU_COPY_WAIT, left, nullptr, site); }
  void mbarrierInit(size_t at, uint32_t count, uint32_t site) const {
    operate(PITH_EMU_MBARRIER_INIT, 0, Frame().add(shared(at)).add(count), site);
  }
  void mbarrierExpect(size_t at, uint32_t bytes, uint32_t site) const {
    operate(PITH_EMU_MBARRIER_ARRIVE, 1, Frame().addPair(0).add(shared(at)).add(bytes), site);
  }
  void mbarrierWait(size_t at, uint32_t parity, uint32_t site) const {
    operate(PITH_EMU_MBARRIER_WAIT_PARITY, 0, Frame().add(0u).add(shared(at)).add(parity), site);
  }
  uint32_t shuffleXor(uint32_t value, uint32_t offset, uint32_t mask, uint32_t site) const {
    return operate(PITH_EMU_SHUFFLE, 3,
                   Frame()
                       .addPair(0)
                       .add(0u)
                       .addPair(value)
                       .add(offset)
                       .add(31 | (thread->warp_size - 32) << 8)
                       .add(mask),
                   site)
        .words[0];
  }
};

using Body = std::function<void(const Thread &)>;

/// Runs a body once per thread; empty, or what the launch says.
struct Runner {
  explicit Runner(std::shared_ptr<runtime::Team> team = nullptr) : device(std::move(team)) {}
  Device device;
  uint32_t warpSize = 32;

  std::string run(Extent grid, Extent block, uint32_t sharedBytes, const Body &body) {
    static const std::vector<std::string> names = [] {
      std::vector<std::string> made;
      for (int i = 0; i < 64; ++i)
        made.push_back("site " + std::to_string(i));
      return made;
    }();
    std::vector<pith_emu_site> sites;
    for (const std::string &name : names)
      sites.push_back({name.c_str(), ""});
    const pith_emu_entry entry = [](pith_emu_thread *thread, const void *const *arguments) {
      (*static_cast<const Body *>(arguments[0]))(Thread{thread});
    };
    const pith_emu_kernel kernel = {
        "k", entry, sites.data(), uint32_t(sites.size()), 1, warpSize, 0, {0, 0, 0}, 0, 0};
    const void *arguments[] = {&body};
    return device.launch(kernel, grid, block, sharedBytes, arguments).message();
  }

  template <typename T>
  T *memory(const std::vector<T> &values) {
    void *address = nullptr;
    EXPECT_TRUE(device.allocate(values.size() * sizeof(T), address).ok());
    EXPECT_TRUE(device.copyIn(address, values.data(), values.size() * sizeof(T)).ok());
    return static_cast<T *>(address);
  }
};

inline testing::AssertionResult says(const std::string &text, const std::string &part) {
  if (text.find(part) != std::string::npos)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not say '" << part << "'";
}

} // namespace pith::test
#endif // PITH_TEST_UNIT_RUNTIME_EMULATORTEST_H
