//===- DeviceRun.h - what code for a device asks for while it runs ----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_DEVICERUN_H
#define PITH_RUNTIME_CORE_DEVICERUN_H

#include "../device/Device.h"
#include "DataRun.h"

#include <utility>

namespace pith::runtime {

/// One host thread that launches kernels. Memory and outputs are of the device.
class DeviceRun final : public DataRun {
public:
  DeviceRun(device::Stream &over, const device::Kernels &loaded, MemorySource &memory, GiveOutput giveOutput)
      : DataRun(1, std::move(giveOutput), &memory), stream(over), kernels(loaded), mayRead(true) {}
  /// Of a step: its launches may be recorded, so it may not ask for memory or values.
  DeviceRun(device::Stream &over, const device::Kernels &loaded);
  void attach(pith_exec_context &context) override;

private:
  static void launch(const pith_exec_context *context, uint32_t kernel, const uint32_t *grid,
                     void *const *arguments);
  static void read(const pith_exec_context *context, const void *data, void *to, uint64_t bytes);

  device::Stream &stream;
  const device::Kernels &kernels;
  const bool mayRead;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_DEVICERUN_H
