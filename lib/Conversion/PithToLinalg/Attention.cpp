//===- Attention.cpp - attention over tensors, plainly --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Scores, mask, softmax, sum of values, each over whole tensors. Heads are split off by views, and every loop
// reads queries, keys and values as they lie: nothing is transposed. Scores are [batch, kv_heads, group, S,
// T] where `group` query heads share one kv head.
//
//===----------------------------------------------------------------------===//
#include "TensorBuilder.h"

using namespace mlir;
using namespace pith;

namespace {
enum Loop : int64_t { B, H, G, S, T };

struct AttentionLowering {
  TensorBuilder &t;
  AttentionOp op;
  OpFoldResult batch, queries, keys;
  int64_t heads, kvHeads, group, headDim, valueDim;

  Value run();
  Value multiplyKeys(Value q, Value k);
  Value hide(Value scores);
  Value addMask(Value scores);
  Value multiplyValues(Value weights, Value v);
  Dims scoreDims() { return {batch, t.fixed(kvHeads), t.fixed(group), queries, keys}; }
};
} // namespace

static int64_t channels(Value x) { return cast<RankedTensorType>(x.getType()).getShape().back(); }

Value AttentionLowering::multiplyKeys(Value q, Value k) {
  Value scale = t.number(t.f32, op.getScale().convertToDouble());
  // q [B, S, H, G, D], k [B, T, H, D]; the last loop is D.
  Value products = t.generic("pppppr", {q, k}, t.filled(scoreDims(), t.number(t.f32, 0)),
                             {t.map(6, {B, S, H, G, 5}), t.map(6, {B, T, H, 5}), t.map(6, {B, H, G, S, T})},
                             [&](ValueRange in) -> SmallVector<Value> {
                               Value product = t.mul(t.convert(in[0], t.f32), t.convert(in[1], t.f32));
                               return {t.accumulate(in[2], product)};
                             })
                       .front();
  double cap = op.getSoftcap().convertToDouble();
  return t.elementwise(products, t.f32, [&](Value x) -> Value {
    x = t.mul(x, scale);
    if (cap > 0) {
      Value c = t.number(t.f32, cap);
      x = t.mul(c, math::TanhOp::create(t.b, t.loc, t.div(x, c)));
    }
    return x;
  });
}

/// Keys that the queries must not see get -inf. Query s stands at s + T - S among the keys.
Value AttentionLowering::hide(Value scores) {
  if (!op.getCausal() && op.getWindow() <= 0)
    return scores;
  Value past = t.sub(t.size(keys), t.size(queries)), hidden = t.lowest(t.f32), window = t.idx(op.getWindow());
  return t.elementwise(scores, t.f32, [&](Value x) {
    Value position = t.add(t.loopIndex(S), past), key = t.loopIndex(T);
    if (op.getCausal())
      x = t.select(t.lessThan(position, key), hidden, x);
    if (op.getWindow() > 0)
      x = t.select(t.atLeast(t.sub(position, key), window), hidden, x);
    return x;
  });
}

Value AttentionLowering::addMask(Value scores) {
  Value mask = op.getMask();
  if (!mask)
    return scores;
  // [B or 1, heads or 1, S or 1, T or 1], heads split as those of the scores.
  auto type = cast<RankedTensorType>(mask.getType());
  Dims sizes = t.dims(mask);
  bool perHead = type.getDimSize(1) != 1;
  Dims split{sizes[0], t.fixed(perHead ? kvHeads : 1), t.fixed(perHead ? group : 1), sizes[2], sizes[3]};
  mask = t.reshape(mask, split);
  Value hidden = t.lowest(t.f32);
  bool keep = type.getElementType().isInteger(1);
  return t.compute(scoreDims(), t.f32, {scores, mask}, {t.identity(5), t.broadcast(mask, 5)},
                   [&](ValueRange in) {
                     return keep ? t.select(in[1], in[0], hidden) : t.add(in[0], t.convert(in[1], t.f32));
                   });
}

Value AttentionLowering::multiplyValues(Value weights, Value v) {
  Type element = getElementTypeOrSelf(op.getResult().getType());
  // Loops: B, S, H, G, T, D; weights [B, H, G, S, T], v [B, T, H, D].
  Dims sizes{batch, queries, t.fixed(kvHeads), t.fixed(group), t.fixed(valueDim)};
  Value result = t.generic("pppprp", {weights, v}, t.filled(sizes, t.number(t.f32, 0)),
                           {t.map(6, {0, 2, 3, 1, 4}), t.map(6, {0, 4, 2, 5}), t.map(6, {0, 1, 2, 3, 5})},
                           [&](ValueRange in) -> SmallVector<Value> {
                             return {t.accumulate(in[2], t.mul(in[0], t.convert(in[1], t.f32)))};
                           })
                     .front();
  return t.reshape(t.cast(result, element), {batch, queries, t.fixed(heads * valueDim)});
}

Value AttentionLowering::run() {
  heads = op.getHeads();
  kvHeads = op.getKvHeads();
  group = heads / kvHeads;
  headDim = channels(op.getQ()) / heads;
  valueDim = channels(op.getV()) / kvHeads;
  batch = t.dim(op.getQ(), 0);
  queries = t.dim(op.getQ(), 1);
  keys = t.dim(op.getK(), 1);
  Value q = t.reshape(op.getQ(), {batch, queries, t.fixed(kvHeads), t.fixed(group), t.fixed(headDim)});
  Value k = t.reshape(op.getK(), {batch, keys, t.fixed(kvHeads), t.fixed(headDim)});
  Value v = t.reshape(op.getV(), {batch, keys, t.fixed(kvHeads), t.fixed(valueDim)});
  Value scores = addMask(hide(multiplyKeys(q, k)));
  Value sinks;
  AffineMap sinkMap;
  if (op.getSinks()) {
    sinks = t.reshape(op.getSinks(), {t.fixed(kvHeads), t.fixed(group)});
    sinkMap = t.map(5, {H, G});
  }
  return multiplyValues(softmax(t, scores, T, /*zerosIfHidden=*/true, sinks, sinkMap), v);
}

FailureOr<Value> pith::lowerAttention(TensorBuilder &t, AttentionOp op) {
  for (Value x : {op.getQ(), op.getK(), op.getV()})
    if (cast<RankedTensorType>(x.getType()).getRank() != 3)
      return op.emitError("attention over ") << x.getType() << ": expected [batch, tokens, channels]";
  AttentionLowering lowering{t, op, {}, {}, {}, 0, 0, 0, 0, 0};
  return lowering.run();
}
