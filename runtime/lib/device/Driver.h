//===- Driver.h - the drivers of GPUs, opened at run time -------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// CUDA's driver API and HIP have the same functions under other names, but for those that make a device the
// thread's current one, tell a chip's name and put errors into words. Nothing of either is needed to build.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_DEVICE_DRIVER_H
#define PITH_RUNTIME_DEVICE_DRIVER_H

#include "Device.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace pith::runtime::device {

/// The drivers' handles are pointers to what only they know; an address of the device is one too, or a number
/// that passes like one.
using Handle = void *;
using DriverResult = int; ///< 0: no error

/// In the order of the table in Driver.cpp.
struct DriverFunctions {
  DriverResult (*init)(unsigned flags);
  DriverResult (*deviceCount)(int *count);
  DriverResult (*deviceGet)(int *device, int ordinal);
  DriverResult (*deviceName)(char *name, int size, int device);
  DriverResult (*memoryInfo)(size_t *free, size_t *total);
  DriverResult (*allocate)(void **memory, size_t bytes);
  DriverResult (*release)(void *memory);
  DriverResult (*allocateHost)(void **memory, size_t bytes, unsigned flags);
  DriverResult (*releaseHost)(void *memory);
  DriverResult (*copyIn)(void *to, const void *from, size_t bytes, Handle stream);
  DriverResult (*copyOut)(void *to, const void *from, size_t bytes, Handle stream);
  DriverResult (*copy)(void *to, const void *from, size_t bytes, Handle stream);
  DriverResult (*fill)(void *to, unsigned char value, size_t bytes, Handle stream);
  DriverResult (*streamCreate)(Handle *stream, unsigned flags);
  DriverResult (*streamDestroy)(Handle stream);
  DriverResult (*streamSynchronize)(Handle stream);
  DriverResult (*eventCreate)(Handle *event, unsigned flags);
  DriverResult (*eventDestroy)(Handle event);
  DriverResult (*eventRecord)(Handle event, Handle stream);
  DriverResult (*eventSynchronize)(Handle event);
  DriverResult (*moduleLoad)(Handle *module, const void *image, unsigned count, int *options, void **values);
  DriverResult (*moduleUnload)(Handle module);
  DriverResult (*moduleFunction)(Handle *function, Handle module, const char *name);
  DriverResult (*launch)(Handle function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,
                         unsigned blockY, unsigned blockZ, unsigned sharedBytes, Handle stream,
                         void **arguments, void **extra);
  DriverResult (*beginCapture)(Handle stream, int mode);
  DriverResult (*endCapture)(Handle stream, Handle *graph);
  DriverResult (*graphInstantiate)(Handle *executable, Handle graph, unsigned long long flags);
  DriverResult (*graphDestroy)(Handle graph);
  DriverResult (*graphLaunch)(Handle executable, Handle stream);
  DriverResult (*executableDestroy)(Handle executable);
  // CUDA's
  DriverResult (*errorName)(DriverResult code, const char **name);
  DriverResult (*errorText)(DriverResult code, const char **text);
  DriverResult (*deviceAttribute)(int *value, int attribute, int device);
  DriverResult (*functionAttribute)(Handle function, int attribute, int value);
  DriverResult (*contextRetain)(Handle *context, int device);
  DriverResult (*contextRelease)(int device);
  DriverResult (*contextPush)(Handle context);
  DriverResult (*contextPop)(Handle *context);
  // HIP's
  const char *(*hipErrorName)(DriverResult code);
  const char *(*hipErrorText)(DriverResult code);
  DriverResult (*hipProperties)(void *properties, int device);
  DriverResult (*hipGetDevice)(int *device);
  DriverResult (*hipSetDevice)(int device);
};

/// A driver's library; it stays in the process.
class Driver {
public:
  /// Opens it, once; `name` is for tests: another library than the kind's own.
  static Status open(Kind kind, const Driver *&driver);
  static Status openLibrary(Kind kind, const char *name, Driver &driver);

  Kind kind = Kind::Cuda;
  DriverFunctions call{};

  /// "CUDA_ERROR_OUT_OF_MEMORY: out of memory"
  std::string words(DriverResult code) const;
  /// The chip's architecture, as images name it.
  Status chip(int device, std::string &name) const;
};

constexpr DriverResult driverOutOfMemory = 2; // both drivers'

} // namespace pith::runtime::device
#endif // PITH_RUNTIME_DEVICE_DRIVER_H
