//===- Kernels.h - GPU kernels as MLIR functions ----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each `getOrCreate…` returns a gpu.func in `module` whose body is the kernel of one thread, in `gpu`, `scf`, `arith`,
// `vector` and `llvm` (pointers, loads, intrinsics): the same for every chip unless it takes a Machine. Equal specs give the
// same function. Arguments are pointers to global memory, then sizes (i32). What a launch needs to know are the function's
// attributes:
//
//   known_block_size      threads of a block
//   pith.grid             blocks in x, y and z, an affine map from the kernel's sizes
//   pith.shared_bytes     shared memory of a block
//   pith.warp_groups      only for chips that have them (Machine::wgmma)
//   pith.one_block        its sums need the registers that a second block on the multiprocessor would have
//
// Rows of activations are row-major and begin 16-byte aligned where their length in bytes is a multiple of 16; sums are f32.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CODEGEN_GPU_KERNELS_H
#define PITH_CODEGEN_GPU_KERNELS_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "pith/Codegen/Specs.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>

namespace pith::gpu {

struct Machine;

using kernels::Activation;
using kernels::CacheLayout;
using kernels::Element;
using kernels::Mask;
using kernels::elementBytes;
using kernels::Norm;
using kernels::WeightFormat;
using kernels::WeightView;
using kernels::biasFront;
using kernels::biasStride;

inline constexpr llvm::StringLiteral kGridAttr = "pith.grid", kSharedBytesAttr = "pith.shared_bytes",
                                     kOneBlockAttr = "pith.one_block", kWarpGroupsAttr = "pith.warp_groups";
/// On a gpu.module behind the vendor split: lanes that run in step.
inline constexpr llvm::StringLiteral kSubgroupAttr = "pith.subgroup";

/// Weights stand in panels of 16 output features. A panel is, with E the input features in 16 bytes:
///
///   16 f32              a factor for each feature         } formats with scales
///   [blocks][16] side   scale and zero point              } (Encoding.h), padded to 64 bytes
///   [chunks][16][E]     16 bytes of one feature
///
/// So the 16 bytes that one lane reads belong to one feature, neighbouring lanes read neighbouring features, and a
/// subgroup reads 512 bytes in a row. The same panels feed the matrix units: of each, a chunk is a lane's share of the
/// operand, for some order of K that weights and activations have in common.
struct LinearLayout : kernels::LinearWeights {
  static constexpr int64_t panelRows = 16;
  int64_t panels() const;      // with glu, gate and up are padded to whole panels each, and alternate
  int64_t panelBytes() const;
  int64_t sizeBytes() const { return panels() * panelBytes(); }
  /// An error for what has no kernel.
  llvm::Error check() const;
};

/// As cpu::packLinear: writes panels [firstPanel, firstPanel + panels).
void packLinear(const LinearLayout &layout, llvm::ArrayRef<WeightView> parts, int64_t firstPanel, int64_t panels,
                uint8_t *out);

/// out[m, n] = residual[m, n] + act(sum_k norm(x)[m, k] * W[n, k] + bias[n]); with glu
/// out[m, n] = residual[m, n] + act(gate) * up, where out has layout.n / 2 columns. Norm is None or RMS.
///
///   @linear(%x, %weights, %out, [%normScale], [%bias], [%residual], %rows)
///
/// A launch chooses a form by its rows; residual may be out itself. rowTile 1, 2, 4 or 8: weights stream once for every
/// `rowTile` rows, each product in f32. rowTile 16, 32, 64 or 128: on matrix units, a block for as many rows (16: weights
/// stream once as well). There activations are `parts` numbers of `product` elements whose sum they are, and so are weights
/// that an element does not hold: 1 rounds ("balanced"); 3 of bf16 are f32's 24 bits ("exact", for all formats); 2 of f16
/// are 22 bits, for activations about 1.
///
/// With warpGroups (sm_90a; rowTile 128 or 256) x are rows that pack_rows wrote, normalized there: norm is None.
struct LinearSpec : kernels::LinearFusion {
  LinearLayout layout;
  Element input = Element::F32, output = Element::F32;  // of x; of out and residual
  int64_t rowTile = 1;
  Element product = Element::F16;
  int64_t parts = 1;
  int64_t stages = 2;                                   // of K in shared memory; stagesFor()
  bool warpGroups = false;
  bool onMatrixUnit() const { return rowTile > 8; }
  /// The stages that suit all of these chips.
  int64_t stagesFor(llvm::ArrayRef<Machine> machines) const;
  /// An error for what has no kernel.
  llvm::Error check() const;
};
mlir::gpu::GPUFuncOp getOrCreateLinear(mlir::gpu::GPUModuleOp module, const LinearSpec &);

/// Rows of x, normalized if asked to and rounded to `parts` numbers of `product`, for linear layers with warpGroups:
///   @pack_rows(%x, [%normScale], %out, %rows)      out: 16-byte aligned, rowBytes() for each of rows rounded up to 128
/// out is [128 rows][64 k][part], each a piece of shared memory as wgmma reads it (WarpGroup.h); zeros past K and past the
/// rows. With `octets`, k change places within 32: place 16s + 8h + 2q + e holds k = 8q + 4s + 2h + e.
struct PackRowsSpec {
  static constexpr int64_t tileRows = 128, stageK = 64;
  /// What the layer's kernel with warpGroups takes; its own norm is done here.
  static PackRowsSpec of(const LinearSpec &);
  int64_t k = 0;
  Norm norm = Norm::None;
  float normEpsilon = 0;
  Element input = Element::F32, product = Element::F16;
  int64_t parts = 1;
  bool octets = false;
  int64_t stages() const { return (k + stageK - 1) / stageK; }
  int64_t rowBytes() const { return stages() * stageK * 2 * parts; }
};
mlir::gpu::GPUFuncOp getOrCreatePackRows(mlir::gpu::GPUModuleOp module, const PackRowsSpec &);

/// out[m, :] = W[tokens[m], :] * scale, read from panels.   @embedding(%tokens (i32), %weights, %out, [%given], %rows)
/// With `takesRows`, given[m] is an address of f32 to take instead, or null.
struct EmbeddingSpec {
  LinearLayout layout;
  float scale = 1;
  bool takesRows = false;
  Element output = Element::F32;
};
mlir::gpu::GPUFuncOp getOrCreateEmbedding(mlir::gpu::GPUModuleOp module, const EmbeddingSpec &);

/// out[m, h, :] = norm(x[m, h, :]) for each of `heads` groups of `k` columns. out may be x.
///   @norm(%x, [%scale], [%bias], %out, [%rowIndex], %rows, %ldx)      out: dense. ldx in elements.
/// With `gather`, row m of out comes from row rowIndex[m] (i32) of x. Without a norm there is no scale: a copy.
struct NormSpec : kernels::NormSpec {
  bool gather = false;
  Element input = Element::F32, output = Element::F32;
};
mlir::gpu::GPUFuncOp getOrCreateNorm(mlir::gpu::GPUModuleOp module, const NormSpec &);

/// As the CPU's rope.   @rope(%x, %cos, %sin, %out, %rows, %ldx, %ldo)      cos, sin: [rows, rotaryDim / 2] f32. out may be x.
struct RopeSpec : kernels::RopeSpec {
  Element input = Element::F32, output = Element::F32;
};
mlir::gpu::GPUFuncOp getOrCreateRope(mlir::gpu::GPUModuleOp module, const RopeSpec &);

// Kernels on the paged cache. `%rowLanes` [rows] i32 says for each row of the batch which lane it belongs to, `%lanes` are
// pith_exec_lane records whose pages are addresses on the device. `%layer` is the layer's offset in a page / 64, so that one
// kernel serves all layers; specs' layerOffset does not count. Of a kv head's share of a page, K comes first as
// [64 tokens][headDim], then V as [64][valueDim].

/// Writes the batch's new keys and values; keys rotated first if rotaryDim > 0.
///   @kv_append(%k, %v, [%cos, %sin], %rowLanes, %lanes, %rows, %ldk, %ldv, %layer)
struct AppendSpec {
  CacheLayout cache;
  int64_t rotaryDim = 0;
  bool interleaved = false;
  Element input = Element::F32;
};
mlir::gpu::GPUFuncOp getOrCreateKVAppend(mlir::gpu::GPUModuleOp module, const AppendSpec &);

/// As the CPU's attention. A launch may choose by its rows between the form for few new tokens of each sequence and `tile`,
/// whose blocks have 128 / (query heads of a kv head) neighbouring rows of the batch.
///   @attention(%q, %rowLanes, %lanes, [%conditions], [%sinks], [%slopes], [%bias], %out, %rows, %ldq, %ldo, %layer)
/// With `split`, `splits` blocks share a row's tokens, and a second kernel merges what they found:
///   @attention(%q, %rowLanes, %lanes, [%conditions], [%slopes], [%bias], %parts, %rows, %ldq, %layer, %splits)
///   @attention_merge(%parts, [%sinks], %out, %rows, %ldo, %splits)
/// parts: [rows][heads][splits][2 + valueDim] f32.
///
/// Over tensors, of `rows` = batch * `queries` queries and batch * `tokens` keys and values, with rows of so many elements:
///   @attention(%q, %keys, %values, [%mask], [%sinks], %out, %rows, %ldq, %ldo, %ldk, %ldv, %queries, %tokens, [%steps])
/// mask: f32 (added) or bytes (0 hides); four %steps, its elements from one sequence, head, query and token to the next, 0 where
/// it has one for all. A row that sees no token gives zeros.
struct AttentionSpec : kernels::AttentionSpec {
  Element input = Element::F32, output = Element::F32;
  bool split = false;
  bool tile = false;              // for many rows: on matrix units, the same arguments as without split
  Element product = Element::F16; // with tile: the cache's, if that is not f32
  int64_t parts = 1; // with tile: of queries, weights, and keys and values of f32, as in LinearSpec
  bool warpGroups = false; // with tile, sm_90a only: by wgmma; heads of 64 or 128 channels, one part
  llvm::Error check() const;
};
mlir::gpu::GPUFuncOp getOrCreateAttention(mlir::gpu::GPUModuleOp module, const AttentionSpec &);
mlir::gpu::GPUFuncOp getOrCreateAttentionMerge(mlir::gpu::GPUModuleOp module, const AttentionSpec &);

} // namespace pith::gpu

#endif // PITH_CODEGEN_GPU_KERNELS_H
