//===- Axes.cpp - axes that may be known only at run time -------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Axes.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

std::optional<Axes> Axes::read(Node &node, StringRef name, size_t input, int64_t rank) {
  Importer &im = node.im;
  Axes axes;
  std::optional<SmallVector<int64_t>> values;
  if (Val *val = node.in(input)) {
    axes.present = true;
    values = im.constants(val);
    if (!values) {
      const Shape *elements = val->rank() <= 1 ? im.elements(val) : nullptr;
      if (!elements || int64_t(elements->size()) > rank) {
        node.error() << "input " << input << " (" << name << ") must be a list of axes of rank " << rank << ", found "
                     << describe(im, val);
        return std::nullopt;
      }
      for (const Expr &e : *elements) {
        Scalar axis = Scalar::index(im, e);
        axes.unknown.push_back((axis < 0).select(axis + double(rank), axis));
      }
      return axes;
    }
  } else {
    values = node.getInts(name);
    axes.present = values.has_value();
  }
  for (int64_t value : values ? *values : SmallVector<int64_t>()) {
    std::optional<int64_t> axis = node.axis(value, rank);
    if (!axis)
      return std::nullopt;
    axes.list.push_back(*axis);
  }
  return axes;
}

std::optional<Axes> Axes::readOne(Node &node, size_t input, int64_t rank) {
  std::optional<Axes> axes = read(node, "axis", input, rank);
  if (axes && axes->size() != 1) {
    node.error() << "input " << input << " must be one axis, found " << describe(node.im, node.in(input));
    return std::nullopt;
  }
  return axes;
}

Scalar Axes::has(Importer &im, int64_t i) const {
  Scalar result = Scalar::number(im, im.builder.getI1Type(), 0);
  for (Scalar axis : unknown)
    result = result | (axis == double(i));
  return result;
}

Scalar Axes::othersBefore(Importer &im, int64_t i) const {
  Scalar count = Scalar::index(im, 0);
  for (int64_t k = 0; k < i; ++k)
    count = count + (!has(im, k)).toIndex();
  return count;
}

Scalar Axes::find(Importer &im, int64_t rank, int64_t n, bool isAxis) const {
  Scalar found = Scalar::index(im, -1);
  for (int64_t i = 0; i < rank; ++i) {
    Scalar before = othersBefore(im, i), mine = has(im, i);
    Scalar here = isAxis ? mine & (before == double(i - n)) : (!mine) & (before == double(n));
    found = here.select(Scalar::index(im, i), found);
  }
  return found;
}

Shape Axes::otherSizes(Importer &im, ArrayRef<Expr> shape) const {
  Shape result;
  for (size_t n = 0; n + unknown.size() < shape.size(); ++n)
    result.push_back(sizeOf(pick(im, shape, find(im, shape.size(), n, /*isAxis=*/false))));
  return result;
}

Expr pith::onnx::sizeOf(Scalar index) {
  Expr size = index.im->symbols.value(index.toIndex().value);
  index.im->symbols[size.terms()[0].factors[0]].lower = 0;
  return size;
}

Scalar pith::onnx::pick(Importer &im, ArrayRef<Expr> sizes, Scalar n) {
  Scalar result = Scalar::index(im, -1);
  for (auto [i, size] : llvm::enumerate(sizes))
    result = (n == double(i)).select(Scalar::index(im, size), result);
  return result;
}

Tensor pith::onnx::moveLast(Importer &im, const Tensor &x, const Axes &axes) {
  int64_t rank = x.rank(), others = rank - axes.size();
  Shape shape, strides(rank, Expr(1)), moved;
  for (int64_t i = rank - 1; i-- > 0;)
    strides[i] = im.symbols.mul(strides[i + 1], x.shape[i + 1]);
  // An axis that is given twice leaves a place without a dimension, which makes its size negative.
  for (int64_t place = 0; place < rank; ++place) {
    Scalar from = place < others ? axes.find(im, rank, place, false) : axes.find(im, rank, place - others, true);
    shape.push_back(sizeOf(pick(im, x.shape, from)));
    moved.push_back(sizeOf(pick(im, strides, from)));
  }
  Tensor flat = im.reshape(x, {im.count(x.shape)});
  return compute(im, x.element(), shape, [&](Point point) {
    Scalar place = point[0] * Scalar::index(im, moved[0]);
    for (int64_t i = 1; i < rank; ++i)
      place = place + point[i] * Scalar::index(im, moved[i]);
    return at(im, flat, place);
  });
}

Tensor pith::onnx::splitAt(Importer &im, const Tensor &x, const Axes &axis) {
  if (axis.known()) {
    ArrayRef<Expr> all = x.shape;
    int64_t i = axis.list.front();
    return im.reshape(x, {im.count(all.take_front(i)), x.shape[i], im.count(all.drop_front(i + 1))});
  }
  Scalar before = Scalar::index(im, 1), behind = before;
  for (int64_t i = 0; i < x.rank(); ++i) {
    Scalar size = Scalar::index(im, x.shape[i]), here = Scalar::index(im, i);
    before = (here < axis.get(0)).select(before * size, before);
    behind = (here > axis.get(0)).select(behind * size, behind);
  }
  return im.reshape(x, {sizeOf(before), sizeOf(pick(im, x.shape, axis.get(0))), sizeOf(behind)});
}
