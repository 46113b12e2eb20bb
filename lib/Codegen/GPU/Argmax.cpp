//===- Argmax.cpp - the most likely token ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Draw.h"
#include "KernelBuilder.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "llvm/ADT/Twine.h"
#include <limits>

using namespace mlir;
using namespace pith::gpu;

namespace {
struct Best {
  Value value, index;
};
} // namespace

/// The larger value; of equal ones the first.
static Best better(KernelBuilder &k, Best x, Best y) {
  auto compare = [&](arith::CmpFPredicate predicate) {
    return arith::CmpFOp::create(k.b, k.loc, predicate, y.value, x.value).getResult();
  };
  Value first = k.bitAnd(compare(arith::CmpFPredicate::OEQ), k.lessThan(y.index, x.index));
  Value take = k.bitOr(compare(arith::CmpFPredicate::OGT), first);
  return {k.select(take, y.value, x.value), k.select(take, y.index, x.index)};
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateArgmax(mlir::gpu::GPUModuleOp module, int64_t n) {
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = n >= 1024 ? 1024 : 128;
  int64_t subgroups = shape.threads / subgroupLanes;
  shape.sharedBytes = subgroups * 8;
  shape.grid = {getAffineDimExpr(0, context)};
  SmallVector<Argument> arguments = {Argument::In, Argument::In, Argument::Out, Argument::Size};
  std::string name = ("argmax_" + Twine(n)).str();
  return getOrCreateKernel(module, name, arguments, shape, [&](KernelBuilder &k, ArrayRef<Value> a) {
    Draw draw(k, a[0], a[1], n);
    Value none = k.constant(k.f32, -std::numeric_limits<float>::infinity());
    KernelBuilder::Values found = k.loop(
        k.thread(), k.index(n), shape.threads, {none, k.index(0)}, [&](Value i, ArrayRef<Value> carried) {
          Best best = better(k, {carried[0], carried[1]}, {draw.checked(i), i});
          return KernelBuilder::Values{best.value, best.index};
        });
    Best best = {found[0], found[1]};
    for (int64_t offset = subgroupLanes / 2; offset >= 1; offset /= 2)
      best = better(k, best, {k.shuffleXor(best.value, offset), k.shuffleXor(best.index, offset)});
    k.ifThen(k.equal(k.lane(), 0), [&] {
      Value mine = k.at(k.shared(), k.mul(k.subgroup(), 8));
      k.store(best.value, mine);
      k.store(best.index, k.at(mine, 4));
    });
    k.barrier();
    k.ifThen(k.equal(k.thread(), 0), [&] {
      Best all = {k.load(k.f32, k.shared()), k.load(k.i32, k.shared(4))};
      for (int64_t s = 1; s < subgroups; ++s)
        all = better(k, all, {k.load(k.f32, k.shared(s * 8)), k.load(k.i32, k.shared(s * 8 + 4))});
      k.store(k.select(draw.possible(all.value), all.index, draw.reason(all.value)),
              k.atWide(a[2], k.block(), 4));
    });
  });
}
