//===- MultiHeadAttention.cpp - com.microsoft's attention ops without grouped heads -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Their masks hide less than the standard's: a padded key's score gets mask_filter_value (-10000) added, so that a row
// without any other key still is a softmax of its scores.
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {

/// Where an op has its inputs.
struct Inputs {
  size_t bias, mask, attentionBias, pastKey, pastValue, pastLength, indirection;
};
constexpr Inputs kMultiHead{3, 4, 5, 6, 7, 8, 9}, kDecoderMasked{10, 3, 4, 5, 6, 7, 9};

} // namespace

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

/// The padding mask `i`, integers of some form, as i1 that is true for keys that are not padding. `past`: keys before
/// the queries. The mask may be shorter than a `buffer` of keys.
static std::optional<Tensor> readPadding(Node &node, size_t i, const Expr &batch, const Expr &queries,
                                         const Expr &keys, const Expr &past, bool buffer) {
  Importer &im = node.im;
  Type i64 = im.builder.getI64Type();
  if (!node.needInteger(i))
    return std::nullopt;
  Tensor mask = im.cast(im.tensor(node.in(i)), node.in(i)->type, Int64);
  auto refuse = [&] {
    if (!node.failed)
      node.error() << "mask " << describe(im, node.in(i)) << " does not fit " << im.symbols.print(batch) << " rows of "
                   << im.symbols.print(queries) << " queries and " << im.symbols.print(keys) << " keys";
    return std::nullopt;
  };
  if (mask.rank() == 1) {
    // Numbers of keys; or where each row ends, then where each begins.
    Expr size = im.symbols.normalize(mask.shape[0]);
    bool ends = size != im.symbols.normalize(batch) && size == im.symbols.normalize(im.symbols.mul(batch, 2));
    if (!ends && !im.symbols.assumeEqual(size, batch))
      return refuse();
    auto before = [&](const Expr &offset) {
      Tensor bound = im.reshape(im.slice(mask, {offset}, {batch}), {batch, 1});
      return keepUpTo(im, im.sub(bound, im.splatInt(i64, 1, {batch, 1})), keys, std::nullopt);
    };
    Tensor keep = before(0);
    if (ends) {
      Tensor early = before(batch);
      keep = im.binary<arith::AndIOp>(
          keep, im.binary<arith::XOrIOp>(early, im.splatInt(early.element(), -1, early.shape)));
    }
    return keep;
  }
  if (mask.rank() < 2 || mask.rank() > 4)
    return refuse();
  Tensor keep = im.compare(arith::CmpIPredicate::sgt, mask, im.splatInt(i64, 0, mask.shape));
  Shape shape{keep.shape[0], 1, 1, keep.shape.back()};
  if (keep.rank() == 3) {
    shape[2] = keep.shape[1];
  } else if (keep.rank() == 4) { // for all positions: the queries' rows, the keys' columns
    keep = im.slice(keep, {0, 0, past, 0}, {keep.shape[0], keep.shape[1], queries, keys});
    shape = keep.shape;
  }
  if ((!buffer && !im.symbols.assumeEqual(shape[3], keys)) || (!shape[2].isConstant(1) && !im.symbols.assumeEqual(shape[2], queries)))
    return refuse();
  return im.reshape(keep, shape);
}

/// Adds what hides padding, and the op's own bias, to the scores.
static bool readMasks(Node &node, AttentionParts &parts, size_t maskAt, size_t biasAt, const Expr &past, bool buffer) {
  Importer &im = node.im;
  Type f32 = im.builder.getF32Type();
  Expr batch = parts.q.shape[0], queries = parts.q.shape[1], keys = parts.k.shape[1];
  // Keys behind those that a mask speaks of are not valid yet, and hidden otherwise.
  auto extended = [&](const Tensor &x) {
    Expr rest = im.symbols.sub(keys, x.shape[3]);
    if (!buffer || im.symbols.normalize(rest).isConstant(0) || im.symbols.normalize(x.shape[3]).isConstant(1))
      return x;
    Shape shape = x.shape;
    shape[3] = rest;
    Tensor y = im.concat({x, im.splat(x.element(), 0, shape)}, 3);
    y.shape[3] = keys;
    return y;
  };
  if (node.in(maskAt)) {
    std::optional<Tensor> keep = readPadding(node, maskAt, batch, queries, keys, past, buffer);
    if (!keep)
      return false;
    float hidden = node.getFloat("mask_filter_value", -10000.0f);
    parts.bias = extended(im.select(*keep, im.splat(f32, 0, keep->shape), im.splat(f32, hidden, keep->shape)));
  }
  if (!node.in(biasAt))
    return true;
  if (!node.needFloat(biasAt))
    return false;
  Tensor bias = im.castTo(im.tensor(node.in(biasAt)), f32);
  if (bias.rank() != 4) {
    node.error() << "attention_bias must have rank 4, found " << describe(im, node.in(biasAt));
    return false;
  }
  bias = extended(bias);
  if (parts.bias.value) {
    std::optional<Shape> shape = node.broadcastShapes({parts.bias.shape, bias.shape});
    if (!shape)
      return false;
    bias = im.add(im.broadcast(parts.bias, *shape), im.broadcast(bias, *shape));
  }
  parts.bias = bias;
  return true;
}

