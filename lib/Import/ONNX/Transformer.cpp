//===- Transformer.cpp - normalizations and rotary embedding of the standard -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Normalizations
//===----------------------------------------------------------------------===//

static SmallVector<int64_t> axesFrom(int64_t axis, int64_t rank) {
  SmallVector<int64_t> axes;
  for (int64_t i = axis; i < rank; ++i)
    axes.push_back(i);
  return axes;
}

std::pair<Tensor, Tensor> pith::onnx::moments(Node &node, const Tensor &x, int64_t axis, float epsilon,
                                              bool centered) {
  Importer &im = node.im;
  SmallVector<int64_t> axes = axesFrom(axis, x.rank());
  Tensor wide = im.castTo(x, im.builder.getF32Type());
  Tensor mean = im.reduce(ReduceKind::Mean, wide, axes);
  Tensor delta = centered ? im.sub(wide, im.broadcast(mean, x.shape)) : wide;
  Tensor variance = im.reduce(ReduceKind::Mean, im.mul(delta, delta), axes);
  return {mean, im.unary<math::RsqrtOp>(im.add(variance, epsilon))};
}

/// Whether the dialect's op says it: over the last dimension, with a vector as long.
static bool overChannels(Importer &im, const Tensor &x, const Tensor &scale, int64_t axis) {
  return axis == x.rank() - 1 && scale.rank() == 1 && im.sameShape(scale.shape, ArrayRef(x.shape).take_back());
}

Tensor pith::onnx::rmsNorm(Node &node, const Tensor &x, const Tensor &scale, int64_t axis, float epsilon) {
  Importer &im = node.im;
  if (overChannels(im, x, scale, axis))
    return {RMSNormOp::create(im.builder, im.loc, x.value, scale.value, im.builder.getF32FloatAttr(epsilon)), x.shape};
  Type f32 = im.builder.getF32Type();
  Tensor inverse = moments(node, x, axis, epsilon, /*centered=*/false).second;
  Tensor y = im.mul(im.castTo(x, f32), im.broadcast(inverse, x.shape));
  return im.castTo(im.mul(y, im.broadcast(im.castTo(scale, f32), x.shape)), x.element());
}

Tensor pith::onnx::layerNorm(Node &node, const Tensor &x, const Tensor &scale, const Tensor &bias, int64_t axis,
                             float epsilon) {
  Importer &im = node.im;
  if (overChannels(im, x, scale, axis) && (!bias.value || overChannels(im, x, bias, axis)))
    return {LayerNormOp::create(im.builder, im.loc, x.value, scale.value, bias.value,
                                im.builder.getF32FloatAttr(epsilon)),
            x.shape};
  Type f32 = im.builder.getF32Type();
  auto [mean, inverse] = moments(node, x, axis, epsilon, /*centered=*/true);
  Tensor y = im.sub(im.castTo(x, f32), im.broadcast(mean, x.shape));
  y = im.mul(y, im.broadcast(inverse, x.shape));
  y = im.mul(y, im.broadcast(im.castTo(scale, f32), x.shape));
  if (bias.value)
    y = im.add(y, im.broadcast(im.castTo(bias, f32), x.shape));
  return im.castTo(y, x.element());
}

/// Checks that a norm's parameters broadcast to x.
static bool fits(Node &node, size_t i) {
  if (!node.in(i))
    return true;
  std::optional<Shape> shape = node.broadcastShapes({node.in(0)->shape, node.in(i)->shape});
  if (!shape)
    return false;
  if (shape->size() == node.in(0)->shape.size() && node.im.sameShape(*shape, node.in(0)->shape))
    return true;
  node.error() << "input " << i << " " << describe(node.im, node.in(i)) << " does not broadcast to "
               << describe(node.im, node.in(0));
  return false;
}

