//===- QuantizedContrib.cpp - com.microsoft's ops on quantized numbers -*- C++ -*-===//
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
// Integer products with float results
//===----------------------------------------------------------------------===//

/// sums * scale of a * scale of b + bias; b's scale may be one per column.
static LogicalResult scaleProduct(Node &node, const Tensor &sums, Tensor aScale, size_t bScaleAt, size_t biasAt) {
  Importer &im = node.im;
  Tensor y = im.cast(sums, Int32, Float);
  std::optional<Tensor> b = spreadMatrix(node, bScaleAt, im.tensor(node.in(bScaleAt)), y.shape, false);
  if (!b)
    return failure();
  y = im.mul(y, im.mul(im.broadcast(im.reshape(aScale, {}), y.shape), *b));
  if (node.in(biasAt)) {
    std::optional<Tensor> bias = spreadMatrix(node, biasAt, im.tensor(node.in(biasAt)), y.shape, false);
    if (!bias)
      return failure();
    y = im.add(y, *bias);
  }
  return node.done(im.make(Float, y));
}

static bool needF32(Node &node, ArrayRef<size_t> inputs) {
  for (size_t i : inputs)
    if (node.in(i) && node.in(i)->type != Float) {
      node.error() << "input " << i << " must be f32, found " << describe(node.im, node.in(i));
      return false;
    }
  return true;
}

static LogicalResult dynamicQuantizeMatMul(Node &node) {
  enum { A, B, BScale, BZero, Bias };
  Importer &im = node.im;
  if (!node.arity(3, 5) || !needF32(node, {A, BScale, Bias}))
    return failure();
  DynamicQuantized a = dynamicQuantize(im, im.tensor(node.in(A)));
  Tensor zero = im.broadcast(im.cast(a.zero, UInt8, Int32), a.values.shape);
  std::optional<Tensor> b = centered(node, B, BZero, false);
  std::optional<Tensor> sums =
      b ? multiply(node, im.sub(im.cast(a.values, UInt8, Int32), zero), *b) : std::nullopt;
  return sums ? scaleProduct(node, *sums, a.scale, BScale, Bias) : failure();
}

static LogicalResult matMulIntegerToFloat(Node &node) {
  enum { A, B, AScale, BScale, AZero, BZero, Bias };
  Importer &im = node.im;
  if (!node.arity(4, 7) || !needF32(node, {AScale, BScale, Bias}))
    return failure();
  if (!im.count(node.in(AScale)->shape).isConstant(1))
    return node.fail("a_scale must be one value, found " + describe(im, node.in(AScale)));
  std::optional<Tensor> a = centered(node, A, AZero, true), b = a ? centered(node, B, BZero, false) : std::nullopt;
  std::optional<Tensor> sums = b ? multiply(node, *a, *b) : std::nullopt;
  return sums ? scaleProduct(node, *sums, im.tensor(node.in(AScale)), BScale, Bias) : failure();
}

//===----------------------------------------------------------------------===//
// Operations on the real numbers that quantized ones stand for
//===----------------------------------------------------------------------===//

/// Input `i`, with its scale and zero point behind it, as f32.
static std::optional<Tensor> real(Node &node, size_t i) {
  return dequantize(node, {i, i + 1, i + 2}, 1, 0, Float);
}

/// y in the type of the zero point at `scaleAt` + 1, or in `type` if there is none.
static LogicalResult quantized(Node &node, const Tensor &y, size_t scaleAt, int32_t type) {
  Importer &im = node.im;
  Val *zero = node.in(scaleAt + 1);
  if (zero)
    type = zero->type;
  if (!node.in(scaleAt) || !needF32(node, {scaleAt}) || (type != Int8 && type != UInt8) ||
      !im.count(node.in(scaleAt)->shape).isConstant(1) || (zero && !im.count(zero->shape).isConstant(1)))
    return node.failed ? failure()
                       : node.fail("the result's scale and zero point must be one f32 and one i8 or u8, found " +
                                   describe(im, node.in(scaleAt)) + " and " + describe(im, zero));
  Tensor scale = im.broadcast(im.reshape(im.tensor(node.in(scaleAt)), {}), y.shape), shift;
  if (zero)
    shift = im.broadcast(im.cast(im.reshape(im.tensor(zero), {}), type, Int32), y.shape);
  return node.done(im.make(type, toIntegers(im, im.div(y, scale), shift, type)));
}

template <typename OpTy>
static LogicalResult qLinearBinary(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 8))
    return failure();
  std::optional<Tensor> a = real(node, 0), b = a ? real(node, 3) : std::nullopt;
  std::optional<Shape> shape = b ? node.broadcastShapes({a->shape, b->shape}) : std::nullopt;
  if (!shape)
    return failure();
  Tensor y = im.binary<OpTy>(im.broadcast(*a, *shape), im.broadcast(*b, *shape));
  return quantized(node, y, 6, node.in(0)->type);
}

static Tensor sigmoid(Node &node, const Tensor &x) {
  Importer &im = node.im;
  return im.div(im.splat(x.element(), 1, x.shape), im.add(im.unary<math::ExpOp>(im.mul(x, -1.0)), 1.0));
}

static Tensor leakyRelu(Node &node, const Tensor &x) {
  Importer &im = node.im;
  Tensor negative = im.compare(arith::CmpFPredicate::OLT, x, im.splat(x.element(), 0, x.shape));
  return im.select(negative, im.mul(x, double(node.getFloat("alpha", 0.01f))), x);
}

