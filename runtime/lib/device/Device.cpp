//===- Device.cpp - what computes beside the CPU --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Device.h"
#include "DriverDevice.h"
#include "Emulated.h"

#include <mutex>
#include <vector>

namespace pith::runtime::device {
namespace {

constexpr struct {
  Kind kind;
  const char *name;
} kinds[] = {{Kind::Cuda, "cuda"}, {Kind::Hip, "hip"}, {Kind::Emulator, "emulator"}};

constexpr unsigned mostDevices = 64;

/// The open devices. Never destroyed: the library has nothing to do when the process ends.
std::mutex openMutex;
std::vector<std::weak_ptr<Device>> *openDevices = nullptr;

} // namespace

const char *kindName(Kind kind) {
  for (const auto &known : kinds)
    if (known.kind == kind)
      return known.name;
  return "?";
}

bool kindOfImage(uint32_t format, Kind &kind) {
  switch (format) {
  case PITH_EXEC_IMAGE_PTX:
  case PITH_EXEC_IMAGE_CUBIN:
    kind = Kind::Cuda;
    return true;
  case PITH_EXEC_IMAGE_HSACO:
    kind = Kind::Hip;
    return true;
  case PITH_EXEC_IMAGE_EMULATED:
    kind = Kind::Emulator;
    return true;
  default:
    return false;
  }
}

Status parseName(const std::string &name, Kind &kind, unsigned &ordinal) {
  const size_t colon = name.find(':');
  const std::string family = name.substr(0, colon);
  const std::string number = colon == std::string::npos ? "0" : name.substr(colon + 1);
  const bool isNumber =
      !number.empty() && number.size() <= 3 && number.find_first_not_of("0123456789") == std::string::npos;
  for (const auto &known : kinds)
    if (family == known.name && isNumber) {
      kind = known.kind;
      ordinal = 0;
      for (const char digit : number)
        ordinal = 10 * ordinal + unsigned(digit - '0');
      if (ordinal < mostDevices)
        return {};
    }
  return failure(
      PITH_ERROR_ARGUMENT,
      "device %s is not known, expected cpu, cuda, hip or emulator, or one with its number, as cuda:1",
      quoteName(name).c_str());
}

Device::Device(Kind kind, unsigned ordinal)
    : ownName(std::string(kindName(kind)) + ":" + std::to_string(ordinal)), ownKind(kind),
      ownOrdinal(ordinal) {}

Status Device::open(Kind kind, unsigned ordinal, std::shared_ptr<Device> &device) {
  const std::lock_guard<std::mutex> lock(openMutex);
  if (!openDevices)
    openDevices = new std::vector<std::weak_ptr<Device>>;
  std::weak_ptr<Device> *place = nullptr;
  for (std::weak_ptr<Device> &known : *openDevices) {
    const std::shared_ptr<Device> found = known.lock();
    if (!found) {
      place = &known;
    } else if (found->kind() == kind && found->ordinal() == ordinal) {
      device = found;
      return {};
    }
  }
  if (!place)
    place = &openDevices->emplace_back();
  PITH_TRY(kind == Kind::Emulator ? openEmulated(ordinal, device)
                                  : DriverDevice::open(kind, ordinal, nullptr, device));
  *place = device;
  return {};
}

} // namespace pith::runtime::device
