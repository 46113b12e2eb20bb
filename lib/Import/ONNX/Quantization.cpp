//===- Quantization.cpp - QuantizeLinear and what computes with its results -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Quantization.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Scales and zero points
//===----------------------------------------------------------------------===//

/// Input `i`, a scale or zero point of x's granularity (one; one per index of `axis`; one per block of it), for every
/// element of `shape`.
static std::optional<Tensor> spread(Node &node, size_t i, const Tensor &given, ArrayRef<Expr> shape, int64_t axis,
                                    int64_t block) {
  Importer &im = node.im;
  if (given.rank() <= 1 && (given.rank() == 0 || im.count(given.shape).isConstant(1)))
    return im.broadcast(im.reshape(given, {}), shape);
  auto refuse = [&](const Twine &why) {
    if (!node.failed)
      node.error() << "input " << i << " " << describe(im, node.in(i)) << " does not fit a tensor of shape "
                   << im.symbols.print(shape) << " along axis " << axis << why.str();
    return std::nullopt;
  };
  int64_t rank = shape.size();
  if (rank == 1)
    axis = 0;
  std::optional<int64_t> at = node.axis(axis, rank);
  if (!at)
    return std::nullopt;
  if (given.rank() == 1 && block <= 0) {
    if (!im.symbols.assumeEqual(given.shape[0], shape[*at]))
      return refuse("");
    Shape along(rank, Expr(1));
    along[*at] = shape[*at];
    return im.broadcast(im.reshape(given, along), shape);
  }
  if (given.rank() != rank || block < 1)
    return refuse(" in blocks of " + Twine(block));
  Shape split, each, whole(shape);
  for (int64_t k = 0; k < rank; ++k) {
    Expr size = im.symbols.normalize(given.shape[k]);
    split.push_back(size);
    each.push_back(size);
    if (k == *at) {
      split.push_back(1);
      each.push_back(block);
      whole[k] = im.symbols.mul(size, block);
      Expr needed = *im.symbols.floorDiv(im.symbols.add(shape[k], block - 1), block);
      if (!im.symbols.assumeEqual(size, needed))
        return refuse(" in blocks of " + Twine(block));
    } else if (!im.symbols.assumeEqual(size, shape[k])) {
      return refuse("");
    }
  }
  Tensor repeated = im.reshape(im.broadcast(im.reshape(given, split), each), whole);
  return im.slice(repeated, Shape(rank, Expr(0)), shape);
}

/// The integers that a quantized type has.
static std::optional<std::pair<int64_t, int64_t>> rangeOf(int32_t type) {
  switch (type) {
  case UInt8: case UInt16: case UInt4: case UInt2: return std::pair(int64_t(0), (int64_t(1) << elementBits(type)) - 1);
  case Int8: case Int16: case Int4: case Int2: {
    int64_t half = int64_t(1) << (elementBits(type) - 1);
    return std::pair(-half, half - 1);
  }
  default: return std::nullopt;
  }
}

Tensor pith::onnx::toIntegers(Importer &im, const Tensor &scaled, const Tensor &zero, int32_t type) {
  auto [low, high] = *rangeOf(type);
  Tensor x = im.unary<math::RoundEvenOp>(im.castTo(scaled, im.builder.getF32Type()));
  // Far enough for every zero point, and a number whatever x is.
  x = im.binary<arith::MaxNumFOp>(x, im.splat(x.element(), -double(1 << 20), x.shape));
  x = im.binary<arith::MinNumFOp>(x, im.splat(x.element(), double(1 << 20), x.shape));
  Tensor y = im.cast(x, Float, Int32);
  if (zero.value)
    y = im.add(y, zero);
  y = im.binary<arith::MaxSIOp>(y, im.splatInt(y.element(), low, y.shape));
  y = im.binary<arith::MinSIOp>(y, im.splatInt(y.element(), high, y.shape));
  return im.cast(y, Int32, type);
}

//===----------------------------------------------------------------------===//
// QuantizeLinear, DequantizeLinear
//===----------------------------------------------------------------------===//

static bool isScale(int32_t type) { return isFloat(type) || type == Int32 || type == Float8E8M0; }

