//===- Images.h - which kernels a chip runs ---------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_DEVICE_IMAGES_H
#define PITH_RUNTIME_DEVICE_IMAGES_H

#include "../core/Status.h"
#include "pith/executable.h"

#include <string>

namespace pith::runtime::device {

class Device;

/// The image of the table that suits the device's chip best ("sm_90", "gfx942:sramecc+:xnack-"; of the
/// emulator nothing): machine code for exactly that chip; else the highest PTX that it can run. One of the
/// architecture's own features ("sm_90a") comes before one without.
Status chooseImage(const pith_exec_table &table, const Device &device, const std::string &chip,
                   const pith_exec_image *&image);

} // namespace pith::runtime::device
#endif // PITH_RUNTIME_DEVICE_IMAGES_H
