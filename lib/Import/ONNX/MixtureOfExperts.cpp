//===- MixtureOfExperts.cpp - com.microsoft's MoE and QMoE -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every expert sees every token; what a token's router did not choose gets the weight 0.
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {

/// Where one layer of the experts has its inputs; 99: there is none.
struct Layer {
  size_t weights, scales, bias, zeros;
};
constexpr size_t kNone = 99;

/// One MoE node.
class Experts {
public:
  Experts(Node &node, bool quantized) : node(node), im(node.im), quantized(quantized) {}
  LogicalResult run();

private:
  Node &node;
  Importer &im;
  bool quantized;
  int64_t experts = 0, block = 0;

  std::optional<Tensor> route(const Tensor &logits, const Tensor *mixing);
  std::optional<Tensor> apply(const Tensor &x, const Layer &layer, int64_t expert, StringRef name);
  std::optional<Tensor> activate(const Tensor &first, const Tensor *third);
};

} // namespace

/// The weight of every expert for every token [tokens, experts].
std::optional<Tensor> Experts::route(const Tensor &logits, const Tensor *mixing) {
  int64_t chosen = node.getSmallInt("k", 1);
  if (chosen < 1 || chosen > experts) {
    node.error() << "k must be 1 to " << experts << ", found " << chosen;
    return std::nullopt;
  }
  Type f32 = im.builder.getF32Type(), i32 = im.builder.getI32Type();
  Expr tokens = logits.shape[0];
  Tensor wide = im.castTo(logits, f32);
  // An expert's rank is the number of better ones; of equal ones the first is better.
  Shape pairs{tokens, experts, experts};
  Tensor mine = im.broadcast(im.reshape(wide, {tokens, experts, 1}), pairs);
  Tensor other = im.broadcast(im.reshape(wide, {tokens, 1, experts}), pairs);
  Tensor earlier = im.compare(arith::CmpIPredicate::slt, im.iota(i32, pairs, 2), im.iota(i32, pairs, 1));
  Tensor equal = im.binary<arith::AndIOp>(im.compare(arith::CmpFPredicate::OEQ, other, mine), earlier);
  Tensor better = im.binary<arith::OrIOp>(im.compare(arith::CmpFPredicate::OGT, other, mine), equal);
  Tensor one = im.splatInt(i32, 1, pairs), none = im.splatInt(i32, 0, pairs);
  Tensor rank = im.reduce(ReduceKind::Sum, im.select(better, one, none), 2);
  Shape table{tokens, experts};
  rank = im.reshape(rank, table);
  Tensor isChosen = im.compare(arith::CmpIPredicate::slt, rank, im.splatInt(i32, chosen, table));
  Tensor zero = im.splat(f32, 0, table);
  if (mixing)
    return im.select(isChosen, im.castTo(*mixing, f32), zero);
  Tensor probabilities{SoftmaxOp::create(im.builder, im.loc, wide.value, 1), table};
  Tensor weights = im.select(isChosen, probabilities, zero);
  if (node.getInt("normalize_routing_weights", 0))
    weights = im.div(weights, im.broadcast(im.reduce(ReduceKind::Sum, weights, 1), table));
  return weights;
}

