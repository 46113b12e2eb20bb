//===- Driver.cpp - the drivers of GPUs, opened at run time ---------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Driver.h"

#include <cstring>
#include <dlfcn.h>
#include <memory>

namespace pith::runtime::device {
namespace {

/// Where a function's address goes, and what it is called; null: the driver has none.
constexpr struct {
  size_t offset;
  const char *cuda, *hip;
} symbols[] = {
#define PITH_FUNCTION(member, cuda, hip)                                                                     \
  { offsetof(DriverFunctions, member), cuda, hip }
    PITH_FUNCTION(init, "cuInit", "hipInit"),
    PITH_FUNCTION(deviceCount, "cuDeviceGetCount", "hipGetDeviceCount"),
    PITH_FUNCTION(deviceGet, "cuDeviceGet", "hipDeviceGet"),
    PITH_FUNCTION(deviceName, "cuDeviceGetName", "hipDeviceGetName"),
    PITH_FUNCTION(memoryInfo, "cuMemGetInfo_v2", "hipMemGetInfo"),
    PITH_FUNCTION(allocate, "cuMemAlloc_v2", "hipMalloc"),
    PITH_FUNCTION(release, "cuMemFree_v2", "hipFree"),
    PITH_FUNCTION(allocateHost, "cuMemHostAlloc", "hipHostMalloc"),
    PITH_FUNCTION(releaseHost, "cuMemFreeHost", "hipHostFree"),
    PITH_FUNCTION(copyIn, "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync"),
    PITH_FUNCTION(copyOut, "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync"),
    PITH_FUNCTION(copy, "cuMemcpyDtoDAsync_v2", "hipMemcpyDtoDAsync"),
    PITH_FUNCTION(fill, "cuMemsetD8Async", "hipMemsetD8Async"),
    PITH_FUNCTION(streamCreate, "cuStreamCreate", "hipStreamCreateWithFlags"),
    PITH_FUNCTION(streamDestroy, "cuStreamDestroy_v2", "hipStreamDestroy"),
    PITH_FUNCTION(streamSynchronize, "cuStreamSynchronize", "hipStreamSynchronize"),
    PITH_FUNCTION(eventCreate, "cuEventCreate", "hipEventCreateWithFlags"),
    PITH_FUNCTION(eventDestroy, "cuEventDestroy_v2", "hipEventDestroy"),
    PITH_FUNCTION(eventRecord, "cuEventRecord", "hipEventRecord"),
    PITH_FUNCTION(eventSynchronize, "cuEventSynchronize", "hipEventSynchronize"),
    PITH_FUNCTION(moduleLoad, "cuModuleLoadDataEx", "hipModuleLoadDataEx"),
    PITH_FUNCTION(moduleUnload, "cuModuleUnload", "hipModuleUnload"),
    PITH_FUNCTION(moduleFunction, "cuModuleGetFunction", "hipModuleGetFunction"),
    PITH_FUNCTION(launch, "cuLaunchKernel", "hipModuleLaunchKernel"),
    PITH_FUNCTION(beginCapture, "cuStreamBeginCapture_v2", "hipStreamBeginCapture"),
    PITH_FUNCTION(endCapture, "cuStreamEndCapture", "hipStreamEndCapture"),
    PITH_FUNCTION(graphInstantiate, "cuGraphInstantiateWithFlags", "hipGraphInstantiateWithFlags"),
    PITH_FUNCTION(graphDestroy, "cuGraphDestroy", "hipGraphDestroy"),
    PITH_FUNCTION(graphLaunch, "cuGraphLaunch", "hipGraphLaunch"),
    PITH_FUNCTION(executableDestroy, "cuGraphExecDestroy", "hipGraphExecDestroy"),
    PITH_FUNCTION(errorName, "cuGetErrorName", nullptr),
    PITH_FUNCTION(errorText, "cuGetErrorString", nullptr),
    PITH_FUNCTION(deviceAttribute, "cuDeviceGetAttribute", nullptr),
    PITH_FUNCTION(functionAttribute, "cuFuncSetAttribute", nullptr),
    PITH_FUNCTION(contextRetain, "cuDevicePrimaryCtxRetain", nullptr),
    PITH_FUNCTION(contextRelease, "cuDevicePrimaryCtxRelease_v2", nullptr),
    PITH_FUNCTION(contextPush, "cuCtxPushCurrent_v2", nullptr),
    PITH_FUNCTION(contextPop, "cuCtxPopCurrent_v2", nullptr),
    PITH_FUNCTION(hipErrorName, nullptr, "hipGetErrorName"),
    PITH_FUNCTION(hipErrorText, nullptr, "hipGetErrorString"),
    PITH_FUNCTION(hipProperties, nullptr, "hipGetDevicePropertiesR0600"),
    PITH_FUNCTION(hipGetDevice, nullptr, "hipGetDevice"),
    PITH_FUNCTION(hipSetDevice, nullptr, "hipSetDevice"),
#undef PITH_FUNCTION
};
static_assert(sizeof symbols / sizeof *symbols * sizeof(void *) == sizeof(DriverFunctions));

/// Never closed: a driver has threads of its own.
Driver *openDrivers[2] = {nullptr, nullptr};

} // namespace

Status Driver::openLibrary(Kind kind, const char *name, Driver &driver) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *text = dlerror();
    return failure(PITH_ERROR_DEVICE, "%s: no driver: %s", kindName(kind), text ? text : name);
  }
  driver.kind = kind;
  for (const auto &symbol : symbols) {
    const char *wanted = kind == Kind::Cuda ? symbol.cuda : symbol.hip;
    if (!wanted)
      continue;
    void *found = dlsym(library, wanted);
    if (!found && !std::strcmp(wanted, "hipGetDevicePropertiesR0600")) // before ROCm 6
      found = dlsym(library, "hipGetDeviceProperties");
    if (!found) {
      dlclose(library);
      return failure(PITH_ERROR_DEVICE, "%s: the driver in %s is too old: it has no %s", kindName(kind), name,
                     wanted);
    }
    std::memcpy(reinterpret_cast<char *>(&driver.call) + symbol.offset, &found, sizeof found);
  }
  const DriverResult result = driver.call.init(0);
  if (result)
    return failure(PITH_ERROR_DEVICE, "%s: the driver does not start: %s", kindName(kind),
                   driver.words(result).c_str());
  return {};
}

