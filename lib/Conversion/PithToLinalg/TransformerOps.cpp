//===- TransformerOps.cpp - the transformer's operations, plainly ---------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "TensorBuilder.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;
using namespace pith;

static Type elementOf(Value tensor) { return getElementTypeOrSelf(tensor.getType()); }

/// A weight's values in f32, in its own shape.
static FailureOr<Value> loadWeight(TensorBuilder &t, Operation *user, FlatSymbolRefAttr name) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(user, name);
  if (!weight)
    return user->emitError("no weight ") << name;
  auto type = RankedTensorType::get(weight.getTensorType().getShape(), t.f32);
  return Value(LoadOp::create(t.b, t.loc, type, name));
}

/// The sum over the last dimension of `f(x)`, with size 1 there.
static Value sumOfRow(TensorBuilder &t, ValueRange ins, ArrayRef<AffineMap> maps, Dims sizes,
                      llvm::function_ref<Value(ValueRange)> f) {
  int64_t rank = sizes.size();
  sizes.back() = t.fixed(1);
  SmallVector<int64_t> out;
  for (int64_t i = 0; i + 1 < rank; ++i)
    out.push_back(i);
  out.push_back(-1);
  SmallVector<AffineMap> all(maps);
  all.push_back(t.map(rank, out));
  return t
      .generic(
          std::string(rank - 1, 'p') + "r", ins, t.filled(sizes, t.number(t.f32, 0)), all,
          [&](ValueRange in) -> SmallVector<Value> { return {t.accumulate(in.back(), f(in.drop_back()))}; })
      .front();
}

//===----------------------------------------------------------------------===//
// Linear and embedding
//===----------------------------------------------------------------------===//

static FailureOr<Value> lowerLinear(TensorBuilder &t, LinearOp op) {
  Dims shape = t.dims(op.getX());
  OpFoldResult rows = t.product(ArrayRef(shape).drop_back());
  Value x = t.reshape(op.getX(), {rows, shape.back()});
  auto type = cast<RankedTensorType>(op.getResult().getType());
  int64_t columns = type.getShape().back(), first = 0;
  Value result;
  SmallVector<Value> parts;
  for (auto [i, name] : llvm::enumerate(op.getWeights())) {
    FailureOr<Value> weight = loadWeight(t, op, cast<FlatSymbolRefAttr>(name));
    if (failed(weight))
      return failure();
    OpFoldResult n = t.dim(*weight, op.getKMajor() ? 1 : 0);
    Value start = t.filled({rows, n}, t.number(t.f32, 0));
    auto multiply = [&](ValueRange in) -> SmallVector<Value> {
      return {t.accumulate(in[2], t.mul(t.convert(in[0], t.f32), in[1]))};
    };
    // The innermost loop runs along the weight's rows as they lie.
    Value y = op.getKMajor() ? t.generic("prp", {x, *weight}, start,
                                         {t.map(3, {0, 1}), t.map(3, {1, 2}), t.map(3, {0, 2})}, multiply)
                                   .front()
                             : t.generic("ppr", {x, *weight}, start,
                                         {t.map(3, {0, 2}), t.map(3, {1, 2}), t.map(3, {0, 1})}, multiply)
                                   .front();
    if (op.getBiases()) {
      FailureOr<Value> bias = loadWeight(t, op, cast<FlatSymbolRefAttr>((*op.getBiases())[i]));
      if (failed(bias))
        return failure();
      y = t.compute({rows, n}, t.f32, {y, *bias}, {t.identity(2), t.map(2, {1})},
                    [&](ValueRange in) { return t.add(in[0], in[1]); });
    }
    parts.push_back(t.cast(y, type.getElementType()));
  }
  result = parts.front();
  if (parts.size() > 1) {
    result = t.empty({rows, t.fixed(columns)}, type.getElementType());
    for (Value part : parts) {
      OpFoldResult n = t.dim(part, 1);
      result = tensor::InsertSliceOp::create(t.b, t.loc, part, result, {t.fixed(0), t.fixed(first)},
                                             {rows, n}, {t.fixed(1), t.fixed(1)});
      first += *getConstantIntValue(n);
    }
  }
  shape.back() = t.fixed(columns);
  return t.reshape(result, shape);
}

