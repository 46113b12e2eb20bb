//===- DeviceSession.h - a session's work on a device -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A step comes as a context whose data are on the host (but for the pages), as the CPU's code takes it. What
// the code reads is packed into one block of pinned memory and goes to the device in one copy; logits and
// hidden states come back to where the host's context wants them. Parts of the block whose places kernels get
// as arguments lie at offsets that follow from the step's shape; what varies from step to step within a shape
// (the tables of pages) lies behind. So launches of a shape can be repeated as long as the memory stays
// where it is.
//
// A chunk whose outputs all stay on the device need not be waited for when another one follows: there are two
// blocks of pinned memory, so that the host prepares one chunk while the device computes the one before. More
// are not under way, so that a step can be cancelled.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_DEVICESESSION_H
#define PITH_RUNTIME_CORE_DEVICESESSION_H

#include "../device/Device.h"
#include "../device/Pool.h"
#include "Buffer.h"
#include "DeviceModule.h"
#include "DeviceRun.h"
#include "GraphCache.h"
#include "Manifest.h"

#include <memory>
#include <string>
#include <vector>

namespace pith::runtime {

class Module;

class DeviceSession {
public:
  /// `name`: which device; empty: the one that the modules' images are for. Null when they are code for the
  /// CPU.
  static Status create(const std::vector<std::shared_ptr<const Module>> &modules, const std::string &name,
                       const std::shared_ptr<Team> &team, std::unique_ptr<DeviceSession> &session);

  device::Device &chip() { return *device; }
  device::Stream &queue() { return *stream; }

  /// Runs an entry of kind STEP or CONDITION. `host` has its flags, and where its logits go: to the host, or
  /// to a place on the device. When more follows, the code may still run when this returns.
  Status step(size_t module, const Entry &entry, const pith_exec_entry &code, const pith_exec_context &host,
              bool logitsOnDevice, bool moreFollows);
  /// Waits for what has been started.
  Status finish();

  /// Draws tokens by an entry of kind SAMPLE from rows on the device.
  Status sample(size_t module, const pith_exec_entry &code, const float *logits, bool greedy,
                const std::vector<pith_exec_draw> &draws, std::vector<int32_t> &tokens);
  /// Brings rows of the host to a place on the device that the next step uses for other things.
  Status uploadRows(const std::vector<const float *> &rows, uint32_t vocab, const float *&logits);

  /// What code of an invoke asks for.
  std::unique_ptr<DataRun> makeRun(size_t module, DataRun::GiveOutput give);
  const uint8_t *weights(size_t module) const { return modules[module]->weights.data(); }
  Status reserveWorkspace(uint64_t bytes, uint8_t *&memory);
  MemorySource &temporaries() { return pool; }

  void trim();
  uint64_t bytes() const {
    return workspace.size() + block.size() + outputs.size() + staging[0].size() + staging[1].size() +
           pool.bytes();
  }

private:
  DeviceSession(std::shared_ptr<device::Device> on, std::unique_ptr<device::Stream> over);
  struct Layout;
  Status pack(const Entry &entry, const pith_exec_context &host, pith_exec_context &context, uint64_t &bytes);
  /// Blocks on both sides for so many bytes, once the host's is free.
  Status reserveBlock(uint64_t bytes);
  Status placeOutputs(const Entry &entry, const pith_exec_context &host, pith_exec_context &context,
                      bool logitsOnDevice);
  Status fetchOutputs(const Entry &entry, const pith_exec_context &host, const pith_exec_context &context,
                      bool logitsOnDevice);
  Status runLaunches(size_t module, const pith_exec_entry &code, pith_exec_context &context, uint64_t bytes);
  Status reserve(Buffer &buffer, uint64_t bytes, const char *what);

  const std::shared_ptr<device::Device> device; // outlives what follows
  const std::unique_ptr<device::Stream> stream;
  std::vector<std::shared_ptr<const DeviceModule>> modules;
  device::Pool pool;
  Buffer workspace, block, outputs; // on the device
  Buffer staging[2];                // what `block` is copied from, in turn
  unsigned turn = 0;
  bool underWay = false; // something that nobody has waited for
  std::vector<pith_exec_tap> taps;
  StepShape shape;
  GraphCache graphs;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_DEVICESESSION_H
