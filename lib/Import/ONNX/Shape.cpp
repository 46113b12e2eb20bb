//===- Shape.cpp - constants and ops on shapes -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Axes.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

static LogicalResult constantOp(Node &node) {
  Importer &im = node.im;
  auto floats = [&](ArrayRef<float> values, Shape shape) {
    auto type = im.typeOf(im.builder.getF32Type(), shape);
    Value value = arith::ConstantOp::create(im.builder, im.loc, DenseElementsAttr::get(type, values));
    return node.done(im.make(Float, {value, shape}));
  };
  if (const proto::AttributeProto *value = node.attribute("value")) {
    if (!value->has_t())
      return node.fail("attribute 'value' must be a tensor");
    Val *val = im.constant(node, value->t());
    return val ? node.done(val) : failure();
  }
  if (node.has("value_int"))
    return node.done(im.makeContents(Int64, {}, {node.getInt("value_int", 0)}));
  if (node.has("value_float"))
    return floats({node.getFloat("value_float", 0)}, {});
  if (std::optional<SmallVector<int64_t>> values = node.getInts("value_ints"))
    return node.done(im.makeContents(Int64, {int64_t(values->size())}, toShape(*values)));
  if (const proto::AttributeProto *values = node.attribute("value_floats"))
    return floats(SmallVector<float>(values->floats().begin(), values->floats().end()), {int64_t(values->floats_size())});
  return node.fail("has none of the attributes value, value_int, value_ints, value_float, value_floats");
}

/// The sizes that a one-dimensional integer tensor holds; reports what cannot be one.
static std::optional<Shape> sizesOf(Node &node, size_t i) {
  Val *val = node.in(i);
  const Shape *known = val->rank() == 1 ? node.im.elements(val) : nullptr;
  if (known)
    return *known;
  node.error() << "input " << i << " must be a list of sizes whose number is known, found " << describe(node.im, val);
  return std::nullopt;
}

static LogicalResult constantOfShape(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  std::optional<Shape> shape = sizesOf(node, 0);
  if (!shape)
    return failure();
  Val *value = nullptr;
  if (const proto::AttributeProto *attribute = node.attribute("value")) {
    if (!attribute->has_t() || !(value = im.constant(node, attribute->t())))
      return node.failed ? failure() : node.fail("attribute 'value' must be a tensor");
    if (value->init->count != 1)
      return node.fail("attribute 'value' must have one element, found " + describe(im, value));
  } else {
    value = im.make(Float, im.splat(im.builder.getF32Type(), 0));
  }
  std::optional<int64_t> number = im.count(*shape).constant();
  if (number && *number >= 0 && *number <= 64 && isInteger(value->type))
    if (const Shape *element = im.contents(value))
      return node.done(im.makeContents(value->type, *shape, Shape(*number, element->front())));
  return node.done(im.make(value->type, im.broadcast(im.reshape(im.tensor(value), {}), *shape)));
}

//===----------------------------------------------------------------------===//
// Reading shapes
//===----------------------------------------------------------------------===//

static LogicalResult shapeOp(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  const Shape &shape = node.in(0)->shape;
  int64_t rank = shape.size();
  auto bound = [&](StringRef name, int64_t otherwise) {
    int64_t value = node.getInt(name, otherwise);
    return std::clamp<int64_t>(value < 0 ? value + rank : value, 0, rank);
  };
  int64_t start = bound("start", 0), end = std::max(start, bound("end", rank));
  Shape result(shape.begin() + start, shape.begin() + end);
  return node.done(node.im.makeContents(Int64, {end - start}, result));
}

static LogicalResult size(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  return node.done(node.im.makeContents(Int64, {}, {node.im.count(node.in(0)->shape)}));
}

//===----------------------------------------------------------------------===//
// The same elements in another shape
//===----------------------------------------------------------------------===//

static LogicalResult reshaped(Node &node, const Shape &shape) {
  Importer &im = node.im;
  Val *source = node.in(0);
  std::optional<int64_t> before = im.count(source->shape).constant(), after = im.count(shape).constant();
  if (before && after && *before != *after)
    return node.fail("cannot give " + describe(im, source) + " the shape " + im.symbols.print(shape));
  // Elements that are known stay known; constants stay the same bytes.
  if (im.contents(source) || (source->init && before && after))
    return node.done(im.makeView(*source, shape));
  return node.done(im.make(source->type, im.reshape(im.tensor(source), shape)));
}