/// The caller has the lock on open devices.
Status Driver::open(Kind kind, const Driver *&driver) {
  Driver *&known = openDrivers[kind == Kind::Hip];
  if (!known) {
    auto made = std::make_unique<Driver>();
    PITH_TRY(openLibrary(kind, kind == Kind::Cuda ? "libcuda.so.1" : "libamdhip64.so", *made));
    known = made.release();
  }
  driver = known;
  return {};
}

std::string Driver::words(DriverResult code) const {
  const char *name = nullptr, *text = nullptr;
  if (kind == Kind::Cuda) {
    call.errorName(code, &name);
    call.errorText(code, &text);
  } else {
    name = call.hipErrorName(code);
    text = call.hipErrorText(code);
  }
  return name && text ? std::string(name) + ": " + text : "error " + std::to_string(code);
}

Status Driver::chip(int device, std::string &name) const {
  if (kind == Kind::Cuda) {
    constexpr int majorAttribute = 75, minorAttribute = 76;
    int major = 0, minor = 0;
    DriverResult result = call.deviceAttribute(&major, majorAttribute, device);
    if (!result)
      result = call.deviceAttribute(&minor, minorAttribute, device);
    if (result)
      return failure(PITH_ERROR_DEVICE, "cuda: the device does not tell its architecture: %s",
                     words(result).c_str());
    name = "sm_" + std::to_string(10 * major + minor);
    return {};
  }
  // A structure that begins with the device's name and has the architecture's further on, where exactly
  // depends on the version.
  constexpr size_t nameBytes = 256, bytes = 8192;
  const auto properties = std::make_unique<char[]>(bytes); // zero
  if (const DriverResult result = call.hipProperties(properties.get(), device))
    return failure(PITH_ERROR_DEVICE, "hip: the device does not tell its architecture: %s",
                   words(result).c_str());
  const std::string text(properties.get() + nameBytes, bytes - nameBytes);
  const size_t at = text.find(std::string("\0gfx", 4));
  if (at == std::string::npos)
    return failure(PITH_ERROR_DEVICE, "hip: the device does not tell its architecture");
  name = text.substr(at + 1).c_str();
  return {};
}

} // namespace pith::runtime::device
