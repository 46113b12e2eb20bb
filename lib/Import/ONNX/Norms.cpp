//===- Norms.cpp - normalizations of images ---------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "Scalar.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// Statistics are computed in f32, those of f64 in f64.
static Tensor widen(Importer &im, const Tensor &x) {
  return x.element().isF64() ? x : im.castTo(x, im.builder.getF32Type());
}

/// Mean and variance over `axes`, which stay with size 1.
static std::pair<Tensor, Tensor> statistics(Importer &im, const Tensor &x, ArrayRef<int64_t> axes) {
  Tensor mean = im.reduce(ReduceKind::Mean, x, axes);
  Tensor delta = im.sub(x, im.broadcast(mean, x.shape));
  return {mean, im.reduce(ReduceKind::Mean, im.mul(delta, delta), axes)};
}

/// (x - mean) / sqrt(variance + epsilon)
static Tensor normalized(Importer &im, const Tensor &x, const Tensor &mean, const Tensor &variance, double epsilon) {
  Tensor inverse = im.unary<math::RsqrtOp>(im.add(variance, epsilon));
  return im.mul(im.sub(x, im.broadcast(mean, x.shape)), im.broadcast(inverse, x.shape));
}

/// Input i, one value per `count` channels, as [count, 1, …], which broadcasts to [batch, count, …] of `rank`.
static std::optional<Tensor> channelParameter(Node &node, size_t i, const Expr &count, int64_t rank, Type element) {
  Importer &im = node.im;
  Val *val = node.in(i);
  if (!isFloat(val->type) || val->rank() != 1 || !im.symbols.assumeEqual(val->shape[0], count)) {
    node.error() << "input " << i << " must have one float per channel, " << im.symbols.print(count) << ", found "
                 << describe(im, val);
    return std::nullopt;
  }
  Shape shape(rank - 1, Expr(1));
  shape[0] = count;
  return im.reshape(im.castTo(im.tensor(val), element), shape);
}

static bool hasChannels(Node &node) {
  if (!node.needFloat(0))
    return false;
  if (node.in(0)->rank() >= 2)
    return true;
  node.error() << "input 0 must be [batch, channels, sizes...], found " << describe(node.im, node.in(0));
  return false;
}

static SmallVector<int64_t> axesBut(int64_t rank, int64_t left) {
  SmallVector<int64_t> axes;
  for (int64_t i = 0; i < rank; ++i)
    if (i != left)
      axes.push_back(i);
  return axes;
}

static LogicalResult batchNormalization(Node &node) {
  Importer &im = node.im;
  if (!node.arity(5, 5) || !hasChannels(node))
    return failure();
  if (!node.getInt("spatial", 1))
    return node.fail("attribute 'spatial' must be 1");
  Tensor x = widen(im, im.tensor(node.in(0)));
  std::optional<Tensor> parameters[4];
  for (size_t i = 0; i < 4; ++i)
    if (!(parameters[i] = channelParameter(node, i + 1, x.shape[1], x.rank(), x.element())))
      return failure();
  auto [scale, bias, mean, variance] = parameters;
  bool training = node.opset >= 14 ? node.getInt("training_mode", 0) != 0 : node.wants(1);
  if (training) {
    auto [ownMean, ownVariance] = statistics(im, x, axesBut(x.rank(), 1));
    double momentum = node.getFloat("momentum", 0.9f);
    Shape flat{x.shape[1]};
    auto update = [&](const Tensor &old, Tensor &own, size_t output) {
      own = im.reshape(own, old.shape);
      Tensor mixed = im.add(im.mul(old, momentum), im.mul(own, 1 - momentum));
      int32_t type = node.in(output + 2)->type;
      node.set(output, im.make(type, im.castTo(im.reshape(mixed, flat), elementType(im.context, type))));
    };
    update(*mean, ownMean, 1);
    update(*variance, ownVariance, 2);
    mean = ownMean;
    variance = ownVariance;
  }
  Tensor y = normalized(im, x, *mean, *variance, node.getFloat("epsilon", 1e-5f));
  y = im.add(im.mul(y, im.broadcast(*scale, x.shape)), im.broadcast(*bias, x.shape));
  return node.done(im.make(node.in(0)->type, im.castTo(y, elementType(im.context, node.in(0)->type))));
}

