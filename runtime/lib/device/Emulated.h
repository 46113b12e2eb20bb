//===- Emulated.h - the emulator as a device --------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_DEVICE_EMULATED_H
#define PITH_RUNTIME_DEVICE_EMULATED_H

#include "Device.h"

namespace pith::runtime::device {

Status openEmulated(unsigned ordinal, std::shared_ptr<Device> &device);

} // namespace pith::runtime::device
#endif // PITH_RUNTIME_DEVICE_EMULATED_H