/// Sizes that are read at run time may turn out to be 0 or -1: code that replaces these by what they stand for.
static void resolveAtRunTime(Node &node, Shape &target, bool zeroIsSize) {
  Importer &im = node.im;
  OpBuilder &b = im.builder;
  const Shape &source = node.in(0)->shape;
  auto isRead = [&](const Expr &e) {
    return e.terms().size() == 1 && e.terms()[0].factors.size() == 1 && e.terms()[0].coefficient == 1 &&
           im.symbols[e.terms()[0].factors[0]].kind == Symbols::Kind::Value &&
           !im.symbols[e.terms()[0].factors[0]].lower;
  };
  auto is = [&](Value v, int64_t value) -> Value {
    return arith::CmpIOp::create(b, im.loc, arith::CmpIPredicate::eq, v, im.index(value));
  };
  if (llvm::none_of(target, isRead))
    return;
  SmallVector<Value> sizes;
  Value product = im.index(1);
  for (auto [i, size] : llvm::enumerate(target)) {
    Value v = im.index(size);
    if (isRead(size) && !zeroIsSize && i < source.size())
      v = arith::SelectOp::create(b, im.loc, is(v, 0), im.index(source[i]), v);
    sizes.push_back(v);
    Value factor = isRead(size) ? arith::SelectOp::create(b, im.loc, is(v, -1), im.index(1), v).getResult() : v;
    product = arith::MulIOp::create(b, im.loc, product, factor);
  }
  // A product of 0 leaves nothing to infer, but must not be divided by.
  product = arith::MaxSIOp::create(b, im.loc, product, im.index(1));
  Value rest = arith::DivSIOp::create(b, im.loc, im.index(im.count(source)), product);
  for (auto [i, size] : llvm::enumerate(target))
    if (isRead(size)) {
      size = im.symbols.value(arith::SelectOp::create(b, im.loc, is(sizes[i], -1), rest, sizes[i]));
      im.symbols[size.terms()[0].factors[0]].lower = 0;
    }
}

static LogicalResult reshape(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2))
    return failure();
  std::optional<Shape> target;
  if (node.in(1))
    target = sizesOf(node, 1);
  else if (std::optional<SmallVector<int64_t>> attribute = node.getInts("shape"))
    target = toShape(*attribute);
  else
    return node.fail("has no target shape");
  if (!target)
    return failure();
  const Shape &source = node.in(0)->shape;
  bool zeroIsSize = node.getInt("allowzero", 0);
  std::optional<size_t> open;
  for (auto [i, size] : llvm::enumerate(*target)) {
    size = im.symbols.normalize(size);
    if (size.isConstant(0) && !zeroIsSize) {
      if (i >= source.size())
        return node.fail("target shape " + im.symbols.print(*target) + " copies a dimension that " +
                         describe(im, node.in(0)) + " does not have");
      size = im.symbols.normalize(source[i]);
    } else if (size.isConstant(-1)) {
      if (open)
        return node.fail("target shape " + im.symbols.print(*target) + " has more than one -1");
      open = i;
    }
  }
  if (!open)
    resolveAtRunTime(node, *target, zeroIsSize);
  if (open) {
    // What is left when the sizes on both sides have been struck out against each other.
    Shape rest;
    for (const Expr &size : source)
      rest.push_back(im.symbols.normalize(size));
    Expr divisor = 1;
    for (auto [i, size] : llvm::enumerate(*target)) {
      if (i == *open)
        continue;
      if (auto it = llvm::find(rest, size); it != rest.end() && !size.isConstant(0))
        rest.erase(it);
      else
        divisor = im.symbols.mul(divisor, size);
    }
    std::optional<Expr> inferred = im.symbols.floorDiv(im.count(rest), divisor);
    if (!inferred)
      return node.fail("cannot infer -1 in target shape " + im.symbols.print(*target) + " for " +
                       describe(im, node.in(0)));
    (*target)[*open] = *inferred;
  }
  return reshaped(node, *target);
}