/// Over every group of channels of every batch row. InstanceNormalization: every channel is a group.
template <bool Instance>
static LogicalResult groupNormalization(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !hasChannels(node))
    return failure();
  Tensor x = widen(im, im.tensor(node.in(0)));
  ArrayRef<Expr> sizes = ArrayRef(x.shape).drop_front(2);
  Expr groups = Instance ? x.shape[1] : Expr(node.getSmallInt("num_groups", 0));
  std::optional<Expr> each = Instance ? Expr(1) : im.symbols.exactDiv(im.symbols.normalize(x.shape[1]), groups);
  if (!each)
    return node.fail("the channels of " + describe(im, node.in(0)) + " cannot be divided into " +
                     im.symbols.print(groups) + " groups");
  // Before opset 21 groups have the parameters, since then channels.
  bool perGroup = !Instance && node.opset < 21;
  Shape grouped{x.shape[0], groups, im.symbols.mul(*each, im.count(sizes))};
  Tensor y = im.reshape(x, grouped);
  auto [mean, variance] = statistics(im, y, 2);
  y = normalized(im, y, mean, variance, node.getFloat("epsilon", 1e-5f));
  if (!perGroup)
    y = im.reshape(y, x.shape);
  std::optional<Tensor> scale = channelParameter(node, 1, y.shape[1], y.rank(), y.element());
  std::optional<Tensor> bias = scale ? channelParameter(node, 2, y.shape[1], y.rank(), y.element()) : std::nullopt;
  if (!bias)
    return failure();
  y = im.add(im.mul(y, im.broadcast(*scale, y.shape)), im.broadcast(*bias, y.shape));
  return node.done(im.make(node.in(0)->type, im.castTo(im.reshape(y, x.shape), elementType(im.context, node.in(0)->type))));
}

static LogicalResult localResponse(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !hasChannels(node))
    return failure();
  int64_t size = node.getSmallInt("size", 0);
  if (size < 1 || size > 4096)
    return node.fail("attribute 'size' must be positive, found " + Twine(size));
  Tensor x = widen(im, im.tensor(node.in(0)));
  double alpha = node.getFloat("alpha", 1e-4f) / double(size), beta = node.getFloat("beta", 0.75f),
         offset = node.getFloat("bias", 1);
  Scalar channels = Scalar::index(im, x.shape[1]), count = Scalar::index(im, size);
  Tensor y = compute(im, x.element(), x.shape, [&](Point point) {
    Scalar zero = Scalar::number(im, x.element(), 0);
    Scalar first = point[1] - double((size - 1) / 2);
    Scalar sum = repeat(count, zero, [&](Scalar i, Point carried) -> Scalars {
                   Scalars place(point);
                   place[1] = first + i;
                   Scalar value = atOr(im, x, place, (place[1] >= 0) & (place[1] < channels), zero);
                   return {carried[0] + value * value};
                 }).front();
    return at(im, x, point) / (sum * alpha + offset).call<math::PowFOp>(zero.like(beta));
  });
  return node.done(im.make(node.in(0)->type, im.castTo(y, elementType(im.context, node.in(0)->type))));
}

static LogicalResult meanVariance(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t value : node.getInts("axes").value_or(SmallVector<int64_t>{0, 2, 3})) {
    std::optional<int64_t> axis = node.axis(value, node.in(0)->rank());
    if (!axis)
      return failure();
    axes.push_back(*axis);
  }
  Tensor x = widen(im, im.tensor(node.in(0)));
  auto [mean, variance] = statistics(im, x, axes);
  Tensor deviation = im.add(im.unary<math::SqrtOp>(variance), 1e-9);
  Tensor y = im.div(im.sub(x, im.broadcast(mean, x.shape)), im.broadcast(deviation, x.shape));
  return node.done(im.make(node.in(0)->type, im.castTo(y, elementType(im.context, node.in(0)->type))));
}

static LogicalResult lpNormalization(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  int64_t p = node.getInt("p", 2);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", -1), node.in(0)->rank());
  if (!axis)
    return failure();
  if (p != 1 && p != 2)
    return node.fail("attribute 'p' must be 1 or 2, found " + Twine(p));
  Tensor x = im.tensor(node.in(0));
  Tensor norm = im.reduce(ReduceKind::Sum, p == 1 ? im.unary<math::AbsFOp>(x) : im.mul(x, x), *axis);
  if (p == 2)
    norm = im.unary<math::SqrtOp>(norm);
  norm = im.broadcast(norm, x.shape);
  Tensor zero = im.splat(x.element(), 0, x.shape);
  Tensor y = im.select(im.compare(arith::CmpFPredicate::OEQ, norm, zero), zero, im.div(x, norm));
  return node.done(im.make(node.in(0)->type, y));
}

void pith::onnx::addNormOps(OpTable &table) {
  table.add("BatchNormalization", batchNormalization);
  table.add("InstanceNormalization", groupNormalization<true>);
  table.add("GroupNormalization", groupNormalization<false>);
  table.add("LRN", localResponse);
  table.add("MeanVarianceNormalization", meanVariance);
  table.add("LpNormalization", lpNormalization);
}
