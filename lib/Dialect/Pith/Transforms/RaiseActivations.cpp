//===- RaiseActivations.cpp - activations and gated units -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Exporters write an activation in ever new ways (x*x*x or pow 3, 0.5 first or last, sigmoid or 1 / (1 +
// exp)). Instead of their spellings this pass looks at the function: a piece of elementwise code that depends
// on one tensor and scalar constants is evaluated at a few points and compared with the activations that the
// dialect knows. The points lie where these differ most: gelu and its tanh form are 5e-4 apart at 2.2, silu
// and quick_gelu 0.1 at 1.
//===----------------------------------------------------------------------===//
#include "Matchers.h"
#include "Views.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"
#include <cmath>

namespace pith {
#define GEN_PASS_DEF_RAISEACTIVATIONS
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

constexpr double kPoints[] = {-9.0, -5.0, -3.0, -2.2, -1.7, -1.0, -0.75, -0.3, -0.05,
                              0.0,  0.1,  0.5,  1.0,  1.5,  2.2,  2.7,   4.0,  7.0};
/// Between the rounding of constants in f16 (a few 1e-5) and the distance of the two gelus.
constexpr double kTolerance = 1.5e-4;

double reference(ActivationKind kind, double x) {
  switch (kind) {
  case ActivationKind::None:
    return x;
  case ActivationKind::Relu:
    return std::max(x, 0.0);
  case ActivationKind::Silu:
    return x / (1.0 + std::exp(-x));
  case ActivationKind::Gelu:
    return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
  case ActivationKind::GeluTanh:
    return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
  case ActivationKind::QuickGelu:
    return x / (1.0 + std::exp(-1.702 * x));
  }
  return NAN;
}

/// What one operation does to numbers; none if it is not elementwise arithmetic on floats.
std::optional<double> evaluateOp(Operation *op, ArrayRef<double> in) {
  if (isa<arith::AddFOp>(op))
    return in[0] + in[1];
  if (isa<arith::SubFOp>(op))
    return in[0] - in[1];
  if (isa<arith::MulFOp>(op))
    return in[0] * in[1];
  if (isa<arith::DivFOp>(op))
    return in[0] / in[1];
  if (isa<arith::NegFOp>(op))
    return -in[0];
  if (isa<arith::MaximumFOp, arith::MaxNumFOp>(op))
    return std::max(in[0], in[1]);
  if (isa<arith::MinimumFOp, arith::MinNumFOp>(op))
    return std::min(in[0], in[1]);
  if (isa<math::ExpOp>(op))
    return std::exp(in[0]);
  if (isa<math::TanhOp>(op))
    return std::tanh(in[0]);
  if (isa<math::ErfOp>(op))
    return std::erf(in[0]);
  if (isa<math::ErfcOp>(op))
    return std::erfc(in[0]);
  if (isa<math::SqrtOp>(op))
    return std::sqrt(in[0]);
  if (isa<math::AbsFOp>(op))
    return std::abs(in[0]);
  if (isa<math::PowFOp, math::FPowIOp>(op))
    return std::pow(in[0], in[1]);
  return std::nullopt;
}

/// The operations above `root` that are elementwise arithmetic and depend on nothing but `input` and scalar
/// constants.
class Function {
public:
  /// False if `root` depends on something else.
  static bool evaluate(Value root, Value input, double x, double &result) {
    llvm::DenseMap<Value, double> values;
    values[input] = x;
    return visit(root, values, result, 0);
  }

private:
  static bool visit(Value value, llvm::DenseMap<Value, double> &values, double &result, unsigned depth) {
    if (auto it = values.find(value); it != values.end()) {
      result = it->second;
      return true;
    }
    if (depth > 24)
      return false;
    if (auto scalar = scalarConstant(value)) {
      result = *scalar;
      return true;
    }
    Operation *op = value.getDefiningOp();
    if (!op || op->getNumOperands() > 2 || op->getNumOperands() == 0)
      return false;
    SmallVector<double, 2> in;
    for (Value operand : op->getOperands())
      if (!visit(operand, values, in.emplace_back(), depth + 1))
        return false;
    auto computed = evaluateOp(op, in);
    if (!computed)
      return false;
    result = values[value] = *computed;
    return true;
  }
};

/// Values that `root` might be a function of, the nearest first: its operands' operands and so on.
SmallVector<Value> candidates(Value root) {
  llvm::SetVector<Value> found;
  SmallVector<Value> level{root};
  for (unsigned depth = 0; depth < 12 && !level.empty(); ++depth) {
    SmallVector<Value> next;
    for (Value value : level) {
      Operation *op = value.getDefiningOp();
      if (!op || !evaluateOp(op, {1.0, 1.0}))
        continue;
      for (Value operand : op->getOperands())
        if (operand.getType() == root.getType() && !scalarConstant(operand) && found.insert(operand))
          next.push_back(operand);
    }
    level = std::move(next);
  }
  return llvm::to_vector(found.getArrayRef());
}

std::optional<ActivationKind> classify(Value root, Value input) {
  for (ActivationKind kind : {ActivationKind::Silu, ActivationKind::GeluTanh, ActivationKind::Gelu,
                              ActivationKind::QuickGelu, ActivationKind::Relu}) {
    bool same = llvm::all_of(kPoints, [&](double x) {
      double y;
      return Function::evaluate(root, input, x, y) && std::abs(y - reference(kind, x)) <= kTolerance;
    });
    if (same)
      return kind;
  }
  return std::nullopt;
}

void raiseActivation(Operation *op) {
  Value root = op->getResult(0);
  for (Value input : candidates(root)) {
    auto kind = classify(root, input);
    if (!kind)
      continue;
    OpBuilder builder(op);
    root.replaceAllUsesWith(ActivationOp::create(builder, op->getLoc(), root.getType(), *kind, input));
    return;
  }
}

/// activation(gate) * up, however the product of the three factors is associated.
void raiseGLU(Operation *op) {
  for (unsigned i : {0, 1}) {
    auto activation = op->getOperand(i).getDefiningOp<ActivationOp>();
    Value up = op->getOperand(1 - i);
    if (!activation || scalarConstant(up) || isChannelVector(up, lastDim(up)))
      continue;
    OpBuilder builder(op);
    op->getResult(0).replaceAllUsesWith(
        GLUOp::create(builder, op->getLoc(), up.getType(), activation.getKind(), activation.getX(), up));
    return;
  }
}

/// x * (g(x) * up) -> (x * g(x)) * up, if x * g(x) is an activation.
void reassociate(Operation *op) {
  for (unsigned i : {0, 1}) {
    Value x = op->getOperand(i);
    auto inner = op->getOperand(1 - i).getDefiningOp<arith::MulFOp>();
    if (!inner)
      continue;
    for (unsigned k : {0, 1}) {
      OpBuilder builder(op);
      Value g = inner->getOperand(k), up = inner->getOperand(1 - k);
      double y;
      if (scalarConstant(g) || scalarConstant(up) || g == x || !Function::evaluate(g, x, 1.0, y))
        continue;
      auto product = arith::MulFOp::create(builder, op->getLoc(), x, g);
      if (!classify(product, x)) {
        product.erase();
        continue;
      }
      op->setOperands({product, up});
      return raiseActivation(product);
    }
  }
}

void raise(func::FuncOp entry) {
  SmallVector<Operation *> ops;
  entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
  // From the last operation up: the whole function is seen before its parts (x * sigmoid(x) before
  // sigmoid(x)).
  for (Operation *op : llvm::reverse(ops)) {
    if (op->getNumResults() != 1 || !isFloatTensor(op->getResult(0)) || op->use_empty())
      continue;
    if (isa<arith::MulFOp>(op))
      reassociate(op);
    if (isa<arith::MulFOp, arith::DivFOp, arith::MaximumFOp, arith::MaxNumFOp>(op))
      raiseActivation(op);
  }
  for (Operation *op : ops)
    if (isa<arith::MulFOp>(op) && isFloatTensor(op->getResult(0)))
      raiseGLU(op);
  eraseDead(entry);
  entry.getBody().walk([](Operation *op) {
    if (isa<math::ErfOp>(op) && isFloatTensor(op->getResult(0)))
      reportMissed(op, "pith-raise-activations", "activation",
                   "erf that is no part of x (1 + erf(x / sqrt 2)) / 2");
  });
}

struct RaiseActivationsPass : pith::impl::RaiseActivationsBase<RaiseActivationsPass> {
  void runOnOperation() override {
    for (func::FuncOp entry : entryFunctions(getOperation())) {
      raise(entry);
      Views(entry).normalize(entry);
    }
    if (failed(cleanUp(getOperation())))
      signalPassFailure();
  }
};

} // namespace
