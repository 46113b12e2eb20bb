//===- RaiseNorms.cpp - RMS and layer normalization -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// A product in which one factor is (mean(x^2) + epsilon)^-1/2 over the last dimension and another is x is the
// root mean square norm of x; the power may be spelled as a quotient by the root, the quotient 1 / root,
// rsqrt or powf. Where x is itself c - mean(c), that is the layer norm of c. Factors and terms that are
// vectors of the channels are its scale and bias.
//===----------------------------------------------------------------------===//
#include "Matchers.h"
#include "Views.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"

namespace pith {
#define GEN_PASS_DEF_RAISENORMS
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

/// mean(source) over the last dimension, which stays as 1: a mean, or a sum scaled by the number of channels.
Value meanOf(Value value) {
  value = stripBroadcast(value);
  double factor = 1.0;
  if (Operation *op = value.getDefiningOp())
    if (auto scaled = scaledBy(op)) {
      value = stripBroadcast(scaled->first);
      factor = scaled->second;
    }
  auto reduce = value.getDefiningOp<ReduceOp>();
  if (!reduce || reduce.getAxes() != ArrayRef<int64_t>{rankOf(reduce.getSource()) - 1})
    return {};
  if (reduce.getKind() == ReduceKind::Mean && factor == 1.0)
    return reduce.getSource();
  int64_t channels = lastDim(reduce.getSource());
  if (reduce.getKind() == ReduceKind::Sum && !ShapedType::isDynamic(channels) &&
      std::abs(factor * channels - 1.0) < 1e-5)
    return reduce.getSource();
  return {};
}

/// x if `value` is x^2.
Value squared(Value value) {
  Operation *op = value.getDefiningOp();
  if (isa_and_nonnull<arith::MulFOp>(op) && op->getOperand(0) == op->getOperand(1))
    return op->getOperand(0);
  if (isa_and_nonnull<math::PowFOp>(op) && isScalar(op->getOperand(1), 2.0))
    return op->getOperand(0);
  if (isa_and_nonnull<math::FPowIOp>(op) && isScalar(op->getOperand(1), 2.0))
    return op->getOperand(0);
  return {};
}

/// c if `value` is c - mean(c).
Value centred(Value value) {
  auto sub = value.getDefiningOp<arith::SubFOp>();
  return sub && meanOf(sub.getRhs()) == sub.getLhs() ? sub.getLhs() : Value();
}

struct MeanSquare {
  Value x;
  double epsilon;
};

/// mean(x^2) + epsilon; the variance of c, as E[c^2] - E[c]^2, counts as that of c - mean(c), which `x` must
/// then be.
std::optional<MeanSquare> meanSquare(Value value, Value x) {
  value = stripBroadcast(value);
  double epsilon = 0.0;
  if (auto add = value.getDefiningOp<arith::AddFOp>())
    for (unsigned i : {0, 1})
      if (auto constant = scalarConstant(add->getOperand(i)); constant && *constant >= 0) {
        epsilon = *constant;
        value = stripBroadcast(add->getOperand(1 - i));
        break;
      }
  if (Value mean = meanOf(value))
    if (Value root = squared(mean))
      return MeanSquare{root, epsilon};
  if (auto sub = value.getDefiningOp<arith::SubFOp>(); sub && x)
    if (Value square = meanOf(sub.getLhs()), mean = squared(stripBroadcast(sub.getRhs())); square && mean)
      if (Value c = squared(square); c && meanOf(mean) == c && centred(x) == c)
        return MeanSquare{x, epsilon};
  return std::nullopt;
}

/// mean(x^2) + epsilon if `value`, used as a factor (or divisor if `inverse`), is its power -1/2.
std::optional<MeanSquare> inverseRoot(Value value, bool inverse, Value x) {
  value = stripBroadcast(value);
  Operation *op = value.getDefiningOp();
  if (!op)
    return std::nullopt;
  if (isa<math::SqrtOp>(op))
    return inverse ? meanSquare(op->getOperand(0), x) : std::nullopt;
  if (isa<math::RsqrtOp>(op))
    return inverse ? std::nullopt : meanSquare(op->getOperand(0), x);
  if (isa<math::PowFOp>(op) && isScalar(op->getOperand(1), inverse ? 0.5 : -0.5))
    return meanSquare(op->getOperand(0), x);
  if (isa<arith::DivFOp>(op) && isScalar(op->getOperand(0), 1.0))
    return inverseRoot(op->getOperand(1), !inverse, x);
  return std::nullopt;
}

/// One factor of a product; `inverse` if it divides.
struct Factor {
  Value value;
  bool inverse;
};

void collectFactors(Value value, bool inverse, unsigned depth, SmallVectorImpl<Factor> &factors) {
  Operation *op = stripBroadcast(value).getDefiningOp();
  if (depth && isa_and_nonnull<arith::MulFOp, arith::DivFOp>(op) && !inverseRoot(value, inverse, {})) {
    collectFactors(op->getOperand(0), inverse, depth - 1, factors);
    collectFactors(op->getOperand(1), inverse != isa<arith::DivFOp>(op), depth - 1, factors);
    return;
  }
  factors.push_back({value, inverse});
}

class RaiseNorms {
public:
  explicit RaiseNorms(func::FuncOp entry) : entry(entry), builder(entry.getContext()) {}

