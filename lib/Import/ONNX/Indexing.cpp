//===- Indexing.cpp - reading and writing at computed positions -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "Scalar.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

static LogicalResult gather(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needInteger(1))
    return failure();
  Val *source = node.in(0), *indices = node.in(1);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), source->rank());
  if (!axis)
    return failure();
  Expr length = im.symbols.normalize(source->shape[*axis]);
  std::optional<SmallVector<int64_t>> positions = im.constants(indices);
  if (positions && length.constant())
    for (int64_t &position : *positions) {
      if (position < -*length.constant() || position >= *length.constant())
        return node.fail("index " + Twine(position) + " is outside dimension " + Twine(*axis) + " of " +
                         describe(im, source));
    }
  if (const Shape *known = im.contents(source); known && positions && source->rank() == 1) {
    Shape result;
    for (int64_t position : *positions)
      result.push_back((*known)[position < 0 ? position + known->size() : position]);
    return node.done(im.makeContents(source->type, indices->shape, result));
  }
  Tensor x = im.tensor(source);
  // One constant position is a slice.
  if (positions && positions->size() == 1) {
    int64_t position = positions->front();
    Expr offset = position < 0 ? im.symbols.add(length, position) : Expr(position);
    Tensor cut = im.sliceDim(x, *axis, offset, 1);
    Shape shape(x.shape.begin(), x.shape.begin() + *axis);
    shape.append(indices->shape.begin(), indices->shape.end());
    shape.append(x.shape.begin() + *axis + 1, x.shape.end());
    return node.done(im.make(source->type, im.reshape(cut, shape)));
  }
  return node.done(im.make(source->type, im.gather(x, im.tensor(indices), *axis)));
}

/// The tuples that gather_nd and scatter_nd need for one index per element, along one axis.
static Tensor elementTuples(Importer &im, const Tensor &indices, int64_t axis) {
  Type i64 = im.builder.getI64Type();
  Shape column = indices.shape;
  column.push_back(1);
  SmallVector<Tensor> parts;
  for (int64_t i = 0; i < indices.rank(); ++i)
    parts.push_back(im.reshape(i == axis ? im.castTo(indices, i64) : im.iota(i64, indices.shape, i), column));
  return im.concat(parts, indices.rank());
}

static LogicalResult gatherElements(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needInteger(1))
    return failure();
  if (node.in(0)->rank() != node.in(1)->rank())
    return node.fail("inputs have different ranks: " + describe(im, node.in(0)) + " and " + describe(im, node.in(1)));
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), node.in(0)->rank());
  if (!axis)
    return failure();
  Tensor indices = im.tensor(node.in(1));
  Tensor result = im.gatherND(im.tensor(node.in(0)), elementTuples(im, indices, *axis), 0, indices.shape);
  return node.done(im.make(node.in(0)->type, result));
}

/// The length of index tuples, which must be constant and fit.
static std::optional<int64_t> tupleLength(Node &node, int64_t batchDims) {
  Val *source = node.in(0), *indices = node.in(1);
  if (indices->rank() < 1) {
    node.error() << "indices must have rank 1 or more, found " << describe(node.im, indices);
    return std::nullopt;
  }
  std::optional<int64_t> length = node.im.symbols.normalize(indices->shape.back()).constant();
  if (!length || *length < 1 || batchDims < 0 || batchDims >= indices->rank() || batchDims + *length > source->rank()) {
    node.error() << "index tuples of " << describe(node.im, indices) << " behind " << batchDims
                 << " batch dimensions do not fit " << describe(node.im, source);
    return std::nullopt;
  }
  return length;
}

