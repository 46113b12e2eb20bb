//===- DataSizes.cpp - ops whose results' sizes depend on data -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Two pieces make them all: the positions where a mask is true, whose number is a value read at run time, and the
// order of sorted items.
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "pith/Dialect/Pith/IR/PithDataOps.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Pieces
//===----------------------------------------------------------------------===//

namespace {
/// Words on tensors of i64.
class Positions {
public:
  explicit Positions(Importer &im) : im(im), i64(im.builder.getI64Type()) {}
  Importer &im;
  Type i64;

  Tensor number(const Expr &e, ArrayRef<Expr> shape) { return im.broadcast(im.fromExpr(i64, e), shape); }
  Tensor iota(const Expr &n) { return im.iota(i64, {n}, 0); }
  Tensor fromMask(const Tensor &mask) { return im.cast(mask, Bool, Int64); }
  Tensor flat(const Tensor &x) { return im.reshape(x, {im.count(x.shape)}); }
  Tensor column(const Tensor &x) { return im.reshape(x, {x.shape[0], 1}); }
  Tensor runningSum(const Tensor &x) {
    return {CumSumOp::create(im.builder, im.loc, x.value.getType(), x.value, 0, false, false), x.shape};
  }
  /// A [n] in which place `at[i]` has `values[i]`; what is not written is 0, places beyond are dropped.
  Tensor scatter(const Expr &n, const Tensor &at, const Tensor &values) {
    Tensor zeros = im.splat(values.element(), 0, {n});
    return {ScatterNDOp::create(im.builder, im.loc, zeros.value.getType(), zeros.value, column(at).value, values.value),
            zeros.shape};
  }
  /// Where a mask [n] is true, ascending.
  Tensor ofTrue(const Tensor &mask) {
    Expr n = mask.shape[0];
    Tensor flags = fromMask(mask);
    Tensor total = im.reduce(ReduceKind::Sum, flags, {0});
    Expr count = im.symbols.normalize(im.elements(im.make(Int64, total))->front());
    if (!count.constant() && count.terms().size() == 1 && count.terms()[0].factors.size() == 1)
      im.symbols[count.terms()[0].factors[0]].lower = 0;
    Tensor places = im.select(mask, im.sub(runningSum(flags), number(1, {n})), number(n, {n}));
    return scatter(count, places, iota(n));
  }
  /// The order [R, N] of the items of keys [R, N, M].
  Tensor sorted(const Tensor &keys, bool descending, bool isUnsigned) {
    Shape shape(keys.shape.begin(), keys.shape.begin() + 2);
    RankedTensorType type = im.typeOf(i64, shape);
    Value order = tensor::EmptyOp::create(im.builder, im.loc, type, im.dynamicDims(shape));
    Value scratch = tensor::EmptyOp::create(im.builder, im.loc, type, im.dynamicDims(shape));
    auto op = ArgSortOp::create(im.builder, im.loc, TypeRange{type, type}, keys.value, order, scratch, descending, isUnsigned);
    return {op.getResult(0), shape};
  }
  /// x[r, at[r, i]] for x [R, N], at [R, K].
  Tensor pick(const Tensor &x, const Tensor &at) {
    Shape tuples = at.shape;
    tuples.push_back(1);
    return im.gatherND(x, im.reshape(at, tuples), 1, at.shape);
  }
};
} // namespace

/// Fails the run unless a <= b.
static void checkAtMost(Importer &im, const Expr &a, const Expr &b, const Twine &message) {
  if (im.symbols.atLeast(b, a))
    return;
  Value holds = arith::CmpIOp::create(im.builder, im.loc, arith::CmpIPredicate::sle, im.index(a), im.index(b));
  cf::AssertOp::create(im.builder, im.loc, holds, im.builder.getStringAttr("node " + im.current->label() + ": " + message));
}

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

static LogicalResult nonZero(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  Positions p(im);
  Tensor x = im.tensor(node.in(0));
  if (x.rank() == 0)
    x = im.reshape(x, {1});
  Tensor rest = p.ofTrue(p.flat(im.cast(x, node.in(0)->type, Bool)));
  Expr count = rest.shape[0];
  SmallVector<Tensor> rows(x.rank());
  for (int64_t d = x.rank() - 1; d >= 0; --d) {
    Tensor size = p.number(x.shape[d], rest.shape);
    Tensor here = d ? im.binary<arith::RemSIOp>(rest, size) : rest;
    rows[d] = im.reshape(here, {1, count});
    if (d)
      rest = im.binary<arith::DivSIOp>(rest, size);
  }
  return node.done(im.make(Int64, im.concat(rows, 0)));
}

