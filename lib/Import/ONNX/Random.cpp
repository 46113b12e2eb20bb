//===- Random.cpp - random numbers that are always the same -----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A number is a function of its place and a key: the seed, or the node's number where the model gives none. So results do
// not depend on threads, and a run can be repeated.
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "Scalar.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/bit.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

static uint64_t keyOf(Node &node) {
  uint64_t key = 0xd1b54a32d192ed03 + uint64_t(node.number);
  if (const proto::AttributeProto *seed = node.attribute("seed")) // Dropout's is an integer
    key = seed->has_i() ? uint64_t(seed->i()) : llvm::bit_cast<uint32_t>(node.getFloat("seed", 0));
  return key * 0x9e3779b97f4a7c15;
}

/// Uniform in [0, 1), f64: the counter's bits are mixed as in splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
static Scalar uniform(Scalar counter, uint64_t key) {
  Importer &im = *counter.im;
  Type i64 = im.builder.getI64Type();
  auto bits = [&](uint64_t value) {
    return Scalar(im, arith::ConstantOp::create(im.builder, im.loc, im.builder.getIntegerAttr(i64, APInt(64, value))));
  };
  auto fold = [&](Scalar z, uint64_t shift) {
    return z.call<arith::XOrIOp>(z.call<arith::ShRUIOp>(bits(shift)));
  };
  Scalar z = (counter.to(i64) + bits(1)) * bits(0x9e3779b97f4a7c15) + bits(key);
  z = fold(z, 30) * bits(0xbf58476d1ce4e5b9);
  z = fold(z, 27) * bits(0x94d049bb133111eb);
  return fold(z, 31).call<arith::ShRUIOp>(bits(11)).to(im.builder.getF64Type()) * 0x1p-53;
}

/// The number of a point in row-major order.
static Scalar placeOf(Importer &im, Point point, ArrayRef<Expr> shape) {
  Scalar place = Scalar::index(im, 0);
  for (auto [p, size] : llvm::zip_equal(point, shape))
    place = place * Scalar::index(im, size) + p;
  return place;
}

/// Box and Muller's transform of two uniform numbers.
static Scalar normal(Scalar counter, uint64_t key) {
  Scalar radius = (uniform(counter * 2, key) * -1 + 1).call<math::LogOp>() * -2;
  return radius.call<math::SqrtOp>() * (uniform(counter * 2 + 1, key) * (2 * M_PI)).call<math::CosOp>();
}

template <bool Normal>
static LogicalResult random(Node &node, const Shape &shape, int32_t type) {
  Importer &im = node.im;
  Type element = elementType(im.context, type);
  if (!element || !isFloat(type))
    return node.fail("random numbers of " + elementName(type) + " are not supported");
  uint64_t key = keyOf(node);
  double low = node.getFloat(Normal ? "mean" : "low", 0), high = node.getFloat(Normal ? "scale" : "high", 1);
  Tensor y = compute(im, element, shape, [&](Point point) {
    Scalar place = placeOf(im, point, shape);
    return (Normal ? normal(place, key) * high + low : uniform(place, key) * (high - low) + low).to(element);
  });
  return node.done(im.make(type, y));
}

template <bool Normal>
static LogicalResult randomOfShape(Node &node) {
  std::optional<SmallVector<int64_t>> shape = node.getInts("shape");
  if (!shape)
    return node.fail("attribute 'shape' is missing");
  return random<Normal>(node, toShape(*shape), node.getInt("dtype", Float));
}

template <bool Normal>
static LogicalResult randomLike(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  return random<Normal>(node, node.in(0)->shape, node.getInt("dtype", node.in(0)->type));
}

static LogicalResult bernoulli(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  int32_t type = node.getInt("dtype", node.in(0)->type);
  if (!elementType(im.context, type))
    return node.fail("elements of " + elementName(type) + " are not supported");
  Tensor x = im.tensor(node.in(0));
  uint64_t key = keyOf(node);
  Tensor hit = compute(im, im.builder.getI1Type(), x.shape, [&](Point point) {
    return uniform(placeOf(im, point, x.shape), key) < at(im, x, point).to(im.builder.getF64Type());
  });
  return node.done(im.make(type, im.cast(hit, Bool, type)));
}