static LogicalResult gatherND(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needInteger(1))
    return failure();
  int64_t batchDims = node.getSmallInt("batch_dims", 0);
  std::optional<int64_t> length = tupleLength(node, batchDims);
  if (!length)
    return failure();
  Tensor source = im.tensor(node.in(0)), indices = im.castTo(im.tensor(node.in(1)), im.builder.getI64Type());
  Shape shape(indices.shape.begin(), indices.shape.end() - 1);
  shape.append(source.shape.begin() + batchDims + *length, source.shape.end());
  return node.done(im.make(node.in(0)->type, im.gatherND(source, indices, batchDims, shape)));
}

enum class Combine { Replace, Add, Mul, Max, Min };

static std::optional<Combine> readReduction(Node &node) {
  std::string how = node.getString("reduction", "none");
  std::optional<Combine> combine = llvm::StringSwitch<std::optional<Combine>>(how)
                                       .Case("none", Combine::Replace)
                                       .Case("add", Combine::Add)
                                       .Case("mul", Combine::Mul)
                                       .Case("max", Combine::Max)
                                       .Case("min", Combine::Min)
                                       .Default(std::nullopt);
  if (!combine)
    node.error() << "reduction '" << how << "' is unknown";
  return combine;
}

static Scalar combined(Combine how, bool isUnsigned, Scalar old, Scalar update) {
  if (old.type().isInteger(1)) // sums and maxima of truth values are "or", products and minima "and"
    return how == Combine::Add || how == Combine::Max ? old | update : old & update;
  switch (how) {
  case Combine::Replace: return update;
  case Combine::Add: return old + update;
  case Combine::Mul: return old * update;
  case Combine::Max: return isUnsigned ? old.call<arith::MaxUIOp>(update) : old.max(update);
  case Combine::Min: return isUnsigned ? old.call<arith::MinUIOp>(update) : old.min(update);
  }
  llvm_unreachable("every kind of reduction is handled");
}

/// Tuples in the last dimension of `tuples` say where the updates go; what is behind them is a slice.
static LogicalResult scatter(Node &node, const Tensor &tuples, int64_t length) {
  Importer &im = node.im;
  std::optional<Combine> how = readReduction(node);
  if (!how)
    return failure();
  Tensor source = im.tensor(node.in(0)), updates = im.tensor(node.in(2));
  if (*how == Combine::Replace) {
    Value result = ScatterNDOp::create(im.builder, im.loc, source.value.getType(), source.value, tuples.value,
                                       updates.value);
    return node.done(im.make(node.in(0)->type, {result, source.shape}));
  }
  // One update after the other, element by element.
  ArrayRef<Expr> all = source.shape;
  Expr slice = im.count(all.drop_front(length)), number = im.count(updates.shape), total = im.count(all);
  Expr tupleCount = im.count(ArrayRef<Expr>(tuples.shape).drop_back());
  Tensor flat = im.reshape(source, {total}), values = im.reshape(updates, {number});
  Tensor places = im.reshape(tuples, {tupleCount, length});
  Scalar sliceSize = Scalar::index(im, slice), count = Scalar::index(im, number);
  if (!im.symbols.atLeast(total, 1))
    count = (Scalar::index(im, total) == 0).select(count.like(0), count);
  bool isUnsignedType = isUnsigned(node.in(0)->type);
  auto results =
      repeat(im, im.symbols.value(count.value), flat, [&](Scalar m, ArrayRef<Tensor> carried) -> SmallVector<Tensor> {
        Scalar tuple = m / sliceSize, place = m.like(0), inside;
        for (int64_t i = 0; i < length; ++i) {
          Scalar size = Scalar::index(im, source.shape[i]), index = at(im, places, {tuple, m.like(i)}).toIndex();
          index = (index < 0).select(index + size, index);
          Scalar here = (index >= 0) & (index < size);
          inside = i ? inside & here : here;
          place = place * size + index;
        }
        place = place * sliceSize + m % sliceSize;
        place = inside.select(place, m.like(0));
        Scalar old = at(im, carried[0], place);
        Scalar value = inside.select(combined(*how, isUnsignedType, old, at(im, values, m)), old);
        Value next = tensor::InsertOp::create(im.builder, im.loc, value.value, carried[0].value, place.value);
        return {{next, carried[0].shape}};
      });
  return node.done(im.make(node.in(0)->type, im.reshape(results[0], source.shape)));
}

