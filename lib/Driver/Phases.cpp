//===- Phases.cpp - the list of phases -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Driver/Driver.h"

llvm::ArrayRef<pith::PhaseInfo> pith::phases() {
  static const PhaseInfo list[] = {
      {Phase::Import, "import", "the model as tensors in the pith dialect"},
      {Phase::Raise, "raise", "blocks, attention, norms and state"},
      {Phase::Schedule, "schedule", "kernels chosen, weights packed, the rest in linalg"},
      {Phase::Kernels, "kernels", "kernel bodies, planned buffers, one team of threads"},
      {Phase::Lower, "lower", "the LLVM dialect"},
      {Phase::Object, "object", "machine code"},
      {Phase::Package, "package", "code, packed weights and manifest in one file"},
  };
  return list;
}