template <bool Centered>
static LogicalResult normalization(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, Centered ? 3 : 2) || !node.needFloat(0) || !node.needFloat(1) || !node.needFloat(2) ||
      !fits(node, 1) || !fits(node, 2))
    return failure();
  Tensor x = im.tensor(node.in(0)), scale = im.tensor(node.in(1)), bias;
  std::optional<int64_t> axis = node.axis(node.getInt("axis", -1), x.rank());
  if (!axis)
    return failure();
  if (node.in(2))
    bias = im.tensor(node.in(2));
  float epsilon = node.getFloat("epsilon", 1e-5f);
  Tensor y = Centered ? layerNorm(node, x, scale, bias, *axis, epsilon) : rmsNorm(node, x, scale, *axis, epsilon);
  // SimplifiedLayerNormalization's second output is the inverse, LayerNormalization's the mean, then the inverse.
  size_t inverseAt = Centered ? 2 : 1;
  if ((Centered && node.wants(1)) || node.wants(inverseAt)) {
    auto [mean, inverse] = moments(node, x, *axis, epsilon, Centered);
    if (Centered)
      node.set(1, im.make(Float, mean));
    node.set(inverseAt, im.make(Float, inverse));
  }
  // The standard's RMSNormalization gives the scale's type.
  int32_t type = Centered ? node.in(0)->type : node.in(1)->type;
  return node.done(im.make(type, im.castTo(y, elementType(im.context, type))));
}

//===----------------------------------------------------------------------===//
// Rotary embedding
//===----------------------------------------------------------------------===//

Tensor pith::onnx::toTokenMajor(Importer &im, const Tensor &x) {
  Tensor y = im.transpose(x, {0, 2, 1, 3});
  return im.reshape(y, {y.shape[0], y.shape[1], im.symbols.mul(y.shape[2], y.shape[3])});
}

Tensor pith::onnx::toHeadMajor(Importer &im, const Tensor &x, int64_t heads) {
  std::optional<Expr> channels = im.symbols.exactDiv(im.symbols.normalize(x.shape[2]), heads);
  Tensor y = im.reshape(x, {x.shape[0], x.shape[1], heads, channels ? *channels : Expr(0)});
  return im.transpose(y, {0, 2, 1, 3});
}

std::optional<Tensor> pith::onnx::rotate(Node &node, const Tensor &x, Tensor cos, Tensor sin, int64_t headDim,
                                         bool interleaved) {
  Importer &im = node.im;
  std::optional<int64_t> half = im.symbols.normalize(cos.shape.back()).constant();
  std::optional<int64_t> width = im.symbols.normalize(x.shape.back()).constant();
  if (!half || !width || *half < 1 || headDim < 1 || *width % headDim || *half > headDim / 2 ||
      cos.rank() != sin.rank() || cos.element() != sin.element()) {
    node.error() << "tables " << im.symbols.print(cos.shape) << " and " << im.symbols.print(sin.shape)
                 << " do not fit heads of " << headDim << " channels in " << im.symbols.print(x.shape);
    return std::nullopt;
  }
  Shape tokens{x.shape[0], x.shape[1], Expr(*half)};
  for (Tensor *table : {&cos, &sin}) {
    std::optional<Shape> shape = node.broadcastShapes({tokens, table->shape});
    if (!shape || shape->size() != 3 || !im.sameShape(*shape, tokens)) {
      if (!node.failed)
        node.error() << "table " << im.symbols.print(table->shape) << " does not broadcast to "
                     << im.symbols.print(tokens);
      return std::nullopt;
    }
    *table = im.broadcast(*table, tokens);
  }
  Value y = RopeOp::create(im.builder, im.loc, x.value, cos.value, sin.value, im.builder.getI64IntegerAttr(headDim),
                           im.builder.getI64IntegerAttr(2 * *half), interleaved ? im.builder.getUnitAttr() : UnitAttr());
  return Tensor{y, x.shape};
}

