//===- Kernels.h - CPU kernels as MLIR functions ----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each `getOrCreate…` returns a func.func in `module` whose body is the kernel, written in `scf`, `arith`,
// `math`, `vector` and `llvm` (pointers, loads, prefetch, intrinsics); equal specs give the same function.
// All kernels share one calling convention:
//
//   func.func private @kernel(%ctx: !llvm.ptr, %thread: i32, <operands: !llvm.ptr>…, <sizes: i64>…)
//
// `%ctx` is `const pith_exec_context *` (pith/executable.h). A kernel is run by every thread of the team with
// the same arguments; it computes its own share and may call the barrier inside, but does not end with one: the
// caller puts a barrier between a kernel and the next that reads its result. Activations are f32, row-major,
// 64-byte aligned; `rows` may be any number from 1 on.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CODEGEN_CPU_KERNELS_H
#define PITH_CODEGEN_CPU_KERNELS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "pith/Codegen/Specs.h"
#include <cstdint>
#include <string>

namespace pith::cpu {

/// What the generated code may use. `fromName` accepts "host", a CPU name known to LLVM ("znver5",
/// "x86-64-v3", …); `threads` is not part of it: code works for any team size.
struct Machine {
  std::string cpu;                 // LLVM's CPU name
  std::string features;            // LLVM's feature string for that CPU, "+avx2,+fma,…"
  int vectorBytes = 32;            // 32: AVX2, 64: AVX-512
  bool vnni = false;               // 512-bit vpdpbusd
  bool avxVnni = false;            // 256-bit vpdpbusd
  bool bf16 = false;               // vdpbf16ps
  bool vbmi = false;
  static std::optional<Machine> fromName(llvm::StringRef name);
};

using kernels::Activation;
using kernels::AttentionSpec;
using kernels::CacheLayout;
using kernels::Norm;
using kernels::NormSpec;
using kernels::RopeSpec;
using kernels::WeightFormat;
using kernels::WeightView;
using kernels::biasFront;
using kernels::biasStride;

/// How weights of a linear layer are stored in the .pith file: panels of `panelRows` output features. Within a
/// panel the bytes stand in the order in which the kernel reads them. One panel's bytes depend on the format
/// and K only, so that output features can be split among threads at any panel, and tables that are also read row
/// by row (tied embeddings) need no second copy. Scales that are not wide
/// are f16 times a factor per row, within 2^-12.
struct LinearLayout : kernels::LinearWeights {
  int64_t panelRows = 16;
  bool operator==(const LinearLayout &o) const;
  int64_t panelBytes() const;  // a multiple of 64
  int64_t sizeBytes() const;   // panels are padded to whole ones: ceil(n / panelRows) * panelBytes
};

/// Writes `layout.sizeBytes()` bytes. `parts` are stacked along n in order (q, k, v); with glu they are exactly gate and up.
/// Parts may need conversion to the layout's format (f32 to f16, f16 to bf16, …). `firstPanel`/`panels` select a
/// range, so that packing can stream and run on several threads.
void packLinear(const LinearLayout &layout, llvm::ArrayRef<WeightView> parts, int64_t firstPanel, int64_t panels,
                uint8_t *out);

/// out[m, n] = residual[m, n] + act(sum_k norm(x)[m, k] * W[n, k] + bias[n]); with glu
/// out[m, n] = residual[m, n] + act(gate) * up, where out has layout.n / 2 columns.
///
///   @linear(%ctx, %thread, %x, %weights, %out, %scratch, [%normScale], [%normBias], [%bias], [%residual], %rows)
///
/// x [rows, k] f32, out [rows, n] f32, scratch: scratchBytes(rows) bytes shared by the team; residual may be out
/// itself. Sums in f32 whatever the format when !int8Activations ("exact"); else activations are quantized to int8
/// per row and block (Int4 and Int8 weights only) and products are summed in int32 within a block ("balanced").
/// One function serves all rows: few rows stream the weights once (decode), many use register tiles (prefill).
/// With PITH_EXEC_DETERMINISTIC in the context's flags, a row's result has the same bits however many rows there are.
struct LinearSpec : kernels::LinearFusion {
  LinearLayout layout;
  bool int8Activations = false;
  /// A bound that is affine in rows: scratch = perRow * rows + fixed (64-byte aligned pieces).
  struct Scratch { int64_t perRow, fixed; };
};
LinearSpec::Scratch linearScratch(const Machine &, const LinearSpec &);
mlir::func::FuncOp getOrCreateLinear(mlir::ModuleOp module, const Machine &, const LinearSpec &);

/// out[m, :] = W[tokens[m], :] * scale, read from panels.   @embedding(%ctx, %thread, %tokens (i32), %weights, %out, %rows)
/// With `takesRows`, rows that the context's embedding_rows names stand for W's.
mlir::func::FuncOp getOrCreateEmbedding(mlir::ModuleOp module, const Machine &, const LinearLayout &, float scale,
                                        bool takesRows = false);

/// out[m, h, :] = norm(x[m, h, :]) for each of `heads` groups of `k` columns. out may be x.
///   @norm(%ctx, %thread, %x, %scale, [%bias], %out, %rows, %ldx)      out: dense.
mlir::func::FuncOp getOrCreateNorm(mlir::ModuleOp module, const Machine &, const NormSpec &);

/// The rows of x that the context's taps[slot] asks for, normalized if the norm is not None, to where it asks for them.
///   @tap(%ctx, %thread, %x, [%scale], [%bias], %slot, %ldx)
mlir::func::FuncOp getOrCreateTap(mlir::ModuleOp module, const Machine &, const NormSpec &);

/// Rotates `heads` heads of `headDim` columns, the first `rotaryDim` channels of each; others are copied.
/// Split-half pairs (i, i + r/2) or interleaved (2i, 2i + 1): y1 = x1 c - x2 s, y2 = x2 c + x1 s.
///   @rope(%ctx, %thread, %x, %cos, %sin, %out, %rows, %ldx, %ldo)      cos, sin: [rows, rotaryDim / 2] f32. out may be x.
mlir::func::FuncOp getOrCreateRope(mlir::ModuleOp module, const Machine &, const RopeSpec &);

/// Of a kv head's share of a page (CacheLayout), K comes first as 4 groups of 16 tokens, each [headDim][16], then V as
/// [64][valueDim].

/// Writes the batch's new keys and values to the lanes' pages (context->lane).
///   @kv_append(%ctx, %thread, %k, %v, %ldk, %ldv)      k [rows, kvHeads*headDim], v [rows, kvHeads*valueDim] f32
mlir::func::FuncOp getOrCreateKVAppend(mlir::ModuleOp module, const Machine &, const CacheLayout &);

/// out[m, h*valueDim ..] = softmax_j(softcap(scale * q.k_j) [+ alibi]) v_j over tokens j of the row's own lane with
/// j <= p and, if window > 0, j > p - window; p = the row's index in its sequence (lane.past + index in lane). With
/// sinks, exp(sink[h]) joins the denominator. One pass, online softmax in f32. Query head h reads kv head h / (heads / kvHeads).
///   @attention(%ctx, %thread, %q, %out, [%sinks], [%alibiSlopes], %ldq, %ldo)
mlir::func::FuncOp getOrCreateAttention(mlir::ModuleOp module, const Machine &, const AttentionSpec &);

} // namespace pith::cpu

#endif // PITH_CODEGEN_CPU_KERNELS_H
