//===- PithToCPU.cpp - choose CPU kernels ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Conversion/Passes.h"
namespace pith {
#define GEN_PASS_DEF_CONVERTPITHTOCPU
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

namespace {
struct ConvertPithToCPU : pith::impl::ConvertPithToCPUBase<ConvertPithToCPU> {
  using ConvertPithToCPUBase::ConvertPithToCPUBase;
  void runOnOperation() override {}
};
} // namespace