static LogicalResult compress(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2))
    return failure();
  Val *mask = node.in(1);
  if (mask->type != Bool || mask->rank() != 1)
    return node.fail("the condition must be a vector of bool, found " + describe(im, mask));
  Tensor x = im.tensor(node.in(0));
  int64_t axis = 0;
  if (node.has("axis")) {
    std::optional<int64_t> given = node.axis(node.getInt("axis", 0), x.rank());
    if (!given)
      return failure();
    axis = *given;
  } else {
    x = im.reshape(x, {im.count(x.shape)});
  }
  return node.done(im.make(node.in(0)->type, im.gather(x, Positions(im).ofTrue(im.tensor(mask)), axis)));
}

//===----------------------------------------------------------------------===//
// Sorting
//===----------------------------------------------------------------------===//

static LogicalResult topK(Node &node) {
  Importer &im = node.im;
  if (!node.arity(node.opset >= 10 ? 2 : 1, node.opset >= 10 ? 2 : 1))
    return failure();
  Expr k = node.getInt("k", 1);
  if (node.opset >= 10) {
    const Shape *known = im.elements(node.in(1));
    if (!known || known->size() != 1)
      return node.fail("k must be an integer, found " + describe(im, node.in(1)));
    k = im.symbols.normalize(known->front());
  }
  Val *source = node.in(0);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", -1), source->rank());
  if (!axis)
    return failure();
  Expr length = im.symbols.normalize(source->shape[*axis]);
  if (im.symbols.lowerBound(k - length).value_or(0) > 0 || k.constant().value_or(0) < 0)
    return node.fail("k is " + im.symbols.print(k) + ", but dimension " + Twine(*axis) + " of " + describe(im, source));
  // The axis last, the others one dimension.
  SmallVector<int64_t> order, back(source->rank());
  for (int64_t d = 0; d < source->rank(); ++d)
    if (d != *axis)
      order.push_back(d);
  order.push_back(*axis);
  for (auto [i, d] : llvm::enumerate(order))
    back[d] = i;
  Tensor x = im.transpose(im.tensor(source), order);
  Shape outer(x.shape.begin(), x.shape.end() - 1), result = outer;
  Expr rows = im.count(outer);
  checkAtMost(im, k, length, "k is more than the length of the axis");
  checkAtMost(im, 0, k, "k is negative");
  Positions p(im);
  Tensor places = p.sorted(im.reshape(x, {rows, length, 1}), node.getInt("largest", 1) != 0, isUnsigned(source->type));
  places = im.sliceDim(places, 1, 0, k);
  Tensor values = p.pick(im.reshape(x, {rows, length}), places);
  result.push_back(k);
  auto finish = [&](const Tensor &t) { return im.transpose(im.reshape(t, result), back); };
  node.set(0, im.make(source->type, finish(values)));
  node.set(1, im.make(Int64, finish(places)));
  return success(!node.failed);
}

