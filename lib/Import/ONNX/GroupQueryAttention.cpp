//===- GroupQueryAttention.cpp - com.microsoft.GroupQueryAttention -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {
enum Input : size_t {
  InQuery, InKey, InValue, InPastKey, InPastValue, InSeqlensK, InTotalLength, InCosCache, InSinCache, InPositionIds,
  InAttentionBias, InHeadSink, InKScale, InVScale, InQNorm, InKNorm
};
} // namespace

/// Forms of the op that change what it computes and that have no counterpart here.
static bool refuseForms(Node &node) {
  for (StringRef name : {"k_quant_type", "v_quant_type"})
    if (std::string type = node.getString(name, "NONE"); type != "NONE") {
      node.error() << "a quantized cache (" << name << " '" << type << "') is not supported";
      return false;
    }
  if (node.getInt("sliding_window_cache", 0)) {
    node.error() << "sliding_window_cache is not supported";
    return false;
  }
  if (node.getInt("local_window_size", -1) == 0) {
    node.error() << "local_window_size must be -1 (none) or positive, found 0";
    return false;
  }
  return !node.failed;
}

/// Query, key and value, token-major, from separate or packed inputs.
static bool readProjections(Node &node, AttentionParts &parts, int64_t &headDim) {
  Importer &im = node.im;
  parts.heads = node.getSmallInt("num_heads", 0);
  parts.kvHeads = node.getSmallInt("kv_num_heads", 0);
  Tensor query = im.tensor(node.in(InQuery));
  int64_t width = query.rank() == 3 ? im.symbols.normalize(query.shape[2]).constant().value_or(0) : 0;
  bool packed = !node.in(InKey) && !node.in(InValue);
  int64_t parties = packed ? parts.heads + 2 * parts.kvHeads : parts.heads;
  if (width < 1 || parts.heads < 1 || parts.kvHeads < 1 || parts.heads > (1 << 20) || parts.kvHeads > (1 << 20) ||
      width % parties) {
    node.error() << "query " << describe(im, node.in(InQuery)) << " cannot be divided among " << parts.heads
                 << " heads and " << parts.kvHeads << " kv heads";
    return false;
  }
  headDim = width / parties;
  if (packed) {
    int64_t queries = parts.heads * headDim, keys = parts.kvHeads * headDim;
    parts.q = im.sliceDim(query, 2, 0, queries);
    parts.k = im.sliceDim(query, 2, queries, keys);
    parts.v = im.sliceDim(query, 2, queries + keys, keys);
    return true;
  }
  if (!node.in(InKey) || !node.in(InValue) || node.in(InKey)->rank() != 3 || node.in(InValue)->rank() != 3 ||
      !node.sameType({InQuery, InKey, InValue})) {
    if (!node.failed)
      node.error() << "key and value must be [batch, length, channels], found " << describe(im, node.in(InKey)) << " and "
                   << describe(im, node.in(InValue));
    return false;
  }
  parts.q = query;
  parts.k = im.tensor(node.in(InKey));
  parts.v = im.tensor(node.in(InValue));
  Expr channels = parts.kvHeads * headDim;
  for (const Tensor *x : {&parts.k, &parts.v})
    if (!im.symbols.assumeEqual(x->shape[2], channels) || !im.symbols.assumeEqual(x->shape[1], query.shape[1])) {
      node.error() << "key and value " << im.symbols.print(x->shape) << " do not fit query "
                   << describe(im, node.in(InQuery)) << " with " << parts.kvHeads << " kv heads";
      return false;
    }
  return true;
}

/// RMS normalization of every head.
static Tensor normalizeHeads(Node &node, const Tensor &x, size_t weight, int64_t headDim) {
  Importer &im = node.im;
  if (!node.in(weight))
    return x;
  Expr heads = *im.symbols.exactDiv(im.symbols.normalize(x.shape[2]), headDim);
  Tensor split = im.reshape(x, {x.shape[0], x.shape[1], heads, headDim});
  Tensor scale = im.reshape(im.tensor(node.in(weight)), {headDim});
  return im.reshape(rmsNorm(node, split, scale, 3, node.getFloat("qk_norm_epsilon", 1e-6f)), x.shape);
}

