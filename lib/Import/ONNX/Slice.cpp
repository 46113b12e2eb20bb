//===- Slice.cpp - cutting tensors and putting them together -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Axes.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Slice
//===----------------------------------------------------------------------===//

/// Bounds from here on mean "to the end", on either side.
static constexpr int64_t kFar = INT32_MAX;

/// A bound of a slice as ONNX reads it: negative ones count from the end, and all are clamped into [low, high].
static Expr bound(Symbols &symbols, Expr value, const Expr &length, const Expr &low, const Expr &high) {
  value = symbols.normalize(value);
  if (std::optional<int64_t> constant = value.constant()) {
    if (*constant >= kFar)
      return high;
    if (*constant <= -kFar)
      return low;
    if (*constant < 0)
      value = symbols.add(value, length);
  } else if (symbols.atLeast(-1, value)) {
    value = symbols.add(value, length);
  } else if (!symbols.atLeast(value, 0)) {
    // The sign shows only at run time: length * (value < 0), the comparison as max(min(-value, 1), 0).
    Expr isNegative = symbols.max(0, symbols.min(symbols.sub(0, value), 1));
    value = symbols.add(value, symbols.mul(length, isNegative));
  }
  return symbols.max(low, symbols.min(value, high));
}

/// For dimension i the value that belongs to its axis among `values`, else `otherwise`.
static Scalar ofAxis(Importer &im, const Axes &axes, int64_t i, ArrayRef<Expr> values, Scalar otherwise) {
  Scalar result = otherwise;
  for (auto [n, value] : llvm::enumerate(values)) {
    if (!axes.known())
      result = (axes.get(n) == double(i)).select(Scalar::index(im, value), result);
    else if (n < axes.list.size() ? axes.list[n] == i : !axes.present && int64_t(n) == i)
      result = Scalar::index(im, value);
  }
  return result;
}

/// Axes or steps are inputs: every element of the result is read from where the integers say.
static LogicalResult sliceAtRunTime(Node &node, ArrayRef<Expr> starts, ArrayRef<Expr> ends, const Axes &axes) {
  Importer &im = node.im;
  Shape steps(starts.size(), Expr(1));
  if (node.in(4)) {
    const Shape *known = node.in(4)->rank() == 1 ? im.elements(node.in(4)) : nullptr;
    if (!known)
      return node.fail("input 4 must be a list of known length, found " + describe(im, node.in(4)));
    steps = *known;
  }
  size_t number = axes.present ? axes.size() : starts.size();
  if (starts.size() != number || ends.size() != number || steps.size() != number)
    return node.fail("starts, ends, axes and steps differ in length");
  Tensor x = im.tensor(node.in(0));
  Shape sizes;
  Scalars first, stride;
  for (int64_t i = 0; i < x.rank(); ++i) {
    Scalar length = Scalar::index(im, x.shape[i]), zero = length.like(0);
    Scalar step = ofAxis(im, axes, i, steps, length.like(1));
    Scalar valid = step != 0.0, back = step < 0;
    step = valid.select(step, length.like(1));
    auto bound = [&](ArrayRef<Expr> values, Scalar otherwise, double lowest) {
      Scalar value = ofAxis(im, axes, i, values, otherwise);
      value = (value < 0).select(value + length, value);
      return back.select(value.clamp(length.like(lowest), length - 1), value.clamp(zero, length));
    };
    Scalar start = bound(starts, zero, 0), end = bound(ends, length, -1);
    Scalar distance = back.select(start - end, end - start), pace = back.select(zero - step, step);
    Scalar size = ((distance + pace - 1) / pace).max(zero);
    sizes.push_back(sizeOf(valid.select(size, length.like(-1))));
    first.push_back(start);
    stride.push_back(step);
  }
  Tensor y = compute(im, x.element(), sizes, [&](Point point) {
    Scalars from;
    for (auto [p, start, step] : llvm::zip_equal(point, first, stride))
      from.push_back(start + p * step);
    return at(im, x, from);
  });
  return node.done(im.make(node.in(0)->type, y));
}