template <Tensor (*Function)(Node &, const Tensor &)>
static LogicalResult qLinearUnary(Node &node) {
  if (!node.arity(2, 5))
    return failure();
  std::optional<Tensor> x = real(node, 0);
  return x ? quantized(node, Function(node, *x), 3, node.in(0)->type) : failure();
}

static Tensor spatialMean(Node &node, const Tensor &x) {
  bool last = node.getInt("channels_last", 0);
  SmallVector<int64_t> axes;
  for (int64_t i = last ? 1 : 2; i < x.rank() - (last ? 1 : 0); ++i)
    axes.push_back(i);
  return node.im.reduce(ReduceKind::Mean, x, axes);
}

static Tensor softmax(Node &node, const Tensor &x) {
  // Before opset 13, over all dimensions from the axis on.
  int64_t opset = node.getInt("opset", 13);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", opset < 13 ? 1 : -1), x.rank());
  if (!axis)
    return x;
  Importer &im = node.im;
  Tensor rows = x;
  if (opset < 13) {
    rows = im.reshape(x, {im.count(ArrayRef(x.shape).take_front(*axis)), im.count(ArrayRef(x.shape).drop_front(*axis))});
    axis = 1;
  }
  Tensor y{SoftmaxOp::create(im.builder, im.loc, rows.value, *axis), rows.shape};
  return im.reshape(y, x.shape);
}

/// Y_scale, Y_zero_point, then (tensor, scale, zero point) of every part.
static LogicalResult qLinearConcat(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, SIZE_MAX) || (node.inputs.size() - 2) % 3)
    return node.failed ? failure() : node.fail("has " + Twine(node.inputs.size()) + " inputs, expected 2 and 3 per part");
  if (node.inputs.size() < 5 || !node.in(2))
    return node.fail("the first part is missing");
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), node.in(2)->rank());
  SmallVector<Tensor> parts;
  for (size_t i = 2; axis && i < node.inputs.size(); i += 3) {
    std::optional<Tensor> part = real(node, i);
    if (!part)
      return failure();
    bool fits = int64_t(part->rank()) == node.in(2)->rank();
    for (int64_t k = 0; fits && !parts.empty() && k < part->rank(); ++k)
      fits = k == *axis || im.symbols.assumeEqual(part->shape[k], parts[0].shape[k]);
    if (!fits)
      return node.fail("input " + Twine(i) + " " + describe(im, node.in(i)) + " does not fit " +
                       describe(im, node.in(2)));
    parts.push_back(*part);
  }
  return axis ? quantized(node, im.concat(parts, *axis), 0, node.in(2)->type) : failure();
}

/// alpha * op(A) * op(B) + C * scales of A and B * alpha, quantized if there is a scale for it.
static LogicalResult qGemm(Node &node) {
  enum { A, AScale, AZero, B, BScale, BZero, C, YScale, YZero };
  Importer &im = node.im;
  if (!node.arity(6, 9) || !needF32(node, {AScale, BScale, YScale}))
    return failure();
  bool columns = !node.getInt("transB", 0); // where B has its outputs
  std::optional<Tensor> a = centered(node, A, AZero, false), b = a ? centered(node, B, BZero, !columns) : std::nullopt;
  if (!b)
    return failure();
  if (a->rank() != 2 || b->rank() != 2)
    return node.fail("A and B must be matrices, found " + describe(im, node.in(A)) + " and " + describe(im, node.in(B)));
  if (node.getInt("transA", 0))
    a = im.transpose(*a, {1, 0});
  std::optional<Tensor> sums = multiply(node, *a, columns ? *b : im.transpose(*b, {1, 0}));
  if (!sums)
    return failure();
  if (node.in(C)) {
    if (node.in(C)->type != Int32)
      return node.fail("C must be i32, found " + describe(im, node.in(C)));
    std::optional<Tensor> bias = spreadMatrix(node, C, im.tensor(node.in(C)), sums->shape, false);
    if (!bias)
      return failure();
    sums = im.add(*sums, *bias);
  }
  Tensor scale = im.mul(im.reshape(im.tensor(node.in(AScale)), {}), double(node.getFloat("alpha", 1)));
  if (failed(scaleProduct(node, *sums, scale, BScale, 99)) || !node.in(YScale))
    return success(!node.failed);
  return quantized(node, im.tensor(node.results[0]), YScale, node.in(A)->type);
}

void pith::onnx::addQuantizedContribOps(OpTable &table) {
  table.addContrib("DynamicQuantizeMatMul", dynamicQuantizeMatMul);
  table.addContrib("MatMulIntegerToFloat", matMulIntegerToFloat);
  table.addContrib("QGemm", qGemm);
  table.addContrib("QLinearAdd", qLinearBinary<arith::AddFOp>);
  table.addContrib("QLinearMul", qLinearBinary<arith::MulFOp>);
  table.addContrib("QLinearConcat", qLinearConcat);
  table.addContrib("QLinearGlobalAveragePool", qLinearUnary<spatialMean>);
  table.addContrib("QLinearLeakyRelu", qLinearUnary<leakyRelu>);
  table.addContrib("QLinearSigmoid", qLinearUnary<sigmoid>);
  table.addContrib("QLinearSoftmax", qLinearUnary<softmax>);
}
