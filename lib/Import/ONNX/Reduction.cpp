//===- Reduction.cpp - reductions, softmax and running sums -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Axes.h"
#include "Blocks.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

/// What a reduction goes over. The axes moved from an attribute to an input in opset 18 (ReduceSum: 13).
struct Reduction {
  Axes axes;
  bool nothing = false; ///< noop_with_empty_axes

  static std::optional<Reduction> read(Node &node);
  /// Reduces; the dimensions are dropped unless they are kept.
  Tensor apply(Node &node, ReduceKind kind, const Tensor &x) const {
    return nothing ? x : apply(node, x, [&](const Tensor &t, ArrayRef<int64_t> over) {
      return node.im.reduce(kind, t, over);
    });
  }
  /// `code` reduces over given dimensions, which it leaves with size 1.
  Tensor apply(Node &node, const Tensor &x, llvm::function_ref<Tensor(const Tensor &, ArrayRef<int64_t>)> code) const;
};

std::optional<Reduction> Reduction::read(Node &node) {
  if (!node.arity(1, 2))
    return std::nullopt;
  int64_t rank = node.in(0)->rank();
  std::optional<Axes> axes = Axes::read(node, "axes", 1, rank);
  if (!axes)
    return std::nullopt;
  Reduction result{*axes};
  if (axes->size() == 0) {
    result.nothing = node.getInt("noop_with_empty_axes", 0);
    for (int64_t i = 0; !result.nothing && i < rank; ++i)
      result.axes.list.push_back(i);
  }
  llvm::sort(result.axes.list);
  result.axes.list.erase(llvm::unique(result.axes.list), result.axes.list.end());
  return result;
}

Tensor Reduction::apply(Node &node, const Tensor &x,
                        llvm::function_ref<Tensor(const Tensor &, ArrayRef<int64_t>)> code) const {
  Importer &im = node.im;
  bool keep = node.getInt("keepdims", 1);
  Shape shape;
  if (axes.known()) {
    Tensor y = code(x, axes.list);
    for (int64_t i = 0; i < x.rank(); ++i)
      if (!llvm::is_contained(axes.list, i))
        shape.push_back(x.shape[i]);
    return keep ? y : im.reshape(y, shape);
  }
  Tensor moved = axes.size() == 1 ? splitAt(im, x, axes) : moveLast(im, x, axes);
  int64_t others = x.rank() - axes.size();
  SmallVector<int64_t> over;
  if (axes.size() == 1)
    over.push_back(1);
  for (int64_t i = others; axes.size() != 1 && i < x.rank(); ++i)
    over.push_back(i);
  Tensor y = code(moved, over);
  for (int64_t i = 0; i < x.rank() && keep; ++i)
    shape.push_back(sizeOf(axes.has(im, i).select(Scalar::index(im, 1), Scalar::index(im, x.shape[i]))));
  return im.reshape(y, keep ? shape : axes.otherSizes(im, x.shape));
}

/// Unsigned integers in the order of signed ones, and back.
static Tensor flipSign(Importer &im, const Tensor &x) {
  unsigned bits = x.element().getIntOrFloatBitWidth();
  return im.binary<arith::XOrIOp>(x, im.splatInt(x.element(), int64_t(uint64_t(1) << (bits - 1)), x.shape));
}

template <ReduceKind Kind>
static LogicalResult reduce(Node &node) {
  Importer &im = node.im;
  std::optional<Reduction> how = Reduction::read(node);
  if (!how)
    return failure();
  Val *x = node.in(0);
  bool extremum = Kind == ReduceKind::Max || Kind == ReduceKind::Min;
  if (!isFloat(x->type) && !isInteger(x->type) && !(extremum && x->type == Bool))
    return node.fail("input 0 must have numbers as elements, found " + describe(im, x));
  if (how->nothing)
    return node.done(x);
  Tensor t = im.tensor(x);
  if (x->type == Bool) { // all, any: the product of numbers, their sum
    ReduceKind kind = Kind == ReduceKind::Max ? ReduceKind::Sum : ReduceKind::Prod;
    return node.done(im.make(Bool, im.cast(how->apply(node, kind, im.cast(t, Bool, Int64)), Int64, Bool)));
  }
  if (isUnsigned(x->type) && extremum)
    return node.done(im.make(x->type, flipSign(im, how->apply(node, Kind, flipSign(im, t)))));
  return node.done(im.make(x->type, how->apply(node, Kind, t)));
}

/// Sums of a function of the elements, and a function of the sum.
enum class Around { L1, L2, Square, Log, LogSumExp };

