//===- LinearPrologue.cpp - activations as linear tiles read them ---------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "LinearPrologue.h"

using namespace mlir;
using namespace pith::cpu;

LinearPrologue::Values LinearPrologue::overColumns(Value begin, int64_t count, Values carried,
                                                   llvm::function_ref<void(Value, Value, Values &)> body) {
  int64_t whole = count / 16;
  if (whole > 0)
    carried = k.loop(k.index(0), k.index(whole), 1, carried, [&](Value i, ArrayRef<Value> values) {
      Values next(values.begin(), values.end());
      body(k.add(begin, k.mul(i, 16)), Value(), next);
      return next;
    });
  if (count % 16)
    body(k.add(begin, whole * 16), k.firstLanes(16, k.index(count % 16)), carried);
  return carried;
}

Value LinearPrologue::loadColumns(Value base, Value column, Value mask) {
  Value address = k.at(base, k.mul(column, 4));
  VectorType type = k.vec(16, k.f32);
  return mask ? k.maskedLoad(type, address, mask) : k.load(type, address);
}

/// RMS: inverse = 1 / sqrt(mean(x²) + epsilon). Layer: the same of x - mean, in a second pass over the row,
/// because the difference of two large sums would lose the variance.
void LinearPrologue::computeStatistics(Value x) {
  VectorType floats = k.vec(16, k.f32);
  Value zero = k.constant(floats, 0), count = k.constant(k.f32, double(spec.layout.k));
  if (spec.norm == Norm::Layer) {
    Value sum =
        overColumns(k.index(0), spec.layout.k, {zero}, [&](Value column, Value mask, Values &carried) {
          carried[0] = k.fadd(carried[0], loadColumns(x, column, mask));
        })[0];
    mean = k.splat(k.fdiv(k.reduceAdd(sum), count), 16);
  }
  Value squares =
      overColumns(k.index(0), spec.layout.k, {zero}, [&](Value column, Value mask, Values &carried) {
        Value value = loadColumns(x, column, mask);
        if (mean) {
          value = k.fsub(value, mean);
          if (mask)
            value = k.select(mask, value, zero);
        }
        carried[0] = k.fma(value, value, carried[0]);
      })[0];
  Value variance = k.fadd(k.fdiv(k.reduceAdd(squares), count), k.constant(k.f32, spec.normEpsilon));
  inverse = k.splat(k.fdiv(k.constant(k.f32, 1), k.sqrt(variance)), 16);
}

Value LinearPrologue::normalized(Value x, Value column, Value mask) {
  Value value = loadColumns(x, column, mask);
  if (spec.norm == Norm::None)
    return value;
  if (mean)
    value = k.fsub(value, mean);
  value = k.fmul(k.fmul(value, inverse), loadColumns(normScale, column, mask));
  return normBias ? k.fadd(value, loadColumns(normBias, column, mask)) : value;
}

void LinearPrologue::copyRow(Value x, Value out) {
  overColumns(k.index(0), spec.layout.k, {}, [&](Value column, Value mask, Values &) {
    Value value = normalized(x, column, mask);
    if (mask && mean) // the scale's masked lanes are 0, but 0 * infinity is not
      value = k.select(mask, value, k.constant(value.getType(), 0));
    k.store(value, k.at(out, k.mul(column, 4)), 64);
  });
}

/// q = round(x * 127 / max|x|), scale = max|x| / 127.
void LinearPrologue::quantizeBlock(Value x, Value out, Value block, int64_t columns) {
  VectorType floats = k.vec(16, k.f32), words = k.vec(16, k.i32);
  Value begin = k.mul(block, shape.block);
  Value largest =
      overColumns(begin, columns, {k.constant(floats, 0)}, [&](Value column, Value mask, Values &carried) {
        carried[0] = k.fmax(math::AbsFOp::create(k.b, k.loc, normalized(x, column, mask)), carried[0]);
      })[0];
  Value peak = k.reduceMax(largest), scale = k.fmul(peak, k.constant(k.f32, 1.0 / 127));
  // A block of (nearly) zeros: 127 / peak would overflow.
  Value tiny = arith::CmpFOp::create(k.b, k.loc, arith::CmpFPredicate::OLT, peak, k.constant(k.f32, 1e-30));
  Value factor = k.splat(k.select(tiny, k.constant(k.f32, 0), k.fdiv(k.constant(k.f32, 127), peak)), 16);
  Value sums =
      overColumns(begin, columns, {k.constant(words, 0)}, [&](Value column, Value mask, Values &carried) {
        Value q = k.fromF32(k.round(k.fmul(normalized(x, column, mask), factor)), k.i32);
        carried[0] = k.add(carried[0], q);
        k.store(arith::TruncIOp::create(k.b, k.loc, k.vec(16, k.i8), q), k.at(out, column), 16);
      })[0];
  int64_t zero = shape.zeroPoints ? 1 : shape.defaultZero - storedZeroBias(machine, shape);
  Value entry = k.mul(block, 4);
  k.store(scale, k.at(k.at(out, entry), row.scales));
  k.store(k.mul(k.reduceAdd(sums), -zero), k.at(k.at(out, entry), row.starts));
}

void LinearPrologue::prepare(Value x, Value out) {
  mean = inverse = Value();
  if (spec.norm != Norm::None)
    computeStatistics(x);
  if (!row.int8)
    return copyRow(x, out);
  int64_t whole = spec.layout.k / shape.block;
  if (whole > 0)
    k.loop(k.index(0), k.index(whole), 1, [&](Value block) { quantizeBlock(x, out, block, shape.block); });
  if (whole < shape.blocks)
    quantizeBlock(x, out, k.index(whole), spec.layout.k - whole * shape.block);
}