static LogicalResult quantizeLinear(Node &node) {
  enum { X, Scale, Zero };
  Importer &im = node.im;
  if (!node.arity(2, 3))
    return failure();
  int32_t from = node.in(X)->type, scaleType = node.in(Scale)->type;
  if ((!isFloat(from) && from != Int32) || !isScale(scaleType))
    return node.fail("expected numbers and their scales, found " + describe(im, node.in(X)) + " and " +
                     describe(im, node.in(Scale)));
  int32_t to = node.getInt("output_dtype", 0);
  if (node.in(Zero)) {
    if (to && to != node.in(Zero)->type)
      return node.fail("output_dtype is " + elementName(to) + ", but the zero point " + describe(im, node.in(Zero)));
    to = node.in(Zero)->type;
  }
  if (!to)
    to = UInt8;
  if (!rangeOf(to) && (!isSmallFloat(to) || to == Float8E8M0))
    return node.fail("quantizing to " + elementName(to) + " is not possible");
  int32_t precision = node.getInt("precision", 0);
  if (precision && !isFloat(precision))
    return node.fail("precision must be a float type, found " + elementName(precision));
  if (!precision)
    precision = isFloat(scaleType) ? scaleType : isFloat(from) ? from : int32_t(Float);

  int64_t axis = node.getInt("axis", 1), block = node.getSmallInt("block_size", 0);
  Tensor x = im.cast(im.tensor(node.in(X)), from, precision);
  std::optional<Tensor> scale =
      spread(node, Scale, im.cast(im.tensor(node.in(Scale)), scaleType, precision), x.shape, axis, block);
  if (!scale)
    return failure();
  bool integers = rangeOf(to).has_value();
  Tensor zero;
  if (node.in(Zero)) {
    std::optional<Tensor> given = spread(node, Zero, im.cast(im.tensor(node.in(Zero)), to, integers ? Int32 : precision),
                                         x.shape, axis, block);
    if (!given)
      return failure();
    zero = *given;
  }
  Tensor scaled = im.div(x, *scale);
  if (integers)
    return node.done(im.make(to, toIntegers(im, scaled, zero, to)));
  if (zero.value)
    scaled = im.add(scaled, zero);
  CastMode mode;
  mode.saturate = node.getInt("saturate", 1);
  return node.done(im.make(to, im.cast(scaled, precision, to, mode)));
}

std::optional<Tensor> pith::onnx::dequantize(Node &node, const std::array<size_t, 3> &inputs, int64_t axis,
                                             int64_t block, int32_t to) {
  Importer &im = node.im;
  auto [xAt, scaleAt, zeroAt] = inputs;
  for (size_t i : {xAt, scaleAt})
    if (!node.in(i)) {
      node.error() << "input " << i << " is missing";
      return std::nullopt;
    }
  if (!node.sameType({xAt, zeroAt}))
    return std::nullopt;
  int32_t from = node.in(xAt)->type, scaleType = node.in(scaleAt)->type;
  bool integers = rangeOf(from) || from == Int32;
  if ((!integers && !isSmallFloat(from)) || !isScale(scaleType) || !isFloat(to)) {
    node.error() << "expected quantized numbers, their scales and a float type to give, found "
                 << describe(im, node.in(xAt)) << ", " << describe(im, node.in(scaleAt)) << " and " << elementName(to);
    return std::nullopt;
  }
  if (Val *weight = dequantizedWeight(node, inputs, axis, block, to))
    return im.tensor(weight);
  // Differences of integers are exact, and so is their product's first operand: one rounding, to f32.
  int32_t work = integers ? Int32 : Float;
  Tensor x = im.cast(im.tensor(node.in(xAt)), from, work);
  std::optional<Tensor> scale =
      spread(node, scaleAt, im.cast(im.tensor(node.in(scaleAt)), scaleType, Float), x.shape, axis, block);
  if (!scale)
    return std::nullopt;
  if (node.in(zeroAt)) {
    std::optional<Tensor> zero =
        spread(node, zeroAt, im.cast(im.tensor(node.in(zeroAt)), from, work), x.shape, axis, block);
    if (!zero)
      return std::nullopt;
    x = im.sub(x, *zero);
  }
  return im.cast(im.mul(im.cast(x, work, Float), *scale), Float, to);
}

static LogicalResult dequantizeLinear(Node &node) {
  enum { X, Scale, Zero };
  if (!node.arity(2, 3))
    return failure();
  int32_t scaleType = node.in(Scale)->type, to = node.getInt("output_dtype", 0);
  if (!to)
    to = isFloat(scaleType) ? scaleType : int32_t(Float);
  std::optional<Tensor> y =
      dequantize(node, {X, Scale, Zero}, node.getInt("axis", 1), node.getSmallInt("block_size", 0), to);
  return y ? node.done(node.im.make(to, *y)) : failure();
}

//===----------------------------------------------------------------------===//
// DynamicQuantizeLinear
//===----------------------------------------------------------------------===//

