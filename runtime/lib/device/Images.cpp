//===- Images.cpp - which kernels a chip runs -----------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Images.h"
#include "Device.h"

namespace pith::runtime::device {
namespace {

/// "cuda:sm_90a" without its kind.
std::string chipOf(const pith_exec_image &image) {
  const std::string target = image.target ? image.target : "";
  const size_t colon = target.find(':');
  return colon == std::string::npos ? target : target.substr(colon + 1);
}

/// The number in "sm_90a", and its suffix; 0 when it is no such name.
unsigned cudaNumber(const std::string &chip, std::string &suffix) {
  const size_t underscore = chip.find('_');
  if (underscore == std::string::npos)
    return 0;
  unsigned number = 0;
  size_t at = underscore + 1;
  for (; at < chip.size() && chip[at] >= '0' && chip[at] <= '9' && number < 10000; ++at)
    number = 10 * number + unsigned(chip[at] - '0');
  suffix = chip.substr(at);
  return number;
}

/// How well the image suits; 0: not at all.
unsigned rateCuda(const pith_exec_image &image, const std::string &chip) {
  std::string suffix, none;
  const unsigned number = cudaNumber(chipOf(image), suffix), own = cudaNumber(chip, none);
  if (!number || !own)
    return 0;
  const bool isExact = number == own, isBinary = image.format == PITH_EXEC_IMAGE_CUBIN;
  // Code with an architecture's own features runs on nothing else.
  if (!isExact && (isBinary || !suffix.empty() || number > own))
    return 0;
  return (isBinary ? 100000 : 0) + 2 * number + !suffix.empty();
}

/// "gfx90a:xnack-" runs where the chip is gfx90a and has xnack off.
unsigned rateHip(const pith_exec_image &image, const std::string &chip) {
  const std::string wanted = chipOf(image) + ":", own = chip + ":";
  if (wanted.substr(0, wanted.find(':')) != own.substr(0, own.find(':')))
    return 0;
  unsigned rate = 1;
  for (size_t at = wanted.find(':') + 1; at < wanted.size(); ++rate) {
    const size_t end = wanted.find(':', at);
    if (own.find(":" + wanted.substr(at, end - at) + ":") == std::string::npos)
      return 0;
    at = end + 1;
  }
  return rate;
}

std::string listImages(const pith_exec_table &table) {
  std::string names;
  for (uint32_t i = 0; i < table.image_count && names.size() < 300; ++i) {
    const pith_exec_image &image = table.images[i];
    const char *format = image.format == PITH_EXEC_IMAGE_PTX        ? "PTX"
                         : image.format == PITH_EXEC_IMAGE_EMULATED ? "emulated"
                                                                    : "machine code";
    names += (i ? ", " : "") + std::string(image.target ? image.target : "?") + " (" + format + ")";
  }
  return names.empty() ? "none" : names;
}

} // namespace

Status chooseImage(const pith_exec_table &table, const Device &device, const std::string &chip,
                   const pith_exec_image *&best) {
  unsigned most = 0;
  for (uint32_t i = 0; i < table.image_count; ++i) {
    const pith_exec_image &image = table.images[i];
    Kind kind;
    if (!kindOfImage(image.format, kind) || kind != device.kind())
      continue;
    const unsigned rate = kind == Kind::Cuda  ? rateCuda(image, chip)
                          : kind == Kind::Hip ? rateHip(image, chip)
                                              : 1;
    if (rate > most) {
      most = rate;
      best = &image;
    }
  }
  if (!most)
    return failure(PITH_ERROR_DEVICE, "%s: no kernels for this device (%s); the module has %s",
                   device.name().c_str(), device.description().c_str(), listImages(table).c_str());
  return {};
}

} // namespace pith::runtime::device
