//===- Emulated.cpp - the emulator as a device ----------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Emulated.h"
#include "../emulator/Emulator.h"
#include "Images.h"

#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace pith::runtime::device {
namespace {

/// Sessions of one device take turns.
struct Chip {
  std::mutex mutex;
  emulator::Device device;
};

class EmulatedMemory final : public MemorySource {
public:
  EmulatedMemory(Chip &owner, const Device &device) : chip(owner), named(device) {}
  Status allocate(uint64_t bytes, const char *what, void *&memory) override {
    const std::lock_guard<std::mutex> lock(chip.mutex);
    if (const Status status = chip.device.allocate(bytes, memory); !status.ok())
      return failure(status.code(), "%s: no memory for %llu bytes of %s: %s", named.name().c_str(),
                     (unsigned long long)bytes, what, status.message().c_str());
    return {};
  }
  void release(void *memory) noexcept override {
    const std::lock_guard<std::mutex> lock(chip.mutex);
    (void)chip.device.release(memory).ok();
  }

private:
  Chip &chip;
  const Device &named;
};

class PlainMemory final : public MemorySource {
public:
  Status allocate(uint64_t bytes, const char *what, void *&memory) override {
    constexpr uint64_t alignment = 64, most = UINT64_C(1) << 62;
    const uint64_t size = (bytes + alignment) & ~(alignment - 1); // at least one line
    memory = bytes < most ? std::aligned_alloc(alignment, size) : nullptr;
    if (!memory)
      return failure(PITH_ERROR_MEMORY, "no memory for %llu bytes of %s", (unsigned long long)bytes, what);
    return {};
  }
  void release(void *memory) noexcept override { std::free(memory); }
};

struct EmulatedKernels final : Kernels {
  using Kernels::Kernels;
  std::vector<const pith_emu_kernel *> emulated; // by number
};

/// Launches with copies of their arguments.
struct EmulatedRecording final : Recording {
  struct Launch {
    const EmulatedKernels *kernels;
    uint32_t number;
    uint32_t grid[3];
    std::vector<uint64_t> arguments;
  };
  std::vector<Launch> launches;
};

class EmulatedStream final : public Stream {
public:
  EmulatedStream(Chip &owner, const Device &device, std::shared_ptr<Team> workers)
      : chip(owner), named(device), team(std::move(workers)) {}

  Status upload(void *to, const void *from, uint64_t bytes) override {
    const std::lock_guard<std::mutex> lock(chip.mutex);
    return say(chip.device.copyIn(to, from, bytes));
  }
  Status send(void *to, const void *pinned, uint64_t bytes) override { return upload(to, pinned, bytes); }
  Status download(void *to, const void *from, uint64_t bytes) override {
    const std::lock_guard<std::mutex> lock(chip.mutex);
    return say(chip.device.copyOut(to, from, bytes));
  }
  Status copy(void *to, const void *from, uint64_t bytes) override {
    const std::lock_guard<std::mutex> lock(chip.mutex);
    return say(chip.device.copy(to, from, bytes));
  }
  Status fill(void *to, uint8_t value, uint64_t bytes) override {
    const std::lock_guard<std::mutex> lock(chip.mutex);
    return say(chip.device.fill(to, value, bytes));
  }
  Status launch(const Kernels &kernels, uint32_t number, const uint32_t *grid,
                void *const *arguments) override;
  Status synchronize() override { return {}; }
  Status mark(unsigned) override { return {}; }
  Status await(unsigned) override { return {}; }
  Status beginRecording() override {
    recording = std::make_unique<EmulatedRecording>();
    return {};
  }
  Status endRecording(std::unique_ptr<Recording> &made) override {
    made = std::move(recording);
    return {};
  }
  Status replay(Recording &recorded) override;
  void trim() noexcept override {}

private:
  Status run(const EmulatedKernels &kernels, uint32_t number, const uint32_t *grid,
             const void *const *arguments);
  Status say(const Status &status) const {
    return status.ok() ? Status() : Status(status.code(), named.name() + ": " + status.message());
  }

