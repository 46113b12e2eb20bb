//===- LinearAttention.cpp - attention with a state that is a matrix -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "Scalar.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// LinearAttention
//===----------------------------------------------------------------------===//

/// Token after token: S = exp(g) S (gated); v' = b (v - k S) (delta); S = S + k v'; o = scale q S. In f32.
static LogicalResult linearAttention(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 6))
    return failure();
  for (size_t i = 0; i < 6; ++i)
    if (!node.needFloat(i))
      return failure();
  std::string rule = node.getString("update_rule", "gated_delta");
  bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  if (!gated && !delta && rule != "linear")
    return node.fail("update_rule '" + rule + "' is unknown");
  if (!node.in(4) == gated || !node.in(5) == delta)
    return node.fail("update_rule '" + rule + "' takes " + (gated ? "a" : "no") + " decay and " +
                     (delta ? "a" : "no") + " beta");
  int64_t heads = node.getSmallInt("q_num_heads", 0), states = node.getSmallInt("kv_num_heads", 0);
  if (heads < 1 || states < 1 || heads % states)
    return node.fail("q_num_heads must be a multiple of kv_num_heads, found " + Twine(heads) + " and " + Twine(states));
  Type f32 = im.builder.getF32Type();
  // [batch, tokens, heads, width]
  auto split = [&](size_t i, int64_t count) -> std::optional<Tensor> {
    Val *val = node.in(i);
    std::optional<Expr> width = val->rank() == 3 && node.in(0)->rank() == 3
                                    ? im.symbols.exactDiv(im.symbols.normalize(val->shape[2]), count)
                                    : std::nullopt;
    bool fits = width && im.symbols.assumeEqual(val->shape[0], node.in(0)->shape[0]) &&
                im.symbols.assumeEqual(val->shape[1], node.in(0)->shape[1]);
    if (!fits) {
      node.error() << "input " << i << " must be [batch, tokens, " << count << " * width], found " << describe(im, val);
      return std::nullopt;
    }
    return im.reshape(im.castTo(im.tensor(val), f32), {val->shape[0], val->shape[1], count, *width});
  };
  std::optional<Tensor> q = split(0, heads), k = split(1, states), v = split(2, states), g, b;
  if (!q || !k || !v || (gated && !(g = split(4, states))))
    return failure();
  auto isOne = [&](const Shape &shape) { return !shape.empty() && im.symbols.normalize(shape.back()).isConstant(1); };
  if (delta && !(b = split(5, isOne(node.in(5)->shape) ? 1 : states)))
    return failure();
  Expr batch = q->shape[0], tokens = q->shape[1], keys = k->shape[3], values = v->shape[3];
  std::optional<int64_t> width = im.symbols.normalize(q->shape[3]).constant();
  if (!width || !im.symbols.assumeEqual(keys, *width))
    return node.fail("queries and keys must have one constant width, found " + describe(im, node.in(0)) + " and " +
                     describe(im, node.in(1)));
  if (gated && !im.symbols.normalize(g->shape[3]).isConstant(1) && !im.symbols.assumeEqual(g->shape[3], keys))
    return node.fail("decay must have one value per head or per channel of the keys, found " + describe(im, node.in(4)));
  double scale = node.getFloat("scale", 0);
  if (scale == 0)
    scale = 1 / std::sqrt(double(*width));
  int64_t group = heads / states;
  Shape stateShape{batch, states, keys, values};
  Tensor state = im.splat(f32, 0, stateShape);
  if (node.in(3)) {
    bool fits = node.in(3)->rank() == 4;
    for (auto [x, y] : llvm::zip(node.in(3)->shape, stateShape))
      fits = fits && im.symbols.assumeEqual(x, y);
    if (!fits)
      return node.fail("input 3 must be a state " + im.symbols.print(stateShape) + ", found " +
                       describe(im, node.in(3)));
    state = im.castTo(im.tensor(node.in(3)), f32);
  }
  Tensor out = im.splat(f32, 0, {batch, tokens, heads, values});
  SmallVector<Tensor> last =
      repeat(im, tokens, {out, state}, [&](Scalar t, ArrayRef<Tensor> carried) -> SmallVector<Tensor> {
        auto now = [&](const Tensor &x, Shape shape) { return im.reshape(readSlice(im, x, 1, t), shape); };
        Tensor s = carried[1], key = im.broadcast(now(*k, {batch, states, keys, 1}), stateShape);
        if (gated) {
          Tensor decay = im.unary<math::ExpOp>(now(*g, {batch, states, g->shape[3], 1}));
          s = im.mul(s, im.broadcast(decay, stateShape));
        }
        Tensor value = now(*v, {batch, states, 1, values});
        if (delta) {
          Tensor known = im.reduce(ReduceKind::Sum, im.mul(key, s), 2);
          value = im.sub(value, known);
          value = im.mul(value, im.broadcast(now(*b, {batch, b->shape[2], 1, 1}), value.shape));
        }
        s = im.add(s, im.mul(key, im.broadcast(value, stateShape)));
        Tensor o = im.mul(im.matmul(now(*q, {batch, states, group, keys}), s), scale);
        return {writeSlice(im, carried[0], im.reshape(o, {batch, 1, heads, values}), 1, t), s};
      });
  Type element = elementType(im.context, node.in(0)->type);
  if (node.wants(1)) {
    int32_t type = node.in(3) ? node.in(3)->type : node.in(0)->type;
    node.set(1, im.make(type, im.castTo(last[1], elementType(im.context, type))));
  }
  Tensor y = im.reshape(last[0], {batch, tokens, im.symbols.mul(values, heads)});
  return node.done(im.make(node.in(0)->type, im.castTo(y, element)));
}

