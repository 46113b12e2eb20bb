//===- FakeDriver.cpp - a driver without a GPU ----------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeMachine.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// One source for both: FAKE_HIP says which.
#ifdef FAKE_HIP
#define NAME(cuda, hip) hip
#else
#define NAME(cuda, hip) cuda
#endif
#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
#define PUBLIC extern "C" __attribute__((visibility("default")))

using namespace pith::test;

extern "C" {
__attribute__((visibility("default"))) FakeDriver fake_driver = {};
}

// A driver's allocations are not those that tests count.
void *operator new(size_t size) {
  if (void *memory = std::malloc(size ? size : 1))
    return memory;
  throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }

namespace {

constexpr struct {
  int code;
  const char *cuda, *hip, *text;
} errors[] = {
    {Invalid, "CUDA_ERROR_INVALID_VALUE", "hipErrorInvalidValue", "invalid argument"},
    {OutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "hipErrorOutOfMemory", "out of memory"},
    {NoDevice, "CUDA_ERROR_NO_DEVICE", "hipErrorNoDevice", "no device is detected"},
    {BadDevice, "CUDA_ERROR_INVALID_DEVICE", "hipErrorInvalidDevice", "invalid device ordinal"},
    {BadContext, "CUDA_ERROR_INVALID_CONTEXT", "hipErrorInvalidContext", "invalid device context"},
    {NoBinary, "CUDA_ERROR_NO_BINARY_FOR_GPU", "hipErrorNoBinaryForGpu", "no kernel image"},
    {BadText, "CUDA_ERROR_INVALID_PTX", "hipErrorInvalidKernelFile", "a PTX JIT compilation failed"},
    {BadHandle, "CUDA_ERROR_INVALID_HANDLE", "hipErrorInvalidHandle", "invalid resource handle"},
    {NotFound, "CUDA_ERROR_NOT_FOUND", "hipErrorNotFound", "named symbol not found"},
    {BadAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "hipErrorIllegalAddress", "an illegal memory access"},
    {LaunchFailed, "CUDA_ERROR_LAUNCH_FAILED", "hipErrorLaunchFailure", "unspecified launch failure"},
    {NotInCapture, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "hipErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"}};

std::recursive_mutex mutex;

/// Whether this call is the one that goes wrong.
bool strikes(const char *name) {
  FakeDriver &fake = fake_driver;
  if (!fake.failingCall || (std::strcmp(fake.failing, "*") && std::strcmp(fake.failing, name)))
    return false;
  if (--fake.failingCall)
    return false;
  std::strncpy(fake.struck, name, sizeof fake.struck - 1);
  return true;
}

/// Begins a function: one at a time, and some fail.
#define ENTER(name)                                                                                          \
  const std::lock_guard<std::recursive_mutex> lock(mutex);                                                   \
  if (strikes(name))                                                                                         \
  return fake_driver.failure

thread_local std::vector<int> current = {
#ifdef FAKE_HIP
    0
#endif
};
int currentDevice() { return current.empty() ? -1 : current.back(); }
#define ENTER_ON_DEVICE(name)                                                                                \
  ENTER(name);                                                                                               \
  if (currentDevice() < 0)                                                                                   \
  return BadContext

int enqueue(Stream *stream, std::function<int()> work) {
  if (stream->capture)
    return NotInCapture;
  if (stream->device != currentDevice())
    return BadHandle;
  stream->work.push_back(std::move(work));
  return 0;
}

/// A capture of mode 1 forbids allocations to the thread that began it, not to others.
bool isCapturing() {
  for (const Stream *stream : streams())
    if (stream->capture && stream->capturer == std::this_thread::get_id())
      return true;
  return false;
}

} // namespace

// ---- The drivers' functions

