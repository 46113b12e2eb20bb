//===- Draw.cpp - a block for a token to draw -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Draw.h"
#include "pith/executable.h"
#include <limits>

using namespace mlir;
using namespace pith::gpu;

static constexpr double infinity = std::numeric_limits<double>::infinity();

static Value rowOf(KernelBuilder &k, Value logits, Value draw, int64_t n) {
  Value row = k.load(k.i32, k.at(draw, int64_t(offsetof(pith_exec_draw, row))));
  return k.atWide(logits, row, n * 4);
}

static Value compare(KernelBuilder &k, arith::CmpFPredicate predicate, Value a, double b) {
  return arith::CmpFOp::create(k.b, k.loc, predicate, a, k.constant(k.f32, b));
}

Draw::Draw(KernelBuilder &k, Value logits, Value draws, int64_t n)
    : row(rowOf(k, logits, k.atWide(draws, k.block(), sizeof(pith_exec_draw)), n)), k(k),
      draw(k.atWide(draws, k.block(), sizeof(pith_exec_draw))) {}

Value Draw::option(Type type, size_t offset) { return k.load(type, k.at(draw, int64_t(offset))); }

Value Draw::checked(Value number) {
  Value logit = k.load(k.f32, k.at(row, k.mul(number, 4)));
  return k.select(compare(k, arith::CmpFPredicate::OLT, logit, infinity), logit, k.constant(k.f32, infinity));
}

Value Draw::possible(Value largest) {
  return k.bitAnd(compare(k, arith::CmpFPredicate::OGT, largest, -infinity),
                  compare(k, arith::CmpFPredicate::OLT, largest, infinity));
}

Value Draw::reason(Value largest) {
  return k.select(compare(k, arith::CmpFPredicate::OEQ, largest, infinity), k.index(PITH_EXEC_NOT_A_NUMBER),
                  k.index(PITH_EXEC_NOTHING_ALLOWED));
}
