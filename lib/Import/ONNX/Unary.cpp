//===- Unary.cpp - unary elementwise ops and activations -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringSwitch.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

using Code = Tensor (*)(Node &, const Tensor &);

static LogicalResult onFloats(Node &node, Code code) {
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  return node.done(node.im.make(node.in(0)->type, code(node, node.im.tensor(node.in(0)))));
}

template <typename OpTy>
static LogicalResult simple(Node &node) {
  return onFloats(node, [](Node &n, const Tensor &x) { return n.im.unary<OpTy>(x); });
}

static Tensor constant(Node &node, const Tensor &like, double value) {
  return node.im.splat(like.element(), value, like.shape);
}

static Tensor less(Node &node, const Tensor &x, double bound) {
  return node.im.compare(arith::CmpFPredicate::OLT, x, constant(node, x, bound));
}

/// 1 / (1 + exp(-x))
static Tensor sigmoid(Node &node, const Tensor &x) {
  Importer &im = node.im;
  Tensor e = im.unary<math::ExpOp>(im.unary<arith::NegFOp>(x));
  return im.div(constant(node, x, 1), im.add(e, 1));
}

static Tensor activation(Node &node, ActivationKind kind, const Tensor &x) {
  return {ActivationOp::create(node.im.builder, node.im.loc, x.value.getType(), kind, x.value), x.shape};
}

static LogicalResult abs(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  int32_t type = node.in(0)->type;
  if (isUnsigned(type))
    return node.done(node.in(0));
  if (isInteger(type))
    return node.done(node.im.make(type, node.im.unary<math::AbsIOp>(node.im.tensor(node.in(0)))));
  return simple<math::AbsFOp>(node);
}

static LogicalResult negate(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  Val *x = node.in(0);
  if (!isInteger(x->type))
    return simple<arith::NegFOp>(node);
  if (const Shape *known = node.im.contents(x)) {
    Shape result;
    for (const Expr &e : *known)
      result.push_back(node.im.symbols.sub(0, e));
    return node.done(node.im.makeContents(x->type, x->shape, result));
  }
  Tensor t = node.im.tensor(x);
  return node.done(node.im.make(x->type, node.im.sub(constant(node, t, 0), t)));
}

static LogicalResult sign(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  Importer &im = node.im;
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("input 0 must have numbers as elements, found " + describe(im, node.in(0)));
  Tensor x = im.tensor(node.in(0)), zero = constant(node, x, 0), one = constant(node, x, 1);
  if (isUnsigned(type))
    return node.done(im.make(type, im.select(im.compare(arith::CmpIPredicate::ne, x, zero), one, zero)));
  Tensor minus = constant(node, x, -1);
  if (isInteger(type)) {
    Tensor below = im.select(im.compare(arith::CmpIPredicate::slt, x, zero), minus, zero);
    return node.done(im.make(type, im.select(im.compare(arith::CmpIPredicate::sgt, x, zero), one, below)));
  }
  Tensor below = im.select(im.compare(arith::CmpFPredicate::OLT, x, zero), minus, zero);
  return node.done(im.make(type, im.select(im.compare(arith::CmpFPredicate::OGT, x, zero), one, below)));
}

static LogicalResult logicalNot(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  Val *x = node.in(0);
  if (x->type != Bool && !isInteger(x->type))
    return node.fail("input 0 must be bool or integers, found " + describe(node.im, x));
  Tensor t = node.im.tensor(x);
  return node.done(node.im.make(x->type, node.im.binary<arith::XOrIOp>(t, node.im.splatInt(t.element(), -1, t.shape))));
}

static LogicalResult isNaN(Node &node) {
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  Tensor x = node.im.tensor(node.in(0));
  return node.done(node.im.make(Bool, node.im.compare(arith::CmpFPredicate::UNO, x, x)));
}

static LogicalResult isInf(Node &node) {
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  Importer &im = node.im;
  Tensor x = im.tensor(node.in(0));
  Tensor positive = im.compare(arith::CmpFPredicate::OEQ, x, constant(node, x, INFINITY));
  Tensor negative = im.compare(arith::CmpFPredicate::OEQ, x, constant(node, x, -INFINITY));
  bool up = node.getInt("detect_positive", 1), down = node.getInt("detect_negative", 1);
  Tensor none = im.splatInt(positive.element(), 0, x.shape);
  Tensor result = up && down ? im.binary<arith::OrIOp>(positive, negative) : up ? positive : down ? negative : none;
  return node.done(im.make(Bool, result));
}

static LogicalResult relu(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  Val *x = node.in(0);
  if (isInteger(x->type) && !isUnsigned(x->type)) {
    Tensor t = node.im.tensor(x);
    return node.done(node.im.make(x->type, node.im.binary<arith::MaxSIOp>(t, constant(node, t, 0))));
  }
  return onFloats(node, [](Node &n, const Tensor &x) { return activation(n, ActivationKind::Relu, x); });
}

