//===- DriverDevice.cpp - a GPU behind its driver -------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DriverDevice.h"
#include "DriverStream.h"
#include "Images.h"

#include <algorithm>
#include <utility>

namespace pith::runtime::device {

// ---- The thread's current device

DriverDevice::Current::Current(const DriverDevice &device) : owner(device) {
  const DriverFunctions &call = owner.call();
  if (owner.kind() == Kind::Cuda) {
    entered = !call.contextPush(owner.context);
  } else {
    entered = !call.hipGetDevice(&before) && before != owner.device && !call.hipSetDevice(owner.device);
  }
}

DriverDevice::Current::~Current() {
  Handle left = nullptr;
  if (!entered)
    return;
  if (owner.kind() == Kind::Cuda)
    (void)owner.call().contextPop(&left);
  else
    (void)owner.call().hipSetDevice(before);
}

// ---- Opening

Status DriverDevice::open(Kind kind, unsigned ordinal, const Driver *driver, std::shared_ptr<Device> &out) {
  if (!driver)
    PITH_TRY(Driver::open(kind, driver));
  std::shared_ptr<DriverDevice> made(new DriverDevice(*driver, ordinal));
  int count = 0;
  PITH_TRY(made->check(driver->call.deviceCount(&count), "counting the devices"));
  if (int64_t(ordinal) >= count)
    return failure(PITH_ERROR_DEVICE, "%s: no such device, the driver has %d", made->name().c_str(), count);
  PITH_TRY(made->check(driver->call.deviceGet(&made->device, int(ordinal)), "opening the device"));
  char name[256] = {};
  PITH_TRY(made->check(driver->call.deviceName(name, sizeof name - 1, made->device), "the device's name"));
  made->model = name;
  PITH_TRY(driver->chip(made->device, made->architecture));
  if (kind == Kind::Cuda)
    PITH_TRY(made->check(driver->call.contextRetain(&made->context, made->device), "opening the device"));
  out = std::move(made);
  return {};
}

DriverDevice::~DriverDevice() {
  if (context)
    (void)call().contextRelease(device);
}

Status DriverDevice::error(DriverResult result, const std::string &what) const {
  return failure(result == driverOutOfMemory ? PITH_ERROR_MEMORY : PITH_ERROR_DEVICE, "%s: %s: %s",
                 name().c_str(), what.c_str(), driver.words(result).c_str());
}

// ---- Memory

Status DriverDevice::memoryFigures(uint64_t &free, uint64_t &total) {
  const Current current(*this);
  size_t unused = 0, all = 0;
  PITH_TRY(check(call().memoryInfo(&unused, &all), "asking for the memory"));
  free = unused;
  total = all;
  return {};
}

Status DriverDevice::DeviceMemory::allocate(uint64_t bytes, const char *what, void *&memory) {
  const Current current(owner);
  void *made = nullptr;
  const DriverResult result = owner.call().allocate(&made, std::max<uint64_t>(bytes, 1));
  if (!result) {
    memory = made;
    return {};
  }
  size_t free = 0, total = 0;
  (void)owner.call().memoryInfo(&free, &total);
  return owner.error(result, "no memory for " + std::to_string(bytes) + " bytes of " + what + " (" +
                                 std::to_string(free) + " of " + std::to_string(total) + " are free)");
}

void DriverDevice::DeviceMemory::release(void *memory) noexcept {
  const Current current(owner);
  (void)owner.call().release(memory); // waits for those who use it
}

Status DriverDevice::HostMemory::allocate(uint64_t bytes, const char *what, void *&memory) {
  constexpr unsigned portable = 1; // for all contexts, both drivers' number
  const Current current(owner);
  void *made = nullptr;
  if (const DriverResult result = owner.call().allocateHost(&made, std::max<uint64_t>(bytes, 1), portable))
    return owner.error(result, "no pinned memory for " + std::to_string(bytes) + " bytes of " + what);
  memory = made;
  return {};
}

void DriverDevice::HostMemory::release(void *memory) noexcept {
  const Current current(owner);
  (void)owner.call().releaseHost(memory);
}

// ---- Kernels

std::string describeKernel(const pith_exec_kernel &kernel) {
  const bool hasOrigin = kernel.origin && *kernel.origin;
  return "kernel " + quoteName(kernel.name) + (hasOrigin ? " (" + std::string(kernel.origin) + ")" : "");
}

Status DriverDevice::load(const pith_exec_table &table, std::unique_ptr<Kernels> &kernels) {
  const pith_exec_image *image = nullptr;
  PITH_TRY(chooseImage(table, *this, architecture, image));
  auto loaded = std::make_unique<DriverKernels>(*this, table, *image);
  PITH_TRY(loaded->load(*image));
  kernels = std::move(loaded);
  return {};
}

/// Lets the driver load the image, or compile it; what its compiler says goes into the error.
Status DriverKernels::loadModule(const pith_exec_image &image) {
  constexpr int errorLog = 5, errorLogBytes = 6; // CU_JIT_ERROR_LOG_BUFFER…
  const std::string what = "loading the kernels for " + quoteName(image.target ? image.target : "?");
  const bool isText = image.format == PITH_EXEC_IMAGE_PTX;
  if (!isText)
    return owner.check(owner.call().moduleLoad(&module, image.data, 0, nullptr, nullptr), what.c_str());
  std::vector<char> log(8192);
  int options[] = {errorLog, errorLogBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size() - 1)};
  const DriverResult result = owner.call().moduleLoad(&module, image.data, 2, options, values);
  if (!result)
    return {};
  std::string text = log.data();
  std::replace(text.begin(), text.end(), '\n', ' ');
  const Status status = owner.error(result, what);
  return text.empty() ? status : Status(status.code(), status.message() + ": " + text);
}

Status DriverKernels::load(const pith_exec_image &image) {
  const DriverDevice::Current current(owner);
  PITH_TRY(loadModule(image));
  for (uint32_t i = 0; i < count(); ++i) {
    Handle function = nullptr;
    if (!has(i)) {
      functions.push_back(function);
      continue;
    }
    if (const DriverResult result = owner.call().moduleFunction(&function, module, kernel(i).name))
      return owner.error(result, "finding the " + describeKernel(kernel(i)));
    // More than every chip has is to be asked for.
    constexpr int dynamicSharedAttribute = 8;
    constexpr uint32_t plain = 16 * 1024;                     // leaves room for the kernel's own variables
    const auto setAttribute = owner.call().functionAttribute; // CUDA's
    const int shared = int(kernel(i).shared_bytes);
    if (setAttribute && kernel(i).shared_bytes > plain)
      if (const DriverResult result = setAttribute(function, dynamicSharedAttribute, shared))
        return owner.error(result, std::to_string(shared) + " bytes of shared memory for the " +
                                       describeKernel(kernel(i)));
    functions.push_back(function);
  }
  return {};
}

DriverKernels::~DriverKernels() {
  const DriverDevice::Current current(owner);
  if (module)
    (void)owner.call().moduleUnload(module);
}

Status DriverDevice::makeStream(const std::shared_ptr<Team> &, std::unique_ptr<Stream> &stream) {
  auto made = std::make_unique<DriverStream>(*this);
  PITH_TRY(made->open());
  stream = std::move(made);
  return {};
}

} // namespace pith::runtime::device