/// Samples of classes with probabilities proportional to exp(x).
static LogicalResult multinomial(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  int32_t type = node.getInt("dtype", Int32);
  int64_t samples = node.getSmallInt("sample_size", 1);
  if ((type != Int32 && type != Int64) || node.in(0)->rank() != 2 || samples < 1)
    return node.fail("expected [batch, classes], a positive sample_size, and i32 or i64 as dtype; found " +
                     describe(im, node.in(0)));
  Tensor x = im.tensor(node.in(0));
  uint64_t key = keyOf(node);
  Shape shape{x.shape[0], samples};
  Type f64 = im.builder.getF64Type();
  Tensor y = compute(im, elementType(im.context, type), shape, [&](Point point) {
    Scalar classes = Scalar::index(im, x.shape[1]), zero = Scalar::number(im, f64, 0);
    auto value = [&](Scalar c) { return at(im, x, {point[0], c}).to(f64); };
    Scalar top = repeat(classes, zero.like(-INFINITY), [&](Scalar c, Point best) -> Scalars {
                   return {best[0].max(value(c))};
                 }).front();
    auto weight = [&](Scalar c) { return (value(c) - top).call<math::ExpOp>(); };
    Scalar total = repeat(classes, zero, [&](Scalar c, Point sum) -> Scalars { return {sum[0] + weight(c)}; }).front();
    Scalar target = uniform(placeOf(im, point, shape), key) * total;
    Scalars last = repeat(classes, {zero, classes.like(0)}, [&](Scalar c, Point carried) -> Scalars {
      Scalar sum = carried[0] + weight(c);
      return {sum, carried[1] + (sum <= target).toIndex()};
    });
    return last[1].min(classes - 1).to(elementType(im.context, type));
  });
  return node.done(im.make(type, y));
}

/// Outside training nothing is dropped.
static LogicalResult dropout(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 3) || !node.needFloat(0))
    return failure();
  Val *source = node.in(0), *training = node.in(2);
  Type i1 = im.builder.getI1Type();
  if (training && (training->type != Bool || !im.count(training->shape).isConstant(1)))
    return node.fail("training_mode must be a bool, found " + describe(im, training));
  std::optional<SmallVector<int64_t>> known = training ? im.constants(training) : SmallVector<int64_t>{0};
  std::optional<double> ratio = node.in(1) ? im.scalar(node.in(1)) : std::optional<double>(0.5);
  if (node.in(1) && (!isFloat(node.in(1)->type) || !im.count(node.in(1)->shape).isConstant(1)))
    return node.fail("the ratio must be a float, found " + describe(im, node.in(1)));
  if ((known && !known->front()) || ratio == 0.0) {
    if (node.wants(1))
      node.set(1, im.make(Bool, im.splatInt(i1, 1, source->shape)));
    return node.done(source);
  }
  Tensor x = im.tensor(source);
  uint64_t key = keyOf(node);
  Type f64 = im.builder.getF64Type();
  Scalar drop = node.in(1) ? toScalar(im, im.tensor(node.in(1))).to(f64) : Scalar::number(im, f64, 0.5);
  Scalar active = toScalar(im, im.tensor(training)), none = drop.like(0);
  drop = active.select(drop, none);
  Tensor kept = compute(im, i1, x.shape, [&](Point point) { return uniform(placeOf(im, point, x.shape), key) >= drop; });
  Tensor y = compute(im, x.element(), x.shape, [&](Point point) {
    Scalar scaled = at(im, x, point).to(f64) / (none + 1 - drop);
    return at(im, kept, point).select(scaled, none).to(x.element());
  });
  node.set(1, im.make(Bool, kept));
  return node.done(im.make(source->type, y));
}

void pith::onnx::addRandomOps(OpTable &table) {
  table.add("RandomUniform", randomOfShape<false>);
  table.add("RandomUniformLike", randomLike<false>);
  table.add("RandomNormal", randomOfShape<true>);
  table.add("RandomNormalLike", randomLike<true>);
  table.add("Bernoulli", bernoulli);
  table.add("Multinomial", multinomial);
  table.add("Dropout", dropout);
}
