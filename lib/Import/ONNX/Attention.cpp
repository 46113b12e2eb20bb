//===- Attention.cpp - attention of the standard -*- C++ -*-===//
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
// What all attention ops share
//===----------------------------------------------------------------------===//

Tensor pith::onnx::keepUpTo(Importer &im, const Tensor &p, const Expr &length, std::optional<int64_t> window) {
  Type i64 = im.builder.getI64Type();
  Shape shape{p.shape[0], 1, p.shape[1], length};
  Tensor query = im.broadcast(im.reshape(im.castTo(p, i64), {p.shape[0], 1, p.shape[1], 1}), shape);
  Tensor key = im.iota(i64, shape, 3);
  Tensor keep = im.compare(arith::CmpIPredicate::sle, key, query);
  if (window) {
    Tensor first = im.sub(query, im.splatInt(i64, *window, shape));
    keep = im.binary<arith::AndIOp>(keep, im.compare(arith::CmpIPredicate::sgt, key, first));
  }
  return keep;
}

void AttentionParts::hide(Importer &im, Node &node, const Tensor &alsoKeep) {
  if (!keep.value) {
    keep = alsoKeep;
    return;
  }
  if (std::optional<Shape> shape = node.broadcastShapes({keep.shape, alsoKeep.shape}))
    keep = im.binary<arith::AndIOp>(im.broadcast(keep, *shape), im.broadcast(alsoKeep, *shape));
}

std::optional<Tensor> pith::onnx::attend(Node &node, AttentionParts parts) {
  Importer &im = node.im;
  OpBuilder &builder = im.builder;
  auto channels = [&](const Tensor &x, int64_t heads) -> std::optional<int64_t> {
    std::optional<int64_t> width = im.symbols.normalize(x.shape[2]).constant();
    if (width && *width > 0 && heads > 0 && *width % heads == 0)
      return *width / heads;
    node.error() << "channels " << im.symbols.print(x.shape[2]) << " cannot be divided among " << heads << " heads";
    return std::nullopt;
  };
  std::optional<int64_t> dim = channels(parts.q, parts.heads);
  std::optional<int64_t> keyDim = dim ? channels(parts.k, parts.kvHeads) : std::nullopt;
  std::optional<int64_t> valueDim = keyDim ? channels(parts.v, parts.kvHeads) : std::nullopt;
  if (!valueDim)
    return std::nullopt;
  if (*dim != *keyDim || parts.heads % parts.kvHeads || !im.symbols.assumeEqual(parts.q.shape[0], parts.k.shape[0]) ||
      !im.symbols.assumeEqual(parts.k.shape[0], parts.v.shape[0]) ||
      !im.symbols.assumeEqual(parts.k.shape[1], parts.v.shape[1])) {
    node.error() << "query " << im.symbols.print(parts.q.shape) << " with " << parts.heads << " heads does not fit key "
                 << im.symbols.print(parts.k.shape) << " and value " << im.symbols.print(parts.v.shape) << " with "
                 << parts.kvHeads << " heads";
    return std::nullopt;
  }
  if (!(parts.softcap >= 0)) {
    node.error() << "attribute 'softcap' must not be negative, found " << double(parts.softcap);
    return std::nullopt;
  }
  parts.softcap = std::fabs(parts.softcap); // -0 is none, too
  Tensor mask = parts.keep;
  if (parts.bias.value) {
    mask = im.castTo(parts.bias, builder.getF32Type());
    if (parts.keep.value) {
      std::optional<Shape> shape = node.broadcastShapes({parts.keep.shape, parts.bias.shape});
      if (!shape)
        return std::nullopt;
      mask = im.select(im.broadcast(parts.keep, *shape), im.broadcast(mask, *shape),
                       im.splat(mask.element(), -INFINITY, *shape));
    }
  }
  Shape shape{parts.q.shape[0], parts.q.shape[1], parts.heads * *valueDim};
  if (mask.value) {
    Shape full{parts.q.shape[0], parts.heads, parts.q.shape[1], parts.k.shape[1]};
    std::optional<Shape> common = node.broadcastShapes({full, mask.shape});
    if (!common || common->size() != 4 || !im.sameShape(*common, full)) {
      if (!node.failed)
        node.error() << "mask " << im.symbols.print(mask.shape) << " does not broadcast to " << im.symbols.print(full);
      return std::nullopt;
    }
  }
  double scale = parts.scale != 0 ? parts.scale : 1 / std::sqrt(double(*dim));
  Value y = AttentionOp::create(
      builder, im.loc, im.typeOf(parts.q.element(), shape), im.conform(parts.q), im.conform(parts.k), im.conform(parts.v),
      mask.value, parts.sinks.value, builder.getI64IntegerAttr(parts.heads), builder.getI64IntegerAttr(parts.kvHeads),
      builder.getF32FloatAttr(scale), parts.causal ? builder.getUnitAttr() : UnitAttr(),
      builder.getF32FloatAttr(parts.softcap), builder.getI64IntegerAttr(0));
  return Tensor{y, shape};
}