/// The standard's op, and com.microsoft's, which differ in the order of inputs.
template <bool Contrib>
static LogicalResult rotaryEmbedding(Node &node) {
  Importer &im = node.im;
  size_t cosAt = Contrib ? 2 : 1, sinAt = Contrib ? 3 : 2, idsAt = Contrib ? 1 : 3;
  if (!node.arity(Contrib ? 4 : 3, 4) || !node.needFloat(0) || !node.needFloat(cosAt) || !node.needFloat(sinAt) ||
      !node.needInteger(idsAt) || (Contrib && !node.in(idsAt)))
    return failure();
  if (Contrib && node.getInt("is_packed_batching", 0))
    return node.fail("is_packed_batching is not supported");
  Tensor x = im.tensor(node.in(0)), cos = im.tensor(node.in(cosAt)), sin = im.tensor(node.in(sinAt));
  if (x.rank() != 3 && x.rank() != 4)
    return node.fail("input 0 must have rank 3 or 4, found " + describe(im, node.in(0)));
  if (cos.rank() < 2)
    return node.fail("tables must have rank 2 or 3, found " + describe(im, node.in(cosAt)));
  bool headMajor = x.rank() == 4;
  int64_t heads = node.getSmallInt("num_heads", 0), rotary = node.getSmallInt("rotary_embedding_dim", 0);
  std::optional<int64_t> half = im.symbols.normalize(cos.shape.back()).constant();
  std::optional<int64_t> width = im.symbols.normalize(x.shape.back()).constant();
  if (!half || !width)
    return node.fail("channels must be constant, found " + describe(im, node.in(0)) + " and " +
                     describe(im, node.in(cosAt)));
  if (rotary != 0 && rotary != 2 * *half)
    return node.fail("rotary_embedding_dim is " + Twine(rotary) + ", but the tables have " + Twine(*half) + " columns");
  // Without a head count, all channels of a head are rotated.
  int64_t headDim = headMajor ? *width : heads > 0 ? *width / heads : 2 * *half;
  if (headMajor) {
    std::optional<int64_t> count = im.symbols.normalize(x.shape[1]).constant();
    if (!count)
      return node.fail("the number of heads must be constant, found " + describe(im, node.in(0)));
    heads = *count;
    x = toTokenMajor(im, x);
  }
  if (Val *ids = node.in(idsAt)) {
    Tensor positions = im.tensor(ids);
    // com.microsoft: one number is where all rows begin.
    if (Contrib && im.count(positions.shape).isConstant(1) && positions.rank() < 2) {
      Shape tokens{x.shape[0], x.shape[1]};
      Tensor start = im.broadcast(im.reshape(im.cast(positions, ids->type, Int64), {}), tokens);
      positions = im.add(start, im.iota(im.builder.getI64Type(), tokens, 1));
    }
    if (positions.rank() != 2 || cos.rank() != 2 || sin.rank() != 2)
      return node.fail("position_ids must be [batch, length] and tables [positions, channels], found " +
                       describe(im, ids) + " and " + describe(im, node.in(cosAt)));
    cos = im.gather(cos, positions, 0);
    sin = im.gather(sin, positions, 0);
  }
  std::optional<Tensor> y = rotate(node, x, cos, sin, headDim, node.getInt("interleaved", 0));
  if (!y)
    return failure();
  return node.done(im.make(node.in(0)->type, headMajor ? toHeadMajor(im, *y, heads) : *y));
}

void pith::onnx::addTransformerOps(OpTable &table) {
  table.add("LayerNormalization", normalization<true>);
  table.addContrib("LayerNormalization", normalization<true>);
  table.add("RMSNormalization", normalization<false>);
  // ONNX Runtime registers it in the standard's domain.
  table.add("SimplifiedLayerNormalization", normalization<false>);
  table.addContrib("SimplifiedLayerNormalization", normalization<false>);
  table.add("RotaryEmbedding", rotaryEmbedding<false>);
  table.addContrib("RotaryEmbedding", rotaryEmbedding<true>);
}
