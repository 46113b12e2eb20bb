//===- Sampling.h - GPU kernels on rows of logits and numbers ---*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// As Kernels.h: gpu.funcs with the same attributes.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CODEGEN_GPU_SAMPLING_H
#define PITH_CODEGEN_GPU_SAMPLING_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "pith/Codegen/GPU/Kernels.h"

namespace pith::gpu {

/// out[m, :] = softmax(x[m, 0 .. n)), both f32.   @softmax(%x, %out, %rows)      out may be x.
mlir::gpu::GPUFuncOp getOrCreateSoftmax(mlir::gpu::GPUModuleOp module, int64_t n);

/// One token for each draw (pith_exec_draw, which says how) from a row of x[:, 0 .. n), f32. The draws lie in the device's
/// memory: a captured launch serves any options. n is at most kMostToDrawFrom.
///   @sample(%x, %draws, %out (i32), %draw_count)
inline constexpr int64_t kMostToDrawFrom = int64_t(1) << 24;
mlir::gpu::GPUFuncOp getOrCreateSample(mlir::gpu::GPUModuleOp module, int64_t n);
/// The largest logit's number, of equal ones the first, whatever else the draws say.   @argmax(%x, %draws, %out, %draw_count)
mlir::gpu::GPUFuncOp getOrCreateArgmax(mlir::gpu::GPUModuleOp module, int64_t n);

/// Rows of k numbers to 8-bit codes: of each `block` numbers (0: of the row) scale = largest magnitude / 127, code = x / scale to
/// the nearest.   @quantize(%x, %codes (i8), %scales (f32, [rows, ceil(k / block)]), %rows)
/// And back: x = code * scale.   @dequantize(%codes, %scales, %out, %rows)
struct QuantizeSpec {
  int64_t k = 0, block = 0;
  Element element = Element::F32;
};
mlir::gpu::GPUFuncOp getOrCreateQuantize(mlir::gpu::GPUModuleOp module, const QuantizeSpec &);
mlir::gpu::GPUFuncOp getOrCreateDequantize(mlir::gpu::GPUModuleOp module, const QuantizeSpec &);

} // namespace pith::gpu

#endif // PITH_CODEGEN_GPU_SAMPLING_H
