//===- Signal.cpp - Fourier transforms, windows, mel weights ----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Transforms are sums as they are defined; angles and sums are in f64.
//
//===----------------------------------------------------------------------===//

#include "Axes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// The only element of an integer input, as a size.
static std::optional<Expr> integerInput(Node &node, size_t i) {
  const Shape *known = node.in(i) ? node.im.elements(node.in(i)) : nullptr;
  if (known && known->size() == 1)
    return node.im.symbols.normalize(known->front());
  node.error() << "input " << i << " must be an integer, found " << describe(node.im, node.in(i));
  return std::nullopt;
}

/// The sine or cosine of 2 pi k m / n, the part (0: real) of a root of unity; the product is reduced exactly.
static Scalar root(Scalar k, Scalar m, Scalar n, Scalar part, bool inverse) {
  Importer &im = *k.im;
  Type f64 = im.builder.getF64Type();
  Scalar angle = ((k * m) % n).to(f64) * (2 * M_PI) / n.to(f64);
  Scalar sine = angle.call<math::SinOp>();
  return (part == 0).select(angle.call<math::CosOp>(), inverse ? sine : sine * -1);
}

/// sum over m < count of value(m) * root(k m): one part of a transform. `value` gives part 0 or 1 of an element.
static Scalar transform(Scalar count, Scalar k, Scalar n, Scalar part, bool inverse, bool complex,
                        llvm::function_ref<Scalar(Scalar, int)> value) {
  Importer &im = *count.im;
  Scalar zero = Scalar::number(im, im.builder.getF64Type(), 0), one = part.like(1);
  return repeat(count, zero, [&](Scalar m, Point carried) -> Scalars {
           Scalar sum = carried[0] + value(m, 0) * root(k, m, n, part, inverse);
           if (complex) { // i (c + i s) = -s + i c
             Scalar turned = root(k, m, n, one - part, inverse);
             sum = sum + value(m, 1) * (part == 0).select(turned * -1, turned);
           }
           return {sum};
         }).front();
}

static LogicalResult fourier(Node &node) {
  Importer &im = node.im;
  Symbols &symbols = im.symbols;
  if (!node.arity(1, 3) || !node.needFloat(0))
    return failure();
  Val *source = node.in(0);
  int64_t rank = source->rank();
  std::optional<int64_t> parts = rank >= 2 ? symbols.normalize(source->shape.back()).constant() : std::nullopt;
  if (parts != 1 && parts != 2)
    return node.fail("expected [sizes..., 1] or [sizes..., 2], found " + describe(im, source));
  bool inverse = node.getInt("inverse", 0), half = node.getInt("onesided", 0), complex = parts == 2;
  std::optional<Axes> axis;
  if (node.opset < 20 || !node.in(2)) {
    std::optional<int64_t> value = node.axis(node.getInt("axis", node.opset < 20 ? 1 : -2), rank);
    if (!value)
      return failure();
    axis = Axes();
    axis->list.push_back(*value);
  } else if (!(axis = Axes::readOne(node, 2, rank))) {
    return failure();
  }
  Tensor x = splitAt(im, im.tensor(source), *axis);
  std::optional<Expr> inner = symbols.floorDiv(x.shape[2], *parts);
  x = im.reshape(x, {x.shape[0], x.shape[1], *inner, *parts});
  // Half of a spectrum stands for a real signal.
  bool toReal = inverse && half;
  Expr given = x.shape[1], length = toReal ? symbols.mul(symbols.sub(given, 1), 2) : given;
  if (node.in(1)) {
    std::optional<Expr> wanted = integerInput(node, 1);
    if (!wanted)
      return failure();
    length = *wanted;
  }
  Expr bins = half && !inverse ? symbols.add(*symbols.floorDiv(length, 2), 1) : length;
  Type f64 = im.builder.getF64Type(), element = x.element();
  Scalar n = Scalar::index(im, length), had = Scalar::index(im, given), used = toReal ? n : had.min(n);
  Tensor y = compute(im, element, {x.shape[0], bins, *inner, toReal ? 1 : 2}, [&](Point p) {
    auto value = [&](Scalar m, int part) {
      Scalar second = m.like(part), zero = Scalar::number(im, element, 0);
      if (!toReal)
        return at(im, x, {p[0], m, p[2], second}).to(f64);
      // The other half is conjugate.
      Scalar mirrored = m * 2 > n, from = mirrored.select(n - m, m);
      Scalar v = atOr(im, x, {p[0], from, p[2], second}, from < had, zero).to(f64);
      return part ? mirrored.select(v * -1, v) : v;
    };
    Scalar sum = transform(used, p[1], n, p[3], inverse, complex, value);
    return (inverse ? sum / n.to(f64) : sum).to(element);
  });
  Shape shape = source->shape;
  shape.back() = toReal ? 1 : 2;
  for (int64_t i = 0; i + 1 < rank; ++i) {
    if (axis->known())
      shape[i] = axis->list.front() == i ? bins : shape[i];
    else
      shape[i] = sizeOf((axis->get(0) == double(i)).select(Scalar::index(im, bins), Scalar::index(im, shape[i])));
  }
  return node.done(im.make(source->type, im.reshape(y, shape)));
}