PUBLIC int NAME(cuInit, hipInit)(unsigned) {
  ENTER(TEXT(NAME(cuInit, hipInit)));
  return fake_driver.devices ? 0 : NoDevice;
}
PUBLIC int NAME(cuDeviceGetCount, hipGetDeviceCount)(int *count) {
  ENTER(TEXT(NAME(cuDeviceGetCount, hipGetDeviceCount)));
  *count = fake_driver.devices;
  return 0;
}
PUBLIC int NAME(cuDeviceGet, hipDeviceGet)(int *device, int ordinal) {
  ENTER(TEXT(NAME(cuDeviceGet, hipDeviceGet)));
  *device = ordinal;
  return ordinal < fake_driver.devices ? 0 : BadDevice;
}
PUBLIC int NAME(cuDeviceGetName, hipDeviceGetName)(char *name, int size, int device) {
  ENTER(TEXT(NAME(cuDeviceGetName, hipDeviceGetName)));
  std::strncpy(name, device ? "Fake GPU 1" : "Fake GPU", size_t(size));
  return 0;
}
PUBLIC int NAME(cuMemGetInfo_v2, hipMemGetInfo)(size_t *free, size_t *total) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemGetInfo_v2, hipMemGetInfo)));
  *total = fake_driver.memoryBytes;
  *free = *total - arena().used[currentDevice()];
  return 0;
}
PUBLIC int NAME(cuMemAlloc_v2, hipMalloc)(void **memory, size_t bytes) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemAlloc_v2, hipMalloc)));
  if (isCapturing())
    return NotInCapture;
  ++fake_driver.allocations;
  *memory = arena().take(bytes, currentDevice());
  fake_driver.blocks += *memory != nullptr;
  return *memory ? 0 : OutOfMemory;
}
PUBLIC int NAME(cuMemFree_v2, hipFree)(void *memory) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemFree_v2, hipFree)));
  for (Stream *stream : streams())
    if (const int failed = drain(*stream))
      stream->failed = failed;
  const auto found = arena().blocks.find(static_cast<uint8_t *>(memory));
  if (found == arena().blocks.end() || found->second.device != currentDevice())
    return Invalid;
  arena().used[found->second.device] -= found->second.bytes;
  arena().blocks.erase(found);
  --fake_driver.blocks;
  return 0;
}
PUBLIC int NAME(cuMemHostAlloc, hipHostMalloc)(void **memory, size_t bytes, unsigned) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemHostAlloc, hipHostMalloc)));
  ++fake_driver.hostAllocations;
  ++fake_driver.hostBlocks;
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  hostBlocks()[*memory] = bytes;
  return 0;
}
PUBLIC int NAME(cuMemFreeHost, hipHostFree)(void *memory) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemFreeHost, hipHostFree)));
  for (Stream *stream : streams())
    if (const int failed = drain(*stream))
      stream->failed = failed;
  if (!hostBlocks().erase(memory))
    return Invalid;
  --fake_driver.hostBlocks;
  std::free(memory);
  return 0;
}
PUBLIC int NAME(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync)(void *to, const void *from, size_t bytes,
                                                          Stream *stream) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync)));
  auto after = hostBlocks().upper_bound(const_cast<void *>(from));
  const bool pinned = after != hostBlocks().begin() &&
                      static_cast<const char *>(from) + bytes <=
                          static_cast<const char *>(std::prev(after)->first) + std::prev(after)->second;
  ++fake_driver.copiesIn;
  fake_driver.bytesIn += bytes;
  fake_driver.pageableIn += !pinned;
  return enqueue(stream, [=] {
    if (!arena().contains(to, bytes))
      return int(Invalid);
    std::memcpy(to, from, bytes);
    return 0;
  });
}
PUBLIC int NAME(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync)(void *to, const void *from, size_t bytes,
                                                          Stream *stream) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync)));
  ++fake_driver.copiesOut;
  fake_driver.bytesOut += bytes;
  return enqueue(stream, [=] {
    if (!arena().contains(from, bytes))
      return int(Invalid);
    std::memcpy(to, from, bytes);
    return 0;
  });
}
PUBLIC int NAME(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync)(void *to, const void *from, size_t bytes,
                                                          Stream *stream) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync)));
  ++fake_driver.copies;
  return enqueue(stream, [=] {
    if (!arena().contains(from, bytes) || !arena().contains(to, bytes))
      return int(Invalid);
    std::memcpy(to, from, bytes);
    return 0;
  });
}
PUBLIC int NAME(cuMemsetD8Async, hipMemsetD8Async)(void *to, unsigned char value, size_t bytes,
                                                   Stream *stream) {
  ENTER_ON_DEVICE(TEXT(NAME(cuMemsetD8Async, hipMemsetD8Async)));
  ++fake_driver.fills;
  return enqueue(stream, [=] {
    if (!arena().contains(to, bytes))
      return int(Invalid);
    std::memset(to, value, bytes);
    return 0;
  });
}
PUBLIC int NAME(cuStreamCreate, hipStreamCreateWithFlags)(Stream **stream, unsigned) {
  ENTER_ON_DEVICE(TEXT(NAME(cuStreamCreate, hipStreamCreateWithFlags)));
  *stream = makeHandle(Stream{currentDevice(), {}, 0, nullptr, {}, 0});
  streams().push_back(*stream);
  ++fake_driver.streams;
  return 0;
}
PUBLIC int NAME(cuStreamDestroy_v2, hipStreamDestroy)(Stream *stream) {
  ENTER(TEXT(NAME(cuStreamDestroy_v2, hipStreamDestroy)));
  drain(*stream);
  std::vector<Stream *> &all = streams();
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] == stream)
      all.erase(all.begin() + long(i--));
  dropHandle(stream);
  --fake_driver.streams;
  return 0;
}
PUBLIC int NAME(cuStreamSynchronize, hipStreamSynchronize)(Stream *stream) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  if (strikes(TEXT(NAME(cuStreamSynchronize, hipStreamSynchronize)))) {
    drain(*stream); // a wait that fails is over too
    return fake_driver.failure;
  }
  if (currentDevice() < 0)
    return BadContext;
  if (stream->capture)
    return NotInCapture;
  ++fake_driver.synchronizations;
  return drain(*stream);
}
PUBLIC int NAME(cuEventCreate, hipEventCreateWithFlags)(Event **event, unsigned) {
  ENTER_ON_DEVICE(TEXT(NAME(cuEventCreate, hipEventCreateWithFlags)));
  *event = makeHandle(Event());
  ++fake_driver.events;
  return 0;
}
PUBLIC int NAME(cuEventDestroy_v2, hipEventDestroy)(Event *event) {
  ENTER(TEXT(NAME(cuEventDestroy_v2, hipEventDestroy)));
  dropHandle(event);
  --fake_driver.events;
  return 0;
}
PUBLIC int NAME(cuEventRecord, hipEventRecord)(Event *event, Stream *stream) {
  ENTER_ON_DEVICE(TEXT(NAME(cuEventRecord, hipEventRecord)));
  if (stream->capture)
    return NotInCapture;
  event->stream = stream;
  event->at = stream->done + stream->work.size();
  return 0;
}
PUBLIC int NAME(cuEventSynchronize, hipEventSynchronize)(Event *event) {
  ENTER_ON_DEVICE(TEXT(NAME(cuEventSynchronize, hipEventSynchronize)));
  return event->stream ? drain(*event->stream, event->at) : 0;
}
PUBLIC int NAME(cuModuleLoadDataEx, hipModuleLoadDataEx)(Module **module, const void *image, unsigned count,
                                                         int *options, void **values) {
  ENTER_ON_DEVICE(TEXT(NAME(cuModuleLoadDataEx, hipModuleLoadDataEx)));
  const std::string text = static_cast<const char *>(image), machine = "\177ELF ", target = ".target ";
  const bool isBinary = text.rfind(machine, 0) == 0;
  const std::string chip =
      isBinary ? text.substr(machine.size()) : text.substr(text.find(target) + target.size());
  std::strncpy(fake_driver.image, (isBinary ? "machine " + chip : "text " + chip).c_str(),
               sizeof fake_driver.image - 1);
  if (!isBinary && *fake_driver.jitLog) {
    for (unsigned i = 0; i < count; ++i)
      if (options[i] == 5)
        std::strcpy(static_cast<char *>(values[i]), fake_driver.jitLog);
    return BadText;
  }
  *module = makeHandle(Module{currentDevice()});
  ++fake_driver.modules;
  return 0;
}
PUBLIC int NAME(cuModuleUnload, hipModuleUnload)(Module *module) {
  ENTER_ON_DEVICE(TEXT(NAME(cuModuleUnload, hipModuleUnload)));
  dropHandle(module);
  --fake_driver.modules;
  return 0;
}
PUBLIC int NAME(cuModuleGetFunction, hipModuleGetFunction)(Function **function, Module *module,
                                                           const char *name) {
  ENTER_ON_DEVICE(TEXT(NAME(cuModuleGetFunction, hipModuleGetFunction)));
  static Function functions[mostDevices][FAKE_KERNELS];
  for (uint32_t i = 0; i < fake_kernels.kernel_count; ++i)
    if (!std::strcmp(fake_kernels.kernels[i].name, name)) {
      *function = &functions[module->device][i];
      **function = {&fake_kernels.kernels[i], module->device};
      return 0;
    }
  return NotFound;
}
PUBLIC int NAME(cuLaunchKernel, hipModuleLaunchKernel)(Function *function, unsigned gridX, unsigned gridY,
                                                       unsigned gridZ, unsigned blockX, unsigned blockY,
                                                       unsigned blockZ, unsigned, Stream *stream,
                                                       void **arguments, void **) {
  ENTER_ON_DEVICE(TEXT(NAME(cuLaunchKernel, hipModuleLaunchKernel)));
  if (!gridX || !gridY || !gridZ || function->device != stream->device)
    return Invalid;
  // How many bytes an argument has stands in the kernel's code; here all that are not read as pointers come
  // first.
  static const uint8_t small[FAKE_KERNELS] = {1, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1};
  Launch launch = {*function, {gridX, gridY, gridZ}, {blockX, blockY, blockZ}, {}};
  for (uint32_t i = 0; i < function->kernel->arguments; ++i) {
    uint64_t value = 0;
    std::memcpy(&value, arguments[i], i < small[function->kernel - fake_kernels.kernels] ? 4 : 8);
    launch.arguments.push_back(value);
  }
  ++fake_driver.launches;
  if (stream->capture) {
    stream->capture->push_back(std::move(launch));
    return 0;
  }
  return enqueue(stream, [launch = std::move(launch)] { return runKernel(launch); });
}
PUBLIC int NAME(cuStreamBeginCapture_v2, hipStreamBeginCapture)(Stream *stream, int mode) {
  ENTER_ON_DEVICE(TEXT(NAME(cuStreamBeginCapture_v2, hipStreamBeginCapture)));
  if (stream->capture || mode != 1)
    return Invalid;
  stream->capture = makeHandle(Graph());
  stream->capturer = std::this_thread::get_id();
  ++fake_driver.graphs;
  ++fake_driver.captures;
  return 0;
}
PUBLIC int NAME(cuStreamEndCapture, hipStreamEndCapture)(Stream *stream, Graph **graph) {
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  *graph = stream->capture;
  stream->capture = nullptr; // whatever happens
  if (strikes(TEXT(NAME(cuStreamEndCapture, hipStreamEndCapture)))) {
    dropHandle(*graph);
    *graph = nullptr;
    --fake_driver.graphs;
    return fake_driver.failure;
  }
  return *graph ? 0 : Invalid;
}
PUBLIC int NAME(cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags)(Graph **executable, Graph *graph,
                                                                           unsigned long long) {
  ENTER_ON_DEVICE(TEXT(NAME(cuGraphInstantiateWithFlags, hipGraphInstantiateWithFlags)));
  *executable = makeHandle(Graph(*graph));
  ++fake_driver.graphs;
  return 0;
}
PUBLIC int NAME(cuGraphDestroy, hipGraphDestroy)(Graph *graph) {
  ENTER(TEXT(NAME(cuGraphDestroy, hipGraphDestroy)));
  dropHandle(graph);
  --fake_driver.graphs;
  return 0;
}
PUBLIC int NAME(cuGraphExecDestroy, hipGraphExecDestroy)(Graph *executable) {
  ENTER(TEXT(NAME(cuGraphExecDestroy, hipGraphExecDestroy)));
  dropHandle(executable);
  --fake_driver.graphs;
  return 0;
}
PUBLIC int NAME(cuGraphLaunch, hipGraphLaunch)(Graph *executable, Stream *stream) {
  ENTER_ON_DEVICE(TEXT(NAME(cuGraphLaunch, hipGraphLaunch)));
  ++fake_driver.graphLaunches;
  return enqueue(stream, [executable] {
    int result = 0;
    for (const Launch &launch : *executable)
      result = result ? result : runKernel(launch);
    return result;
  });
}