//===----------------------------------------------------------------------===//
// Attention (opset 23)
//===----------------------------------------------------------------------===//

/// An operand as token-major tensor; 4-D operands are [batch, heads, length, channels].
static bool readOperand(Node &node, size_t i, StringRef countName, Tensor &x, int64_t &heads) {
  Importer &im = node.im;
  x = im.tensor(node.in(i));
  if (x.rank() == 3) {
    heads = node.getInt(countName, 0);
    if (heads > 0)
      return true;
    node.error() << "attribute '" << countName << "' must be positive for input " << i << " of rank 3";
    return false;
  }
  std::optional<int64_t> count = x.rank() == 4 ? im.symbols.normalize(x.shape[1]).constant() : std::nullopt;
  if (!count || *count < 1) {
    node.error() << "input " << i << " must be [batch, length, channels] or [batch, heads, length, channels] with a "
                 << "constant number of heads, found " << describe(im, node.in(i));
    return false;
  }
  heads = *count;
  x = toTokenMajor(im, x);
  return true;
}

/// Puts past keys or values before the new ones; the result is the present output.
static bool extend(Node &node, size_t pastAt, size_t presentAt, Tensor &x, int64_t heads) {
  Importer &im = node.im;
  if (!node.in(pastAt)) {
    if (node.wants(presentAt))
      node.set(presentAt, im.make(node.in(1)->type, toHeadMajor(im, x, heads)));
    return true;
  }
  Tensor past = im.tensor(node.in(pastAt)), added = toHeadMajor(im, x, heads);
  bool fits = past.rank() == 4;
  for (size_t i : {0, 1, 3})
    fits = fits && im.symbols.assumeEqual(past.shape[i], added.shape[i]);
  if (!fits || past.element() != added.element()) {
    node.error() << "input " << pastAt << " " << describe(im, node.in(pastAt)) << " does not fit new rows "
                 << im.symbols.print(added.shape);
    return false;
  }
  Tensor present = im.concat({past, added}, 2);
  node.set(presentAt, im.make(node.in(pastAt)->type, present));
  x = toTokenMajor(im, present);
  return true;
}

/// The mask operand: bool or float, right-aligned with [batch, heads, queries, keys].
static bool readMask(Node &node, AttentionParts &parts) {
  Importer &im = node.im;
  if (!node.in(3))
    return true;
  Tensor mask = im.tensor(node.in(3));
  if (mask.rank() > 4 || mask.rank() < 1 || (node.in(3)->type != Bool && !isFloat(node.in(3)->type))) {
    node.error() << "the mask must be bool or float of rank 1 to 4, found " << describe(im, node.in(3));
    return false;
  }
  Shape shape(4 - mask.rank(), Expr(1));
  llvm::append_range(shape, mask.shape);
  mask = im.reshape(mask, shape);
  // A mask that covers only the first keys hides the rest.
  Expr length = im.symbols.normalize(parts.k.shape[1]), covered = im.symbols.normalize(shape[3]);
  if (!covered.isConstant(1) && covered != length && im.symbols.provablyDifferent(covered, length)) {
    Shape rest = shape;
    rest[3] = im.symbols.sub(length, covered);
    Tensor hidden = im.splat(mask.element(), isFloat(node.in(3)->type) ? -INFINITY : 0, rest);
    mask = im.concat({mask, hidden}, 3);
  }
  (node.in(3)->type == Bool ? parts.keep : parts.bias) = mask;
  return true;
}

/// [batch, kvHeads, length, channels] with every head as often as query heads share it.
static Tensor repeatHeads(Importer &im, const Tensor &x, int64_t heads) {
  Shape apart = x.shape, repeated, joined = x.shape;
  apart.insert(apart.begin() + 2, Expr(1));
  repeated = apart;
  repeated[2] = heads / *im.symbols.normalize(x.shape[1]).constant();
  joined[1] = heads;
  return im.reshape(im.broadcast(im.reshape(x, apart), repeated), joined);
}