static LogicalResult slice(Node &node) {
  Importer &im = node.im;
  Symbols &symbols = im.symbols;
  Shape starts, ends;
  bool hasSteps = false;
  std::optional<Axes> axes;
  std::optional<SmallVector<int64_t>> steps = SmallVector<int64_t>();
  int64_t rank = node.in(0) ? node.in(0)->rank() : 0;
  if (node.opset < 10) {
    if (!node.arity(1, 1))
      return failure();
    std::optional<SmallVector<int64_t>> first = node.getInts("starts"), last = node.getInts("ends");
    if (!first || !last)
      return node.fail("attributes 'starts' and 'ends' are missing");
    starts = toShape(*first);
    ends = toShape(*last);
    axes = Axes::read(node, "axes", 99, rank);
  } else {
    if (!node.arity(3, 5))
      return failure();
    for (size_t i : {1, 2}) {
      const Shape *known = node.in(i)->rank() == 1 ? im.elements(node.in(i)) : nullptr;
      if (!known)
        return node.fail("input " + Twine(i) + " must be a list of known length, found " + describe(im, node.in(i)));
      (i == 1 ? starts : ends) = *known;
    }
    axes = Axes::read(node, "axes", 3, rank);
    if (axes && (!axes->known() || (node.in(4) && !im.constants(node.in(4)))))
      return sliceAtRunTime(node, starts, ends, *axes);
    steps = node.constantList("steps", 4, hasSteps);
  }
  if (!axes || !steps)
    return failure();
  size_t number = starts.size();
  if (!axes->present)
    for (size_t i = 0; i < number; ++i)
      axes->list.push_back(i);
  if (!hasSteps)
    steps->assign(number, 1);
  if (ends.size() != number || axes->size() != number || steps->size() != number)
    return node.fail("starts, ends, axes and steps differ in length");

  Val *source = node.in(0);
  Shape offsets(rank, Expr(0)), sizes = source->shape;
  SmallVector<int64_t> strides(rank, 1);
  SmallVector<bool> seen(rank);
  for (size_t i = 0; i < number; ++i) {
    std::optional<int64_t> axis = node.axis(axes->list[i], rank);
    if (!axis)
      return failure();
    if (seen[*axis])
      return node.fail("axis " + Twine(*axis) + " is given twice");
    seen[*axis] = true;
    int64_t step = std::clamp((*steps)[i], -kFar, kFar);
    if (step == 0)
      return node.fail("a step is 0");
    Expr length = symbols.normalize(source->shape[*axis]), last = symbols.sub(length, 1);
    Expr start, distance;
    if (step > 0) {
      start = bound(symbols, starts[i], length, 0, length);
      distance = symbols.sub(bound(symbols, ends[i], length, 0, length), start);
    } else {
      start = bound(symbols, starts[i], length, 0, last);
      distance = symbols.sub(start, bound(symbols, ends[i], length, -1, last));
    }
    int64_t stride = std::abs(step);
    Expr size = symbols.max(0, *symbols.floorDiv(symbols.add(distance, stride - 1), stride));
    offsets[*axis] = start;
    sizes[*axis] = size;
    strides[*axis] = step;
  }

  if (const Shape *known = im.contents(source); known && rank == 1) {
    std::optional<int64_t> start = offsets[0].constant(), size = sizes[0].constant();
    if (start && size) {
      Shape result;
      for (int64_t i = 0; i < *size; ++i)
        result.push_back((*known)[*start + i * strides[0]]);
      return node.done(im.makeContents(source->type, {*size}, result));
    }
  }
  Tensor x = im.tensor(source);
  // Steps back read through computed indices; the rest is one slice.
  Shape forwardOffsets = offsets, forwardSizes = sizes;
  SmallVector<int64_t> forwardSteps = strides;
  for (int64_t i = 0; i < rank; ++i)
    if (strides[i] < 0) {
      forwardOffsets[i] = 0;
      forwardSizes[i] = x.shape[i];
      forwardSteps[i] = 1;
    }
  x = im.slice(x, forwardOffsets, forwardSizes, forwardSteps);
  for (int64_t i = 0; i < rank; ++i)
    if (strides[i] < 0) {
      Type i64 = im.builder.getI64Type();
      Tensor at = im.iota(i64, {sizes[i]}, 0);
      at = im.mul(at, im.splatInt(i64, strides[i], at.shape));
      at = im.add(at, im.broadcast(im.fromExpr(i64, offsets[i]), at.shape));
      x = im.gather(x, at, i);
    }
  return node.done(im.make(source->type, x));
}

//===----------------------------------------------------------------------===//
// Split, Concat
//===----------------------------------------------------------------------===//

