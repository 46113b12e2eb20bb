//===- Loss.cpp - losses of classification ----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "Scalar.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// NegativeLogLikelihoodLoss of log-probabilities x [batch, classes, sizes…], with the targets in input 1 and the classes'
/// weights in input 2.
static LogicalResult likelihood(Node &node, const Tensor &x) {
  Importer &im = node.im;
  Val *target = node.in(1), *weight = node.in(2);
  std::string reduction = node.getString("reduction", "mean");
  if (reduction != "none" && reduction != "mean" && reduction != "sum")
    return node.fail("attribute 'reduction' must be none, mean or sum, found '" + reduction + "'");
  bool fits = x.rank() >= 2 && target->rank() == x.rank() - 1;
  for (int64_t i = 0; fits && i < target->rank(); ++i)
    fits = im.symbols.assumeEqual(target->shape[i], x.shape[i ? i + 1 : 0]);
  if (!fits || (weight && (weight->rank() != 1 || !im.symbols.assumeEqual(weight->shape[0], x.shape[1]))))
    return node.fail("targets " + describe(im, target) + " or weights " + describe(im, weight) +
                     " do not fit scores of shape " + im.symbols.print(x.shape));
  Tensor targets = im.tensor(target), weights = weight ? im.tensor(weight) : Tensor();
  std::optional<int64_t> ignored;
  if (node.has("ignore_index"))
    ignored = node.getInt("ignore_index", 0);
  Type i64 = im.builder.getI64Type();
  // What a sample counts: 0 if it is ignored.
  auto each = [&](llvm::function_ref<Scalar(Point, Scalar)> code) {
    return compute(im, x.element(), targets.shape, [&](Point point) {
      Scalar target = at(im, targets, point).to(i64);
      Scalar counts = (target >= 0) & (target < Scalar::index(im, x.shape[1]).to(i64));
      if (ignored)
        counts = counts & (target != double(*ignored));
      Scalar zero = Scalar::number(im, x.element(), 0);
      return choose(
                 counts, [&] { return Scalars{code(point, target)}; }, [&] { return Scalars{zero}; })
          .front();
    });
  };
  auto weigh = [&](Point, Scalar target) {
    return weight ? at(im, weights, target) : Scalar::number(im, x.element(), 1);
  };
  Tensor loss = each([&](Point point, Scalar target) {
    Scalars where(point);
    where.insert(where.begin() + 1, target);
    Scalar value = at(im, x, where) * -1;
    return weight ? value * weigh(point, target) : value;
  });
  if (reduction != "none") {
    SmallVector<int64_t> all;
    for (int64_t i = 0; i < loss.rank(); ++i)
      all.push_back(i);
    Tensor total = im.reshape(im.reduce(ReduceKind::Sum, loss, all), {});
    if (reduction == "mean")
      total = im.div(total, im.reshape(im.reduce(ReduceKind::Sum, each(weigh), all), {}));
    loss = total;
  }
  return node.done(im.make(node.in(0)->type, loss));
}

static bool checkInputs(Node &node) {
  return node.arity(2, 3) && node.needFloat(0) && node.needInteger(1) && node.sameType({0, 2});
}

static LogicalResult likelihoodLoss(Node &node) {
  return checkInputs(node) ? likelihood(node, node.im.tensor(node.in(0))) : failure();
}

static LogicalResult crossEntropyLoss(Node &node) {
  if (!checkInputs(node))
    return failure();
  if (node.in(0)->rank() < 2)
    return node.fail("scores must be [batch, classes, sizes...], found " + describe(node.im, node.in(0)));
  Tensor logs = logSoftmax(node.im, node.im.tensor(node.in(0)), 1);
  node.set(1, node.im.make(node.in(0)->type, logs));
  return likelihood(node, logs);
}

void pith::onnx::addLossOps(OpTable &table) {
  table.add("NegativeLogLikelihoodLoss", likelihoodLoss);
  table.add("SoftmaxCrossEntropyLoss", crossEntropyLoss);
}