Tensor pith::onnx::attentionScores(Importer &im, const AttentionParts &parts, int64_t mode) {
  Tensor q = toHeadMajor(im, parts.q, parts.heads);
  Tensor k = repeatHeads(im, toHeadMajor(im, parts.k, parts.kvHeads), parts.heads);
  Tensor z = im.matmul(q, im.transpose(k, {0, 1, 3, 2}));
  std::optional<int64_t> dim = im.symbols.normalize(q.shape[3]).constant();
  z = im.mul(z, parts.scale != 0 || !dim ? parts.scale : 1 / std::sqrt(double(*dim)));
  if (mode >= 1 && parts.softcap != 0)
    z = im.mul(im.unary<math::TanhOp>(im.mul(z, 1 / parts.softcap)), parts.softcap);
  if (mode >= 2 && parts.bias.value)
    z = im.add(z, im.broadcast(im.castTo(parts.bias, z.element()), z.shape));
  if (mode >= 2 && parts.keep.value)
    z = im.select(im.broadcast(parts.keep, z.shape), z, im.splat(z.element(), -INFINITY, z.shape));
  if (mode < 3)
    return z;
  // A row with every key hidden gives zeros.
  Tensor p{SoftmaxOp::create(im.builder, im.loc, z.value, 3), z.shape};
  return im.select(im.compare(arith::CmpFPredicate::UNO, p, p), im.splat(p.element(), 0, p.shape), p);
}

static LogicalResult attention(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 7) || !node.needFloat(0) || !node.needFloat(1) || !node.needFloat(2) || !node.sameType({0, 1, 2}))
    return failure();
  AttentionParts parts;
  bool headMajor = node.in(0)->rank() == 4;
  int64_t valueHeads;
  if (!readOperand(node, 0, "q_num_heads", parts.q, parts.heads) ||
      !readOperand(node, 1, "kv_num_heads", parts.k, parts.kvHeads) ||
      !readOperand(node, 2, "kv_num_heads", parts.v, valueHeads))
    return failure();
  if (valueHeads != parts.kvHeads)
    return node.fail("key and value differ in their number of heads");
  if (!node.in(4) != !node.in(5))
    return node.fail("past_key and past_value must both be given, or neither");
  Expr newLength = parts.k.shape[1];
  if (!extend(node, 4, 1, parts.k, parts.kvHeads) || !extend(node, 5, 2, parts.v, parts.kvHeads) ||
      !readMask(node, parts))
    return failure();
  parts.scale = node.getFloat("scale", 0);
  parts.softcap = node.getFloat("softcap", 0);

  // The query's position among the keys: `offset` + its number.
  Type i64 = im.builder.getI64Type();
  Expr queries = im.symbols.normalize(parts.q.shape[1]), keys = im.symbols.normalize(parts.k.shape[1]);
  Expr offset = node.in(4) ? node.in(4)->shape[2] : Expr(0);
  bool isCausal = node.getInt("is_causal", 0);
  int64_t left = node.getInt("left_window_size", -1), right = node.getInt("right_window_size", -1);
  Tensor positions;
  auto position = [&]() -> const Tensor & {
    if (positions.value)
      return positions;
    positions = im.iota(i64, {1, queries}, 1);
    if (node.in(6)) { // the cache is full of rows of which only the first nonpad_kv_seqlen are valid
      Tensor valid = im.tensor(node.in(6));
      Shape rows{valid.shape[0], queries};
      Tensor first = im.sub(im.reshape(valid, {valid.shape[0], 1}),
                            im.broadcast(im.fromExpr(i64, queries), {valid.shape[0], 1}));
      positions = im.add(im.broadcast(positions, rows), im.broadcast(first, rows));
    } else if (!im.symbols.normalize(offset).isConstant(0)) {
      positions = im.add(positions, im.broadcast(im.fromExpr(i64, offset), positions.shape));
    }
    return positions;
  };
  if (node.in(6)) {
    if (node.in(6)->type != Int64 || node.in(6)->rank() != 1)
      return node.fail("input 6 must be i64[batch], found " + describe(im, node.in(6)));
    Tensor valid = im.tensor(node.in(6));
    Tensor last = im.sub(im.reshape(valid, {valid.shape[0], 1}), im.splatInt(i64, 1, {valid.shape[0], 1}));
    parts.hide(im, node, keepUpTo(im, last, keys, std::nullopt));
  }
  // The dialect's causal aligns the last query with the last key; so does ONNX if queries and new keys are as many.
  if (isCausal && !node.in(6) && !node.wants(3) && im.symbols.normalize(newLength) == queries)
    parts.causal = true;
  else if (isCausal)
    parts.hide(im, node, keepUpTo(im, position(), keys, std::nullopt));
  if (left >= 0) {
    Tensor shifted = im.sub(position(), im.splatInt(i64, left + 1, position().shape));
    Tensor hidden = keepUpTo(im, shifted, keys, std::nullopt);
    parts.hide(im, node, im.binary<arith::XOrIOp>(hidden, im.splatInt(hidden.element(), -1, hidden.shape)));
  }
  if (right >= 0)
    parts.hide(im, node, keepUpTo(im, im.add(position(), im.splatInt(i64, right, position().shape)), keys, std::nullopt));
  std::optional<Tensor> y = attend(node, parts);
  if (!y)
    return failure();
  if (node.wants(3)) {
    int64_t mode = node.getInt("qk_matmul_output_mode", 0);
    if (mode < 0 || mode > 3)
      return node.fail("qk_matmul_output_mode must be 0 to 3, found " + Twine(mode));
    node.set(3, im.make(node.in(0)->type, attentionScores(im, parts, mode)));
  }
  return node.done(im.make(node.in(0)->type, headMajor ? toHeadMajor(im, *y, parts.heads) : *y));
}

