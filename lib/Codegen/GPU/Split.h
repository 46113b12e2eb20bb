//===- Split.h - from neutral kernels to one vendor's operations -*- C++ -*-==//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_SPLIT_H
#define PITH_LIB_CODEGEN_GPU_SPLIT_H

#include "mlir/IR/PatternMatch.h"
#include "pith/Codegen/GPU/Machine.h"

namespace pith::gpu {

/// Exchanges between lanes become the vendor's instructions.
void populateSplitPatterns(mlir::RewritePatternSet &patterns, const Machine &machine);
/// Tile operations become matrix instructions and copies.
void populateTilePatterns(mlir::RewritePatternSet &patterns, const Machine &machine);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_SPLIT_H
