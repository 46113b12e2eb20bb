//===- EmulatedKernels.h - compiles GPU kernels and runs them on the emulator *- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===------------------------------------------------------------------------------------===//
//
//   EmulatedKernels kernels;
//   kernels.parse(text)                      // or fill kernels.module (it holds gpu.modules), split for one
//   vendor ASSERT_EQ(kernels.compile(), ""); auto x = kernels.buffer<float>(values), y =
//   kernels.buffer<float>(n); ASSERT_EQ(kernels.launch("add", {blocks}, {256}, {x, y, int32_t(n)}), "");
//   y.read() == …
//
//===------------------------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_EMULATOR_EMULATEDKERNELS_H
#define PITH_TEST_UNIT_EMULATOR_EMULATEDKERNELS_H

#include "emulator/Emulator.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace pith::test {

using runtime::emulator::Device;
using runtime::emulator::Extent;

/// Memory on the device with `count` elements.
template <typename T>
class DeviceBuffer {
public:
  DeviceBuffer(Device &device, size_t count) : device(&device), count(count) {
    void *memory = nullptr;
    if (device.allocate(count * sizeof(T), memory).ok())
      address = static_cast<T *>(memory);
  }
  DeviceBuffer(const DeviceBuffer &) = delete;
  DeviceBuffer(DeviceBuffer &&other) noexcept
      : device(other.device), address(other.address), count(other.count) {
    other.address = nullptr;
  }
  ~DeviceBuffer() {
    if (address)
      (void)device->release(address).ok();
  }
  void write(const std::vector<T> &values) {
    (void)device->copyIn(address, values.data(), std::min(count, values.size()) * sizeof(T)).ok();
  }
  std::vector<T> read() const {
    std::vector<T> values(count);
    (void)device->copyOut(values.data(), address, count * sizeof(T)).ok();
    return values;
  }
  T *data() const { return address; }
  size_t size() const { return count; }

private:
  Device *device;
  T *address = nullptr;
  size_t count;
};

/// A kernel's argument: a buffer, a pointer, or a number of exactly the kernel's type.
class KernelArgument {
public:
  template <typename T>
  KernelArgument(const DeviceBuffer<T> &buffer) : KernelArgument(static_cast<const void *>(buffer.data())) {}
  KernelArgument(const void *pointer) { set(pointer); }
  KernelArgument(int32_t value) { set(value); }
  KernelArgument(int64_t value) { set(value); }
  KernelArgument(float value) { set(value); }
  const void *data() const { return bytes; }

private:
  template <typename T>
  void set(T value) {
    std::memcpy(bytes, &value, sizeof value);
  }
  alignas(8) uint8_t bytes[8] = {};
};

class EmulatedKernels {
public:
  EmulatedKernels();
  ~EmulatedKernels();
  EmulatedKernels(const EmulatedKernels &) = delete;
  EmulatedKernels &operator=(const EmulatedKernels &) = delete;

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module; ///< the source: gpu.modules
  Device device;

  /// Empty, or what went wrong. Plain operations may be written without their module: "gpu.module @m {
  /// gpu.func … }".
  std::string parse(const std::string &text);
  std::string compile();
  /// `sharedBytes` 0: as many as the kernel's attribute says.
  std::string launch(const std::string &kernel, Extent grid, Extent block,
                     std::vector<KernelArgument> arguments, uint32_t sharedBytes = 0);

  template <typename T>
  DeviceBuffer<T> buffer(size_t count) {
    return DeviceBuffer<T>(device, count);
  }
  template <typename T>
  DeviceBuffer<T> buffer(const std::vector<T> &values) {
    DeviceBuffer<T> made(device, values.size());
    made.write(values);
    return made;
  }

private:
  void *library = nullptr;
  const pith_emu_module *table = nullptr;
};

} // namespace pith::test

#endif // PITH_TEST_UNIT_EMULATOR_EMULATEDKERNELS_H
