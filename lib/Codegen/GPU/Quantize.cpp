//===- Quantize.cpp - rows to 8-bit codes and back ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "RowKernel.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <string>

using namespace mlir;
using namespace pith::gpu;

namespace {
/// A row's blocks, and a GPU block for each.
struct Blocks {
  explicit Blocks(const QuantizeSpec &spec)
      : length(spec.block > 0 ? std::min(spec.block, spec.k) : spec.k),
        count(llvm::divideCeil(spec.k, length)) {}
  int64_t length, count;

  KernelShape shape(MLIRContext *context) const {
    KernelShape result;
    result.threads = std::clamp<int64_t>(llvm::alignTo(length, subgroupLanes), subgroupLanes, 256);
    result.sharedBytes = result.threads / subgroupLanes * 4;
    result.grid = {getAffineDimExpr(0, context), getAffineConstantExpr(count, context)};
    return result;
  }
  /// For each of this thread's columns of its block.
  void forColumns(KernelBuilder &k, const QuantizeSpec &spec, llvm::function_ref<void(Value)> body) const {
    Value begin = k.mul(k.block(mlir::gpu::Dimension::y), length);
    Value end = k.minimum(k.add(begin, length), spec.k);
    k.loop(k.add(begin, k.thread()), end, k.index(k.threads), body);
  }
  Value scaleAt(KernelBuilder &k, Value scales) const {
    return k.at(k.atWide(scales, k.block(), count * 4), k.mul(k.block(mlir::gpu::Dimension::y), 4));
  }
};
} // namespace

static std::string nameOf(const char *kind, const QuantizeSpec &spec) {
  return (Twine(kind) + "_" + Twine(spec.k) + "_b" + Twine(spec.block) + "_" + nameOf(spec.element)).str();
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateQuantize(mlir::gpu::GPUModuleOp module, const QuantizeSpec &spec) {
  Blocks blocks(spec);
  SmallVector<Argument> arguments = {Argument::In, Argument::Out, Argument::Out, Argument::Size};
  return getOrCreateKernel(
      module, ::nameOf("quantize", spec), arguments, blocks.shape(module.getContext()),
      [&](KernelBuilder &k, ArrayRef<Value> a) {
        int64_t bytes = elementBytes(spec.element);
        Value x = k.atWide(a[0], k.block(), spec.k * bytes), codes = k.atWide(a[1], k.block(), spec.k);
        auto load = [&](Value i) { return k.loadFloats(spec.element, k.at(x, k.mul(i, bytes)), 1, 0); };
        Value begin = k.mul(k.block(mlir::gpu::Dimension::y), blocks.length);
        Value end = k.minimum(k.add(begin, blocks.length), spec.k);
        Value mine = k.loop(k.add(begin, k.thread()), end, k.threads, {k.constant(k.f32, 0)},
                            [&](Value i, ArrayRef<Value> carried) {
                              Value v = LLVM::FAbsOp::create(k.b, k.loc, load(i));
                              return KernelBuilder::Values{k.fmax(carried[0], v)};
                            })[0];
        Value scale = k.fmul(maxBlock(k, mine), k.constant(k.f32, 1.0 / 127));
        Value none =
            arith::CmpFOp::create(k.b, k.loc, arith::CmpFPredicate::OEQ, scale, k.constant(k.f32, 0));
        Value inverse = k.select(none, k.constant(k.f32, 0), k.fdiv(k.constant(k.f32, 1), scale));
        k.ifThen(k.equal(k.thread(), 0), [&] { k.store(scale, blocks.scaleAt(k, a[2])); });
        blocks.forColumns(k, spec, [&](Value i) {
          Value code = k.fromF32(k.round(k.fmul(load(i), inverse)), k.i32);
          code = k.minimum(k.maximum(code, k.index(-127)), k.index(127));
          k.store(arith::TruncIOp::create(k.b, k.loc, k.i8, code), k.at(codes, i));
        });
      });
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateDequantize(mlir::gpu::GPUModuleOp module,
                                                      const QuantizeSpec &spec) {
  Blocks blocks(spec);
  SmallVector<Argument> arguments = {Argument::In, Argument::In, Argument::Out, Argument::Size};
  return getOrCreateKernel(
      module, ::nameOf("dequantize", spec), arguments, blocks.shape(module.getContext()),
      [&](KernelBuilder &k, ArrayRef<Value> a) {
        int64_t bytes = elementBytes(spec.element);
        Value codes = k.atWide(a[0], k.block(), spec.k), out = k.atWide(a[2], k.block(), spec.k * bytes);
        Value scale = k.load(k.f32, blocks.scaleAt(k, a[1]));
        blocks.forColumns(k, spec, [&](Value i) {
          Value code = k.toF32(k.sext(k.load(k.i8, k.at(codes, i)), k.i32));
          k.storeFloats(spec.element, k.fmul(code, scale), k.at(out, k.mul(i, bytes)), bytes);
        });
      });
}