//===----------------------------------------------------------------------===//
// CausalConvWithState
//===----------------------------------------------------------------------===//

static LogicalResult causalConv(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 4) || !node.needFloat(0) || !node.sameType({0, 1, 2, 3}))
    return failure();
  Val *source = node.in(0), *filters = node.in(1);
  std::string function = node.getString("activation", "none");
  if (function != "none" && function != "silu" && function != "swish")
    return node.fail("activation '" + function + "' is unknown");
  if (source->rank() != 3 || filters->rank() != 3 || !im.symbols.assumeEqual(filters->shape[1], 1) ||
      !im.symbols.assumeEqual(filters->shape[0], source->shape[1]) ||
      (node.in(2) && (node.in(2)->rank() != 1 || !im.symbols.assumeEqual(node.in(2)->shape[0], source->shape[1]))))
    return node.fail("expected [batch, channels, length], [channels, 1, kernel] and one bias per channel, found " +
                     describe(im, source) + ", " + describe(im, filters) + " and " + describe(im, node.in(2)));
  Tensor x = im.tensor(source), w = im.tensor(filters), bias = node.in(2) ? im.tensor(node.in(2)) : Tensor();
  Expr kernel = w.shape[2], kept = im.symbols.sub(kernel, 1);
  Shape pastShape{x.shape[0], x.shape[1], kept};
  Tensor past;
  if (node.in(3)) {
    bool fits = node.in(3)->rank() == 3;
    for (auto [a, b] : llvm::zip(node.in(3)->shape, pastShape))
      fits = fits && im.symbols.assumeEqual(a, b);
    if (!fits)
      return node.fail("the past state must have shape " + im.symbols.print(pastShape) + ", found " +
                       describe(im, node.in(3)));
    past = im.tensor(node.in(3));
  } else {
    past = im.splat(x.element(), 0, pastShape);
  }
  Tensor whole = im.symbols.normalize(kept).isConstant(0) ? x : im.concat({past, x}, 2);
  Type type = x.element().isF64() ? x.element() : im.builder.getF32Type();
  Tensor y = compute(im, x.element(), x.shape, [&](Point point) {
    Scalar first = bias.value ? at(im, bias, point[1]).to(type) : Scalar::number(im, type, 0);
    Scalar sum = repeat(Scalar::index(im, kernel), first, [&](Scalar j, Point carried) -> Scalars {
                   Scalar product = at(im, w, {point[1], j.like(0), j}).to(type) *
                                    at(im, whole, {point[0], point[1], point[2] + j}).to(type);
                   return {carried[0] + product};
                 }).front();
    if (function != "none")
      sum = sum / ((sum * -1).call<math::ExpOp>() + 1);
    return sum.to(x.element());
  });
  if (node.wants(1))
    node.set(1, im.make(source->type, im.sliceDim(whole, 2, x.shape[2], kept)));
  return node.done(im.make(source->type, y));
}

void pith::onnx::addLinearAttentionOps(OpTable &table) {
  table.add("LinearAttention", linearAttention);
  table.add("CausalConvWithState", causalConv);
}