static LogicalResult unsqueeze(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2))
    return failure();
  const Shape &source = node.in(0)->shape;
  // As many dimensions are new as axes are given.
  int64_t number = 0;
  if (node.in(1)) {
    std::optional<int64_t> count = node.in(1)->rank() <= 1 ? im.count(node.in(1)->shape).constant() : std::nullopt;
    if (!count || *count > 32)
      return node.fail("input 1 (axes) must be a list whose length is known, found " + describe(im, node.in(1)));
    number = *count;
  } else if (std::optional<SmallVector<int64_t>> given = node.getInts("axes")) {
    number = given->size();
  }
  int64_t rank = source.size() + number;
  std::optional<Axes> axes = Axes::read(node, "axes", 1, rank);
  if (!axes)
    return failure();
  Shape shape;
  if (!axes->known()) {
    for (int64_t i = 0; i < rank; ++i)
      shape.push_back(sizeOf(axes->has(im, i).select(Scalar::index(im, 1), pick(im, source, axes->othersBefore(im, i)))));
    return reshaped(node, shape);
  }
  SmallVector<bool> isNew(rank);
  for (int64_t axis : axes->list) {
    if (isNew[axis])
      return node.fail("axis " + Twine(axis) + " is given twice");
    isNew[axis] = true;
  }
  for (int64_t i = 0, next = 0; i < rank; ++i)
    shape.push_back(isNew[i] ? Expr(1) : source[next++]);
  return reshaped(node, shape);
}

static LogicalResult squeeze(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2))
    return failure();
  const Shape &source = node.in(0)->shape;
  std::optional<Axes> axes = Axes::read(node, "axes", 1, source.size());
  if (!axes)
    return failure();
  Shape shape;
  if (!axes->known())
    return reshaped(node, axes->otherSizes(im, source));
  for (int64_t axis : axes->list)
    if (!im.symbols.assumeEqual(source[axis], 1))
      return node.fail("cannot remove dimension " + Twine(axis) + " of " + describe(im, node.in(0)) +
                       ", which is not 1");
  for (auto [i, size] : llvm::enumerate(source))
    if (axes->present ? !llvm::is_contained(axes->list, int64_t(i)) : !im.symbols.normalize(size).isConstant(1))
      shape.push_back(size);
  return reshaped(node, shape);
}

static LogicalResult flatten(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  ArrayRef<Expr> source = node.in(0)->shape;
  int64_t rank = source.size(), axis = node.getInt("axis", 1);
  if (axis < 0)
    axis += rank;
  if (axis < 0 || axis > rank)
    return node.fail("axis " + Twine(axis) + " is outside rank " + Twine(rank));
  return reshaped(node, {node.im.count(source.take_front(axis)), node.im.count(source.drop_front(axis))});
}

static LogicalResult transpose(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  int64_t rank = node.in(0)->rank();
  SmallVector<int64_t> permutation;
  if (std::optional<SmallVector<int64_t>> given = node.getInts("perm"))
    permutation = *given;
  else
    for (int64_t i = rank; i-- > 0;)
      permutation.push_back(i);
  SmallVector<bool> seen(rank);
  bool valid = int64_t(permutation.size()) == rank;
  for (int64_t &i : permutation) {
    valid = valid && i >= 0 && i < rank && !seen[i];
    if (!valid)
      return node.fail("attribute 'perm' is not a permutation of rank " + Twine(rank));
    seen[i] = true;
  }
  if (!valid)
    return node.fail("attribute 'perm' is not a permutation of rank " + Twine(rank));
  if (rank < 2)
    return node.done(node.in(0));
  return node.done(node.im.make(node.in(0)->type, node.im.transpose(node.im.tensor(node.in(0)), permutation)));
}

//===----------------------------------------------------------------------===//
// Repetition
//===----------------------------------------------------------------------===//

static LogicalResult expand(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2))
    return failure();
  std::optional<Shape> target = sizesOf(node, 1);
  if (!target)
    return failure();
  Val *source = node.in(0);
  std::optional<Shape> shape = node.broadcastShapes({source->shape, *target});
  if (!shape)
    return failure();
  if (im.sameShape(source->shape, *shape))
    return node.done(source);
  if (const Shape *known = im.contents(source); known && known->size() == 1)
    if (std::optional<int64_t> number = im.count(*shape).constant(); number && *number >= 0 && *number <= 64)
      return node.done(im.makeContents(source->type, *shape, Shape(*number, known->front())));
  return node.done(im.make(source->type, im.broadcast(im.tensor(source), *shape)));
}