static FailureOr<Value> lowerEmbedding(TensorBuilder &t, EmbeddingOp op) {
  FailureOr<Value> table = loadWeight(t, op, op.getWeightAttr());
  if (failed(table))
    return failure();
  Type element = elementOf(op.getResult());
  bool kMajor = op.getKMajor();
  Dims sizes = t.dims(op.getIds());
  int64_t tokens = sizes.size();
  sizes.push_back(t.dim(*table, kMajor ? 0 : 1));
  Value vocabulary = t.size(t.dim(*table, kMajor ? 1 : 0)), last = t.sub(vocabulary, t.idx(1));
  SmallVector<int64_t> loops;
  for (int64_t i = 0; i < tokens; ++i)
    loops.push_back(i);
  Value zero = t.number(t.f32, 0), scale = t.number(t.f32, op.getScale().convertToDouble());
  return t.compute(sizes, element, op.getIds(), t.map(tokens + 1, loops), [&](ValueRange in) {
    Value id = t.convert(in[0], t.index);
    id = t.select(t.lessThan(id, t.idx(0)), t.add(id, vocabulary), id);
    Value inside = arith::CmpIOp::create(t.b, t.loc, arith::CmpIPredicate::ult, id, vocabulary);
    Value row = t.maximum(t.idx(0), t.minimum(id, last)), column = t.loopIndex(tokens);
    Value value = t.extract(*table, kMajor ? ValueRange{column, row} : ValueRange{row, column});
    return t.convert(t.select(inside, t.mul(value, scale), zero), element);
  });
}

//===----------------------------------------------------------------------===//
// Norms
//===----------------------------------------------------------------------===//

static AffineMap rowMap(TensorBuilder &t, int64_t rank) {
  SmallVector<int64_t> loops;
  for (int64_t i = 0; i + 1 < rank; ++i)
    loops.push_back(i);
  loops.push_back(-1);
  return t.map(rank, loops);
}

/// 1 / sqrt(sum / channels + epsilon)
static Value inverseDeviation(TensorBuilder &t, Value sum, OpFoldResult channels, double epsilon) {
  Value count = t.convert(t.size(channels), t.f32), eps = t.number(t.f32, epsilon), one = t.number(t.f32, 1);
  return t.elementwise(sum, t.f32, [&](Value s) -> Value {
    return t.div(one, math::SqrtOp::create(t.b, t.loc, t.add(t.div(s, count), eps)));
  });
}

static Value lowerRMSNorm(TensorBuilder &t, RMSNormOp op) {
  Dims sizes = t.dims(op.getX());
  int64_t rank = sizes.size();
  Type element = elementOf(op.getX());
  Value squares = sumOfRow(t, op.getX(), t.identity(rank), sizes, [&](ValueRange in) {
    Value x = t.convert(in[0], t.f32);
    return t.mul(x, x);
  });
  Value inverse = inverseDeviation(t, squares, sizes.back(), op.getEpsilon().convertToDouble());
  return t.compute(sizes, element, {op.getX(), inverse, op.getScale()},
                   {t.identity(rank), rowMap(t, rank), t.map(rank, {rank - 1})}, [&](ValueRange in) {
                     Value normal = t.mul(t.convert(in[0], t.f32), in[1]);
                     return t.convert(t.mul(normal, t.convert(in[2], t.f32)), element);
                   });
}

static Value lowerLayerNorm(TensorBuilder &t, LayerNormOp op) {
  Dims sizes = t.dims(op.getX());
  int64_t rank = sizes.size();
  Type element = elementOf(op.getX());
  AffineMap row = rowMap(t, rank), all = t.identity(rank), channel = t.map(rank, {rank - 1});
  Value sum = sumOfRow(t, op.getX(), all, sizes, [&](ValueRange in) { return t.convert(in[0], t.f32); });
  Value count = t.convert(t.size(sizes.back()), t.f32);
  Value mean = t.elementwise(sum, t.f32, [&](Value s) { return t.div(s, count); });
  Value squares = sumOfRow(t, {op.getX(), mean}, {all, row}, sizes, [&](ValueRange in) {
    Value d = t.sub(t.convert(in[0], t.f32), in[1]);
    return t.mul(d, d);
  });
  Value inverse = inverseDeviation(t, squares, sizes.back(), op.getEpsilon().convertToDouble());
  SmallVector<Value> ins{op.getX(), mean, inverse};
  SmallVector<AffineMap> maps{all, row, row};
  for (Value vector : {op.getScale(), op.getBias()})
    if (vector) {
      ins.push_back(vector);
      maps.push_back(channel);
    }
  return t.compute(sizes, element, ins, maps, [&](ValueRange in) {
    Value y = t.mul(t.sub(t.convert(in[0], t.f32), in[1]), in[2]);
    unsigned next = 3;
    if (op.getScale())
      y = t.mul(y, t.convert(in[next++], t.f32));
    if (op.getBias())
      y = t.add(y, t.convert(in[next], t.f32));
    return t.convert(y, element);
  });
}

//===----------------------------------------------------------------------===//
// Rotary embedding, activations
//===----------------------------------------------------------------------===//

