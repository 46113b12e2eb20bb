//===- Machine.cpp - what a GPU can do ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Codegen/GPU/Machine.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include <tuple>

using namespace llvm;
using namespace pith::gpu;

// PTX versions: the oldest that LLVM takes for the chip, so that old drivers load the text.
static constexpr Machine table[] = {
    {"sm_80", Vendor::CUDA, 32, 163 << 10, MatrixUnit::MmaSync, 0, true, false, "+ptx78"},
    {"sm_86", Vendor::CUDA, 32, 99 << 10, MatrixUnit::MmaSync, 0, true, false, "+ptx78"},
    {"sm_89", Vendor::CUDA, 32, 99 << 10, MatrixUnit::MmaSync, 0, true, false, "+ptx78"},
    {"sm_90a", Vendor::CUDA, 32, 227 << 10, MatrixUnit::MmaSync, 0, true, true, "+ptx80"},
    {"gfx90a", Vendor::HIP, 64, 64 << 10, MatrixUnit::Mfma, 16, false, false, ""},
    {"gfx942", Vendor::HIP, 64, 64 << 10, MatrixUnit::Mfma, 32, false, false, ""},
    {"gfx1100", Vendor::HIP, 32, 64 << 10, MatrixUnit::WmmaRdna3, 0, false, false, "+wavefrontsize32"},
    {"gfx1201", Vendor::HIP, 32, 64 << 10, MatrixUnit::WmmaRdna4, 0, false, false, "+wavefrontsize32"},
};

static StringRef vendorName(Vendor vendor) { return vendor == Vendor::CUDA ? "cuda" : "hip"; }

std::string Machine::name() const { return (vendorName(vendor) + ":" + chip).str(); }

ArrayRef<Machine> pith::gpu::machines() { return table; }

Expected<SmallVector<Machine>> pith::gpu::parseTarget(StringRef text) {
  StringRef vendor, chips;
  std::tie(vendor, chips) = text.split(':');
  SmallVector<Machine> found;
  SmallVector<StringRef> known;
  for (const Machine &machine : table)
    if (vendorName(machine.vendor) == vendor)
      known.push_back(machine.chip);
  if (known.empty())
    return createStringError(inconvertibleErrorCode(),
                             "target '" + text + "' should begin with 'cuda:' or 'hip:'");
  SmallVector<StringRef> wanted;
  chips.split(wanted, ',');
  for (StringRef chip : wanted) {
    const Machine *machine =
        find_if(table, [&](const Machine &m) { return m.chip == chip && vendorName(m.vendor) == vendor; });
    if (machine == std::end(table))
      return createStringError(inconvertibleErrorCode(), "target '" + text + "' names chip '" + chip +
                                                             "'; known for " + vendor + ": " +
                                                             llvm::join(known, ", "));
    if (!any_of(found, [&](const Machine &m) { return m.chip == chip; }))
      found.push_back(*machine);
  }
  return found;
}
