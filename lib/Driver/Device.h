//===- Device.h - what --target names ---------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_DRIVER_DEVICE_H
#define PITH_LIB_DRIVER_DEVICE_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include <string>

namespace pith {

struct Device {
  std::string chips;     // "cuda:sm_80,sm_90a", as gpu::parseTarget takes it; empty: the CPU
  bool emulated = false; // host code that imitates the chip
  bool isGPU() const { return !chips.empty(); }
  /// As the manifest has it: "cpu", "cuda:sm_80,sm_90a", "emulator:sm_80".
  std::string name() const;
};

/// "cpu", "cuda:CHIPS", "hip:CHIPS", "emulator:CHIP" or "emulator".
llvm::Expected<Device> parseDevice(llvm::StringRef target);

/// The kernels of a module behind the phase `kernels`, for one chip: "ptx", "cubin", "nvvm", "rocdl", "isa" or "hsaco".
llvm::Expected<std::string> emitKernels(mlir::ModuleOp module, const Device &device, llvm::StringRef format);

} // namespace pith

#endif // PITH_LIB_DRIVER_DEVICE_H
