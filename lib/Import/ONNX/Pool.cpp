//===- Pool.cpp - pooling, and what undoes it -------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Windows.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {
/// What pools share: the input, the windows over it, and how to visit the elements that a window sees.
struct Pool {
  Importer &im;
  Tensor x;
  Windows windows;
  Shape shape; ///< of the result

  static std::optional<Pool> read(Node &node);
  /// Carries scalars through the window at a point of the result. `code` is given the element, and its place.
  Scalars visit(Point point, ArrayRef<Scalar> first, llvm::function_ref<Scalars(Scalar, Point, Point)> code) const;
  /// How many elements of the window lie in the padded image.
  Scalar count(Point point) const;
};
} // namespace

std::optional<Pool> Pool::read(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return std::nullopt;
  if (node.in(0)->rank() < 3) {
    node.error() << "input 0 must be [batch, channels, sizes...], found " << describe(im, node.in(0));
    return std::nullopt;
  }
  size_t rank = node.in(0)->rank() - 2;
  std::optional<SmallVector<int64_t>> kernel = kernelOf(node, nullptr, rank);
  Shape sizes = node.in(0)->shape;
  std::optional<Windows> windows =
      kernel ? Windows::read(node, *kernel, ArrayRef<Expr>(sizes).drop_front(2)) : std::nullopt;
  if (!windows)
    return std::nullopt;
  Shape shape{sizes[0], sizes[1]};
  shape.append(windows->output.begin(), windows->output.end());
  return Pool{im, im.tensor(node.in(0)), *windows, shape};
}

Scalars Pool::visit(Point point, ArrayRef<Scalar> first,
                    llvm::function_ref<Scalars(Scalar, Point, Point)> code) const {
  return windows.overKernel(im, first, [&](Point k, Point carried) {
    Scalars place{point[0], point[1]};
    Scalar inside;
    for (int64_t i = 0; i < windows.rank(); ++i) {
      Scalar at = point[i + 2] * double(windows.strides[i]) + k[i] * double(windows.dilations[i]) -
                  Scalar::index(im, windows.before[i]);
      Scalar here = (at >= 0) & (at < Scalar::index(im, x.shape[i + 2]));
      inside = i ? inside & here : here;
      place.push_back(at);
    }
    return choose(
        inside, [&] { return code(at(im, x, place), place, carried); }, [&] { return Scalars(carried); });
  });
}

Scalar Pool::count(Point point) const {
  Scalar product;
  for (int64_t i = 0; i < windows.rank(); ++i) {
    // Elements k with start + k * dilation < the padded size.
    Expr padded = im.symbols.add(x.shape[i + 2], im.symbols.add(windows.before[i], windows.after[i]));
    Scalar room = Scalar::index(im, padded) - point[i + 2] * double(windows.strides[i]);
    Scalar number = (room + double(windows.dilations[i] - 1)) / double(windows.dilations[i]);
    number = number.min(Scalar::number(im, number.type(), double(windows.kernel[i])));
    product = i ? product * number : number;
  }
  return product;
}

/// Sums are in f32 or f64.
static Type sumType(Importer &im, const Tensor &x) {
  return x.element().isF64() ? x.element() : im.builder.getF32Type();
}

static LogicalResult averagePool(Node &node) {
  if (!node.needFloat(0))
    return failure();
  std::optional<Pool> pool = Pool::read(node);
  if (!pool)
    return failure();
  Importer &im = node.im;
  bool countPadding = node.getInt("count_include_pad", 0);
  Type type = sumType(im, pool->x), element = pool->x.element();
  Tensor y = compute(im, element, pool->shape, [&](Point point) {
    Scalar zero = Scalar::number(im, type, 0);
    Scalars sums = pool->visit(point, {zero, zero}, [&](Scalar value, Point, Point sums) -> Scalars {
      return {sums[0] + value.to(type), sums[1] + 1};
    });
    return (sums[0] / (countPadding ? pool->count(point).to(type) : sums[1])).to(element);
  });
  return node.done(im.make(node.in(0)->type, y));
}

static LogicalResult lpPool(Node &node) {
  if (!node.needFloat(0))
    return failure();
  std::optional<Pool> pool = Pool::read(node);
  if (!pool)
    return failure();
  Importer &im = node.im;
  int64_t p = node.getInt("p", 2);
  if (p < 1)
    return node.fail("attribute 'p' must be positive, found " + Twine(p));
  Type type = sumType(im, pool->x), element = pool->x.element();
  Tensor y = compute(im, element, pool->shape, [&](Point point) {
    Scalar power = Scalar::number(im, type, double(p));
    Scalar sum = pool->visit(point, Scalar::number(im, type, 0), [&](Scalar value, Point, Point sum) -> Scalars {
                       Scalar size = value.to(type).call<math::AbsFOp>();
                       return {sum[0] + (p == 1 ? size : p == 2 ? size * size : size.call<math::PowFOp>(power))};
                     }).front();
    Scalar root = p == 1 ? sum : p == 2 ? sum.call<math::SqrtOp>() : sum.call<math::PowFOp>(sum.like(1.0 / p));
    return root.to(element);
  });
  return node.done(im.make(node.in(0)->type, y));
}