DynamicQuantized pith::onnx::dynamicQuantize(Importer &im, const Tensor &x) {
  Type f32 = im.builder.getF32Type();
  SmallVector<int64_t> axes;
  for (int64_t i = 0; i < x.rank(); ++i)
    axes.push_back(i);
  Tensor zero = im.splat(f32, 0);
  Tensor low = im.binary<arith::MinimumFOp>(im.reshape(im.reduce(ReduceKind::Min, x, axes), {}), zero);
  Tensor high = im.binary<arith::MaximumFOp>(im.reshape(im.reduce(ReduceKind::Max, x, axes), {}), zero);
  Tensor scale = im.div(im.sub(high, low), im.splat(f32, 255));
  // Only zeros: any scale will do.
  scale = im.select(im.compare(arith::CmpFPredicate::OEQ, scale, zero), im.splat(f32, 1), scale);
  Tensor zeroPoint = toIntegers(im, im.div(im.sub(zero, low), scale), {}, UInt8);
  Tensor shift = im.broadcast(im.cast(zeroPoint, UInt8, Int32), x.shape);
  Tensor y = toIntegers(im, im.div(x, im.broadcast(scale, x.shape)), shift, UInt8);
  return {y, scale, zeroPoint};
}

static LogicalResult dynamicQuantizeLinear(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  if (node.in(0)->type != Float)
    return node.fail("input 0 must be f32, found " + describe(im, node.in(0)));
  DynamicQuantized result = dynamicQuantize(im, im.tensor(node.in(0)));
  node.set(1, im.make(Float, result.scale));
  node.set(2, im.make(UInt8, result.zero));
  return node.done(im.make(UInt8, result.values));
}

//===----------------------------------------------------------------------===//
// Products of integers
//===----------------------------------------------------------------------===//

std::optional<Tensor> pith::onnx::spreadMatrix(Node &node, size_t i, Tensor given, ArrayRef<Expr> of, bool rows) {
  Importer &im = node.im;
  if (given.rank() == 1 && im.count(given.shape).isConstant(1))
    given = im.reshape(given, {});
  if (given.rank() == 1 && rows)
    given = im.reshape(given, {given.shape[0], 1});
  std::optional<Shape> shape = node.broadcastShapes({of, given.shape});
  if (shape && im.sameShape(*shape, of))
    return im.broadcast(given, of);
  if (!node.failed)
    node.error() << "input " << i << " " << describe(im, node.in(i)) << " does not broadcast to "
                 << im.symbols.print(of);
  return std::nullopt;
}

std::optional<Tensor> pith::onnx::centered(Node &node, size_t at, size_t zeroAt, bool rows) {
  Importer &im = node.im;
  int32_t type = node.in(at)->type;
  if (type != Int8 && type != UInt8) {
    node.error() << "input " << at << " must be i8 or u8, found " << describe(im, node.in(at));
    return std::nullopt;
  }
  Tensor x = im.cast(im.tensor(node.in(at)), type, Int32);
  if (!node.in(zeroAt))
    return x;
  if (!node.sameType({at, zeroAt}))
    return std::nullopt;
  std::optional<Tensor> zero =
      spreadMatrix(node, zeroAt, im.cast(im.tensor(node.in(zeroAt)), type, Int32), x.shape, rows);
  return zero ? std::optional(im.sub(x, *zero)) : std::nullopt;
}

static LogicalResult matMulInteger(Node &node) {
  if (!node.arity(2, 4))
    return failure();
  std::optional<Tensor> a = centered(node, 0, 2, true), b = a ? centered(node, 1, 3, false) : std::nullopt;
  std::optional<Tensor> y = b ? multiply(node, *a, *b) : std::nullopt;
  return y ? node.done(node.im.make(Int32, *y)) : failure();
}

/// sums * factor / scale, rounded, in the type of the zero point `zeroAt`. `factor` and the scale may be vectors, in
/// the shape of the sums.
static LogicalResult requantize(Node &node, const Tensor &sums, const Tensor &factor, const Tensor &scale, size_t zeroAt,
                                const Tensor &zero) {
  Importer &im = node.im;
  int32_t type = node.in(zeroAt)->type;
  Tensor y = im.mul(im.cast(sums, Int32, Float), im.div(factor, scale));
  return node.done(im.make(type, toIntegers(im, y, zero, type)));
}