//===----------------------------------------------------------------------===//
// Keys and values of earlier tokens
//===----------------------------------------------------------------------===//

/// New rows x (token-major) behind those of `past` [batch, heads, length, channels]; the result is head-major. With
/// `at`, the past is a buffer, and the rows go to the place `at` [batch] in it.
static std::optional<Tensor> join(Node &node, Tensor past, const Tensor &x, int64_t heads, const Tensor &at) {
  Importer &im = node.im;
  Tensor added = toHeadMajor(im, x, heads);
  bool fits = past.rank() == 4 && past.element() == added.element();
  for (size_t i : {0, 1, 3})
    fits = fits && im.symbols.assumeEqual(past.shape[i], added.shape[i]);
  if (!fits) {
    node.error() << "earlier keys or values " << im.symbols.print(past.shape) << " do not fit new ones "
                 << im.symbols.print(added.shape);
    return std::nullopt;
  }
  if (!at.value)
    return im.concat({past, added}, 2);
  return Tensor{CacheUpdateOp::create(im.builder, im.loc, im.typeOf(added.element(), past.shape), past.value,
                                      added.value, at.value, im.dynamicDims(past.shape)),
                past.shape};
}

/// x + the part of the bias from channel `first` on, if there is a bias.
static std::optional<Tensor> addBias(Node &node, size_t i, const Tensor &x, const Expr &first) {
  Importer &im = node.im;
  if (!node.in(i))
    return x;
  Tensor bias = im.tensor(node.in(i));
  std::optional<int64_t> length = bias.rank() == 1 ? im.symbols.normalize(bias.shape[0]).constant() : std::nullopt;
  std::optional<int64_t> end = im.symbols.normalize(im.symbols.add(first, x.shape.back())).constant();
  if (bias.element() == x.element() && length && end && *end <= *length)
    return im.add(x, im.broadcast(im.sliceDim(bias, 0, first, x.shape.back()), x.shape));
  node.error() << "the bias " << describe(im, node.in(i)) << " does not fit channels up to "
               << im.symbols.print(im.symbols.add(first, x.shape.back()));
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// MultiHeadAttention
//===----------------------------------------------------------------------===//

/// Channels […, count, channels] in the middle of a packed operand [batch, length, heads, count, channels].
static Tensor unpack(Importer &im, const Tensor &packed, int64_t which) {
  Tensor x = im.sliceDim(packed, 3, which, 1);
  return im.reshape(x, {x.shape[0], x.shape[1], im.symbols.mul(x.shape[2], x.shape[4])});
}

template <bool DecoderMasked>
static LogicalResult multiHeadAttention(Node &node) {
  enum { Query, Key, Value };
  constexpr Inputs at = DecoderMasked ? kDecoderMasked : kMultiHead;
  Importer &im = node.im;
  Type i64 = im.builder.getI64Type();
  if (!node.arity(1, DecoderMasked ? 11 : 10) || !node.needFloat(Query) ||
      !node.sameType({Query, Key, Value, at.bias, at.pastKey, at.pastValue}))
    return failure();
  if (node.in(at.indirection))
    return node.fail("cache_indirection (beam search) is not supported");
  if (!node.in(at.pastKey) != !node.in(at.pastValue))
    return node.fail("past_key and past_value must both be given, or neither");
  AttentionParts parts;
  parts.heads = parts.kvHeads = node.getSmallInt("num_heads", 0);
  parts.scale = node.getFloat("scale", 0);
  if (parts.heads < 1 || parts.heads > (1 << 20))
    return node.fail("num_heads must be positive, found " + Twine(parts.heads));

  Tensor query = im.tensor(node.in(Query));
  bool headMajorKeys = false;
  if (query.rank() == 5) {
    if (node.in(Key) || node.in(Value) || !im.symbols.assumeEqual(query.shape[3], 3))
      return node.fail("a packed query must be [batch, length, heads, 3, channels] without key and value, found " +
                       describe(im, node.in(Query)));
    parts.q = unpack(im, query, 0);
    parts.k = unpack(im, query, 1);
    parts.v = unpack(im, query, 2);
  } else {
    if (query.rank() != 3 || !node.in(Key))
      return node.fail("expected query [batch, length, channels] with key and value, or packed, found " +
                       describe(im, node.in(Query)) + " and " + describe(im, node.in(Key)));
    parts.q = query;
    Tensor key = im.tensor(node.in(Key));
    if (key.rank() == 5) {
      if (node.in(Value) || !im.symbols.assumeEqual(key.shape[3], 2))
        return node.fail("a packed key must be [batch, length, heads, 2, channels] without value, found " +
                         describe(im, node.in(Key)));
      parts.k = unpack(im, key, 0);
      parts.v = unpack(im, key, 1);
    } else {
      headMajorKeys = key.rank() == 4;
      if ((key.rank() != 3 && key.rank() != 4) || !node.in(Value) || node.in(Value)->rank() != key.rank())
        return node.fail("key and value must both have rank 3 or 4, found " + describe(im, node.in(Key)) + " and " +
                         describe(im, node.in(Value)));
      Tensor value = im.tensor(node.in(Value));
      parts.k = headMajorKeys ? toTokenMajor(im, key) : key;
      parts.v = headMajorKeys ? toTokenMajor(im, value) : value;
    }
  }
  // The bias belongs to the projections of this call: keys that come ready (cross attention) have theirs.
  std::optional<Tensor> q = addBias(node, at.bias, parts.q, 0), k = parts.k, v = parts.v;
  if (q && !headMajorKeys) {
    Expr second = parts.q.shape[2], third = im.symbols.add(second, parts.k.shape[2]);
    k = addBias(node, at.bias, parts.k, second);
    v = k ? addBias(node, at.bias, parts.v, third) : std::nullopt;
  }
  if (!q || !k || !v)
    return failure();
  parts.q = *q, parts.k = *k, parts.v = *v;

  Expr past = 0, queries = im.symbols.normalize(parts.q.shape[1]), added = im.symbols.normalize(parts.k.shape[1]);
  Tensor start;
  if (node.in(at.pastLength) && node.in(at.pastKey)) {
    const Shape *length = im.elements(node.in(at.pastLength));
    if (!length || length->size() != 1)
      return node.fail("past_sequence_length must be one integer, found " + describe(im, node.in(at.pastLength)));
    past = im.symbols.normalize(length->front());
    start = im.broadcast(im.fromExpr(i64, past), {parts.q.shape[0]});
  } else if (node.in(at.pastKey)) {
    past = node.in(at.pastKey)->rank() == 4 ? node.in(at.pastKey)->shape[2] : Expr(0);
  }
  for (auto [x, in, out] : {std::tuple(&parts.k, at.pastKey, 1), std::tuple(&parts.v, at.pastValue, 2)}) {
    std::optional<Tensor> present;
    if (node.in(in)) {
      present = join(node, im.tensor(node.in(in)), *x, parts.heads, start);
      if (!present)
        return failure();
      *x = toTokenMajor(im, *present);
    }
    if (node.wants(out))
      node.set(out, im.make(node.in(Query)->type, present ? *present : toHeadMajor(im, *x, parts.heads)));
  }
  if (!readMasks(node, parts, at.mask, at.attentionBias, past, bool(start.value)))
    return failure();
  bool causal = node.getInt("unidirectional", 0);
  if (causal && !im.symbols.assumeEqual(queries, added))
    return node.fail("unidirectional needs as many new keys as queries, found " + im.symbols.print(added) + " and " +
                     im.symbols.print(queries));
  // In a buffer, what lies behind the new rows is not valid yet.
  if (start.value && causal) {
    Shape rows{parts.q.shape[0], queries};
    Tensor positions = im.add(im.iota(i64, rows, 1), im.broadcast(im.fromExpr(i64, past), rows));
    parts.keep = keepUpTo(im, positions, parts.k.shape[1], std::nullopt);
  } else if (start.value) {
    Tensor last = im.fromExpr(i64, im.symbols.add(past, im.symbols.sub(added, 1)));
    parts.keep = keepUpTo(im, im.broadcast(last, {1, 1}), parts.k.shape[1], std::nullopt);
  } else {
    parts.causal = causal && !node.wants(3);
    if (causal && node.wants(3))
      parts.keep = keepUpTo(im, im.add(im.iota(i64, {1, queries}, 1), im.broadcast(im.fromExpr(i64, past), {1, queries})),
                            parts.k.shape[1], std::nullopt);
  }
  if (node.wants(3))
    node.set(3, im.make(node.in(Query)->type, attentionScores(im, parts, 2)));
  std::optional<Tensor> y = attend(node, parts);
  return y ? node.done(im.make(node.in(Query)->type, *y)) : failure();
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

static LogicalResult projectedAttention(Node &node) {
  enum { Input, Weights, Bias, Mask, Past, AttentionBias, PastLength };
  Importer &im = node.im;
  if (!node.arity(2, 7) || !node.needFloat(Input) || !node.sameType({Input, Weights, Bias, Past}))
    return failure();
  if (node.getInt("do_rotary", 0))
    return node.fail("do_rotary is not supported: its rotary tables are not part of the file");
  if (node.in(PastLength) || node.getInt("past_present_share_buffer", 0))
    return node.fail("a shared cache buffer is not supported");
  AttentionParts parts;
  parts.heads = parts.kvHeads = node.getSmallInt("num_heads", 0);
  parts.scale = node.getFloat("scale", 0);
  Tensor x = im.tensor(node.in(Input)), weights = im.tensor(node.in(Weights));
  std::optional<int64_t> width = weights.rank() == 2 ? im.symbols.normalize(weights.shape[1]).constant() : std::nullopt;
  SmallVector<int64_t> sizes;
  if (std::optional<SmallVector<int64_t>> given = node.getInts("qkv_hidden_sizes"))
    sizes = *given;
  else if (width)
    sizes.assign(3, *width / 3);
  bool fits = x.rank() == 3 && width && sizes.size() == 3 && parts.heads > 0;
  int64_t sum = 0;
  for (int64_t size : sizes) {
    fits = fits && size > 0 && size <= (1 << 24);
    sum += fits ? size : 0;
  }
  if (!fits || sum != *width)
    return node.fail("input " + describe(im, node.in(Input)) + " and weights " + describe(im, node.in(Weights)) +
                     " cannot be divided among query, key and value of " + Twine(parts.heads) + " heads");
  std::optional<Tensor> product = multiply(node, x, weights);
  std::optional<Tensor> all = product ? addBias(node, Bias, *product, 0) : std::nullopt;
  if (!all)
    return failure();
  parts.q = im.sliceDim(*all, 2, 0, sizes[0]);
  parts.k = im.sliceDim(*all, 2, sizes[0], sizes[1]);
  parts.v = im.sliceDim(*all, 2, sizes[0] + sizes[1], sizes[2]);
  Expr past = 0;
  SmallVector<Tensor> present;
  for (auto [i, part] : {std::pair(0, &parts.k), std::pair(1, &parts.v)}) {
    Tensor rows = toHeadMajor(im, *part, parts.heads);
    if (node.in(Past)) {
      Tensor both = im.tensor(node.in(Past));
      if (both.rank() != 5 || !im.symbols.assumeEqual(both.shape[0], 2))
        return node.fail("past must be [2, batch, heads, length, channels], found " + describe(im, node.in(Past)));
      past = both.shape[3];
      std::optional<Tensor> joined =
          join(node, im.reshape(im.sliceDim(both, 0, i, 1), ArrayRef(both.shape).drop_front()), *part, parts.heads, {});
      if (!joined)
        return failure();
      rows = *joined;
      *part = toTokenMajor(im, rows);
    }
    Shape apart = rows.shape;
    apart.insert(apart.begin(), Expr(1));
    present.push_back(im.reshape(rows, apart));
  }
  if (node.wants(1)) {
    if (sizes[1] != sizes[2])
      return node.fail("present needs keys and values of one size");
    node.set(1, im.make(node.in(Input)->type, im.concat(present, 0)));
  }
  if (!readMasks(node, parts, Mask, AttentionBias, past, false))
    return failure();
  parts.causal = node.getInt("unidirectional", 0);
  std::optional<Tensor> y = attend(node, parts);
  return y ? node.done(im.make(node.in(Input)->type, *y)) : failure();
}

void pith::onnx::addMultiHeadAttentionOps(OpTable &table) {
  table.addContrib("MultiHeadAttention", multiHeadAttention<false>);
  table.addContrib("DecoderMaskedMultiHeadAttention", multiHeadAttention<true>);
  table.addContrib("Attention", projectedAttention);
}