static LogicalResult tile(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2))
    return failure();
  std::optional<Shape> repeats = sizesOf(node, 1);
  if (!repeats)
    return failure();
  const Shape source = node.in(0)->shape;
  if (repeats->size() != source.size())
    return node.fail("has " + Twine(repeats->size()) + " repeats for " + describe(im, node.in(0)));
  // [a, b] is repeated as [1, a, 1, b] → [r, a, s, b] → [r a, s b].
  Shape split, repeated, result;
  bool nothing = true;
  for (auto [size, repeat] : llvm::zip(source, *repeats)) {
    bool once = im.symbols.normalize(repeat).isConstant(1);
    nothing &= once;
    if (!once) {
      split.push_back(1);
      repeated.push_back(repeat);
    }
    split.push_back(size);
    repeated.push_back(size);
    result.push_back(im.symbols.mul(size, repeat));
  }
  if (nothing)
    return node.done(node.in(0));
  Tensor x = im.reshape(im.tensor(node.in(0)), split);
  return node.done(im.make(node.in(0)->type, im.reshape(im.broadcast(x, repeated), result)));
}

//===----------------------------------------------------------------------===//
// Sequences of numbers
//===----------------------------------------------------------------------===//

static LogicalResult range(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !node.sameType({0, 1, 2}))
    return failure();
  int32_t type = node.in(0)->type;
  Type element = elementType(im.context, type);
  for (size_t i : {0, 1, 2})
    if (!im.count(node.in(i)->shape).isConstant(1))
      return node.fail("input " + Twine(i) + " must be a scalar, found " + describe(im, node.in(i)));
  if (isInteger(type)) {
    Expr bounds[3];
    for (size_t i : {0, 1, 2}) {
      const Shape *known = im.elements(node.in(i));
      if (!known)
        return node.fail("input " + Twine(i) + " must be a scalar, found " + describe(im, node.in(i)));
      bounds[i] = im.symbols.normalize(known->front());
    }
    auto [start, limit, step] = bounds;
    std::optional<int64_t> delta = step.constant();
    if (delta == 0 || delta == INT64_MIN)
      return node.fail("the step is " + Twine(*delta));
    std::optional<Expr> number;
    if (delta) {
      int64_t stride = std::abs(*delta);
      Expr distance = *delta > 0 ? im.symbols.sub(limit, start) : im.symbols.sub(start, limit);
      number = im.symbols.floorDiv(im.symbols.add(distance, stride - 1), stride);
    } else {
      number = im.symbols.value(arith::CeilDivSIOp::create(im.builder, im.loc, im.index(im.symbols.sub(limit, start)),
                                                           im.index(step)));
    }
    if (!number)
      return failure();
    Expr length = im.symbols.max(0, *number);
    if (std::optional<int64_t> constant = length.constant(); constant && *constant <= 64 && (type == Int64 || type == Int32)) {
      Shape contents;
      for (int64_t i = 0; i < *constant; ++i)
        contents.push_back(im.symbols.add(start, im.symbols.mul(i, step)));
      return node.done(im.makeContents(type, {*constant}, contents));
    }
    Tensor result = im.iota(element, {length}, 0);
    result = im.mul(result, im.broadcast(im.fromExpr(element, step), result.shape));
    if (!start.isConstant(0))
      result = im.add(result, im.broadcast(im.fromExpr(element, start), result.shape));
    return node.done(im.make(type, result));
  }
  if (!node.needFloat(0))
    return failure();
  Tensor scalars[3];
  for (size_t i : {0, 1, 2})
    scalars[i] = im.castTo(im.reshape(im.tensor(node.in(i)), {}), im.builder.getF64Type());
  auto [start, limit, step] = scalars;
  Tensor number = im.castTo(im.unary<math::CeilOp>(im.div(im.sub(limit, start), step)), im.builder.getI64Type());
  const Shape *length = im.elements(im.make(Int64, number));
  Shape shape{im.symbols.max(0, length->front())};
  Tensor result = im.castTo(im.iota(im.builder.getI64Type(), shape, 0), im.builder.getF64Type());
  result = im.add(im.mul(result, im.broadcast(step, shape)), im.broadcast(start, shape));
  return node.done(im.make(type, im.castTo(result, element)));
}

static LogicalResult identity(Node &node) {
  if (!node.arity(1))
    return failure();
  return node.done(node.in(0));
}

void pith::onnx::addShapeOps(OpTable &table) {
  table.add("Constant", constantOp);
  table.add("ConstantOfShape", constantOfShape);
  table.add("Shape", shapeOp);
  table.add("Size", size);
  table.add("Reshape", reshape);
  table.add("Unsqueeze", unsqueeze);
  table.add("Squeeze", squeeze);
  table.add("Flatten", flatten);
  table.add("Transpose", transpose);
  table.add("Expand", expand);
  table.add("Tile", tile);
  table.add("Range", range);
  table.addForSequences("Identity", identity);
}