//===----------------------------------------------------------------------===//
// FlexAttention (ai.onnx.preview 1)
//===----------------------------------------------------------------------===//

/// Puts the scores or probabilities through the node's subgraph `name`, if it has one.
static bool modify(Node &node, StringRef name, int32_t type, Tensor &x) {
  const proto::GraphProto *graph = node.has(name) ? node.graph(name) : nullptr;
  if (!graph)
    return !node.has(name);
  Importer &im = node.im;
  SmallVector<Val *> results;
  if (!im.importGraph(node, *graph, {im.make(type, x)}, results))
    return false;
  if (results.size() != 1 || results[0]->type != type || !im.sameShape(results[0]->shape, x.shape)) {
    node.error() << "its subgraph '" << graph->name() << "' must give one tensor of its input's type and shape, "
                 << describe(im, im.make(type, x));
    return false;
  }
  x = im.tensor(results[0]);
  return true;
}

static LogicalResult flexAttention(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !node.needFloat(0) || !node.sameType({0, 1, 2}))
    return failure();
  for (size_t i = 0; i < 3; ++i)
    if (node.in(i)->rank() != 4)
      return node.fail("input " + Twine(i) + " must be [batch, heads, length, channels], found " +
                       describe(im, node.in(i)));
  int32_t type = node.in(0)->type, precision = node.getInt("softmax_precision", type == Double ? Double : Float);
  if (!isFloat(precision))
    return node.fail("attribute 'softmax_precision' must be a float type, found " + elementName(precision));
  AttentionParts parts;
  int64_t valueHeads;
  if (!readOperand(node, 0, "", parts.q, parts.heads) || !readOperand(node, 1, "", parts.k, parts.kvHeads) ||
      !readOperand(node, 2, "", parts.v, valueHeads))
    return failure();
  if (valueHeads != parts.kvHeads || parts.heads % parts.kvHeads)
    return node.fail(Twine(parts.heads) + " query heads do not fit " + Twine(parts.kvHeads) + " key and " +
                     Twine(valueHeads) + " value heads");
  parts.scale = node.getFloat("scale", 0);
  if (!node.has("score_mod") && !node.has("prob_mod") && precision == Float && type != Double) {
    std::optional<Tensor> y = attend(node, parts);
    return y ? node.done(im.make(type, toHeadMajor(im, *y, parts.heads))) : failure();
  }
  Type element = elementType(im.context, precision);
  Tensor v = repeatHeads(im, toHeadMajor(im, parts.v, parts.kvHeads), parts.heads);
  parts.q = im.castTo(parts.q, element);
  parts.k = im.castTo(parts.k, element);
  Tensor scores = attentionScores(im, parts, 0);
  if (!modify(node, "score_mod", precision, scores))
    return failure();
  Tensor probabilities{SoftmaxOp::create(im.builder, im.loc, scores.value, 3), scores.shape};
  if (!modify(node, "prob_mod", precision, probabilities))
    return failure();
  return node.done(im.make(type, im.matmul(im.castTo(probabilities, v.element()), v)));
}

void pith::onnx::addAttentionOps(OpTable &table) {
  table.add("Attention", attention);
  table.add("ai.onnx.preview:FlexAttention", flexAttention);
  addGroupQueryAttention(table);
  addMultiHeadAttentionOps(table);
}