#ifdef FAKE_HIP

PUBLIC const char *hipGetErrorName(int code) {
  for (const auto &error : errors)
    if (error.code == code)
      return error.hip;
  return "hipErrorUnknown";
}
PUBLIC const char *hipGetErrorString(int code) {
  for (const auto &error : errors)
    if (error.code == code)
      return error.text;
  return "unknown error";
}
PUBLIC int hipGetDevicePropertiesR0600(void *properties, int device) {
  ENTER("hipGetDevicePropertiesR0600");
  std::strcpy(static_cast<char *>(properties), device ? "Fake GPU 1" : "Fake GPU");
  std::strcpy(static_cast<char *>(properties) + 1160, fake_driver.architecture);
  return 0;
}
PUBLIC int hipGetDevice(int *device) {
  ENTER("hipGetDevice");
  *device = currentDevice();
  return 0;
}
PUBLIC int hipSetDevice(int device) {
  ENTER("hipSetDevice");
  current.back() = device;
  return 0;
}

#else

PUBLIC int cuGetErrorName(int code, const char **name) {
  for (const auto &error : errors)
    if (error.code == code)
      return *name = error.cuda, 0;
  return Invalid;
}
PUBLIC int cuGetErrorString(int code, const char **text) {
  for (const auto &error : errors)
    if (error.code == code)
      return *text = error.text, 0;
  return Invalid;
}
PUBLIC int cuDeviceGetAttribute(int *value, int attribute, int) {
  ENTER("cuDeviceGetAttribute");
  *value = attribute == 75 ? fake_driver.major : fake_driver.minor;
  return attribute == 75 || attribute == 76 ? 0 : Invalid;
}
PUBLIC int cuFuncSetAttribute(Function *, int, int) {
  ENTER_ON_DEVICE("cuFuncSetAttribute");
  return 0;
}
PUBLIC int cuDevicePrimaryCtxRetain(void **context, int device) {
  ENTER("cuDevicePrimaryCtxRetain");
  static int contexts[mostDevices];
  *context = &(contexts[device] = device);
  ++fake_driver.contexts;
  return 0;
}
PUBLIC int cuDevicePrimaryCtxRelease_v2(int) {
  ENTER("cuDevicePrimaryCtxRelease_v2");
  --fake_driver.contexts;
  return 0;
}
PUBLIC int cuCtxPushCurrent_v2(void *context) {
  ENTER("cuCtxPushCurrent_v2");
  if (!context)
    return BadContext;
  current.push_back(*static_cast<int *>(context));
  return 0;
}
PUBLIC int cuCtxPopCurrent_v2(void **) {
  ENTER("cuCtxPopCurrent_v2");
  if (current.empty())
    return BadContext;
  current.pop_back();
  return 0;
}

#endif

/// The machine that tests find.
__attribute__((constructor)) static void begin() {
  fake_driver.devices = 2;
  fake_driver.major = 9;
  fake_driver.memoryBytes = UINT64_C(1) << 26;
  fake_driver.failure = LaunchFailed;
  std::strcpy(fake_driver.architecture, "gfx942:sramecc+:xnack-");
}
