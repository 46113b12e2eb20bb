//===- Reduction.cpp - reductions, softmax and running sums -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

/// Axes and keepdims of a reduction. The axes moved from an attribute to an input in opset 18 (ReduceSum: 13).
struct Reduction {
  SmallVector<int64_t> axes;
  bool nothing = false; ///< noop_with_empty_axes
};

static std::optional<Reduction> reductionOf(Node &node) {
  if (!node.arity(1, 2))
    return std::nullopt;
  bool present;
  std::optional<SmallVector<int64_t>> given = node.constantList("axes", 1, present);
  if (!given)
    return std::nullopt;
  Reduction result;
  int64_t rank = node.in(0)->rank();
  for (int64_t value : *given) {
    std::optional<int64_t> axis = node.axis(value, rank);
    if (!axis)
      return std::nullopt;
    if (!llvm::is_contained(result.axes, *axis))
      result.axes.push_back(*axis);
  }
  if (given->empty()) {
    result.nothing = node.getInt("noop_with_empty_axes", 0);
    for (int64_t i = 0; !result.nothing && i < rank; ++i)
      result.axes.push_back(i);
  }
  return result;
}

/// The tensor without the reduced dimensions, unless they are kept.
static Tensor dropped(Node &node, const Tensor &x, ArrayRef<int64_t> axes) {
  if (node.getInt("keepdims", 1))
    return x;
  Shape shape;
  for (int64_t i = 0; i < x.rank(); ++i)
    if (!llvm::is_contained(axes, i))
      shape.push_back(x.shape[i]);
  return node.im.reshape(x, shape);
}

template <ReduceKind Kind>
static LogicalResult reduce(Node &node) {
  std::optional<Reduction> how = reductionOf(node);
  if (!how)
    return failure();
  Val *x = node.in(0);
  bool extremum = Kind == ReduceKind::Max || Kind == ReduceKind::Min;
  if (!isFloat(x->type) && !isInteger(x->type) && !(extremum && x->type == Bool))
    return node.fail("input 0 must have numbers as elements, found " + describe(node.im, x));
  if (how->nothing)
    return node.done(x);
  Tensor t = node.im.tensor(x);
  // The dialect's max and min are signed: unsigned ones go through a type that holds them.
  if (isUnsigned(x->type) && extremum) {
    if (x->type == UInt64)
      return node.fail("elements of u64 are not supported");
    Tensor wide = node.im.reduce(Kind, node.im.cast(t, x->type, Int64), how->axes);
    return node.done(node.im.make(x->type, dropped(node, node.im.cast(wide, Int64, x->type), how->axes)));
  }
  return node.done(node.im.make(x->type, dropped(node, node.im.reduce(Kind, t, how->axes), how->axes)));
}

/// Sums of a function of the elements, and a function of the sum.
enum class Around { L1, L2, Square, Log, LogSumExp };

template <Around Kind>
static LogicalResult reduceAround(Node &node) {
  Importer &im = node.im;
  std::optional<Reduction> how = reductionOf(node);
  if (!how)
    return failure();
  int32_t type = node.in(0)->type;
  bool needsFloat = Kind == Around::L2 || Kind == Around::Log || Kind == Around::LogSumExp;
  if (!isFloat(type) && (needsFloat || !isInteger(type)))
    return node.fail("elements of " + elementName(type) + " are not supported");
  Tensor x = im.tensor(node.in(0)), y;
  switch (Kind) {
  case Around::L1:
    x = !isFloat(type) ? (isUnsigned(type) ? x : im.unary<math::AbsIOp>(x)) : im.unary<math::AbsFOp>(x);
    y = im.reduce(ReduceKind::Sum, x, how->axes);
    break;
  case Around::L2:
    y = im.unary<math::SqrtOp>(im.reduce(ReduceKind::Sum, im.mul(x, x), how->axes));
    break;
  case Around::Square:
    y = im.reduce(ReduceKind::Sum, im.mul(x, x), how->axes);
    break;
  case Around::Log:
    y = im.unary<math::LogOp>(im.reduce(ReduceKind::Sum, x, how->axes));
    break;
  case Around::LogSumExp: {
    // max + log(sum(exp(x - max))) does not overflow.
    Tensor top = im.reduce(ReduceKind::Max, x, how->axes);
    Tensor e = im.unary<math::ExpOp>(im.sub(x, im.broadcast(top, x.shape)));
    y = im.add(im.unary<math::LogOp>(im.reduce(ReduceKind::Sum, e, how->axes)), top);
    break;
  }
  }
  return node.done(im.make(type, dropped(node, y, how->axes)));
}

