//===- Softmax.cpp - rows of probabilities --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "RowKernel.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "llvm/ADT/Twine.h"
#include <limits>

using namespace mlir;
using namespace pith::gpu;

Value pith::gpu::maxBlock(KernelBuilder &k, Value value) {
  Value largest = k.maxLanes({value})[0];
  if (k.subgroups() == 1)
    return largest;
  k.ifThen(k.equal(k.lane(), 0), [&] { k.store(largest, k.at(k.shared(), k.mul(k.subgroup(), 4))); });
  k.barrier();
  Value all = k.load(k.f32, k.shared());
  for (int64_t s = 1; s < k.subgroups(); ++s)
    all = k.fmax(all, k.load(k.f32, k.shared(s * 4)));
  return all;
}

Value pith::gpu::rowMax(KernelBuilder &k, Value x, int64_t n) {
  Value none = k.constant(k.f32, -std::numeric_limits<float>::infinity());
  Value mine = k.loop(k.thread(), k.index(n), k.threads, {none}, [&](Value i, ArrayRef<Value> carried) {
    return KernelBuilder::Values{k.fmax(carried[0], k.load(k.f32, k.at(x, k.mul(i, 4))))};
  })[0];
  return maxBlock(k, mine);
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateSoftmax(mlir::gpu::GPUModuleOp module, int64_t n) {
  KernelShape shape;
  shape.threads = n >= 1024 ? 1024 : 128;
  shape.sharedBytes = shape.threads / subgroupLanes * 8;
  shape.grid = {getAffineDimExpr(0, module.getContext())};
  SmallVector<Argument> arguments = {Argument::In, Argument::Out, Argument::Size};
  return getOrCreateKernel(
      module, ("softmax_" + Twine(n)).str(), arguments, shape, [&](KernelBuilder &k, ArrayRef<Value> a) {
        Value row = k.block(), x = k.atWide(a[0], row, n * 4), out = k.atWide(a[1], row, n * 4);
        Value largest = rowMax(k, x, n);
        auto weight = [&](Value i) { return k.exp(k.fsub(k.load(k.f32, k.at(x, k.mul(i, 4))), largest)); };
        Value sum = k.loop(k.thread(), k.index(n), shape.threads, {k.constant(k.f32, 0)},
                           [&](Value i, ArrayRef<Value> carried) {
                             return KernelBuilder::Values{k.fadd(carried[0], weight(i))};
                           })[0];
        Value factor = k.fdiv(k.constant(k.f32, 1), k.sumBlock({sum}, shape.threads / subgroupLanes * 4)[0]);
        k.loop(k.thread(), k.index(n), k.index(shape.threads),
               [&](Value i) { k.store(k.fmul(weight(i), factor), k.at(out, k.mul(i, 4))); });
      });
}
