//===- Norm.cpp - RMS and layer normalization -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A group of columns (a row, or a head of one) is read once and stays in registers. Groups of up to 1024
// columns belong to one subgroup, several to a block and no barrier; longer ones to a block.
//
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::gpu;

namespace {
struct NormKernel {
  explicit NormKernel(const NormSpec &spec) : spec(spec) {
    vector = spec.k % 4 == 0 ? 4 : 1;
    if (spec.k <= 1024)
      return;
    // Up to four loads in flight per thread, then more threads, then more loads.
    threads = groupThreads = std::clamp<int64_t>(llvm::PowerOf2Ceil(spec.k / (4 * vector)), 256, 1024);
    groups = 1;
  }

  void build(KernelBuilder &k, ArrayRef<Value> arguments) {
    auto next = arguments.begin();
    Value x = *next++, scale = spec.kind == Norm::None ? Value() : *next++,
          bias = spec.bias ? *next++ : Value();
    Value out = *next++, rowIndex = spec.gather ? *next++ : Value(), rows = *next++, ldx = *next++;
    Value items = k.mul(rows, spec.heads);
    Value mine = groups == 1 ? k.block() : k.add(k.mul(k.block(), groups), k.subgroup());
    // Subgroups past the end repeat the last item's sums and store nothing.
    Value item = groups == 1 ? mine : k.minimum(mine, k.sub(items, 1));
    Value row = k.div(item, spec.heads);
    if (rowIndex)
      row = k.load(k.i32, k.atWide(rowIndex, row, 4));
    Value head = k.mul(k.rem(item, spec.heads), spec.k);
    Value me = groups == 1 ? k.thread() : k.lane();
    int64_t inBytes = elementBytes(spec.input), outBytes = elementBytes(spec.output);
    Value from =
        k.at(k.at(x, k.mul(k.mul(k.zext(row, k.i64), k.zext(ldx, k.i64)), inBytes)), k.mul(head, inBytes));
    Value to = k.atWide(out, item, spec.k * outBytes);

    int64_t step = groupThreads * vector, parts = llvm::divideCeil(spec.k, step);
    KernelBuilder::Values values, columns, inside;
    for (int64_t p = 0; p < parts; ++p) {
      Value column = k.add(k.mul(me, vector), p * step);
      bool whole = (p + 1) * step <= spec.k;
      inside.push_back(whole ? Value() : k.lessThan(column, spec.k));
      if (!whole)
        column = k.select(inside.back(), column, k.index(0));
      columns.push_back(column);
      Value v = k.loadFloats(spec.input, k.at(from, k.mul(column, inBytes)), vector, vector * inBytes);
      values.push_back(whole ? v : k.orZero(inside.back(), v));
    }

    auto sum = [&](ArrayRef<Value> terms, int64_t shared) {
      Value all;
      for (Value term : terms)
        all = all ? k.fadd(all, term) : term;
      Value one = vector == 1 ? all : k.reduceAdd(all);
      return groups == 1 ? k.sumBlock({one}, shared)[0] : k.sumLanes({one})[0];
    };
    auto spread = [&](Value v) { return vector == 1 ? v : k.splat(v, vector); };
    Value perColumn = k.constant(k.f32, 1.0 / double(spec.k));
    if (spec.kind == Norm::Layer) {
      Value mean = spread(k.fmul(sum(values, 0), perColumn));
      for (int64_t p = 0; p < parts; ++p) {
        values[p] = k.fsub(values[p], mean);
        if (inside[p])
          values[p] = k.orZero(inside[p], values[p]);
      }
    }
    Value factor;
    if (spec.kind != Norm::None) {
      KernelBuilder::Values squares;
      for (Value v : values)
        squares.push_back(k.fmul(v, v));
      // The two sums use different parts of the shared memory: no barrier between them.
      Value variance =
          k.fadd(k.fmul(sum(squares, k.subgroups() * 4), perColumn), k.constant(k.f32, spec.epsilon));
      factor = spread(k.fdiv(k.constant(k.f32, 1), k.sqrt(variance)));
    }

    for (int64_t p = 0; p < parts; ++p) {
      auto table = [&](Value base) {
        return k.loadFloats(Element::F32, k.at(base, k.mul(columns[p], 4)), vector, vector * 4);
      };
      Value y = factor ? k.fmul(k.fmul(values[p], factor), table(scale)) : values[p];
      if (bias)
        y = k.fadd(y, table(bias));
      auto put = [&] {
        k.storeFloats(spec.output, y, k.at(to, k.mul(columns[p], outBytes)), vector * outBytes);
      };
      Value active = inside[p];
      if (groups > 1) {
        Value real = k.lessThan(mine, items);
        active = active ? k.bitAnd(active, real) : real;
      }
      if (active)
        k.ifThen(active, put);
      else
        put();
    }
  }

  const NormSpec &spec;
  int64_t vector;            // columns of one load
  int64_t threads = 128;     // of a block
  int64_t groupThreads = 32; // that share a group of columns
  int64_t groups = 4;        // of columns per block
};
} // namespace

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateNorm(mlir::gpu::GPUModuleOp module, const NormSpec &spec) {
  static constexpr llvm::StringLiteral kinds[] = {"none", "rms", "layer"};
  std::string name = ("norm_" + kinds[int(spec.kind)] + (spec.gather ? "_gather_" : "_") +
                      (spec.heads > 1 ? Twine(spec.heads) + "x" : Twine()) + Twine(spec.k) + "_e" +
                      Twine::utohexstr(llvm::bit_cast<uint32_t>(spec.epsilon)) + (spec.bias ? "_bias" : "") +
                      "_" + nameOf(spec.input) + "_" + nameOf(spec.output))
                         .str();
  NormKernel kernel(spec);
  SmallVector<Argument> arguments = {Argument::In};
  arguments.append(int(spec.kind != Norm::None) + int(spec.bias), Argument::Constant);
  arguments.push_back(Argument::Out);
  if (spec.gather)
    arguments.push_back(Argument::In);
  arguments.append(2, Argument::Size);
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = kernel.threads;
  shape.sharedBytes = kernel.groups == 1 ? 2 * kernel.threads / subgroupLanes * 4 : 0;
  shape.grid = {(getAffineDimExpr(0, context) * spec.heads).ceilDiv(kernel.groups)};
  return getOrCreateKernel(module, name, arguments, shape,
                           [&](KernelBuilder &k, ArrayRef<Value> a) { kernel.build(k, a); });
}