static LogicalResult split(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2))
    return failure();
  Val *source = node.in(0);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), source->rank());
  if (!axis)
    return failure();
  Expr length = im.symbols.normalize(source->shape[*axis]);
  size_t number = node.results.size();
  Shape sizes;
  if (node.in(1)) {
    const Shape *known = node.in(1)->rank() == 1 ? im.elements(node.in(1)) : nullptr;
    if (!known)
      return node.fail("input 1 must be a list of known length, found " + describe(im, node.in(1)));
    sizes = *known;
  } else if (std::optional<SmallVector<int64_t>> given = node.getInts("split")) {
    sizes = toShape(*given);
  } else if (number == 0) {
    return node.fail("has no outputs");
  } else if (std::optional<int64_t> constant = length.constant()) {
    int64_t chunk = llvm::divideCeil(*constant, number);
    for (size_t i = 0; i < number; ++i)
      sizes.push_back(std::clamp<int64_t>(*constant - int64_t(i) * chunk, 0, chunk));
  } else if (std::optional<Expr> chunk = im.symbols.exactDiv(length, int64_t(number))) {
    sizes.assign(number, *chunk);
  } else {
    return node.fail("cannot split dimension " + Twine(*axis) + " of " + describe(im, source) + " into " +
                     Twine(number) + " equal parts");
  }
  if (sizes.size() < number)
    return node.fail("has " + Twine(number) + " outputs but " + Twine(sizes.size()) + " sizes");
  Expr total = 0;
  for (const Expr &size : sizes)
    total = im.symbols.add(total, size);
  if (!im.symbols.assumeEqual(total, length))
    return node.fail("sizes " + im.symbols.print(sizes) + " do not add up to dimension " + Twine(*axis) + " of " +
                     describe(im, source));
  Expr offset = 0;
  const Shape *known = source->rank() == 1 ? im.contents(source) : nullptr;
  for (size_t i = 0; i < number; ++i) {
    std::optional<int64_t> start = offset.constant(), size = sizes[i].constant();
    if (node.wants(i)) {
      if (known && start && size && *start >= 0 && *size >= 0 && *start + *size <= int64_t(known->size()))
        node.set(i, im.makeContents(source->type, {*size}, Shape(ArrayRef(*known).slice(*start, *size))));
      else
        node.set(i, im.make(source->type, im.sliceDim(im.tensor(source), *axis, offset, sizes[i])));
    }
    offset = im.symbols.add(offset, sizes[i]);
  }
  return success();
}

static LogicalResult concat(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, SIZE_MAX) || !node.arity(node.inputs.size(), SIZE_MAX))
    return failure();
  SmallVector<size_t> all;
  for (size_t i = 0; i < node.inputs.size(); ++i)
    all.push_back(i);
  if (!node.sameType(all))
    return failure();
  Val *first = node.in(0);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 1), first->rank());
  if (!axis)
    return failure();
  bool known = first->rank() == 1;
  for (Val *val : node.inputs) {
    if (val->rank() != first->rank())
      return node.fail("inputs have different ranks: " + describe(im, first) + " and " + describe(im, val));
    for (int64_t i = 0; i < first->rank(); ++i)
      if (i != *axis && !im.symbols.assumeEqual(first->shape[i], val->shape[i]))
        return node.fail("inputs differ in dimension " + Twine(i) + ": " + describe(im, first) + " and " +
                         describe(im, val));
    known &= im.contents(val) != nullptr;
  }
  if (known) {
    Shape contents;
    for (Val *val : node.inputs)
      llvm::append_range(contents, *im.contents(val));
    if (contents.size() <= 256)
      return node.done(im.makeContents(first->type, {int64_t(contents.size())}, contents));
  }
  SmallVector<Tensor> parts;
  for (Val *val : node.inputs)
    if (!im.symbols.normalize(val->shape[*axis]).isConstant(0))
      parts.push_back(im.tensor(val));
  if (parts.empty())
    parts.push_back(im.tensor(first));
  return node.done(im.make(first->type, im.concat(parts, *axis)));
}

//===----------------------------------------------------------------------===//
// Pad
//===----------------------------------------------------------------------===//