static LogicalResult unique(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  Positions p(im);
  Val *source = node.in(0);
  Tensor x = im.tensor(source), items;
  int64_t axis = 0;
  if (node.has("axis")) {
    std::optional<int64_t> given = node.axis(node.getInt("axis", 0), x.rank());
    if (!given)
      return failure();
    axis = *given;
    SmallVector<int64_t> order{axis};
    for (int64_t d = 0; d < x.rank(); ++d)
      if (d != axis)
        order.push_back(d);
    items = im.transpose(x, order);
    items = im.reshape(items, {items.shape[0], im.count(ArrayRef(items.shape).drop_front())});
  } else {
    x = p.flat(x);
    items = p.column(x);
  }
  Expr n = items.shape[0];
  Tensor order = p.flat(p.sorted(im.reshape(items, {1, n, items.shape[1]}), false, isUnsigned(source->type)));
  order.shape = {n};
  // The first of each group of equal items, which stand side by side.
  Tensor number = p.iota(n), zero = p.number(0, {n});
  Tensor before = im.gather(order, im.binary<arith::MaxSIOp>(im.sub(number, p.number(1, {n})), zero), 0);
  Tensor mine = im.gather(items, order, 0), last = im.gather(items, before, 0);
  Tensor differs = isFloat(source->type) ? im.compare(arith::CmpFPredicate::UNE, mine, last)
                                         : im.compare(arith::CmpIPredicate::ne, mine, last);
  Tensor any = im.reshape(im.reduce(ReduceKind::Max, p.fromMask(differs), {1}), {n});
  Tensor isFirst = im.binary<arith::OrIOp>(im.compare(arith::CmpIPredicate::sgt, any, zero),
                                           im.compare(arith::CmpIPredicate::eq, number, zero));
  Tensor starts = p.ofTrue(isFirst);
  Expr groups = starts.shape[0];
  Tensor index = p.iota(groups), one = p.number(1, {groups});
  Tensor follower = im.gather(starts, im.binary<arith::MinSIOp>(im.add(index, one), p.number(groups - Expr(1), {groups})), 0);
  Tensor isLast = im.compare(arith::CmpIPredicate::eq, index, p.number(groups - Expr(1), {groups}));
  Tensor counts = im.sub(im.select(isLast, p.number(n, {groups}), follower), starts);
  Tensor firsts = im.gather(order, starts, 0);
  Tensor group = im.sub(p.runningSum(p.fromMask(isFirst)), p.number(1, {n}));
  Tensor inverse = p.scatter(n, order, group);
  if (!node.getInt("sorted", 1)) {
    Tensor found = p.flat(p.sorted(im.reshape(firsts, {1, groups, 1}), false, false));
    found.shape = {groups};
    inverse = im.gather(p.scatter(groups, found, index), inverse, 0);
    firsts = im.gather(firsts, found, 0);
    counts = im.gather(counts, found, 0);
  }
  node.set(0, im.make(source->type, im.gather(x, firsts, axis)));
  node.set(1, im.make(Int64, firsts));
  node.set(2, im.make(Int64, inverse));
  node.set(3, im.make(Int64, counts));
  return success(!node.failed);
}

//===----------------------------------------------------------------------===//
// NonMaxSuppression
//===----------------------------------------------------------------------===//