static Value lowerRope(TensorBuilder &t, RopeOp op) {
  Type element = elementOf(op.getX());
  Dims shape = t.dims(op.getX()), split(shape);
  int64_t tokens = shape.size() - 1, headDim = op.getHeadDim(), half = op.getRotaryDim() / 2;
  int64_t channels = cast<RankedTensorType>(op.getX().getType()).getShape().back();
  split.back() = t.fixed(channels / headDim);
  split.push_back(t.fixed(headDim));
  Value x = t.reshape(op.getX(), split);
  Value y = t.compute(split, element, x, t.identity(tokens + 2), [&](ValueRange in) {
    Value channel = t.loopIndex(tokens + 1), pair, first;
    if (op.getInterleaved()) {
      pair = arith::DivUIOp::create(t.b, t.loc, channel, t.idx(2));
      Value odd = arith::RemUIOp::create(t.b, t.loc, channel, t.idx(2));
      first = arith::CmpIOp::create(t.b, t.loc, arith::CmpIPredicate::eq, odd, t.idx(0));
    } else {
      first = t.lessThan(channel, t.idx(half));
      pair = t.select(first, channel, t.sub(channel, t.idx(half)));
    }
    // Channels behind the rotated ones read pair 0 and drop it.
    Value rotated = t.lessThan(channel, t.idx(2 * half));
    pair = t.select(rotated, pair, t.idx(0));
    Value distance = t.idx(op.getInterleaved() ? 1 : half);
    Value partner = t.select(first, t.add(channel, distance), t.sub(channel, distance));
    partner = t.select(rotated, partner, channel);
    SmallVector<Value> token, point;
    for (int64_t i = 0; i < tokens; ++i)
      token.push_back(t.loopIndex(i));
    point = token;
    point.append({t.loopIndex(tokens), partner});
    token.push_back(pair);
    Value c = t.convert(t.extract(op.getCos(), token), t.f32),
          s = t.convert(t.extract(op.getSin(), token), t.f32);
    Value own = t.convert(in[0], t.f32), other = t.convert(t.extract(x, point), t.f32);
    Value minus = arith::NegFOp::create(t.b, t.loc, s);
    Value turned = t.add(t.mul(own, c), t.mul(other, t.select(first, minus, s)));
    return t.convert(t.select(rotated, turned, own), element);
  });
  return t.reshape(y, shape);
}

Value pith::activationOf(TensorBuilder &t, ActivationKind kind, Value x) {
  Type type = x.getType();
  auto number = [&](double value) { return t.number(type, value); };
  auto sigmoid = [&](Value v) -> Value {
    Value minus = arith::NegFOp::create(t.b, t.loc, v);
    return t.div(number(1), t.add(number(1), math::ExpOp::create(t.b, t.loc, minus)));
  };
  switch (kind) {
  case ActivationKind::None:
    return x;
  case ActivationKind::Relu:
    return t.maximum(x, number(0));
  case ActivationKind::Silu:
    return t.mul(x, sigmoid(x));
  case ActivationKind::QuickGelu:
    return t.mul(x, sigmoid(t.mul(x, number(1.702))));
  case ActivationKind::Gelu: {
    Value erf = math::ErfOp::create(t.b, t.loc, t.mul(x, number(0.70710678118654752440)));
    return t.mul(t.mul(x, number(0.5)), t.add(number(1), erf));
  }
  case ActivationKind::GeluTanh: {
    Value cube = t.mul(t.mul(x, x), x);
    Value inner = t.mul(number(0.79788456080286535588), t.add(x, t.mul(number(0.044715), cube)));
    Value tanh = math::TanhOp::create(t.b, t.loc, inner);
    return t.mul(t.mul(x, number(0.5)), t.add(number(1), tanh));
  }
  }
  llvm_unreachable("every activation is handled");
}

FailureOr<Value> pith::lowerTransformerOp(TensorBuilder &t, Operation *op) {
  if (auto linear = dyn_cast<LinearOp>(op))
    return lowerLinear(t, linear);
  if (auto embedding = dyn_cast<EmbeddingOp>(op))
    return lowerEmbedding(t, embedding);
  if (auto norm = dyn_cast<RMSNormOp>(op))
    return lowerRMSNorm(t, norm);
  if (auto norm = dyn_cast<LayerNormOp>(op))
    return lowerLayerNorm(t, norm);
  if (auto rope = dyn_cast<RopeOp>(op))
    return lowerRope(t, rope);
  if (auto attention = dyn_cast<AttentionOp>(op))
    return lowerAttention(t, attention);
  if (auto activation = dyn_cast<ActivationOp>(op)) {
    Type element = elementOf(activation.getX());
    return t.elementwise(activation.getX(), element, [&](Value x) {
      return t.convert(activationOf(t, activation.getKind(), t.convert(x, t.f32)), element);
    });
  }
  if (auto glu = dyn_cast<GLUOp>(op)) {
    Type element = elementOf(glu.getGate());
    return t.elementwise({glu.getGate(), glu.getUp()}, element, [&](ValueRange in) {
      Value gate = activationOf(t, glu.getKind(), t.convert(in[0], t.f32));
      return t.convert(t.mul(gate, t.convert(in[1], t.f32)), element);
    });
  }
  return Value();
}