/// weights[expert] * x + bias[expert].
std::optional<Tensor> Experts::apply(const Tensor &x, const Layer &layer, int64_t expert, StringRef name) {
  Val *weights = node.in(layer.weights);
  auto fixed = [&](const Val *val, size_t i) { return im.symbols.normalize(val->shape[i]).constant().value_or(0); };
  int64_t channels = im.symbols.normalize(x.shape[1]).constant().value_or(0), rows = fixed(weights, 1);
  std::optional<Tensor> y;
  if (quantized) {
    int64_t bits = node.getSmallInt((name + "_expert_weight_bits").str(), node.getSmallInt("expert_weight_bits", 4));
    QuantizedPieces pieces{weights->init, node.in(layer.scales) ? node.in(layer.scales)->init : nullptr,
                           node.in(layer.zeros) ? node.in(layer.zeros)->init : nullptr};
    if (!pieces.data || !pieces.scales || (node.in(layer.zeros) && !pieces.zeros)) {
      node.error() << "the experts' weights, scales and zero points must be constants";
      return std::nullopt;
    }
    for (const Initializer **piece : {&pieces.data, &pieces.scales, &pieces.zeros})
      if (*piece) {
        *piece = im.rowsOf(**piece, experts, expert);
        if (!*piece) {
          node.error() << name << " cannot be divided among " << experts << " experts";
          return std::nullopt;
        }
      }
    FlatSymbolRefAttr symbol = quantizedWeight(node, pieces, rows, channels, bits, block);
    if (!symbol)
      return std::nullopt;
    Shape shape{x.shape[0], rows};
    y = Tensor{LinearOp::create(im.builder, im.loc, im.typeOf(x.element(), shape), im.conform(x),
                                im.builder.getArrayAttr(symbol), ArrayAttr(), UnitAttr()),
               shape};
  } else {
    Tensor all = im.tensor(weights);
    if (const Initializer *mine = weights->init ? im.rowsOf(*weights->init, experts, expert) : nullptr)
      all = im.tensor(im.makeConstant(*mine, {1, rows, channels}));
    else
      all = im.sliceDim(all, 0, expert, 1);
    y = multiply(node, x, im.transpose(im.reshape(all, {all.shape[1], all.shape[2]}), {1, 0}));
  }
  if (!y || !node.in(layer.bias))
    return y;
  Tensor bias = im.tensor(node.in(layer.bias));
  if (bias.rank() != 2 || !im.symbols.assumeEqual(bias.shape[0], experts) ||
      !im.symbols.assumeEqual(bias.shape[1], y->shape[1])) {
    node.error() << "input " << layer.bias << " must have a value per expert and row, found "
                 << describe(im, node.in(layer.bias));
    return std::nullopt;
  }
  return im.add(*y, im.broadcast(im.castTo(im.sliceDim(bias, 0, expert, 1), y->element()), y->shape));
}

/// act(first), times the third layer's result if there is one.
std::optional<Tensor> Experts::activate(const Tensor &first, const Tensor *third) {
  std::string kind = node.getString("activation_type", "relu");
  auto activation = [&](ActivationKind which) {
    return Tensor{ActivationOp::create(im.builder, im.loc, first.value.getType(), which, first.value), first.shape};
  };
  Tensor y = first;
  if (kind == "swiglu") {
    Tensor gate = first, linear;
    if (third) {
      linear = *third;
    } else {
      int64_t fusion = node.getInt("swiglu_fusion", 0);
      std::optional<int64_t> width = im.symbols.normalize(first.shape[1]).constant();
      if ((fusion != 1 && fusion != 2) || !width || *width % 2) {
        node.error() << "swiglu needs fc3 weights, or swiglu_fusion 1 or 2 with an even number of rows";
        return std::nullopt;
      }
      // Rows of gate and linear part in turn, or one part behind the other.
      Shape split{first.shape[0], *width / 2, 2}, half{first.shape[0], *width / 2};
      if (fusion == 2)
        std::swap(split[1], split[2]);
      int64_t axis = fusion == 1 ? 2 : 1;
      Tensor both = im.reshape(first, split);
      gate = im.reshape(im.sliceDim(both, axis, 0, 1), half);
      linear = im.reshape(im.sliceDim(both, axis, 1, 1), half);
    }
    Type element = gate.element();
    if (node.has("swiglu_limit")) {
      double limit = node.getFloat("swiglu_limit", 0);
      Tensor most = im.splat(element, limit, gate.shape);
      gate = im.binary<arith::MinimumFOp>(gate, most);
      linear = im.binary<arith::MinimumFOp>(linear, most);
      linear = im.binary<arith::MaximumFOp>(linear, im.splat(element, -limit, gate.shape));
    }
    Tensor one = im.splat(element, 1, gate.shape);
    Tensor power = im.unary<math::ExpOp>(im.mul(gate, -double(node.getFloat("activation_alpha", 1))));
    Tensor swish = im.div(gate, im.add(one, power));
    return im.mul(swish, im.add(linear, double(node.getFloat("activation_beta", 0))));
  }
  if (kind == "relu")
    y = activation(ActivationKind::Relu);
  else if (kind == "gelu")
    y = activation(ActivationKind::GeluTanh);
  else if (kind == "silu")
    y = activation(ActivationKind::Silu);
  else if (kind != "identity") {
    node.error() << "activation_type must be relu, gelu, silu, swiglu or identity, found '" << kind << "'";
    return std::nullopt;
  }
  return third ? im.mul(y, *third) : y;
}