  Chip &chip;
  const Device &named;
  const std::shared_ptr<Team> team;
  std::unique_ptr<EmulatedRecording> recording;
  std::vector<const void *> pointers;
};

Status EmulatedStream::run(const EmulatedKernels &kernels, uint32_t number, const uint32_t *grid,
                           const void *const *arguments) {
  const pith_exec_kernel &kernel = kernels.kernel(number);
  const std::lock_guard<std::mutex> lock(chip.mutex);
  chip.device.use(team);
  const Status status =
      chip.device.launch(*kernels.emulated[number], {grid[0], grid[1], grid[2]},
                         {kernel.block[0], kernel.block[1], kernel.block[2]}, kernel.shared_bytes, arguments);
  chip.device.use(nullptr);
  if (!status.ok() && kernel.origin && *kernel.origin)
    return failure(status.code(), "%s: %s (%s)", named.name().c_str(), status.message().c_str(),
                   kernel.origin);
  return say(status);
}

Status EmulatedStream::launch(const Kernels &loaded, uint32_t number, const uint32_t *grid,
                              void *const *arguments) {
  const auto &kernels = static_cast<const EmulatedKernels &>(loaded);
  if (!recording)
    return run(kernels, number, grid, arguments);
  const pith_exec_kernel &kernel = kernels.kernel(number);
  EmulatedRecording::Launch launch = {&kernels, number, {grid[0], grid[1], grid[2]}, {}};
  launch.arguments.resize(kernel.argument_count);
  for (uint32_t i = 0; i < kernel.argument_count; ++i)
    std::memcpy(&launch.arguments[i], arguments[i], kernel.argument_bytes[i]);
  recording->launches.push_back(std::move(launch));
  return {};
}

Status EmulatedStream::replay(Recording &recorded) {
  for (const EmulatedRecording::Launch &launch : static_cast<EmulatedRecording &>(recorded).launches) {
    pointers.clear();
    for (const uint64_t &argument : launch.arguments)
      pointers.push_back(&argument);
    PITH_TRY(run(*launch.kernels, launch.number, launch.grid, pointers.data()));
  }
  return {};
}

class EmulatedDevice final : public Device {
public:
  explicit EmulatedDevice(unsigned ordinal) : Device(Kind::Emulator, ordinal), onChip(chip, *this) {}
  std::string description() const override { return "the emulator of this machine"; }
  MemorySource &memory() override { return onChip; }
  MemorySource &pinned() override { return onHost; }
  bool watchesBounds() const override { return true; }
  Status memoryFigures(uint64_t &free, uint64_t &total) override {
    free = total = 0; // what the host has
    return {};
  }
  Status load(const pith_exec_table &table, std::unique_ptr<Kernels> &kernels) override;
  Status makeStream(const std::shared_ptr<Team> &team, std::unique_ptr<Stream> &stream) override {
    stream = std::make_unique<EmulatedStream>(chip, *this, team);
    return {};
  }

private:
  Chip chip;
  EmulatedMemory onChip;
  PlainMemory onHost;
};

Status EmulatedDevice::load(const pith_exec_table &table, std::unique_ptr<Kernels> &kernels) {
  const pith_exec_image *image = nullptr;
  PITH_TRY(chooseImage(table, *this, "", image));
  const auto &module = *static_cast<const pith_emu_module *>(image->data);
  if (module.version != PITH_EMULATED_VERSION)
    return failure(PITH_ERROR_VERSION, "%s: kernels of interface version %u, this runtime has version %u",
                   name().c_str(), module.version, PITH_EMULATED_VERSION);
  auto loaded = std::make_unique<EmulatedKernels>(table, *image);
  for (uint32_t i = 0; i < table.kernel_count; ++i) {
    if (!loaded->has(i)) {
      loaded->emulated.push_back(nullptr);
      continue;
    }
    const pith_exec_kernel &kernel = table.kernels[i];
    const pith_emu_kernel *found = emulator::Device::find(module, kernel.name);
    if (!found)
      return failure(PITH_ERROR_FORMAT, "%s: kernel %s is missing in the image for %s", name().c_str(),
                     quoteName(kernel.name).c_str(), quoteName(image->target).c_str());
    if (found->arguments != kernel.argument_count)
      return failure(PITH_ERROR_FORMAT, "%s: kernel %s takes %u arguments in the image and %u in the table",
                     name().c_str(), quoteName(kernel.name).c_str(), found->arguments, kernel.argument_count);
    loaded->emulated.push_back(found);
  }
  kernels = std::move(loaded);
  return {};
}

} // namespace

Status openEmulated(unsigned ordinal, std::shared_ptr<Device> &device) {
  device = std::make_shared<EmulatedDevice>(ordinal);
  return {};
}

} // namespace pith::runtime::device