static LogicalResult gelu(Node &node) {
  std::string form = node.getString("approximate", "none");
  if (form != "none" && form != "tanh")
    return node.fail("attribute 'approximate' must be none or tanh, found '" + form + "'");
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  ActivationKind kind = form == "tanh" ? ActivationKind::GeluTanh : ActivationKind::Gelu;
  return node.done(node.im.make(node.in(0)->type, activation(node, kind, node.im.tensor(node.in(0)))));
}

/// x * sigmoid(alpha * x): Swish, and QuickGelu of com.microsoft.
template <bool Quick>
static LogicalResult swish(Node &node) {
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  Importer &im = node.im;
  float alpha = node.getFloat("alpha", Quick ? 1.702f : 1.0f);
  Tensor x = im.tensor(node.in(0)), result;
  if (alpha == 1.0f)
    result = activation(node, ActivationKind::Silu, x);
  else if (alpha == 1.702f)
    result = activation(node, ActivationKind::QuickGelu, x);
  else
    result = im.mul(x, sigmoid(node, im.mul(x, alpha)));
  return node.done(im.make(node.in(0)->type, result));
}

/// swish(A) * B
static LogicalResult swiglu(Node &node) {
  if (!node.arity(2, 2) || !node.needFloat(0) || !node.sameType({0, 1}))
    return failure();
  Importer &im = node.im;
  if (!im.sameShape(node.in(0)->shape, node.in(1)->shape))
    return node.fail("inputs must have one shape, found " + describe(im, node.in(0)) + " and " +
                     describe(im, node.in(1)));
  Tensor gate = im.tensor(node.in(0)), up = im.tensor(node.in(1));
  float alpha = node.getFloat("alpha", 1);
  Tensor y = alpha == 1 ? activation(node, ActivationKind::Silu, gate)
                        : im.mul(gate, sigmoid(node, im.mul(gate, alpha)));
  return node.done(im.make(node.in(0)->type, im.mul(y, up)));
}

//===----------------------------------------------------------------------===//
// Activations that have no op of their own
//===----------------------------------------------------------------------===//

static Tensor leakyRelu(Node &node, const Tensor &x, double alpha) {
  return node.im.select(less(node, x, 0), node.im.mul(x, alpha), x);
}

static Tensor thresholdedRelu(Node &node, const Tensor &x, double alpha) {
  Tensor above = node.im.compare(arith::CmpFPredicate::OGT, x, constant(node, x, alpha));
  return node.im.select(above, x, constant(node, x, 0));
}

static Tensor softsign(Node &node, const Tensor &x) {
  return node.im.div(x, node.im.add(node.im.unary<math::AbsFOp>(x), 1));
}

/// scale * (x < 0 ? alpha * (exp(x / width) - 1) : x)
static Tensor exponential(Node &node, const Tensor &x, double alpha, double scale, double width) {
  Importer &im = node.im;
  Tensor below = im.mul(im.unary<math::ExpM1Op>(width == 1 ? x : im.div(x, constant(node, x, width))), alpha);
  Tensor y = im.select(less(node, x, 0), below, x);
  return scale == 1 ? y : im.mul(y, scale);
}

static Tensor hardSigmoid(Node &node, const Tensor &x, double alpha, double beta) {
  Importer &im = node.im;
  Tensor line = im.add(im.mul(x, alpha), beta);
  return im.binary<arith::MinimumFOp>(im.binary<arith::MaximumFOp>(line, constant(node, x, 0)), constant(node, x, 1));
}

/// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)), which does not overflow.
static Tensor softplus(Node &node, const Tensor &x) {
  Importer &im = node.im;
  Tensor tail = im.unary<math::Log1pOp>(im.unary<math::ExpOp>(im.unary<arith::NegFOp>(im.unary<math::AbsFOp>(x))));
  return im.add(im.binary<arith::MaximumFOp>(x, constant(node, x, 0)), tail);
}

int pith::onnx::activationParameters(StringRef name) {
  return llvm::StringSwitch<int>(name)
      .Cases({"Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"}, 0)
      .Cases({"LeakyRelu", "ThresholdedRelu", "Elu"}, 1)
      .Cases({"Affine", "ScaledTanh", "HardSigmoid"}, 2)
      .Default(-1);
}