/// ArgMax and ArgMin: the position of the extreme value, the first or the last one.
template <ReduceKind Kind>
static LogicalResult argument(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  Val *source = node.in(0);
  if (!isFloat(source->type) && (!isInteger(source->type) || source->type == UInt64))
    return node.fail("elements of " + elementName(source->type) + " are not supported");
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), source->rank());
  if (!axis)
    return failure();
  Tensor x = im.tensor(source);
  if (isUnsigned(source->type))
    x = im.cast(x, source->type, Int64);
  Tensor best = im.broadcast(im.reduce(Kind, x, *axis), x.shape);
  Tensor isBest = isFloat(source->type) ? im.compare(arith::CmpFPredicate::OEQ, x, best)
                                        : im.compare(arith::CmpIPredicate::eq, x, best);
  bool last = node.getInt("select_last_index", 0);
  Type i64 = im.builder.getI64Type();
  Tensor other = im.splatInt(i64, last ? -1 : INT64_MAX, x.shape);
  Tensor positions = im.select(isBest, im.iota(i64, x.shape, *axis), other);
  Tensor result = im.reduce(last ? ReduceKind::Max : ReduceKind::Min, positions, *axis);
  return node.done(im.make(Int64, dropped(node, result, *axis)));
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

template <bool Log>
static LogicalResult softmax(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  Val *source = node.in(0);
  bool flattens = node.opset < 13;
  std::optional<int64_t> axis = node.axis(node.getInt("axis", flattens ? 1 : -1), source->rank());
  if (!axis)
    return failure();
  Tensor x = im.tensor(source);
  Shape shape = x.shape;
  // Before opset 13, the dimensions from the axis on are one.
  if (flattens && *axis != x.rank() - 1) {
    ArrayRef<Expr> all = shape;
    x = im.reshape(x, {im.count(all.take_front(*axis)), im.count(all.drop_front(*axis))});
    axis = 1;
  }
  Tensor result;
  if (Log) {
    Tensor shifted = im.sub(x, im.broadcast(im.reduce(ReduceKind::Max, x, *axis), x.shape));
    Tensor total = im.reduce(ReduceKind::Sum, im.unary<math::ExpOp>(shifted), *axis);
    result = im.sub(shifted, im.broadcast(im.unary<math::LogOp>(total), x.shape));
  } else {
    result = {SoftmaxOp::create(im.builder, im.loc, x.value, *axis), x.shape};
  }
  return node.done(im.make(source->type, im.reshape(result, shape)));
}

static LogicalResult hardmax(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  std::optional<int64_t> axis = node.axis(node.getInt("axis", -1), node.in(0)->rank());
  if (!axis)
    return failure();
  Tensor x = im.tensor(node.in(0));
  Tensor isTop = im.compare(arith::CmpFPredicate::OEQ, x, im.broadcast(im.reduce(ReduceKind::Max, x, *axis), x.shape));
  Type i64 = im.builder.getI64Type();
  Tensor at = im.iota(i64, x.shape, *axis);
  Tensor first = im.reduce(ReduceKind::Min, im.select(isTop, at, im.splatInt(i64, INT64_MAX, x.shape)), *axis);
  Tensor hot = im.compare(arith::CmpIPredicate::eq, at, im.broadcast(first, x.shape));
  Tensor result = im.select(hot, im.splat(x.element(), 1, x.shape), im.splat(x.element(), 0, x.shape));
  return node.done(im.make(node.in(0)->type, result));
}

static LogicalResult cumSum(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2))
    return failure();
  std::optional<double> where = im.scalar(node.in(1));
  if (!where)
    return node.fail("the axis must be a constant, found " + describe(im, node.in(1)));
  std::optional<int64_t> axis = node.axis(int64_t(*where), node.in(0)->rank());
  if (!axis)
    return failure();
  Val *source = node.in(0);
  if (!isFloat(source->type) && !isInteger(source->type))
    return node.fail("elements of " + elementName(source->type) + " are not supported");
  Tensor x = im.tensor(source);
  Value result = CumSumOp::create(im.builder, im.loc, x.value.getType(), x.value, *axis, node.getInt("exclusive", 0) != 0,
                                  node.getInt("reverse", 0) != 0);
  return node.done(im.make(source->type, {result, x.shape}));
}

void pith::onnx::addReductionOps(OpTable &table) {
  table.add("ReduceSum", reduce<ReduceKind::Sum>);
  table.add("ReduceMean", reduce<ReduceKind::Mean>);
  table.add("ReduceMax", reduce<ReduceKind::Max>);
  table.add("ReduceMin", reduce<ReduceKind::Min>);
  table.add("ReduceProd", reduce<ReduceKind::Prod>);
  table.add("ReduceL1", reduceAround<Around::L1>);
  table.add("ReduceL2", reduceAround<Around::L2>);
  table.add("ReduceSumSquare", reduceAround<Around::Square>);
  table.add("ReduceLogSum", reduceAround<Around::Log>);
  table.add("ReduceLogSumExp", reduceAround<Around::LogSumExp>);
  table.add("ArgMax", argument<ReduceKind::Max>);
  table.add("ArgMin", argument<ReduceKind::Min>);
  table.add("Softmax", softmax<false>);
  table.add("LogSoftmax", softmax<true>);
  table.add("Hardmax", hardmax);
  table.add("CumSum", cumSum);
}