  void run() {
    SmallVector<Operation *> ops;
    entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops) {
      builder.setInsertionPoint(op);
      if (isa<arith::MulFOp, arith::DivFOp>(op) && isFloatTensor(op->getResult(0)))
        raiseProduct(op);
    }
    for (Operation *op : ops) {
      builder.setInsertionPoint(op);
      if (isa<arith::MulFOp>(op))
        foldScale(op);
      else if (isa<arith::AddFOp>(op))
        foldBias(op);
    }
    eraseDead(entry);
    entry.getBody().walk([&](Operation *op) {
      if (isa<RMSNormOp, LayerNormOp>(op))
        for (OpOperand &operand : MutableArrayRef(op->getOpOperands()).drop_front())
          loadParameter(operand);
    });
    entry.getBody().walk([](ReduceOp reduce) {
      Value mean = meanOf(reduce.getResult());
      if (mean && squared(mean))
        reportMissed(
            reduce, "pith-raise-norms", "norm",
            "the mean of a square over the channels, but its inverse root does not scale what was squared");
    });
  }

private:
  /// The norm with a scale of ones; foldScale puts the real one in.
  void raiseProduct(Operation *op) {
    Value result = op->getResult(0);
    int64_t channels = lastDim(result);
    if (ShapedType::isDynamic(channels))
      return;
    SmallVector<Factor> factors;
    collectFactors(op->getOperand(0), false, 1, factors);
    collectFactors(op->getOperand(1), isa<arith::DivFOp>(op), 1, factors);
    for (auto [rootAt, root] : llvm::enumerate(factors))
      for (auto [xAt, x] : llvm::enumerate(factors)) {
        if (rootAt == xAt || x.inverse || x.value.getType() != result.getType())
          continue;
        auto square = inverseRoot(root.value, root.inverse, x.value);
        if (!square || square->x != x.value)
          continue;
        Value y = norm(op->getLoc(), x.value, square->epsilon);
        for (auto [at, other] : llvm::enumerate(factors)) {
          if (at == rootAt || at == xAt)
            continue;
          Value factor = other.value;
          if (factor.getType() != y.getType())
            return; // a broadcast between differing shapes: not this product's own
          y = other.inverse ? arith::DivFOp::create(builder, op->getLoc(), y, factor).getResult()
                            : arith::MulFOp::create(builder, op->getLoc(), y, factor).getResult();
        }
        result.replaceAllUsesWith(y);
        if (auto product = y.getDefiningOp<arith::MulFOp>()) {
          builder.setInsertionPointAfter(product);
          foldScale(product);
        }
        return;
      }
  }

  Value norm(Location loc, Value x, double epsilon) {
    FloatAttr eps = builder.getF32FloatAttr(epsilon);
    if (Value c = centred(x))
      return LayerNormOp::create(builder, loc, c.getType(), c, Value(), Value(), eps);
    auto type = RankedTensorType::get({lastDim(x)}, cast<RankedTensorType>(x.getType()).getElementType());
    Attribute one = builder.getFloatAttr(type.getElementType(), 1.0);
    Value ones = arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, one));
    return RMSNormOp::create(builder, loc, x.getType(), x, ones, eps);
  }

  /// norm(x) * vector: the vector joins the scale. The norm alone may have other users, which keep it.
  void foldScale(Operation *product) {
    for (unsigned i : {0, 1}) {
      Value y = product->getOperand(i);
      auto rms = y.getDefiningOp<RMSNormOp>();
      auto layer = y.getDefiningOp<LayerNormOp>();
      if ((!rms && !layer) || (layer && layer.getBias()))
        continue;
      Value vector = channelVector(builder, product->getOperand(1 - i), lastDim(y));
      if (!vector)
        continue;
      Value old = rms ? rms.getScale() : layer.getScale();
      if (old && !isScalar(old, 1.0, 0.0))
        vector = arith::MulFOp::create(builder, product->getLoc(), old, vector);
      Value scaled = rms ? RMSNormOp::create(builder, rms.getLoc(), rms.getType(), rms.getX(), vector,
                                             rms.getEpsilonAttr())
                               .getResult()
                         : LayerNormOp::create(builder, layer.getLoc(), layer.getType(), layer.getX(), vector,
                                               Value(), layer.getEpsilonAttr())
                               .getResult();
      product->getResult(0).replaceAllUsesWith(scaled);
      return;
    }
  }

  void foldBias(Operation *sum) {
    for (unsigned i : {0, 1}) {
      auto layer = sum->getOperand(i).getDefiningOp<LayerNormOp>();
      if (!layer || layer.getBias())
        continue;
      Value vector = channelVector(builder, sum->getOperand(1 - i), lastDim(layer));
      if (!vector)
        continue;
      Value shifted = LayerNormOp::create(builder, layer.getLoc(), layer.getType(), layer.getX(),
                                          layer.getScale(), vector, layer.getEpsilonAttr());
      sum->getResult(0).replaceAllUsesWith(shifted);
      return;
    }
  }

  /// Scale and bias are weights, also those so small that they came as constants.
  void loadParameter(OpOperand &operand) {
    Value value = operand.get();
    if (!value.getDefiningOp<arith::ConstantOp>())
      return;
    if (FlatSymbolRefAttr weight = weightSymbol(value)) {
      builder.setInsertionPoint(operand.getOwner());
      operand.set(LoadOp::create(builder, value.getLoc(), value.getType(), weight));
    }
  }

  func::FuncOp entry;
  OpBuilder builder;
};

struct RaiseNormsPass : pith::impl::RaiseNormsBase<RaiseNormsPass> {
  void runOnOperation() override {
    for (func::FuncOp entry : entryFunctions(getOperation())) {
      RaiseNorms(entry).run();
      Views(entry).normalize(entry);
    }
    if (failed(cleanUp(getOperation())))
      signalPassFailure();
  }
};

} // namespace