template <Around Kind>
static LogicalResult reduceAround(Node &node) {
  Importer &im = node.im;
  std::optional<Reduction> how = Reduction::read(node);
  if (!how)
    return failure();
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("elements of " + elementName(type) + " are not supported");
  bool needsFloat = Kind == Around::L2 || Kind == Around::Log || Kind == Around::LogSumExp;
  int32_t inner = needsFloat && !isFloat(type) ? int32_t(Double) : type;
  Tensor x = im.cast(im.tensor(node.in(0)), type, inner), y;
  switch (Kind) {
  case Around::L1:
    if (!isUnsigned(type))
      x = isFloat(type) ? im.unary<math::AbsFOp>(x) : im.unary<math::AbsIOp>(x);
    y = how->apply(node, ReduceKind::Sum, x);
    break;
  case Around::L2:
    y = im.unary<math::SqrtOp>(how->apply(node, ReduceKind::Sum, im.mul(x, x)));
    break;
  case Around::Square:
    y = how->apply(node, ReduceKind::Sum, im.mul(x, x));
    break;
  case Around::Log:
    y = im.unary<math::LogOp>(how->apply(node, ReduceKind::Sum, x));
    break;
  case Around::LogSumExp:
    if (how->nothing) {
      y = x;
      break;
    }
    // max + log(sum(exp(x - max))) does not overflow.
    y = how->apply(node, x, [&](const Tensor &t, ArrayRef<int64_t> over) {
      Tensor top = im.reduce(ReduceKind::Max, t, over), zero = im.splat(top.element(), 0, top.shape);
      Tensor endless = im.compare(arith::CmpFPredicate::OEQ, im.unary<math::AbsFOp>(top),
                                  im.splat(top.element(), INFINITY, top.shape));
      top = im.select(endless, zero, top);
      Tensor e = im.unary<math::ExpOp>(im.sub(t, im.broadcast(top, t.shape)));
      return im.add(im.unary<math::LogOp>(im.reduce(ReduceKind::Sum, e, over)), top);
    });
    break;
  }
  return node.done(im.make(type, im.cast(y, inner, type)));
}

/// ArgMax and ArgMin: the position of the extreme value, the first or the last one.
template <ReduceKind Kind>
static LogicalResult argument(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  Val *source = node.in(0);
  if (!isFloat(source->type) && !isInteger(source->type))
    return node.fail("elements of " + elementName(source->type) + " are not supported");
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), source->rank());
  if (!axis)
    return failure();
  Tensor x = im.tensor(source);
  if (isUnsigned(source->type))
    x = flipSign(im, x);
  Tensor best = im.broadcast(im.reduce(Kind, x, *axis), x.shape);
  Tensor isBest = isFloat(source->type) ? im.compare(arith::CmpFPredicate::OEQ, x, best)
                                        : im.compare(arith::CmpIPredicate::eq, x, best);
  if (isFloat(source->type)) // NaN, where there is one, is the extreme
    isBest = im.binary<arith::OrIOp>(isBest, im.compare(arith::CmpFPredicate::UNO, x, x));
  bool last = node.getInt("select_last_index", 0);
  Type i64 = im.builder.getI64Type();
  Tensor other = im.splatInt(i64, last ? -1 : INT64_MAX, x.shape);
  Tensor positions = im.select(isBest, im.iota(i64, x.shape, *axis), other);
  Tensor result = im.reduce(last ? ReduceKind::Max : ReduceKind::Min, positions, *axis);
  if (!node.getInt("keepdims", 1)) {
    Shape shape = result.shape;
    shape.erase(shape.begin() + *axis);
    result = im.reshape(result, shape);
  }
  return node.done(im.make(Int64, result));
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

Tensor pith::onnx::logSoftmax(Importer &im, const Tensor &x, int64_t axis) {
  Tensor shifted = im.sub(x, im.broadcast(im.reduce(ReduceKind::Max, x, axis), x.shape));
  Tensor total = im.reduce(ReduceKind::Sum, im.unary<math::ExpOp>(shifted), axis);
  return im.sub(shifted, im.broadcast(im.unary<math::LogOp>(total), x.shape));
}

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
    result = logSoftmax(im, x, *axis);
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

/// Running products, one slice after the other.
static Tensor cumProd(Importer &im, const Tensor &x, bool exclusive, bool reverse) {
  Expr length = x.shape[1];
  Shape row{x.shape[0], 1, x.shape[2]};
  auto results = repeat(im, length, {im.splat(x.element(), 1, x.shape), im.splat(x.element(), 1, row)},
                        [&](Scalar i, ArrayRef<Tensor> carried) -> SmallVector<Tensor> {
                          if (reverse)
                            i = Scalar::index(im, im.symbols.sub(length, 1)) - i;
                          Tensor product = im.mul(carried[1], readSlice(im, x, 1, i));
                          return {writeSlice(im, carried[0], exclusive ? carried[1] : product, 1, i), product};
                        });
  return results[0];
}

template <bool Product>
static LogicalResult cumulative(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needInteger(1))
    return failure();
  Val *source = node.in(0);
  std::optional<Axes> axis = Axes::readOne(node, 1, source->rank());
  if (!axis)
    return failure();
  if (!isFloat(source->type) && !isInteger(source->type))
    return node.fail("elements of " + elementName(source->type) + " are not supported");
  bool exclusive = node.getInt("exclusive", 0), reverse = node.getInt("reverse", 0);
  Tensor x = im.tensor(source);
  if (!Product && axis->known()) {
    Value y = CumSumOp::create(im.builder, im.loc, x.value.getType(), x.value, axis->list.front(), exclusive, reverse);
    return node.done(im.make(source->type, {y, x.shape}));
  }
  Tensor split = splitAt(im, x, *axis), y;
  if (Product)
    y = cumProd(im, split, exclusive, reverse);
  else
    y = {CumSumOp::create(im.builder, im.loc, split.value.getType(), split.value, 1, exclusive, reverse), split.shape};
  return node.done(im.make(source->type, im.reshape(y, x.shape)));
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
  table.add("CumSum", cumulative<false>);
  table.add("CumProd", cumulative<true>);
}
