//===- Passes.h - passes on the pith dialect --------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_TRANSFORMS_PASSES_H
#define PITH_DIALECT_PITH_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"
#include "pith/Dialect/Pith/IR/Pith.h"

namespace pith {

#define GEN_PASS_DECL
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"

struct RaiseOptions {
  bool step = true;                  // derive the stateful entry
  std::string cacheElement = "auto"; // of the KV cache: auto (f16 if the model is half precision), f32, f16
};

/// The phase `raise`: from tensors as exported to blocks, attention, norms and state.
void buildRaisePipeline(mlir::OpPassManager &pm, const RaiseOptions &options = {});

#define GEN_PASS_REGISTRATION
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"

} // namespace pith

#endif // PITH_DIALECT_PITH_TRANSFORMS_PASSES_H
