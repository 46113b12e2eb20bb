//===- DeviceModule.h - a module on a device --------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_DEVICEMODULE_H
#define PITH_RUNTIME_CORE_DEVICEMODULE_H

#include "../device/Device.h"
#include "File.h"

#include <memory>
#include <utility>

namespace pith::runtime {

/// What sessions share of a module on a device. Not changed once `Module::place` has made it.
class DeviceModule {
public:
  explicit DeviceModule(std::shared_ptr<device::Device> on) : device(std::move(on)) {}
  const std::shared_ptr<device::Device> device; // outlives what follows
  Mapping weights;
  std::unique_ptr<device::Kernels> kernels;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_DEVICEMODULE_H
