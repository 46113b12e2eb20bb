//===- AttentionScores.cpp ------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "AttentionScores.h"
#include "Matchers.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;

/// A reshape that only folds or unfolds batch and heads.
static bool foldsHeads(SymbolicDims &sizes, Operation *op) {
  auto reshape = dyn_cast<ReshapeOp>(op);
  if (!reshape)
    return false;
  int64_t from = rankOf(reshape.getSource()), to = rankOf(reshape.getResult());
  if (from + to != 7 || std::abs(from - to) != 1)
    return false;
  return llvm::all_of(ArrayRef<int64_t>{1, 2}, [&](int64_t dim) {
    return sizes.of(reshape.getSource(), from - dim) == sizes.of(reshape.getResult(), to - dim);
  });
}

/// The number of heads if `value` is [batch, heads, …]; 0 otherwise.
int64_t pith::headsOf(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.getRank() == 4 && !type.isDynamicDim(1) ? type.getDimSize(1) : 0;
}

static bool hides(double value) { return value <= -1e4; }

/// Reads the scores upwards from what the softmax takes. `factor` multiplies what is seen from here on.
bool pith::readScores(SymbolicDims &sizes, Value value, double factor, Scores &scores, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || depth > 16)
    return false;
  if (int64_t heads = headsOf(value))
    scores.heads = heads;
  if (foldsHeads(sizes, op))
    return readScores(sizes, op->getOperand(0), factor, scores, depth + 1);
  if (auto product = dyn_cast<MatmulOp>(op)) {
    scores.product = product;
    scores.scale *= factor;
    return true;
  }
  if (isa<tensor::CastOp>(op))
    return readScores(sizes, op->getOperand(0), factor, scores, depth + 1);
  if (isa<arith::ExtFOp, arith::TruncFOp>(op))
    return readScores(sizes, op->getOperand(0), factor, scores, depth + 1);
  // c tanh(s / c): below here everything is scaled inside the tanh.
  if (auto scaled = scaledBy(op)) {
    auto tanh = scaled->first.getDefiningOp<math::TanhOp>();
    if (!tanh)
      return readScores(sizes, scaled->first, factor * scaled->second, scores, depth + 1);
    if (scores.softcap != 0.0)
      return false;
    scores.softcap = factor * scaled->second;
    return scores.softcap > 0 && readScores(sizes, tanh.getOperand(), scores.softcap, scores, depth + 1);
  }
  // A mask below the softcap is bent by it, and one that is scaled by a negative number shows what it hid.
  if (scores.softcap != 0.0 || factor <= 0.0)
    return false;
  if (auto add = dyn_cast<arith::AddFOp>(op)) {
    for (unsigned i : {0, 1}) {
      Scores branch = scores;
      if (!readScores(sizes, add->getOperand(i), factor, branch, depth + 1))
        continue;
      scores = branch;
      scores.masks.push_back({add->getOperand(1 - i), true, 0, factor});
      return true;
    }
    return false;
  }
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    for (bool keep : {true, false}) {
      Value other = keep ? select.getFalseValue() : select.getTrueValue();
      auto hidden = scalarConstant(other);
      if (!hidden || !hides(*hidden) || !isa<RankedTensorType>(select.getCondition().getType()))
        continue;
      if (!readScores(sizes, keep ? select.getTrueValue() : select.getFalseValue(), factor, scores,
                      depth + 1))
        return false;
      scores.masks.push_back({select.getCondition(), keep, *hidden * factor, 1});
      return true;
    }
  }
  return false;
}

/// The softmax behind a probability matrix: the guard that turns the NaN of an all-hidden row into 0 is what
/// the op does.
SoftmaxOp pith::readProbabilities(SymbolicDims &sizes, Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto softmax = dyn_cast<SoftmaxOp>(op))
      return softmax;
    if (isa<tensor::CastOp, arith::ExtFOp, arith::TruncFOp>(op) || foldsHeads(sizes, op)) {
      value = op->getOperand(0);
      continue;
    }
    auto select = dyn_cast<arith::SelectOp>(op);
    if (!select)
      break;
    Operation *test = select.getCondition().getDefiningOp();
    Value tested;
    if (isa_and_nonnull<math::IsNaNOp>(test))
      tested = test->getOperand(0);
    else if (auto compare = dyn_cast_or_null<arith::CmpFOp>(test))
      if (compare.getLhs() == compare.getRhs() && (compare.getPredicate() == arith::CmpFPredicate::UNO ||
                                                   compare.getPredicate() == arith::CmpFPredicate::UNE))
        tested = compare.getLhs();
    if (!tested || tested != select.getFalseValue() || scalarConstant(select.getTrueValue()) != 0.0)
      break;
    value = tested;
  }
  return {};
}
