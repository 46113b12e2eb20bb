//===- Passes.h - machine code from passes ----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TARGET_PASSES_H
#define PITH_TARGET_PASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/Pass.h"

namespace pith {

#define GEN_PASS_DECL
#include "pith/Target/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "pith/Target/Passes.h.inc"

} // namespace pith

#endif // PITH_TARGET_PASSES_H
