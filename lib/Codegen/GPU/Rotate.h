//===- Rotate.h - the channels of a head, rotated ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_ROTATE_H
#define PITH_LIB_CODEGEN_GPU_ROTATE_H

#include "KernelBuilder.h"

namespace pith::gpu {

/// A head's channels fall into units that a thread can take: pairs that rotate, then single channels that do
/// not.
struct RotatedHead {
  int64_t headDim, rotaryDim;
  bool interleaved;
  int64_t pairs() const { return rotaryDim / 2; }
  int64_t units() const { return pairs() + headDim - rotaryDim; }

  /// Reads unit `unit` of the head at `x` and gives the rotated channels to `store`. `cosines` and `sines`
  /// are the row's; null if nothing rotates.
  void emit(KernelBuilder &k, Element input, mlir::Value x, mlir::Value cosines, mlir::Value sines,
            mlir::Value unit, llvm::function_ref<void(mlir::Value channel, mlir::Value value)> store) const;
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_ROTATE_H