/// Takes the sizes of two shapes as equal; reports input `i` if they are not.
static bool sameSizes(Node &node, size_t i, ArrayRef<Expr> expected) {
  bool same = node.in(i)->shape.size() == expected.size();
  for (auto [a, b] : llvm::zip(node.in(i)->shape, expected))
    same = same && node.im.symbols.assumeEqual(a, b);
  if (!same)
    node.error() << "input " << i << " must have shape " << node.im.symbols.print(expected) << ", found "
                 << describe(node.im, node.in(i));
  return same;
}

static LogicalResult scatterND(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !node.needInteger(1) || !node.sameType({0, 2}))
    return failure();
  std::optional<int64_t> length = tupleLength(node, 0);
  if (!length)
    return failure();
  Shape updates(node.in(1)->shape.begin(), node.in(1)->shape.end() - 1);
  updates.append(node.in(0)->shape.begin() + *length, node.in(0)->shape.end());
  if (!sameSizes(node, 2, updates))
    return failure();
  return scatter(node, im.castTo(im.tensor(node.in(1)), im.builder.getI64Type()), *length);
}

static LogicalResult scatterElements(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !node.needInteger(1) || !node.sameType({0, 2}))
    return failure();
  if (node.in(0)->rank() != node.in(1)->rank())
    return node.fail("inputs have different ranks: " + describe(im, node.in(0)) + " and " + describe(im, node.in(1)));
  if (!sameSizes(node, 2, node.in(1)->shape))
    return failure();
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), node.in(0)->rank());
  if (!axis)
    return failure();
  return scatter(node, elementTuples(im, im.tensor(node.in(1)), *axis), node.in(0)->rank());
}

static LogicalResult tensorScatter(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 3) || !node.sameType({0, 1}) || !node.needInteger(2))
    return failure();
  Val *past = node.in(0), *update = node.in(1);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", -2), past->rank());
  if (!axis)
    return failure();
  std::string mode = node.getString("mode", "linear");
  if (*axis == 0 || update->rank() != past->rank() || (mode != "linear" && mode != "circular"))
    return node.fail("a cache is written behind its batch dimension, mode linear or circular; found " +
                     describe(im, past) + ", axis " + Twine(*axis) + " and mode '" + mode + "'");
  Shape rows = past->shape;
  rows[*axis] = update->shape[*axis];
  if (!sameSizes(node, 1, rows) || (node.in(2) && !sameSizes(node, 2, past->shape[0])))
    return failure();
  Tensor cache = im.tensor(past), fresh = im.tensor(update);
  Tensor start = node.in(2) ? im.tensor(node.in(2)) : im.splatInt(im.builder.getI64Type(), 0, {cache.shape[0]});
  if (mode == "linear" && *axis == 2 && cache.rank() == 4) {
    Value result = CacheUpdateOp::create(im.builder, im.loc, cache.value.getType(), cache.value, fresh.value,
                                         start.value, im.dynamicDims(cache.shape));
    return node.done(im.make(past->type, {result, cache.shape}));
  }
  Tensor y = compute(im, cache.element(), cache.shape, [&](Point point) {
    Scalar row = point[*axis] - at(im, start, point[0]).toIndex(), length = Scalar::index(im, cache.shape[*axis]);
    if (mode == "circular") {
      row = row % length;
      row = (row < 0).select(row + length, row);
    }
    Scalar isNew = (row >= 0) & (row < Scalar::index(im, fresh.shape[*axis]));
    Scalars from(point);
    from[*axis] = row;
    return choose(
               isNew, [&] { return Scalars{at(im, fresh, from)}; }, [&] { return Scalars{at(im, cache, point)}; })
        .front();
  });
  return node.done(im.make(past->type, y));
}