static LogicalResult groupQueryAttention(Node &node) {
  Importer &im = node.im;
  Type i64 = im.builder.getI64Type();
  if (!node.arity(1, 16) || !node.needFloat(InQuery) || !refuseForms(node))
    return failure();
  for (size_t i : {InSeqlensK, InTotalLength})
    if (!node.in(i) || !node.needInteger(i))
      return node.failed ? failure() : node.fail("input " + Twine(i) + " is missing");
  if (node.in(InKScale) || node.in(InVScale))
    return node.fail("a quantized cache is not supported");
  if (!node.in(InPastKey) != !node.in(InPastValue))
    return node.fail("past_key and past_value must both be given, or neither");

  AttentionParts parts;
  int64_t headDim;
  if (!readProjections(node, parts, headDim))
    return failure();
  parts.scale = node.getFloat("scale", 0);
  parts.softcap = node.getFloat("softcap", 0);
  parts.q = normalizeHeads(node, parts.q, InQNorm, headDim);
  parts.k = normalizeHeads(node, parts.k, InKNorm, headDim);

  // seqlens_k counts the keys of each row less one, the new ones included. Rows of a prompt may be padded at the
  // right; they begin at 0 too.
  Expr batch = parts.q.shape[0], queries = parts.q.shape[1];
  if (!im.symbols.assumeEqual(im.count(node.in(InSeqlensK)->shape), batch))
    return node.fail("seqlens_k must have one element per row, found " + describe(im, node.in(InSeqlensK)));
  Tensor last = im.reshape(im.cast(im.tensor(node.in(InSeqlensK)), node.in(InSeqlensK)->type, Int64), {batch});
  Tensor start = im.sub(last, im.broadcast(im.fromExpr(i64, im.symbols.sub(queries, 1)), {batch}));
  start = im.binary<arith::MaxSIOp>(start, im.splatInt(i64, 0, {batch}));
  Shape rows{batch, queries};
  Tensor positions =
      im.add(im.broadcast(im.reshape(start, {batch, 1}), rows), im.iota(i64, rows, 1));

  if (node.getInt("do_rotary", 0)) {
    if (!node.in(InCosCache) || !node.in(InSinCache) || node.in(InCosCache)->rank() != 2 || node.in(InSinCache)->rank() != 2)
      return node.fail("do_rotary needs cos_cache and sin_cache of rank 2");
    Tensor at = positions;
    if (Val *ids = node.in(InPositionIds)) {
      if (!node.needInteger(InPositionIds))
        return failure();
      std::optional<Shape> shape = node.broadcastShapes({rows, ids->shape});
      if (!shape || !im.sameShape(*shape, rows))
        return node.failed ? failure() : node.fail("position_ids must be [batch, length], found " + describe(im, ids));
      at = im.broadcast(im.tensor(ids), rows);
    }
    Tensor cos = im.gather(im.tensor(node.in(InCosCache)), at, 0), sin = im.gather(im.tensor(node.in(InSinCache)), at, 0);
    bool interleaved = node.getInt("rotary_interleaved", 0);
    for (Tensor *x : {&parts.q, &parts.k}) {
      std::optional<Tensor> rotated = rotate(node, *x, cos, sin, headDim, interleaved);
      if (!rotated)
        return failure();
      *x = *rotated;
    }
  }

  // The cache: as long as all keys need, or as the buffer that was passed if that is longer.
  const Shape *total = im.elements(node.in(InTotalLength));
  if (!total || total->size() != 1)
    return node.fail("total_sequence_length must be one integer, found " + describe(im, node.in(InTotalLength)));
  Expr length = im.symbols.normalize(total->front());
  if (node.in(InPastKey)) {
    length = im.symbols.max(length, node.in(InPastKey)->shape.size() == 4 ? node.in(InPastKey)->shape[2] : Expr(0));
    for (auto [x, past, present] : {std::tuple(&parts.k, InPastKey, 1), std::tuple(&parts.v, InPastValue, 2)}) {
      Tensor added = toHeadMajor(im, *x, parts.kvHeads);
      Val *val = node.in(past);
      bool fits = val->rank() == 4 && val->type == node.in(InQuery)->type;
      for (size_t i : {0, 1, 3})
        fits = fits && im.symbols.assumeEqual(val->shape[i], added.shape[i]);
      if (!fits)
        return node.fail("input " + Twine(past) + " " + describe(im, val) + " does not fit new rows " +
                         im.symbols.print(added.shape));
      Shape shape{added.shape[0], added.shape[1], length, added.shape[3]};
      auto update = CacheUpdateOp::create(im.builder, im.loc, im.typeOf(added.element(), shape), im.tensor(val).value,
                                          added.value, start.value, im.dynamicDims(shape));
      Tensor cache{update, shape};
      node.set(present, im.make(val->type, cache));
      *x = toTokenMajor(im, cache);
    }
  } else {
    length = queries;
    node.set(1, im.make(node.in(InQuery)->type, toHeadMajor(im, parts.k, parts.kvHeads)));
    node.set(2, im.make(node.in(InQuery)->type, toHeadMajor(im, parts.v, parts.kvHeads)));
  }

  int64_t window = node.getInt("local_window_size", -1);
  std::optional<int64_t> reach = window > 0 ? std::optional(window) : std::nullopt;
  if (node.getInt("causal", 1)) {
    parts.keep = keepUpTo(im, positions, length, reach);
  } else {
    parts.keep = keepUpTo(im, im.reshape(last, {batch, 1}), length, std::nullopt);
    if (reach)
      return node.fail("a local window without causal is not supported");
  }
  if (Val *bias = node.in(InAttentionBias)) {
    if (!isFloat(bias->type) || bias->rank() != 4)
      return node.fail("attention_bias must be a float tensor of rank 4, found " + describe(im, bias));
    parts.bias = im.tensor(bias);
    Expr covered = parts.bias.shape[3], rest = im.symbols.sub(length, covered);
    if (!im.symbols.normalize(rest).isConstant(0) && !covered.isConstant(1)) { // keys behind `total` are hidden anyway
      Shape shape = parts.bias.shape;
      shape[3] = rest;
      parts.bias = im.concat({parts.bias, im.splat(parts.bias.element(), 0, shape)}, 3);
      parts.bias.shape[3] = length;
    }
  }
  if (!node.needFloat(InHeadSink))
    return failure();
  if (node.in(InHeadSink))
    parts.sinks = im.reshape(im.tensor(node.in(InHeadSink)), {parts.heads});
  else if (node.getInt("smooth_softmax", 0) > 0)
    parts.sinks = im.splat(im.builder.getF32Type(), 0, {parts.heads});
  if (node.wants(3)) {
    // Scores with zeros for hidden keys, or probabilities.
    int64_t mode = node.getInt("qk_output", 0);
    if ((mode != 1 && mode != 2) || (mode == 2 && parts.sinks.value))
      return node.fail("output 3 needs qk_output 1, or 2 without sinks, found " + Twine(mode));
    AttentionParts shown = parts;
    if (mode == 1)
      shown.keep = Tensor();
    Tensor scores = attentionScores(im, shown, mode + 1);
    if (mode == 1)
      scores = im.select(im.broadcast(parts.keep, scores.shape), scores, im.splat(scores.element(), 0, scores.shape));
    node.set(3, im.make(node.in(InQuery)->type, scores));
  }
  std::optional<Tensor> y = attend(node, parts);
  return y ? node.done(im.make(node.in(InQuery)->type, *y)) : failure();
}

void pith::onnx::addGroupQueryAttention(OpTable &table) {
  table.addContrib("GroupQueryAttention", groupQueryAttention);
}