static LogicalResult shortTimeFourier(Node &node) {
  Importer &im = node.im;
  Symbols &symbols = im.symbols;
  if (!node.arity(2, 4) || !node.needFloat(0) || !node.needFloat(2))
    return failure();
  Val *source = node.in(0);
  std::optional<int64_t> parts = source->rank() == 3 ? symbols.normalize(source->shape[2]).constant() : std::nullopt;
  if (source->rank() == 2) // some files leave the real signal's last dimension out
    parts = 1;
  if ((parts != 1 && parts != 2) || (node.in(2) && node.in(2)->rank() != 1))
    return node.fail("expected a signal [batch, length, 1 or 2] and a window [length], found " +
                     describe(im, source) + " and " + describe(im, node.in(2)));
  std::optional<Expr> step = integerInput(node, 1);
  std::optional<Expr> frame = node.in(3)   ? integerInput(node, 3)
                              : node.in(2) ? std::optional(node.in(2)->shape[0])
                                           : std::optional(source->shape[1]);
  if (!step || !frame)
    return failure();
  bool half = node.getInt("onesided", 1) && parts == 1;
  Expr room = symbols.sub(source->shape[1], *frame);
  std::optional<Expr> steps = symbols.floorDiv(room, *step);
  if (!steps)
    return node.fail("the step between frames is 0");
  Expr frames = symbols.add(*steps, 1), bins = half ? symbols.add(*symbols.floorDiv(*frame, 2), 1) : *frame;
  Tensor x = im.reshape(im.tensor(source), {source->shape[0], source->shape[1], *parts});
  Tensor window = node.in(2) ? im.tensor(node.in(2)) : Tensor();
  Type f64 = im.builder.getF64Type(), element = x.element();
  Scalar n = Scalar::index(im, *frame), pace = Scalar::index(im, *step);
  if (window.value) // a frame_length beyond the window reads zeros
    n = n.max(n.like(0));
  Tensor y = compute(im, element, {x.shape[0], frames, bins, 2}, [&](Point p) {
    Scalar sum = transform(n, p[2], n, p[3], false, parts == 2, [&](Scalar m, int part) {
      Scalar v = at(im, x, {p[0], p[1] * pace + m, m.like(part)}).to(f64);
      if (!window.value)
        return v;
      Scalar inside = m < Scalar::index(im, window.shape[0]), zero = Scalar::number(im, window.element(), 0);
      return v * atOr(im, window, m, inside, zero).to(f64);
    });
    return sum.to(element);
  });
  return node.done(im.make(source->type, y));
}

/// a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n)
static LogicalResult cosineWindow(Node &node, double a0, double a1, double a2) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  std::optional<Expr> size = integerInput(node, 0);
  int32_t type = node.getInt("output_datatype", Float);
  Type element = elementType(im.context, type), f64 = im.builder.getF64Type();
  if (!size)
    return failure();
  if (!element || type == Bool)
    return node.fail("windows of " + elementName(type) + " are not supported");
  Expr period = node.getInt("periodic", 1) ? *size : im.symbols.sub(*size, 1);
  Scalar n = Scalar::index(im, period).to(f64);
  Tensor y = compute(im, f64, {*size}, [&](Point p) {
    Scalar angle = p[0].to(f64) * (2 * M_PI) / n;
    return angle.call<math::CosOp>() * -a1 + (angle * 2).call<math::CosOp>() * a2 + a0;
  });
  return node.done(im.make(type, im.cast(y, Double, type)));
}

static LogicalResult melWeights(Node &node) {
  Importer &im = node.im;
  if (!node.arity(5, 5) || !node.needFloat(3) || !node.needFloat(4))
    return failure();
  std::optional<Expr> bins = integerInput(node, 0), length = bins ? integerInput(node, 1) : std::nullopt,
                      rate = length ? integerInput(node, 2) : std::nullopt;
  int32_t type = node.getInt("output_datatype", Float);
  if (!rate)
    return failure();
  if (!elementType(im.context, type) || type == Bool)
    return node.fail("weights of " + elementName(type) + " are not supported");
  Type f64 = im.builder.getF64Type();
  // mel(f) = 2595 log10(1 + f / 700)
  auto mel = [&](size_t i) {
    Scalar hertz = toScalar(im, im.tensor(node.in(i))).to(f64);
    return (hertz / 700).call<math::Log1pOp>() * (2595 / std::log(10.0));
  };
  Scalar low = mel(3), high = mel(4), count = Scalar::index(im, *bins).to(f64) + 2, step = (high - low) / count;
  Scalar size = Scalar::index(im, im.symbols.add(*length, 1)).to(f64), samples = Scalar::index(im, *rate).to(f64);
  auto edge = [&](Scalar i) {
    Scalar hertz = ((i.to(f64) * step + low) * (std::log(10.0) / 2595)).call<math::ExpM1Op>() * 700;
    return (size * hertz / samples).call<math::FloorOp>();
  };
  Expr rows = im.symbols.add(*im.symbols.floorDiv(*length, 2), 1);
  Tensor y = compute(im, f64, {rows, *bins}, [&](Point p) {
    Scalar j = p[0].to(f64), left = edge(p[1]), center = edge(p[1] + 1), right = edge(p[1] + 2);
    Scalar none = j.like(0), rise = center - left, fall = right - center;
    Scalar up = ((j >= left) & (j <= center)).select((j - left) / rise, none);
    up = (rise == 0).select((j == center).select(j.like(1), none), up);
    Scalar falls = (fall > 0) & (j >= center) & (j < right);
    return falls.select((right - j) / fall, up);
  });
  return node.done(im.make(type, im.cast(y, Double, type)));
}

void pith::onnx::addSignalOps(OpTable &table) {
  table.add("DFT", fourier);
  table.add("STFT", shortTimeFourier);
  table.add("HannWindow", [](Node &node) { return cosineWindow(node, 0.5, 0.5, 0); });
  table.add("HammingWindow", [](Node &node) { return cosineWindow(node, 25.0 / 46, 21.0 / 46, 0); });
  table.add("BlackmanWindow", [](Node &node) { return cosineWindow(node, 0.42, 0.5, 0.08); });
  table.add("MelWeightMatrix", melWeights);
}