Tensor pith::onnx::applyActivation(Node &node, StringRef name, const Tensor &x, std::optional<double> alpha,
                                   std::optional<double> beta) {
  Importer &im = node.im;
  if (name == "Relu")
    return activation(node, ActivationKind::Relu, x);
  if (name == "Sigmoid")
    return sigmoid(node, x);
  if (name == "Softsign")
    return softsign(node, x);
  if (name == "Softplus")
    return softplus(node, x);
  if (name == "LeakyRelu")
    return leakyRelu(node, x, alpha.value_or(0.01));
  if (name == "ThresholdedRelu")
    return thresholdedRelu(node, x, alpha.value_or(1));
  if (name == "Elu")
    return exponential(node, x, alpha.value_or(1), 1, 1);
  if (name == "Affine")
    return im.add(im.mul(x, alpha.value_or(1)), beta.value_or(0));
  if (name == "ScaledTanh")
    return im.mul(im.unary<math::TanhOp>(im.mul(x, beta.value_or(1))), alpha.value_or(1));
  if (name == "HardSigmoid")
    return hardSigmoid(node, x, alpha.value_or(0.2), beta.value_or(0.5));
  return im.unary<math::TanhOp>(x);
}

void pith::onnx::addUnaryOps(OpTable &table) {
  table.add("Abs", abs);
  table.add("Neg", negate);
  table.add("Sign", sign);
  table.add("Not", logicalNot);
  table.add("BitwiseNot", logicalNot);
  table.add("IsNaN", isNaN);
  table.add("IsInf", isInf);
  table.add("Exp", simple<math::ExpOp>);
  table.add("Log", simple<math::LogOp>);
  table.add("Sqrt", simple<math::SqrtOp>);
  table.add("Floor", simple<math::FloorOp>);
  table.add("Ceil", simple<math::CeilOp>);
  table.add("Round", simple<math::RoundEvenOp>);
  table.add("Erf", simple<math::ErfOp>);
  table.add("Sin", simple<math::SinOp>);
  table.add("Cos", simple<math::CosOp>);
  table.add("Tan", simple<math::TanOp>);
  table.add("Asin", simple<math::AsinOp>);
  table.add("Acos", simple<math::AcosOp>);
  table.add("Atan", simple<math::AtanOp>);
  table.add("Sinh", simple<math::SinhOp>);
  table.add("Cosh", simple<math::CoshOp>);
  table.add("Tanh", simple<math::TanhOp>);
  table.add("Asinh", simple<math::AsinhOp>);
  table.add("Acosh", simple<math::AcoshOp>);
  table.add("Atanh", simple<math::AtanhOp>);
  table.add("Relu", relu);
  table.add("Gelu", gelu);
  table.addContrib("Gelu", gelu);
  table.add("SwiGLU", swiglu);
  table.add("Swish", swish<false>);
  table.addContrib("QuickGelu", swish<true>);
  table.add("Sigmoid", [](Node &node) { return onFloats(node, sigmoid); });
  table.add("LeakyRelu", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) { return leakyRelu(n, x, n.getFloat("alpha", 0.01f)); });
  });
  table.add("Softplus", [](Node &node) { return onFloats(node, softplus); });
  table.add("Reciprocal", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) { return n.im.div(constant(n, x, 1), x); });
  });
  table.add("Elu", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) {
      return exponential(n, x, n.getFloat("alpha", 1), 1, 1);
    });
  });
  table.add("Celu", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) {
      float alpha = n.getFloat("alpha", 1);
      return exponential(n, x, alpha, 1, alpha);
    });
  });
  table.add("Selu", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) {
      return exponential(n, x, n.getFloat("alpha", 1.67326319217681884765625f),
                         n.getFloat("gamma", 1.05070102214813232421875f), 1);
    });
  });
  table.add("HardSigmoid", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) {
      return hardSigmoid(n, x, n.getFloat("alpha", 0.2f), n.getFloat("beta", 0.5f));
    });
  });
  table.add("HardSwish", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) { return n.im.mul(x, hardSigmoid(n, x, 1.0 / 6, 0.5)); });
  });
  table.add("Mish", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) {
      return n.im.mul(x, n.im.unary<math::TanhOp>(softplus(n, x)));
    });
  });
  table.add("Softsign", [](Node &node) { return onFloats(node, softsign); });
  table.add("ThresholdedRelu", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) { return thresholdedRelu(n, x, n.getFloat("alpha", 1)); });
  });
  table.add("Shrink", [](Node &node) {
    return onFloats(node, [](Node &n, const Tensor &x) {
      float lambda = n.getFloat("lambd", 0.5f), bias = n.getFloat("bias", 0);
      Tensor zero = constant(n, x, 0);
      Tensor above = n.im.compare(arith::CmpFPredicate::OGT, x, constant(n, x, lambda));
      Tensor inner = n.im.select(above, n.im.add(x, -bias), zero);
      return n.im.select(less(n, x, -lambda), n.im.add(x, bias), inner);
    });
  });
}