static LogicalResult qLinearMatMul(Node &node) {
  enum { A, AScale, AZero, B, BScale, BZero, YScale, YZero };
  Importer &im = node.im;
  if (!node.arity(8, 8) || !node.needFloat(AScale) || !node.needFloat(BScale) || !node.needFloat(YScale))
    return failure();
  if (node.in(YZero)->type != Int8 && node.in(YZero)->type != UInt8)
    return node.fail("input 7 must be i8 or u8, found " + describe(im, node.in(YZero)));
  std::optional<Tensor> a = centered(node, A, AZero, true), b = a ? centered(node, B, BZero, false) : std::nullopt;
  std::optional<Tensor> sums = b ? multiply(node, *a, *b) : std::nullopt;
  if (!sums)
    return failure();
  auto scale = [&](size_t i, bool rows) {
    return spreadMatrix(node, i, im.cast(im.tensor(node.in(i)), node.in(i)->type, Float), sums->shape, rows);
  };
  std::optional<Tensor> as = scale(AScale, true), bs = scale(BScale, false), ys = scale(YScale, true);
  Tensor zero = im.cast(im.tensor(node.in(YZero)), node.in(YZero)->type, Int32);
  std::optional<Tensor> shift = spreadMatrix(node, YZero, zero, sums->shape, true);
  if (!as || !bs || !ys || !shift)
    return failure();
  return requantize(node, *sums, im.mul(*as, *bs), *ys, YZero, *shift);
}

//===----------------------------------------------------------------------===//
// Convolutions of integers
//===----------------------------------------------------------------------===//

/// Input `i`, one value or one per filter, in the shape of a filter tensor or result whose filters are dimension `axis`.
static std::optional<Tensor> spreadFilters(Node &node, size_t i, int32_t as, ArrayRef<Expr> shape, int64_t axis) {
  return spread(node, i, node.im.cast(node.im.tensor(node.in(i)), node.in(i)->type, as), shape, axis, 0);
}

/// The sums of a convolution of 8-bit integers less their zero points.
static std::optional<Tensor> integerConvolution(Node &node, size_t xAt, size_t xZeroAt, size_t wAt, size_t wZeroAt,
                                                Val *bias) {
  Importer &im = node.im;
  std::optional<Tensor> x = centered(node, xAt, xZeroAt, true), w = x ? centered(node, wAt, 99, true) : std::nullopt;
  if (w && node.in(wZeroAt)) {
    std::optional<Tensor> zero = spreadFilters(node, wZeroAt, Int32, w->shape, 0);
    w = zero ? std::optional(im.sub(*w, *zero)) : std::nullopt;
  }
  return w ? convolve(node, *x, *w, bias) : std::nullopt;
}

static LogicalResult convInteger(Node &node) {
  if (!node.arity(2, 4))
    return failure();
  std::optional<Tensor> y = integerConvolution(node, 0, 2, 1, 3, nullptr);
  return y ? node.done(node.im.make(Int32, *y)) : failure();
}

static LogicalResult qLinearConv(Node &node) {
  enum { X, XScale, XZero, W, WScale, WZero, YScale, YZero, Bias };
  Importer &im = node.im;
  if (!node.arity(8, 9) || !node.needFloat(XScale) || !node.needFloat(WScale) || !node.needFloat(YScale))
    return failure();
  if (node.in(YZero)->type != Int8 && node.in(YZero)->type != UInt8)
    return node.fail("input 7 must be i8 or u8, found " + describe(im, node.in(YZero)));
  if (node.in(Bias) && node.in(Bias)->type != Int32)
    return node.fail("the bias must be i32, found " + describe(im, node.in(Bias)));
  std::optional<Tensor> sums = integerConvolution(node, X, XZero, W, WZero, node.in(Bias));
  if (!sums)
    return failure();
  auto parameter = [&](size_t i, int32_t as) { return spreadFilters(node, i, as, sums->shape, 1); };
  std::optional<Tensor> xs = parameter(XScale, Float), ws = parameter(WScale, Float), ys = parameter(YScale, Float);
  std::optional<Tensor> shift = parameter(YZero, Int32);
  if (!xs || !ws || !ys || !shift)
    return failure();
  return requantize(node, *sums, im.mul(*xs, *ws), *ys, YZero, *shift);
}

void pith::onnx::addQuantizationOps(OpTable &table) {
  table.add("QuantizeLinear", quantizeLinear);
  table.add("DequantizeLinear", dequantizeLinear);
  table.add("DynamicQuantizeLinear", dynamicQuantizeLinear);
  table.add("MatMulInteger", matMulInteger);
  table.add("QLinearMatMul", qLinearMatMul);
  table.add("ConvInteger", convInteger);
  table.add("QLinearConv", qLinearConv);
  // ONNX Runtime's own ops of those names take more types; they mean the same.
  table.addContrib("QuantizeLinear", quantizeLinear);
  table.addContrib("DequantizeLinear", dequantizeLinear);
}
