//===- Device.h - what computes beside the CPU ------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A device is opened once in a process and shared by all sessions that use it; each session has a stream of
// its own. Work given to a stream is done in order. What a stream is told may run later than the call: errors
// of kernels come from the launch, or from `synchronize`.
//
// All addresses of the device are plain pointers that the host must not follow.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_DEVICE_DEVICE_H
#define PITH_RUNTIME_DEVICE_DEVICE_H

#include "../core/Memory.h"
#include "pith/executable.h"

#include <cstdint>
#include <memory>
#include <string>

namespace pith::runtime {
class Team;
}

namespace pith::runtime::device {

enum class Kind { Cuda, Hip, Emulator };

/// "cuda"
const char *kindName(Kind kind);
/// The kind of device that runs images of this format (PITH_EXEC_IMAGE_...); false when there is none.
bool kindOfImage(uint32_t format, Kind &kind);
/// Reads "cuda", "hip:1".
Status parseName(const std::string &name, Kind &kind, unsigned &ordinal);

/// All kernels of a table, loaded into a device. They may be used while the table lives.
class Kernels {
public:
  Kernels(const pith_exec_table &owner, const pith_exec_image &image) : table(owner), imageHas(image.has) {}
  virtual ~Kernels() = default;
  const pith_exec_kernel &kernel(uint32_t number) const { return table.kernels[number]; }
  uint32_t count() const { return table.kernel_count; }
  /// What the image has (PITH_EXEC_WARP_GROUPS), and whether it has this kernel.
  uint32_t features() const { return imageHas; }
  bool has(uint32_t number) const { return !(kernel(number).needs & ~imageHas); }

private:
  const pith_exec_table &table;
  const uint32_t imageHas;
};

/// Launches that can be repeated with the same arguments.
class Recording {
public:
  virtual ~Recording() = default;
};

class Stream {
public:
  virtual ~Stream() = default;

  /// Copies from any memory of the host, which may change as soon as the call returns.
  virtual Status upload(void *to, const void *from, uint64_t bytes) = 0;
  /// Copies from memory of `Device::pinned`, which must stay as it is until the stream is synchronised.
  virtual Status send(void *to, const void *pinned, uint64_t bytes) = 0;
  /// Copies to the host; there once the stream is synchronised.
  virtual Status download(void *to, const void *from, uint64_t bytes) = 0;
  virtual Status copy(void *to, const void *from, uint64_t bytes) = 0;
  virtual Status fill(void *to, uint8_t value, uint64_t bytes) = 0;

  /// Starts kernel `number` on a grid of blocks; arguments[i] points to argument i and is read before the
  /// call returns.
  virtual Status launch(const Kernels &kernels, uint32_t number, const uint32_t *grid,
                        void *const *arguments) = 0;
  /// Waits until everything is done.
  virtual Status synchronize() = 0;
  /// Puts mark 0 or 1 behind what the stream has been given so far; `await` waits until it is reached, if it
  /// is set.
  virtual Status mark(unsigned number) = 0;
  virtual Status await(unsigned number) = 0;

  /// From here on launches are recorded, not run. Nothing but `launch` may be called until the recording
  /// ends.
  virtual Status beginRecording() = 0;
  virtual Status endRecording(std::unique_ptr<Recording> &recording) = 0;
  virtual Status replay(Recording &recording) = 0;

  /// Waits, and gives back memory that is kept between uploads.
  virtual void trim() noexcept = 0;
};

class Device {
public:
  virtual ~Device() = default;
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  /// Finds or opens one of this process.
  static Status open(Kind kind, unsigned ordinal, std::shared_ptr<Device> &device);

  /// "cuda:1"
  const std::string &name() const { return ownName; }
  Kind kind() const { return ownKind; }
  unsigned ordinal() const { return ownOrdinal; }
  /// What the chip calls itself, and its architecture: "NVIDIA H200, sm_90".
  virtual std::string description() const = 0;

  /// Memory of the device.
  virtual MemorySource &memory() = 0;
  /// Memory of the host that the device copies from and to without a detour.
  virtual MemorySource &pinned() = 0;
  /// Whether each piece of memory should have its exact size, because what lies behind it is watched.
  virtual bool watchesBounds() const { return false; }
  /// Bytes of the device that nobody uses, and all.
  virtual Status memoryFigures(uint64_t &free, uint64_t &total) = 0;

  /// Loads the best of the table's images for this chip.
  virtual Status load(const pith_exec_table &table, std::unique_ptr<Kernels> &kernels) = 0;
  /// The team is for devices that compute on the host.
  virtual Status makeStream(const std::shared_ptr<Team> &team, std::unique_ptr<Stream> &stream) = 0;

protected:
  Device(Kind kind, unsigned ordinal);

private:
  const std::string ownName;
  const Kind ownKind;
  const unsigned ownOrdinal;
};

} // namespace pith::runtime::device
#endif // PITH_RUNTIME_DEVICE_DEVICE_H
