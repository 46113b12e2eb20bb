//===- Contrib.cpp - norms and fusions of com.microsoft -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Norms with the residual sum inside
//===----------------------------------------------------------------------===//

/// out0 = norm(input + skip + bias), out3 = the sum.
template <bool Centered>
static LogicalResult skipNormalization(Node &node) {
  enum { Input, Skip, Gamma };
  Importer &im = node.im;
  size_t betaAt = Centered ? 3 : 99, biasAt = Centered ? 4 : 3;
  if (!node.arity(3, Centered ? 5 : 4) || !node.sameType({Input, Skip, Gamma, betaAt, biasAt}) || !node.needFloat(Input))
    return failure();
  Tensor x = im.tensor(node.in(Input));
  std::optional<Shape> shape = node.broadcastShapes({x.shape, node.in(Skip)->shape});
  if (!shape || !im.sameShape(*shape, x.shape))
    return node.failed ? failure()
                       : node.fail("skip " + describe(im, node.in(Skip)) + " does not broadcast to " +
                                   describe(im, node.in(Input)));
  Tensor sum = im.add(x, im.broadcast(im.tensor(node.in(Skip)), x.shape));
  for (size_t i : {size_t(Gamma), betaAt, biasAt})
    if (node.in(i) && (node.in(i)->rank() != 1 || x.rank() < 1 ||
                       !im.symbols.assumeEqual(node.in(i)->shape[0], x.shape.back())))
      return node.fail("input " + Twine(i) + " must have one value per channel, found " + describe(im, node.in(i)));
  if (node.in(biasAt))
    sum = im.add(sum, im.broadcast(im.tensor(node.in(biasAt)), x.shape));
  Tensor gamma = im.tensor(node.in(Gamma)), beta;
  if (node.in(betaAt))
    beta = im.tensor(node.in(betaAt));
  float epsilon = node.getFloat("epsilon", 1e-12f);
  int64_t axis = x.rank() - 1;
  Tensor y = Centered ? layerNorm(node, sum, gamma, beta, axis, epsilon) : rmsNorm(node, sum, gamma, axis, epsilon);
  int32_t type = node.in(Input)->type;
  if (node.wants(1) || node.wants(2)) {
    auto [mean, inverse] = moments(node, sum, axis, epsilon, Centered);
    node.set(1, im.make(Float, mean));
    node.set(2, im.make(Float, inverse));
  }
  node.set(3, im.make(type, sum));
  return node.done(im.make(type, y));
}

/// norm(word[ids] + position[position_ids] + segment[segment_ids]); out1 counts the mask's ones, out2 is the sum.
static LogicalResult embedLayerNormalization(Node &node) {
  enum { Ids, SegmentIds, Words, Positions, Segments, Gamma, Beta, Mask, PositionIds };
  Importer &im = node.im;
  if (!node.arity(1, 9))
    return failure();
  for (size_t i : {Words, Positions, Gamma, Beta})
    if (!node.in(i))
      return node.fail("input " + Twine(i) + " is missing");
  if (!node.needFloat(Words) || !node.sameType({Words, Positions, Segments, Gamma, Beta}))
    return failure();
  for (size_t i : {Ids, SegmentIds, Mask, PositionIds})
    if (!node.needInteger(i))
      return failure();
  for (size_t i : {Ids, Words, Positions, Mask})
    if (i == Mask ? node.in(i) && node.in(i)->rank() != 2 : !node.in(i) || node.in(i)->rank() != 2)
      return node.fail("input " + Twine(i) + " must be a matrix, found " + describe(im, node.in(i)));
  if (!node.in(SegmentIds) != !node.in(Segments))
    return node.fail("segment_ids and segment_embedding must both be given, or neither");
  Tensor ids = im.tensor(node.in(Ids));
  Tensor sum = im.gather(im.tensor(node.in(Words)), ids, 0);
  auto addRows = [&](size_t tableAt, const Tensor &rows) {
    Tensor found = im.gather(im.tensor(node.in(tableAt)), rows, 0);
    std::optional<Shape> shape = node.broadcastShapes({sum.shape, found.shape});
    if (!shape)
      return false;
    sum = im.add(im.broadcast(sum, *shape), im.broadcast(found, *shape));
    return true;
  };
  if (node.in(SegmentIds) && !addRows(Segments, im.tensor(node.in(SegmentIds))))
    return failure();
  Tensor places = node.in(PositionIds) ? im.tensor(node.in(PositionIds))
                                       : im.iota(im.builder.getI64Type(), {1, ids.shape[1]}, 1);
  if (!addRows(Positions, places))
    return failure();
  for (size_t i : {Gamma, Beta})
    if (node.in(i)->rank() != 1 || !im.symbols.assumeEqual(node.in(i)->shape[0], sum.shape[2]))
      return node.fail("input " + Twine(i) + " must have one value per channel, found " + describe(im, node.in(i)));
  int32_t type = node.in(Words)->type;
  if (node.wants(1)) {
    Type i32 = im.builder.getI32Type();
    Tensor counts = im.splatInt(i32, 0, {ids.shape[0]});
    if (node.in(Mask)) {
      Tensor mask = im.cast(im.tensor(node.in(Mask)), node.in(Mask)->type, Int32);
      Tensor one = im.splatInt(i32, 1, mask.shape), zero = im.splatInt(i32, 0, mask.shape);
      mask = im.select(im.compare(arith::CmpIPredicate::eq, mask, one), one, zero);
      counts = im.reshape(im.reduce(ReduceKind::Sum, mask, int64_t(1)), {mask.shape[0]});
    }
    node.set(1, im.make(Int32, counts));
  }
  node.set(2, im.make(type, sum));
  return node.done(im.make(type, layerNorm(node, sum, im.tensor(node.in(Gamma)), im.tensor(node.in(Beta)), 2,
                                           node.getFloat("epsilon", 1e-12f))));
}