static LogicalResult maxPool(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("input 0 must have numbers as elements, found " + describe(im, node.in(0)));
  std::optional<Pool> pool = Pool::read(node);
  if (!pool)
    return failure();
  // Comparisons are signed: unsigned integers are compared with their sign bits turned.
  Type element = pool->x.element(), index = im.builder.getIndexType();
  unsigned bits = element.getIntOrFloatBitWidth();
  bool turn = isUnsigned(type), columns = node.getInt("storage_order", 0);
  Scalar sign = turn ? Scalar(im, arith::ConstantOp::create(im.builder, im.loc,
                                                            im.builder.getIntegerAttr(element, APInt::getSignMask(bits))))
                     : Scalar();
  auto extreme = [&](Point point) {
    Scalar lowest =
        isFloat(type) ? Scalar::number(im, element, -INFINITY)
                      : Scalar(im, arith::ConstantOp::create(
                                       im.builder, im.loc,
                                       im.builder.getIntegerAttr(element, APInt::getSignedMinValue(bits))));
    return pool->visit(point, {lowest, Scalar::number(im, index, -1)},
                       [&](Scalar value, Point place, Point best) -> Scalars {
                         if (turn)
                           value = value.call<arith::XOrIOp>(sign);
                         // The place in the whole tensor, row-major, or with its spatial part column-major.
                         Scalar at = place[0] * Scalar::index(im, pool->x.shape[1]) + place[1], inner;
                         int64_t rank = pool->windows.rank();
                         for (int64_t n = 0; n < rank; ++n) {
                           int64_t i = columns ? rank - 1 - n : n;
                           Scalar size = Scalar::index(im, pool->x.shape[i + 2]);
                           inner = n ? inner * size + place[i + 2] : place[i + 2];
                           at = at * Scalar::index(im, pool->x.shape[n + 2]);
                         }
                         Scalar better = (value > best[0]) | (best[1] < 0);
                         return {better.select(value, best[0]), better.select(at + inner, best[1])};
                       });
  };
  Tensor y = compute(im, element, pool->shape, [&](Point point) {
    Scalar value = extreme(point)[0];
    return turn ? value.call<arith::XOrIOp>(sign) : value;
  });
  if (node.wants(1)) {
    Type i64 = im.builder.getI64Type();
    node.set(1, im.make(Int64, compute(im, i64, pool->shape, [&](Point point) { return extreme(point)[1].to(i64); })));
  }
  return node.done(im.make(type, y));
}

/// The mean or maximum over all positions.
template <ReduceKind Kind>
static LogicalResult globalPool(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < node.in(0)->rank(); ++i)
    axes.push_back(i);
  return node.done(im.make(node.in(0)->type, im.reduce(Kind, im.tensor(node.in(0)), axes)));
}

static LogicalResult globalLpPool(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < node.in(0)->rank(); ++i)
    axes.push_back(i);
  double p = double(node.getInt("p", 2));
  Tensor x = im.tensor(node.in(0));
  auto power = [&](const Tensor &t, double exponent) {
    return im.binary<math::PowFOp>(t, im.splat(t.element(), exponent, t.shape));
  };
  Tensor sum = im.reduce(ReduceKind::Sum, power(im.unary<math::AbsFOp>(x), p), axes);
  return node.done(im.make(node.in(0)->type, power(sum, 1 / p)));
}

/// The values at the places that MaxPool's second output names, zeros elsewhere.
static LogicalResult maxUnpool(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 3) || !node.needFloat(0) || !node.needInteger(1))
    return failure();
  Val *source = node.in(0);
  if (source->rank() < 3 || !im.sameShape(source->shape, node.in(1)->shape))
    return node.fail("expected values [batch, channels, sizes...] and as many places, found " + describe(im, source) +
                     " and " + describe(im, node.in(1)));
  size_t rank = source->rank() - 2;
  std::optional<SmallVector<int64_t>> kernel = kernelOf(node, nullptr, rank);
  std::optional<Windows> windows = kernel ? Windows::readAttributes(node, *kernel) : std::nullopt;
  if (!windows)
    return failure();
  Shape shape{source->shape[0], source->shape[1]};
  for (size_t i = 0; i < rank; ++i) {
    Expr size = im.symbols.add(im.symbols.mul(im.symbols.sub(source->shape[i + 2], 1), windows->strides[i]),
                               windows->kernel[i]);
    shape.push_back(im.symbols.sub(size, im.symbols.add(windows->before[i], windows->after[i])));
  }
  Tensor x = im.tensor(source);
  Expr number = im.count(source->shape);
  Tensor places = im.reshape(im.castTo(im.tensor(node.in(1)), im.builder.getI64Type()), {number, 1});
  Tensor zeros = im.splat(x.element(), 0, {im.count(shape)});
  Tensor y{ScatterNDOp::create(im.builder, im.loc, zeros.value.getType(), zeros.value, places.value,
                               im.reshape(x, {number}).value),
           zeros.shape};
  y = im.reshape(y, shape);
  if (node.in(2)) {
    // A larger image, of which this is the beginning.
    const Shape *target = im.elements(node.in(2));
    if (!target || target->size() != shape.size())
      return node.fail("input 2 must hold " + Twine(shape.size()) + " sizes, found " + describe(im, node.in(2)));
    Shape wanted = *target;
    y = compute(im, x.element(), wanted, [&, small = y](Point point) {
      Scalar inside;
      for (auto [i, size] : llvm::enumerate(shape)) {
        Scalar here = point[i] < Scalar::index(im, size);
        inside = i ? inside & here : here;
      }
      return atOr(im, small, point, inside, Scalar::number(im, x.element(), 0));
    });
  }
  return node.done(im.make(source->type, y));
}

void pith::onnx::addPoolOps(OpTable &table) {
  table.add("AveragePool", averagePool);
  table.add("LpPool", lpPool);
  table.add("MaxPool", maxPool);
  table.add("GlobalAveragePool", globalPool<ReduceKind::Mean>);
  table.add("GlobalMaxPool", globalPool<ReduceKind::Max>);
  table.add("GlobalLpPool", globalLpPool);
  table.add("MaxUnpool", maxUnpool);
}