/// For every position of the padded dimension the one to read from.
static Tensor paddedIndices(Importer &im, StringRef mode, const Expr &length, const Expr &before, const Expr &size) {
  Type i64 = im.builder.getI64Type();
  auto number = [&](const Expr &e) { return im.broadcast(im.fromExpr(i64, e), {size}); };
  Tensor at = im.sub(im.iota(i64, {size}, 0), number(before));
  Tensor zero = number(0), last = number(im.symbols.sub(length, 1));
  if (mode == "edge")
    return im.binary<arith::MinSIOp>(im.binary<arith::MaxSIOp>(at, zero), last);
  // Reflection repeats with twice the length less the two ends, wrapping with the length.
  bool reflect = mode == "reflect";
  Tensor period = reflect ? im.binary<arith::MaxSIOp>(im.add(last, last), number(1)) : number(length);
  Tensor rest = im.binary<arith::RemSIOp>(at, period);
  rest = im.select(im.compare(arith::CmpIPredicate::slt, rest, zero), im.add(rest, period), rest);
  return reflect ? im.binary<arith::MinSIOp>(rest, im.sub(period, rest)) : rest;
}

static LogicalResult pad(Node &node) {
  Importer &im = node.im;
  Symbols &symbols = im.symbols;
  if (!node.arity(1, 4))
    return failure();
  Val *source = node.in(0);
  std::string mode = node.getString("mode", "constant");
  if (mode != "constant" && mode != "edge" && mode != "reflect" && mode != "wrap")
    return node.fail("mode '" + mode + "' is unknown");
  Shape pads;
  if (node.in(1)) {
    const Shape *known = im.elements(node.in(1));
    if (!known)
      return node.fail("input 1 must be a list of known length, found " + describe(im, node.in(1)));
    pads = *known;
  } else if (std::optional<SmallVector<int64_t>> given = node.getInts("pads")) {
    pads = toShape(*given);
  }
  std::optional<Axes> axes = Axes::read(node, "axes", 3, source->rank());
  if (!axes)
    return failure();
  for (int64_t i = 0; !axes->present && i < source->rank(); ++i)
    axes->list.push_back(i);
  if (pads.size() != 2 * axes->size())
    return node.fail("has " + Twine(pads.size()) + " pads for " + Twine(axes->size()) + " axes");
  if (!axes->known()) { // then for every dimension
    Shape all;
    ArrayRef<Expr> given = pads;
    for (ArrayRef<Expr> side : {given.take_front(axes->size()), given.take_back(axes->size())})
      for (int64_t i = 0; i < source->rank(); ++i)
        all.push_back(symbols.value(ofAxis(im, *axes, i, side, Scalar::index(im, 0)).value));
    pads = all;
    axes = Axes();
    for (int64_t i = 0; i < source->rank(); ++i)
      axes->list.push_back(i);
  }
  Tensor x = im.tensor(source), fill;
  if (node.in(2)) {
    if (!node.sameType({0, 2}))
      return failure();
    fill = im.reshape(im.tensor(node.in(2)), {});
  } else {
    fill = im.splat(x.element(), node.opset < 11 ? node.getFloat("value", 0) : 0);
  }
  for (auto [i, axis] : llvm::enumerate(axes->list)) {
    Expr sides[2] = {symbols.normalize(pads[i]), symbols.normalize(pads[axes->size() + i])};
    // Negative pads cut.
    Expr cut[2], grow[2];
    for (int side : {0, 1}) {
      cut[side] = symbols.max(0, symbols.sub(0, sides[side]));
      grow[side] = symbols.max(0, sides[side]);
    }
    Expr rest = symbols.sub(symbols.sub(x.shape[axis], cut[0]), cut[1]);
    x = im.sliceDim(x, axis, cut[0], rest);
    if (grow[0].isConstant(0) && grow[1].isConstant(0))
      continue;
    if (mode != "constant") {
      Expr size = symbols.add(symbols.add(rest, grow[0]), grow[1]);
      x = im.gather(x, paddedIndices(im, mode, rest, grow[0], size), axis);
      continue;
    }
    SmallVector<Tensor> parts;
    for (int side : {0, 1}) {
      if (side == 1)
        parts.push_back(x);
      if (grow[side].isConstant(0))
        continue;
      Shape shape = x.shape;
      shape[axis] = grow[side];
      parts.push_back(im.broadcast(fill, shape));
    }
    x = im.concat(parts, axis);
  }
  return node.done(im.make(source->type, x));
}

void pith::onnx::addSliceOps(OpTable &table) {
  table.add("Slice", slice);
  table.add("Split", split);
  table.add("Concat", concat);
  table.add("Pad", pad);
}