//===----------------------------------------------------------------------===//
// Positions compared
//===----------------------------------------------------------------------===//

static LogicalResult trilu(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2))
    return failure();
  Val *source = node.in(0);
  int64_t rank = source->rank();
  if (rank < 2)
    return node.fail("input 0 must have rank 2 or more, found " + describe(im, source));
  bool upper = node.getInt("upper", 1);
  Expr diagonal = 0;
  if (node.in(1)) {
    const Shape *known = im.elements(node.in(1));
    if (!known || known->size() != 1)
      return node.fail("the diagonal must be an integer, found " + describe(im, node.in(1)));
    diagonal = known->front();
  }
  Tensor x = im.tensor(source);
  // Kept are j - i >= k above, j - i <= k below.
  Type i64 = im.builder.getI64Type();
  Shape matrix{x.shape[rank - 2], x.shape[rank - 1]};
  Tensor row = im.iota(i64, matrix, 0), column = im.iota(i64, matrix, 1);
  if (!im.symbols.normalize(diagonal).isConstant(0))
    row = im.add(row, im.broadcast(im.fromExpr(i64, diagonal), matrix));
  Tensor keep = im.compare(upper ? arith::CmpIPredicate::sge : arith::CmpIPredicate::sle, column, row);
  return node.done(im.make(source->type, im.select(im.broadcast(keep, x.shape), x, im.splat(x.element(), 0, x.shape))));
}

static LogicalResult oneHot(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3))
    return failure();
  // The depth may have any type.
  const Shape *depth = nullptr;
  if (isFloat(node.in(1)->type) && im.count(node.in(1)->shape).isConstant(1))
    depth = im.elements(im.make(Int64, im.castTo(im.tensor(node.in(1)), im.builder.getI64Type())));
  else
    depth = im.elements(node.in(1));
  Val *indices = node.in(0), *values = node.in(2);
  if (!depth || depth->size() != 1)
    return node.fail("the depth must be a number, found " + describe(im, node.in(1)));
  if ((!isInteger(indices->type) && !isFloat(indices->type)) || values->rank() != 1 || !im.symbols.assumeEqual(values->shape[0], 2))
    return node.fail("expected numbers as indices and two values, found " + describe(im, indices) + " and " +
                     describe(im, values));
  std::optional<int64_t> axis = node.axis(node.getInt("axis", -1), indices->rank() + 1);
  if (!axis)
    return failure();
  Type i64 = im.builder.getI64Type();
  Tensor at = im.cast(im.tensor(indices), indices->type, Int64);
  Tensor zero = im.splat(i64, 0, at.shape), size = im.broadcast(im.fromExpr(i64, depth->front()), at.shape);
  at = im.select(im.compare(arith::CmpIPredicate::slt, at, zero), im.add(at, size), at);
  Shape unit = at.shape;
  unit.insert(unit.begin() + *axis, Expr(1));
  Shape shape = unit;
  shape[*axis] = depth->front();
  Tensor hot = im.compare(arith::CmpIPredicate::eq, im.iota(i64, shape, *axis), im.broadcast(im.reshape(at, unit), shape));
  Tensor pair = im.tensor(values);
  auto value = [&](int64_t i) { return im.broadcast(im.reshape(im.sliceDim(pair, 0, i, 1), {}), shape); };
  return node.done(im.make(values->type, im.select(hot, value(1), value(0))));
}

void pith::onnx::addIndexingOps(OpTable &table) {
  table.add("Gather", gather);
  table.add("GatherElements", gatherElements);
  table.add("GatherND", gatherND);
  table.add("ScatterND", scatterND);
  table.add("ScatterElements", scatterElements);
  table.add("Scatter", scatterElements); // its name before opset 11
  table.add("TensorScatter", tensorScatter);
  table.add("Trilu", trilu);
  table.addContrib("Trilu", trilu);
  table.add("OneHot", oneHot);
}
