//===- Draw.h - a block for a token to draw ---------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_DRAW_H
#define PITH_LIB_CODEGEN_GPU_DRAW_H

#include "KernelBuilder.h"
#include <cstddef>

namespace pith::gpu {

/// The draw (pith_exec_draw) of this block, and its row of n logits.
class Draw {
public:
  using Value = mlir::Value;
  Draw(KernelBuilder &k, Value logits, Value draws, int64_t n);
  Value option(mlir::Type type, size_t offset);
  /// A logit of the row; plus infinity for what is no number.
  Value checked(Value number);
  /// Whether there is a token to draw, from the largest of all checked logits.
  Value possible(Value largest);
  /// Why there is none, in place of a token.
  Value reason(Value largest);

  const Value row; // its address

private:
  KernelBuilder &k;
  const Value draw;
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_DRAW_H
