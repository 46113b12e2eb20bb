//===- DriverStream.cpp - work for a GPU, in order ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DriverStream.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pith::runtime::device {
namespace {

constexpr uint64_t leastStaging = UINT64_C(1) << 16, mostStaging = UINT64_C(8) << 20;

/// A graph that the driver has prepared.
class DriverRecording final : public Recording {
public:
  explicit DriverRecording(const DriverDevice &device) : owner(device) {}
  ~DriverRecording() override {
    const DriverDevice::Current current(owner);
    if (executable)
      (void)owner.call().executableDestroy(executable);
  }
  Handle executable = nullptr;
  KernelSpan kernels;

private:
  const DriverDevice &owner;
};

} // namespace

std::string KernelSpan::describe() const {
  if (!first)
    return "waiting for the device";
  return first == last ? describeKernel(*first)
                       : "one of the kernels from " + describeKernel(*first) + " to " + describeKernel(*last);
}

DriverStream::DriverStream(DriverDevice &device)
    : owner(device), call(device.call()), staging{Staging(device.pinned()), Staging(device.pinned())} {}

Status DriverStream::open() {
  constexpr unsigned nonBlocking = 1, withoutTiming = 2; // both drivers' numbers
  const DriverDevice::Current current(owner);
  PITH_TRY(owner.check(call.streamCreate(&stream, nonBlocking), "making a stream"));
  for (Handle *event : {&staging[0].event, &staging[1].event, &marks[0].event, &marks[1].event})
    PITH_TRY(owner.check(call.eventCreate(event, withoutTiming), "making an event"));
  return {};
}

DriverStream::~DriverStream() {
  const DriverDevice::Current current(owner);
  if (stream)
    (void)call.streamSynchronize(stream);
  for (Handle event : {staging[0].event, staging[1].event, marks[0].event, marks[1].event})
    if (event)
      (void)call.eventDestroy(event);
  if (stream)
    (void)call.streamDestroy(stream);
}

// ---- Copies

Status DriverStream::wait(Staging &buffer) {
  if (buffer.busy)
    PITH_TRY(owner.check(call.eventSynchronize(buffer.event), "waiting for a copy to the device"));
  buffer.busy = false;
  return {};
}

/// While one buffer is being copied to the device the other one is filled.
Status DriverStream::upload(void *to, const void *from, uint64_t bytes) {
  const DriverDevice::Current current(owner);
  for (uint64_t done = 0; done < bytes;) {
    Staging &buffer = staging[next];
    next ^= 1;
    const uint64_t piece = std::min(bytes - done, mostStaging);
    PITH_TRY(wait(buffer));
    PITH_TRY(buffer.memory.reserve(std::max(piece, leastStaging), "a copy to the device"));
    std::memcpy(buffer.memory.data(), static_cast<const uint8_t *>(from) + done, piece);
    PITH_TRY(send(static_cast<uint8_t *>(to) + done, buffer.memory.data(), piece));
    PITH_TRY(owner.check(call.eventRecord(buffer.event, stream), "marking a copy to the device"));
    buffer.busy = true;
    done += piece;
  }
  return {};
}

Status DriverStream::send(void *to, const void *pinned, uint64_t bytes) {
  const DriverDevice::Current current(owner);
  return owner.check(call.copyIn(to, pinned, bytes, stream), "copying to the device");
}

Status DriverStream::download(void *to, const void *from, uint64_t bytes) {
  const DriverDevice::Current current(owner);
  return owner.check(call.copyOut(to, from, bytes, stream), "copying from the device");
}

Status DriverStream::copy(void *to, const void *from, uint64_t bytes) {
  const DriverDevice::Current current(owner);
  return owner.check(call.copy(to, from, bytes, stream), "copying on the device");
}

Status DriverStream::fill(void *to, uint8_t value, uint64_t bytes) {
  const DriverDevice::Current current(owner);
  return owner.check(call.fill(to, value, bytes, stream), "filling memory of the device");
}

void DriverStream::trim() noexcept {
  const DriverDevice::Current current(owner);
  (void)call.streamSynchronize(stream); // what failed says so again
  for (Staging &buffer : staging) {
    buffer.busy = false;
    buffer.memory.release();
  }
}

// ---- Launches

Status DriverStream::launch(const Kernels &loaded, uint32_t number, const uint32_t *grid,
                            void *const *arguments) {
  const auto &kernels = static_cast<const DriverKernels &>(loaded);
  const pith_exec_kernel &kernel = kernels.kernel(number);
  const DriverDevice::Current current(owner);
  const DriverResult result =
      call.launch(kernels.function(number), grid[0], grid[1], grid[2], kernel.block[0], kernel.block[1],
                  kernel.block[2], kernel.shared_bytes, stream, const_cast<void **>(arguments), nullptr);
  if (result)
    return owner.error(result, describeKernel(kernel) + " on " + std::to_string(grid[0]) + " x " +
                                   std::to_string(grid[1]) + " x " + std::to_string(grid[2]) + " blocks");
  (recording ? recorded : running).add(kernel);
  return {};
}

Status DriverStream::synchronize() {
  const DriverDevice::Current current(owner);
  const DriverResult result = call.streamSynchronize(stream);
  const Status status = result ? owner.error(result, running.describe()) : Status();
  running = KernelSpan();
  marks[0].set = marks[1].set = false;
  return status;
}

Status DriverStream::mark(unsigned number) {
  const DriverDevice::Current current(owner);
  PITH_TRY(owner.check(call.eventRecord(marks[number].event, stream), "marking the end of a chunk"));
  marks[number].set = true;
  return {};
}

Status DriverStream::await(unsigned number) {
  if (!std::exchange(marks[number].set, false))
    return {};
  const DriverDevice::Current current(owner);
  if (const DriverResult result = call.eventSynchronize(marks[number].event))
    return owner.error(result, running.describe());
  return {};
}

Status DriverStream::beginRecording() {
  constexpr int thisThread = 1; // other threads may do what they like; both drivers' number
  const DriverDevice::Current current(owner);
  recorded = KernelSpan();
  PITH_TRY(owner.check(call.beginCapture(stream, thisThread), "recording launches"));
  recording = true;
  return {};
}

Status DriverStream::endRecording(std::unique_ptr<Recording> &out) {
  const DriverDevice::Current current(owner);
  recording = false;
  Handle graph = nullptr;
  DriverResult result = call.endCapture(stream, &graph);
  if (result)
    return owner.error(result, "recording " + recorded.describe());
  std::unique_ptr<DriverRecording> made;
  try {
    made = std::make_unique<DriverRecording>(owner);
    result = call.graphInstantiate(&made->executable, graph, 0);
  } catch (...) {
    (void)call.graphDestroy(graph);
    throw;
  }
  (void)call.graphDestroy(graph);
  if (result)
    return owner.error(result, "preparing a graph of " + recorded.describe());
  made->kernels = recorded;
  out = std::move(made);
  return {};
}

Status DriverStream::replay(Recording &recorded) {
  auto &graph = static_cast<DriverRecording &>(recorded);
  const DriverDevice::Current current(owner);
  if (const DriverResult result = call.graphLaunch(graph.executable, stream))
    return owner.error(result, graph.kernels.describe());
  if (graph.kernels.first) {
    running.add(*graph.kernels.first);
    running.last = graph.kernels.last;
  }
  return {};
}

} // namespace pith::runtime::device
