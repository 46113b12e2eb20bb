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
#include <cstdint>

namespace pith::gpu {

/// out[m, :] = softmax(x[m, 0 .. n)), both f32.   @softmax(%x, %out, %rows)      out may be x.
mlir::gpu::GPUFuncOp getOrCreateSoftmax(mlir::gpu::GPUModuleOp module, int64_t n);

/// How a row is sampled, as it lies in the device's memory: a captured launch serves any options.
struct SampleOptions {
  float temperature; // 0: the largest logit
  int32_t topK;      // 0: all
  float topP;        // 1: all
  float minP;        // 0: all
};

/// One token for each of the rows x[m, 0 .. n), f32: of the logits divided by the temperature the topK largest, of these the
/// shortest prefix by falling probability whose sum reaches topP, of these those with at least minP times the largest
/// probability; of what is left the first token, by number, at which the sum of probabilities passes uniform[m] of
/// their total. Of equal logits the lower number counts as larger. n is at most 2^24.
///   @sample(%x, %options (SampleOptions), %uniform (f32), %out (i32), %rows)
mlir::gpu::GPUFuncOp getOrCreateSample(mlir::gpu::GPUModuleOp module, int64_t n);

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