//===----------------------------------------------------------------------===//
// Activations with a bias inside
//===----------------------------------------------------------------------===//

template <ActivationKind Kind>
static LogicalResult biasActivation(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2) || !node.needFloat(0) || !node.sameType({0, 1}))
    return failure();
  Tensor x = im.tensor(node.in(0));
  if (node.in(1)) {
    std::optional<Shape> shape = node.broadcastShapes({x.shape, node.in(1)->shape});
    if (!shape || !im.sameShape(*shape, x.shape))
      return node.failed ? failure()
                         : node.fail("bias " + describe(im, node.in(1)) + " does not broadcast to " +
                                     describe(im, node.in(0)));
    x = im.add(x, im.broadcast(im.tensor(node.in(1)), x.shape));
  }
  Tensor y{ActivationOp::create(im.builder, im.loc, x.value.getType(), Kind, x.value), x.shape};
  return node.done(im.make(node.in(0)->type, y));
}

//===----------------------------------------------------------------------===//
// Products with an activation behind
//===----------------------------------------------------------------------===//

static std::optional<Tensor> activate(Node &node, const Tensor &x, ArrayRef<float> parameters) {
  Importer &im = node.im;
  std::string name = node.getString("activation", "");
  auto parameter = [&](size_t i, float otherwise) { return i < parameters.size() ? parameters[i] : otherwise; };
  auto same = [&](double value) { return im.splat(x.element(), value, x.shape); };
  auto clamp = [&](const Tensor &y, double low, double high) {
    return im.binary<arith::MinimumFOp>(im.binary<arith::MaximumFOp>(y, same(low)), same(high));
  };
  if (name.empty())
    return x;
  if (name == "Relu")
    return im.binary<arith::MaximumFOp>(x, same(0));
  if (name == "Tanh")
    return im.unary<math::TanhOp>(x);
  if (name == "Sigmoid")
    return im.div(same(1), im.add(im.unary<math::ExpOp>(im.mul(x, -1.0)), 1.0));
  if (name == "LeakyRelu")
    return im.select(im.compare(arith::CmpFPredicate::OLT, x, same(0)), im.mul(x, double(parameter(0, 0.01f))), x);
  if (name == "Clip")
    return clamp(x, parameter(0, -INFINITY), parameter(1, INFINITY));
  if (name == "HardSigmoid")
    return clamp(im.add(im.mul(x, double(parameter(0, 0.2f))), double(parameter(1, 0.5f))), 0, 1);
  node.error() << "activation '" << name << "' is not supported";
  return std::nullopt;
}

/// The standard's op `Gemm` or `Conv`, a sum with `Z` (FusedConv), and an activation.
template <bool Convolution>
static LogicalResult fusedProduct(Node &node) {
  Importer &im = node.im;
  SmallVector<float> parameters;
  if (const proto::AttributeProto *list = Convolution ? node.attribute("activation_params") : nullptr)
    parameters.assign(list->floats().begin(), list->floats().end());
  for (StringRef name : {"activation_alpha", "activation_beta"})
    if (!Convolution && node.has(name))
      parameters.push_back(node.getFloat(name, 0));
  Val *other = Convolution && node.inputs.size() > 3 ? node.inputs.pop_back_val() : nullptr;
  if (failed(OpTable::get().find("", Convolution ? "Conv" : "Gemm")(node)))
    return failure();
  int32_t type = node.results[0]->type;
  if (!isFloat(type))
    return node.fail("inputs must be floats, found " + describe(im, node.results[0]));
  Tensor y = im.tensor(node.results[0]);
  if (other) {
    if (other->type != type || !im.sameShape(other->shape, y.shape))
      return node.fail("input 3 " + describe(im, other) + " must be like the result " + describe(im, node.results[0]));
    y = im.add(y, im.tensor(other));
  }
  std::optional<Tensor> result = activate(node, y, parameters);
  return result ? node.done(im.make(type, *result)) : failure();
}

//===----------------------------------------------------------------------===//
// Ops that the standard has taken over
//===----------------------------------------------------------------------===//

/// The standard's op of this name; what only com.microsoft's has must be off.
static LogicalResult asStandard(Node &node) {
  for (auto [name, off] : {std::pair("state_window", 0), std::pair("dilation", 1), std::pair("channels_last", 0),
                           std::pair("ndim", 1)})
    if (int64_t found = node.getInt(name, off); found != off)
      return node.fail(Twine(name) + " " + Twine(found) + " is not supported, expected " + Twine(off));
  Handler handler = OpTable::get().find("", node.op());
  return handler ? handler(node) : node.fail("this op is not supported");
}

void pith::onnx::addContribOps(OpTable &table) {
  table.addContrib("CausalConvWithState", asStandard);
  table.addContrib("LinearAttention", asStandard);
  table.addContrib("EmbedLayerNormalization", embedLayerNormalization);
  table.addContrib("FusedConv", fusedProduct<true>);
  table.addContrib("FusedGemm", fusedProduct<false>);
  table.addContrib("SkipSimplifiedLayerNormalization", skipNormalization<false>);
  table.addContrib("SkipLayerNormalization", skipNormalization<true>);
  table.addContrib("BiasGelu", biasActivation<ActivationKind::Gelu>);
  table.addContrib("FastGelu", biasActivation<ActivationKind::GeluTanh>);
}