LogicalResult Experts::run() {
  enum { X, Router };
  const Layer layers[2][3] = {{{2, kNone, 3, kNone}, {4, kNone, 5, kNone}, {6, kNone, 7, kNone}},
                              {{2, 3, 4, 11}, {5, 6, 7, 12}, {8, 9, 10, 13}}};
  const Layer &first = layers[quantized][0], &second = layers[quantized][1], &third = layers[quantized][2];
  if (!node.arity(2, quantized ? 21 : 8) || !node.needFloat(X) || !node.needFloat(Router))
    return failure();
  if (node.getInt("use_sparse_mixer", 0))
    return node.fail("use_sparse_mixer is not supported");
  for (const Layer *layer : {&first, &second, &third}) {
    Val *weights = node.in(layer->weights);
    if (weights ? weights->rank() != 3 : layer != &third)
      return node.fail("the weights must be [experts, rows, columns], found " + describe(im, weights));
  }
  if (quantized) {
    if (std::string type = node.getString("quant_type", "int"); type != "int")
      return node.fail("experts of quant_type '" + type + "' are not supported");
    for (size_t i = 15; i < 21; ++i)
      if (node.in(i))
        return node.fail("input " + Twine(i) + " is not supported for experts of integers");
    if (node.getInt("weights_prepacked", 0) > 0)
      return node.fail("weights packed for another machine (weights_prepacked) are not supported");
    block = node.getSmallInt("block_size", 0);
    if (block < 0)
      return node.fail("block_size must not be negative, found " + Twine(block));
  }
  experts = im.symbols.normalize(node.in(first.weights)->shape[0]).constant().value_or(0);
  Tensor x = im.tensor(node.in(X)), logits = im.tensor(node.in(Router));
  if (experts < 1 || experts > 4096 || x.rank() < 2 || logits.rank() != 2 ||
      !im.symbols.assumeEqual(logits.shape[1], experts))
    return node.fail("router_probs " + describe(im, node.in(Router)) + " must be [tokens, experts] for the weights " +
                     describe(im, node.in(first.weights)));
  Shape shape = x.shape, flat{im.count(ArrayRef(shape).drop_back()), shape.back()};
  if (!im.symbols.assumeEqual(logits.shape[0], flat[0]))
    return node.fail("router_probs " + describe(im, node.in(Router)) + " do not fit input " + describe(im, node.in(X)));
  x = im.reshape(x, flat);
  logits = im.reshape(logits, {flat[0], experts});
  Tensor mixing;
  if (quantized && node.in(14))
    mixing = im.reshape(im.tensor(node.in(14)), logits.shape);
  std::optional<Tensor> weights = route(logits, mixing.value ? &mixing : nullptr), sum;
  if (!weights)
    return failure();
  for (int64_t e = 0; e < experts; ++e) {
    std::optional<Tensor> a = apply(x, first, e, "fc1"), b;
    if (a && node.in(third.weights))
      b = apply(x, third, e, "fc3");
    if (!a || (node.in(third.weights) && !b))
      return failure();
    std::optional<Tensor> hidden = activate(*a, b ? &*b : nullptr);
    std::optional<Tensor> y = hidden ? apply(*hidden, second, e, "fc2") : std::nullopt;
    if (!y)
      return failure();
    Tensor share = im.castTo(im.sliceDim(*weights, 1, e, 1), y->element());
    Tensor part = im.mul(*y, im.broadcast(share, y->shape));
    sum = sum ? im.add(*sum, part) : part;
  }
  if (!im.symbols.assumeEqual(sum->shape[1], shape.back()))
    return node.fail("the experts give " + im.symbols.print(sum->shape) + ", expected the input's channels, " +
                     im.symbols.print(shape));
  return node.done(im.make(node.in(X)->type, im.reshape(*sum, shape)));
}

template <bool Quantized>
static LogicalResult mixtureOfExperts(Node &node) {
  return Experts(node, Quantized).run();
}

void pith::onnx::addMixtureOfExpertsOps(OpTable &table) {
  table.addContrib("MoE", mixtureOfExperts<false>);
  table.addContrib("QMoE", mixtureOfExperts<true>);
}
