//===- KernelBuilder.h - words that GPU kernels are written in --*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel is the code of one thread. It is written for subgroups of 32 lanes on every chip: a chip whose lanes run 64 in
// step runs two of them, and exchanges stay within 32. Sizes and indices are i32; what may pass 2 GB is an offset in i64.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_KERNELBUILDER_H
#define PITH_LIB_CODEGEN_GPU_KERNELBUILDER_H

#include "../Common/CodeBuilder.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/AffineMap.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Codegen/GPU/TileOps.h"

namespace pith::gpu {

inline constexpr int64_t subgroupLanes = 32;

/// A share of an operand or of sums: the row, and the octet or the common row.
struct TilePlace {
  mlir::Value row, column;
};

class KernelBuilder : public kernels::CodeBuilder {
public:
  KernelBuilder(mlir::OpBuilder &b, mlir::Location loc, mlir::gpu::GPUFuncOp function, int64_t threads)
      : CodeBuilder(b, loc, /*addressSpace=*/1, /*indexBits=*/32), threads(threads), function(function) {}

  const int64_t threads;                       // of a block; a multiple of 32
  int64_t subgroups() const { return threads / subgroupLanes; }

  // Who am I? All i32.
  Value thread();
  Value block(mlir::gpu::Dimension dimension = mlir::gpu::Dimension::x);
  Value lane() { return bitAnd(thread(), subgroupLanes - 1); }
  Value subgroup() { return shiftRight(thread(), 5); }

  /// base + index * bytes, computed in i64.
  Value atWide(Value base, Value index, int64_t bytes);
  /// 16 bytes that no kernel writes while this one runs: vector<4xi32>.
  Value loadChunk(Value address);
  /// f32, or vector<count x f32>, from elements of `element` at an address that is a multiple of `align`.
  Value loadFloats(Element element, Value address, int64_t count, int64_t align);
  void storeFloats(Element element, Value value, Value address, int64_t align);
  Type typeOf(Element element);

  /// A null value where the condition does not hold; the address must be valid all the same.
  Value orZero(Value condition, Value value);

  // Exchange between lanes: every lane of the subgroup must take part. Sums and maxima of `width` neighbouring lanes (a
  // power of two, up to 32) come to all of them.
  Value shuffleXor(Value value, int64_t offset);
  Values sumLanes(llvm::ArrayRef<Value> values, int64_t width = subgroupLanes, int64_t from = 1);
  Values maxLanes(llvm::ArrayRef<Value> values, int64_t width = subgroupLanes, int64_t from = 1);

  // Matrix units (TileOps.td).
  TilePlace place(tile::What what, int64_t index);
  /// Numbers of `element` whose sum is as much of `x` (f32) as `parts` of them can hold.
  Values split(Value x, Element element, int64_t parts);
  /// Where octet `octet` of row `row` stands in rows of `pitch` bytes, a multiple of 128: octets of neighbouring rows change
  /// places, so that lanes that read the same octet of 8 rows, or four octets of two, read different banks.
  Value octetOffset(Value row, Value octet, int64_t pitch);

  // Shared memory, one buffer of the kernel's sharedBytes.
  Value shared(int64_t offset = 0);
  void barrier();
  /// Sums over the whole block, the same in all threads. Uses subgroups() * values.size() * 4 bytes of shared memory at
  /// `offset`, which may be used again behind the next barrier.
  Values sumBlock(llvm::ArrayRef<Value> values, int64_t offset = 0);

  // Approximate forms, errors of 2 units in the last place: one or two instructions.
  Value fdiv(Value a, Value b) override;
  Value exp(Value x) override;
  Value exp2(Value x, int degree = 6) override;
  Value fmin(Value a, Value b) override;
  Value fmax(Value a, Value b) override;

private:
  Values combineLanes(llvm::ArrayRef<Value> values, int64_t width, int64_t from,
                      llvm::function_ref<Value(Value, Value)> combine);
  mlir::gpu::GPUFuncOp function;
  Value threadId;
};

/// What a kernel's arguments are.
enum class Argument {
  Constant, // pointer to what no kernel writes: weights, tables
  In, Out,  // pointers; an Out may be an In
  Size,     // i32
};

struct KernelShape {
  int64_t threads = 0, sharedBytes = 0;
  /// Blocks in x, y, z as a function of the Size arguments, in their order.
  llvm::SmallVector<mlir::AffineExpr> grid;
  bool oneBlock = false, warpGroups = false; // attributes
};

/// Builds `gpu.func @name(…) kernel` in `module`, or returns the one that it has already. What a launch needs to know stands
/// in attributes: `known_block_size`, `pith.shared_bytes`, and `pith.grid`, an affine map from the Size arguments.
mlir::gpu::GPUFuncOp getOrCreateKernel(mlir::gpu::GPUModuleOp module, llvm::StringRef name,
                                       llvm::ArrayRef<Argument> arguments, const KernelShape &shape,
                                       llvm::function_ref<void(KernelBuilder &, llvm::ArrayRef<mlir::Value>)> body);

/// The largest power of two that divides every multiple of `stride`, up to `wanted` (a power of two) and 16: what an address in
/// a row-major matrix is sure to be a multiple of.
int64_t alignmentOf(int64_t stride, int64_t wanted);

/// "f32", "f16", "bf16"
llvm::StringRef nameOf(Element element);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_KERNELBUILDER_H
