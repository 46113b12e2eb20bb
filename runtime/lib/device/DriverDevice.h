//===- DriverDevice.h - a GPU behind its driver -----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_DEVICE_DRIVERDEVICE_H
#define PITH_RUNTIME_DEVICE_DRIVERDEVICE_H

#include "Device.h"
#include "Driver.h"

#include <memory>
#include <string>
#include <vector>

namespace pith::runtime::device {

/// Of CUDA or HIP.
class DriverDevice final : public Device {
public:
  /// The caller has the lock on open devices. `from`: null but in tests.
  static Status open(Kind kind, unsigned ordinal, const Driver *from, std::shared_ptr<Device> &device);
  ~DriverDevice() override;

  std::string description() const override { return model + ", " + architecture; }
  MemorySource &memory() override { return onDevice; }
  MemorySource &pinned() override { return onHost; }
  Status memoryFigures(uint64_t &free, uint64_t &total) override;
  Status load(const pith_exec_table &table, std::unique_ptr<Kernels> &kernels) override;
  Status makeStream(const std::shared_ptr<Team> &team, std::unique_ptr<Stream> &stream) override;

  /// Makes the device the thread's current one for a while: the application may use others.
  class Current {
  public:
    explicit Current(const DriverDevice &device);
    ~Current();
    Current(const Current &) = delete;
    Current &operator=(const Current &) = delete;

  private:
    const DriverDevice &owner;
    int before = 0;
    bool entered = false;
  };

  const DriverFunctions &call() const { return driver.call; }
  /// An error in what was tried, unless the result is none.
  Status check(DriverResult result, const char *what) const {
    return result ? error(result, what) : Status();
  }
  Status error(DriverResult result, const std::string &what) const;

private:
  DriverDevice(const Driver &with, unsigned ordinal)
      : Device(with.kind, ordinal), driver(with), onDevice(*this), onHost(*this) {}

  class DeviceMemory final : public MemorySource {
  public:
    explicit DeviceMemory(DriverDevice &device) : owner(device) {}
    Status allocate(uint64_t bytes, const char *what, void *&memory) override;
    void release(void *memory) noexcept override;

  private:
    DriverDevice &owner;
  };
  class HostMemory final : public MemorySource {
  public:
    explicit HostMemory(DriverDevice &device) : owner(device) {}
    Status allocate(uint64_t bytes, const char *what, void *&memory) override;
    void release(void *memory) noexcept override;

  private:
    DriverDevice &owner;
  };

  const Driver &driver;
  int device = 0;
  Handle context = nullptr; // CUDA's
  std::string model, architecture;
  DeviceMemory onDevice;
  HostMemory onHost;
};

/// The functions of a loaded image, by number.
class DriverKernels final : public Kernels {
public:
  /// The device must outlive them.
  DriverKernels(const DriverDevice &on, const pith_exec_table &table, const pith_exec_image &image)
      : Kernels(table, image), owner(on) {}
  ~DriverKernels() override;
  Status load(const pith_exec_image &image);
  Handle function(uint32_t number) const { return functions[number]; }

private:
  Status loadModule(const pith_exec_image &image);
  const DriverDevice &owner;
  Handle module = nullptr;
  std::vector<Handle> functions;
};

/// "kernel "linear_7" (pith.linear)"
std::string describeKernel(const pith_exec_kernel &kernel);

} // namespace pith::runtime::device
#endif // PITH_RUNTIME_DEVICE_DRIVERDEVICE_H
