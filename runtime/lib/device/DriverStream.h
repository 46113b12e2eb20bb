//===- DriverStream.h - work for a GPU, in order ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_DEVICE_DRIVERSTREAM_H
#define PITH_RUNTIME_DEVICE_DRIVERSTREAM_H

#include "../core/Buffer.h"
#include "DriverDevice.h"

#include <memory>
#include <string>

namespace pith::runtime::device {

/// The kernels that run between two waits; one of them is to blame for what the wait says.
struct KernelSpan {
  const pith_exec_kernel *first = nullptr, *last = nullptr;
  void add(const pith_exec_kernel &kernel) {
    first = first ? first : &kernel;
    last = &kernel;
  }
  std::string describe() const;
};

class DriverStream final : public Stream {
public:
  explicit DriverStream(DriverDevice &device);
  ~DriverStream() override;
  Status open();

  Status upload(void *to, const void *from, uint64_t bytes) override;
  Status send(void *to, const void *pinned, uint64_t bytes) override;
  Status download(void *to, const void *from, uint64_t bytes) override;
  Status copy(void *to, const void *from, uint64_t bytes) override;
  Status fill(void *to, uint8_t value, uint64_t bytes) override;
  Status launch(const Kernels &kernels, uint32_t number, const uint32_t *grid,
                void *const *arguments) override;
  Status synchronize() override;
  Status mark(unsigned number) override;
  Status await(unsigned number) override;
  Status beginRecording() override;
  Status endRecording(std::unique_ptr<Recording> &recording) override;
  Status replay(Recording &recording) override;
  void trim() noexcept override;

private:
  /// Pinned memory that a copy reads until the event.
  struct Staging {
    explicit Staging(MemorySource &source) : memory(source) {}
    Buffer memory;
    Handle event = nullptr;
    bool busy = false;
  };
  Status wait(Staging &staging);

  DriverDevice &owner;
  const DriverFunctions &call;
  Handle stream = nullptr;
  Staging staging[2];
  unsigned next = 0; // staging buffer
  struct Mark {
    Handle event = nullptr;
    bool set = false;
  };
  Mark marks[2];
  bool recording = false;
  KernelSpan running, recorded;
};

} // namespace pith::runtime::device
#endif // PITH_RUNTIME_DEVICE_DRIVERSTREAM_H