static LogicalResult nonMaxSuppression(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 5) || !node.needFloat(0) || !node.needFloat(1) || !node.needFloat(3) || !node.needFloat(4))
    return failure();
  Val *boxes = node.in(0), *scores = node.in(1);
  if (boxes->rank() != 3 || scores->rank() != 3 || !im.symbols.assumeEqual(boxes->shape[2], 4) ||
      !im.symbols.assumeEqual(boxes->shape[0], scores->shape[0]) ||
      !im.symbols.assumeEqual(boxes->shape[1], scores->shape[2]))
    return node.fail("expected boxes [batch, n, 4] and scores [batch, classes, n], found " + describe(im, boxes) +
                     " and " + describe(im, scores));
  Expr most = 0;
  if (node.in(2)) {
    const Shape *known = im.elements(node.in(2));
    if (!known || known->size() != 1)
      return node.fail("the number of boxes must be an integer, found " + describe(im, node.in(2)));
    most = known->front();
  }
  for (size_t i : {3, 4})
    if (node.in(i) && !im.symbols.assumeEqual(im.count(node.in(i)->shape), 1))
      return node.fail("input " + Twine(i) + " must be a number, found " + describe(im, node.in(i)));
  Positions p(im);
  Type f32 = im.builder.getF32Type();
  Expr batch = im.symbols.normalize(scores->shape[0]), classes = im.symbols.normalize(scores->shape[1]),
       n = im.symbols.normalize(scores->shape[2]), lists = im.symbols.mul(batch, classes);
  Shape shape{lists, n};
  auto threshold = [&](size_t i, ArrayRef<Expr> of) {
    if (!node.in(i))
      return im.splat(f32, 0, of);
    return im.broadcast(im.reshape(im.castTo(im.tensor(node.in(i)), f32), {}), of);
  };

  // Boxes and scores of each list (a class of a batch), the best first.
  Tensor score = im.reshape(im.castTo(im.tensor(scores), f32), shape);
  Tensor order = p.sorted(im.reshape(score, {lists, n, 1}), true, false);
  Tensor box = im.castTo(im.tensor(boxes), f32);
  auto coordinate = [&](int64_t i) {
    Tensor one = im.reshape(im.sliceDim(box, 2, i, 1), {batch, 1, n});
    return p.pick(im.reshape(im.broadcast(one, {batch, classes, n}), shape), order);
  };
  Tensor a = coordinate(0), b = coordinate(1), c = coordinate(2), d = coordinate(3);
  Tensor low[2], high[2];
  if (node.getInt("center_point_box", 0)) { // x, y, width, height
    Tensor halfWidth = im.mul(c, 0.5), halfHeight = im.mul(d, 0.5);
    low[0] = im.sub(a, halfWidth), high[0] = im.add(a, halfWidth);
    low[1] = im.sub(b, halfHeight), high[1] = im.add(b, halfHeight);
  } else { // two opposite corners
    low[0] = im.binary<arith::MinimumFOp>(a, c), high[0] = im.binary<arith::MaximumFOp>(a, c);
    low[1] = im.binary<arith::MinimumFOp>(b, d), high[1] = im.binary<arith::MaximumFOp>(b, d);
  }
  Tensor area = im.mul(im.sub(high[0], low[0]), im.sub(high[1], low[1]));
  Tensor alive = im.splatInt(im.builder.getI1Type(), 1, shape);
  if (node.in(4))
    alive = im.compare(arith::CmpFPredicate::OGT, p.pick(score, order), threshold(4, shape));

  // Box after box: one that is alive is taken, and ends those that it overlaps.
  LoopPlan plan;
  plan.trip = n;
  plan.nodes = 100; // so many ops
  plan.stacked = {false};
  Shape columnShape{lists, 1};
  plan.initial = {im.make(Bool, alive), im.make(Int64, im.splatInt(p.i64, 0, columnShape))};
  plan.body = [&](Val *iteration, Val *, ArrayRef<Val *> carried, SmallVectorImpl<Val *> &out) {
    Expr at = iteration->contents->front();
    Tensor living = im.tensor(carried[0]), taken = im.tensor(carried[1]);
    Tensor take = im.binary<arith::AndIOp>(
        im.sliceDim(living, 1, at, 1), im.compare(arith::CmpIPredicate::slt, taken, p.number(most, columnShape)));
    auto mine = [&](const Tensor &all) { return im.broadcast(im.sliceDim(all, 1, at, 1), shape); };
    Tensor zero = im.splat(f32, 0, shape), overlap;
    for (int i : {0, 1}) {
      Tensor side = im.sub(im.binary<arith::MinimumFOp>(mine(high[i]), high[i]),
                           im.binary<arith::MaximumFOp>(mine(low[i]), low[i]));
      side = im.binary<arith::MaximumFOp>(side, zero);
      overlap = i ? im.mul(overlap, side) : side;
    }
    Tensor whole = im.sub(im.add(mine(area), area), overlap);
    Tensor ends = im.compare(arith::CmpFPredicate::OGT, im.div(overlap, whole), threshold(3, shape));
    ends = im.binary<arith::AndIOp>(ends, im.broadcast(take, shape));
    Tensor still = im.select(ends, im.splatInt(im.builder.getI1Type(), 0, shape), living);
    out.append({im.make(Bool, still), im.make(Int64, im.add(taken, p.fromMask(take))), im.make(Bool, take)});
    return !node.failed;
  };
  SmallVector<Val *> results;
  if (!importLoop(node, plan, results))
    return failure();
  Tensor takes = im.transpose(im.reshape(im.tensor(results[2]), {n, lists}), {1, 0});
  Tensor found = p.ofTrue(p.flat(takes));
  Shape all = found.shape;
  Tensor list = im.binary<arith::DivSIOp>(found, p.number(n, all)), classCount = p.number(classes, all);
  Tensor columns[] = {p.column(im.binary<arith::DivSIOp>(list, classCount)),
                      p.column(im.binary<arith::RemSIOp>(list, classCount)),
                      p.column(im.gather(p.flat(order), found, 0))};
  return node.done(im.make(Int64, im.concat(columns, 1)));
}

void pith::onnx::addDataSizeOps(OpTable &table) {
  table.add("NonZero", nonZero);
  table.add("Compress", compress);
  table.add("TopK", topK);
  table.add("Unique", unique);
  table.add("NonMaxSuppression", nonMaxSuppression);
}
