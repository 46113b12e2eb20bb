//===- DeviceSession.cpp - a session's work on a device -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DeviceSession.h"
#include "Module.h"

#include <utility>

namespace pith::runtime {
namespace {

/// The kind of device that all images of all modules are for.
Status kindOfImages(const std::vector<std::shared_ptr<const Module>> &modules, device::Kind &kind) {
  bool known = false;
  for (const std::shared_ptr<const Module> &module : modules)
    for (uint32_t i = 0; i < module->deviceTable()->image_count; ++i) {
      device::Kind found = kind;
      (void)device::kindOfImage(module->deviceTable()->images[i].format, found); // checked when loaded
      if (known && found != kind)
        return failure(PITH_ERROR_ARGUMENT,
                       "the modules have kernels for %s and for %s: options.device must say which device",
                       device::kindName(kind), device::kindName(found));
      kind = found;
      known = true;
    }
  return {};
}

} // namespace

DeviceSession::DeviceSession(std::shared_ptr<device::Device> on, std::unique_ptr<device::Stream> over)
    : device(std::move(on)), stream(std::move(over)), pool(*device, *stream), workspace(device->memory()),
      block(device->memory()),
      outputs(device->memory()), staging{Buffer(device->pinned()), Buffer(device->pinned())} {}

Status DeviceSession::create(const std::vector<std::shared_ptr<const Module>> &modules,
                             const std::string &name, const std::shared_ptr<Team> &team,
                             std::unique_ptr<DeviceSession> &out) {
  const bool onDevice = modules[0]->deviceTable();
  for (size_t i = 1; i < modules.size(); ++i)
    if (bool(modules[i]->deviceTable()) != onDevice)
      return failure(PITH_ERROR_ARGUMENT,
                     "module %zu is code for the CPU, module %zu for a device; a session has one",
                     onDevice ? i : 0, onDevice ? 0 : i);
  const bool onCpu = name == "cpu";
  device::Kind kind = device::Kind::Emulator;
  unsigned ordinal = 0;
  if (!name.empty() && !onCpu)
    PITH_TRY(device::parseName(name, kind, ordinal));
  if (!onDevice && !name.empty() && !onCpu)
    return failure(PITH_ERROR_DEVICE, "the modules are code for the CPU, not for the device %s",
                   name.c_str());
  if (onDevice && onCpu)
    return failure(PITH_ERROR_DEVICE, "the modules are code for a device, not for the CPU");
  if (!onDevice)
    return {};
  if (name.empty())
    PITH_TRY(kindOfImages(modules, kind));
  std::shared_ptr<device::Device> device;
  PITH_TRY(device::Device::open(kind, ordinal, device));
  std::unique_ptr<device::Stream> stream;
  PITH_TRY(device->makeStream(team, stream));
  std::unique_ptr<DeviceSession> session(new DeviceSession(std::move(device), std::move(stream)));
  session->modules.resize(modules.size());
  for (size_t i = 0; i < modules.size(); ++i)
    PITH_TRY(modules[i]->place(session->device, *session->stream, session->modules[i]));
  out = std::move(session);
  return {};
}

/// Recorded launches have the buffers' addresses.
Status DeviceSession::reserve(Buffer &buffer, uint64_t bytes, const char *what) {
  if (bytes <= buffer.size())
    return {};
  if (underWay)
    PITH_TRY(stream->synchronize());
  graphs.clear();
  return buffer.reserve(bytes, what);
}

Status DeviceSession::reserveWorkspace(uint64_t bytes, uint8_t *&memory) {
  PITH_TRY(reserve(workspace, bytes, "workspace"));
  memory = workspace.data();
  return {};
}

std::unique_ptr<DataRun> DeviceSession::makeRun(size_t module, DataRun::GiveOutput give) {
  return std::make_unique<DeviceRun>(*stream, *modules[module]->kernels, pool, std::move(give));
}

void DeviceSession::trim() {
  graphs.clear();
  for (Buffer *buffer : {&workspace, &block, &outputs, &staging[0], &staging[1]})
    buffer->release();
  pool.trim();
  stream->trim();
}

} // namespace pith::runtime
