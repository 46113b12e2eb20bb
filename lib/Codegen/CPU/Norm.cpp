//===- Norm.cpp - RMS and layer normalization -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row is read twice (layer: three times, so that the variance is a sum of squared differences and keeps its
// digits when the mean is large); it is in L1 or L2 after the first time. Threads share the rows, and of each
// row the heads.
//
//===----------------------------------------------------------------------===//
#include "NormRow.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace pith::cpu;

NormRow::NormRow(KernelBuilder &k, const NormSpec &spec, int64_t lanes) : k(k), spec(spec), lanes(lanes) {
  whole = spec.k / lanes * lanes;
  if (whole != spec.k)
    tail = k.firstLanes(lanes, k.index(spec.k - whole));
}

void NormRow::build(Value x, Value scale, Value bias, Value out) {
  VectorType type = k.vec(lanes, k.f32);
  auto load = [&](Value base, Value bytes, Value mask) {
    Value address = k.at(base, bytes);
    return mask ? k.maskedLoad(type, address, mask) : k.load(type, address);
  };
  Value mean, factor;
  if (spec.kind != Norm::None) {
    Value count = k.constant(k.f32, double(spec.k));
    if (spec.kind == Norm::Layer)
      mean =
          k.splat(k.fdiv(sumOver(x, [&](Value sum, Value v, bool) { return k.fadd(sum, v); }), count), lanes);
    Value squares = sumOver(x, [&](Value sum, Value v, bool partial) {
      if (mean)
        v = k.fsub(v, mean);
      if (mean && partial)
        v = k.select(tail, v, k.constant(type, 0));
      return k.fma(v, v, sum);
    });
    Value variance = k.fadd(k.fdiv(squares, count), k.constant(k.f32, spec.epsilon));
    factor = k.splat(k.fdiv(k.constant(k.f32, 1), k.sqrt(variance)), lanes);
  }
  overColumns([&](Value bytes, Value mask) {
    Value v = load(x, bytes, mask);
    if (mean)
      v = k.fsub(v, mean);
    if (factor)
      v = k.fmul(k.fmul(v, factor), load(scale, bytes, mask));
    if (spec.bias)
      v = k.fadd(v, load(bias, bytes, mask));
    if (mask)
      k.maskedStore(v, k.at(out, bytes), mask);
    else
      k.store(v, k.at(out, bytes));
  });
}

/// The mask is null but for a last partial vector.
void NormRow::overColumns(llvm::function_ref<void(Value bytes, Value mask)> body) {
  k.loop(k.index(0), k.index(whole), lanes, [&](Value i) { body(k.mul(i, 4), Value()); });
  if (tail)
    body(k.index(whole * 4), tail);
}

/// Sums a function of every element in four independent chains; lanes past the row's end are read as zero.
Value NormRow::sumOver(Value x, Step step) {
  VectorType type = k.vec(lanes, k.f32);
  Value zero = k.constant(type, 0);
  int64_t chains = 4, unrolled = whole / (lanes * chains) * (lanes * chains);
  KernelBuilder::Values sums(chains, zero);
  if (unrolled > 0)
    sums =
        k.loop(k.index(0), k.index(unrolled), lanes * chains, sums, [&](Value i, ArrayRef<Value> carried) {
          KernelBuilder::Values next;
          for (int64_t c = 0; c < chains; ++c)
            next.push_back(
                step(carried[c], k.load(type, k.at(k.at(x, k.mul(i, 4)), c * lanes * 4)), false));
          return next;
        });
  for (int64_t i = unrolled; i < whole; i += lanes) {
    Value &sum = sums[(i - unrolled) / lanes];
    sum = step(sum, k.load(type, k.at(x, i * 4)), false);
  }
  if (tail)
    sums[3] = step(sums[3], k.maskedLoad(type, k.at(x, whole * 4), tail), true);
  return k.reduceAdd(k.fadd(k.fadd(sums[0], sums[1]), k.fadd(sums[2], sums[3])));
}

func::FuncOp pith::cpu::getOrCreateNorm(ModuleOp module, const Machine &machine, const NormSpec &spec) {
  std::string name =
      ("norm_" + Twine(spec.kind == Norm::Layer ? "layer" : "rms") + "_" +
       (spec.heads > 1 ? Twine(spec.heads) + "x" : Twine()) + Twine(spec.k) + "_e" +
       Twine::utohexstr(llvm::bit_cast<uint32_t>(spec.epsilon)) + (spec.bias ? "_bias" : ""))
          .str();
  return getOrCreateKernel(
      module, name, spec.bias ? 4 : 3, 2, [&](KernelBuilder &k, ArrayRef<Value> arguments) {
        Value context = arguments[0], thread = arguments[1], x = arguments[2], scale = arguments[3];
        Value bias = spec.bias ? arguments[4] : Value();
        size_t next = spec.bias ? 5 : 4;
        Value out = arguments[next], rows = arguments[next + 1], ldx = arguments[next + 2];
        NormRow kernel(k, spec, machine.vectorBytes / 4);
        auto [begin, end] = k.share(context, thread, k.mul(rows, spec.heads));
        k.loop(begin, end, 1, [&](Value item) {
          Value row = k.div(item, spec.heads), head = k.mul(k.rem(item, spec.heads), spec.k);
          Value from = k.mul(k.add(k.mul(row, ldx), head), 4);
          kernel.build(k.at(x, from), scale, bias, k.at(out, k.mul(item, spec.k * 4)));
        });
      });
}
