//===- Passes.h - passes on GPU kernels -------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CODEGEN_GPU_PASSES_H
#define PITH_CODEGEN_GPU_PASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/Pass.h"

namespace pith {

#define GEN_PASS_DECL
#include "pith/Codegen/GPU/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "pith/Codegen/GPU/Passes.h.inc"

} // namespace pith

#endif // PITH_CODEGEN_GPU_PASSES_H
