//===- PackRows.cpp - activations as wgmma reads them ---------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bound: the bytes; x is read once (twice with a norm, the second time from a cache) and its parts are
// written. For 8192 x 8192 f32 that is 0.4 GB, a twelfth of the time of the products that follow. What it
// buys: a block of the products fetches its rows by one copy for each stage and part, where each block of
// features would load, normalize and round the same rows again.
//
// A block has a row. A thread has 16-byte units of the result; in either order of k (Kernels.h), the four
// threads whose units share 32 k read whole sectors.
//
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "LinearKernel.h"
#include "WarpGroup.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <string>

using namespace mlir;
using namespace pith::gpu;

PackRowsSpec PackRowsSpec::of(const LinearSpec &linear) {
  PackRowsSpec spec;
  spec.k = linear.layout.k;
  spec.norm = linear.norm;
  spec.normEpsilon = linear.normEpsilon;
  spec.input = linear.input;
  spec.product = linear.product;
  spec.parts = linear.parts;
  spec.octets = Encoding::create(linear.layout)->wordElements() != 2;
  return spec;
}

namespace {
class PackRows {
public:
  using Values = KernelBuilder::Values;

  PackRows(KernelBuilder &k, const PackRowsSpec &spec, ArrayRef<Value> arguments)
      : k(k), spec(spec), inputBytes(elementBytes(spec.input)),
        units(spec.stages() * PackRowsSpec::stageK / 8) {
    x = *arguments.begin();
    normScale = spec.norm != Norm::None ? arguments[1] : Value();
    out = arguments[arguments.size() - 2];
    rows = arguments.back();
    // Neighbouring k that stand in neighbouring places, where rows begin aligned to them.
    int64_t most = spec.octets ? 2 : 8;
    run = spec.k % most == 0 ? most : 1;
  }

  void build() {
    row = k.block();
    Value inRows = k.lessThan(row, rows);
    base = k.atWide(x, k.select(inRows, row, k.index(0)), spec.k * inputBytes);
    Value factor;
    if (normScale) {
      Value squares = k.loop(k.thread(), k.index(units), k.threads, {k.constant(k.f32, 0)},
                             [&](Value unit, ArrayRef<Value> sum) -> Values {
                               Value v = load(unit, Value());
                               return {k.fadd(sum[0], k.reduceAdd(k.fmul(v, v)))};
                             })[0];
      factor = rowFactor(k, spec.k, spec.normEpsilon, k.sumBlock({squares})[0]);
    }
    constexpr int64_t stageUnits = PackRowsSpec::stageK / 8,
                      partBytes = PackRowsSpec::tileRows * WarpGroup::rowBytes;
    Value tile = k.atWide(out, k.div(row, PackRowsSpec::tileRows), spec.stages() * spec.parts * partBytes);
    Value inTile = k.rem(row, PackRowsSpec::tileRows);
    k.loop(k.thread(), k.index(units), k.index(k.threads), [&](Value unit) {
      Value v = load(unit, normScale);
      if (factor)
        v = k.fmul(v, k.splat(factor, 8));
      v = k.orZero(inRows, v);
      Value to = k.add(k.mul(k.div(unit, stageUnits), spec.parts * partBytes),
                       WarpGroup::offset(k, inTile, k.rem(unit, stageUnits)));
      for (auto [p, part] : llvm::enumerate(k.split(v, spec.product, spec.parts)))
        k.store(part, k.at(k.at(tile, to), int64_t(p) * partBytes), 16);
    });
  }

private:
  /// The eight numbers of a unit in f32, times `scale` if there is one; zeros past K.
  Value load(Value unit, Value scale) {
    Value group = k.mul(k.div(unit, 4), 32), inGroup = k.rem(unit, 4);
    Values values;
    for (int64_t e = 0; e < 8; e += run) {
      Value column = spec.octets ? k.add(k.add(group, k.mul(inGroup, 2)), e / 2 * 8 + e % 2)
                                 : k.add(k.add(group, k.mul(inGroup, 8)), e);
      Value inside = k.constant(k.i1, 1), at = column;
      if (spec.k % PackRowsSpec::stageK != 0) {
        inside = k.lessThan(column, spec.k);
        at = k.select(inside, column, k.index(0));
      }
      Value v = k.loadFloats(spec.input, k.at(base, k.mul(at, inputBytes)), run,
                             std::min<int64_t>(run * inputBytes, 16));
      if (scale)
        v = k.fmul(
            v, k.loadFloats(Element::F32, k.at(scale, k.mul(at, 4)), run, std::min<int64_t>(run * 4, 16)));
      v = k.orZero(inside, v);
      for (int64_t i = 0; i < run; ++i)
        values.push_back(run == 1 ? v : k.element(v, i));
    }
    return vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), values);
  }

  KernelBuilder &k;
  const PackRowsSpec &spec;
  const int64_t inputBytes, units;
  int64_t run;
  Value x, normScale, out, rows, row, base;
};

std::string nameOf(const PackRowsSpec &spec) {
  std::string name;
  llvm::raw_string_ostream stream(name);
  stream << "pack_rows_" << spec.k;
  if (spec.norm != Norm::None)
    stream << "_rms" << llvm::utohexstr(llvm::bit_cast<uint32_t>(spec.normEpsilon));
  stream << "_" << pith::gpu::nameOf(spec.input) << "_" << pith::gpu::nameOf(spec.product) << "x"
         << spec.parts << (spec.octets ? "_octets" : "");
  return name;
}
} // namespace

mlir::gpu::GPUFuncOp pith::gpu::getOrCreatePackRows(mlir::gpu::GPUModuleOp module, const PackRowsSpec &spec) {
  SmallVector<Argument> arguments = {Argument::In};
  if (spec.norm != Norm::None)
    arguments.push_back(Argument::Constant);
  arguments.append({Argument::Out, Argument::Size});
  KernelShape shape;
  shape.threads =
      std::min<int64_t>(256, llvm::alignTo(spec.stages() * PackRowsSpec::stageK / 8, subgroupLanes));
  shape.sharedBytes = spec.norm != Norm::None ? shape.threads / subgroupLanes * 4 : 0;
  shape.grid = {getAffineDimExpr(0, module.getContext()).ceilDiv(PackRowsSpec::tileRows) *
                PackRowsSpec::tileRows};
  return getOrCreateKernel(module, ::nameOf(spec), arguments, shape,
                           [&](KernelBuilder &k, ArrayRef<Value> a) { PackRows(k, spec, a).build(); });
}
