//===- Matchers.cpp -------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Matchers.h"
#include "Views.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include <cmath>

using namespace mlir;
using namespace pith;

SmallVector<func::FuncOp> pith::entryFunctions(ModuleOp module) {
  SmallVector<func::FuncOp> entries;
  for (auto function : module.getOps<func::FuncOp>())
    if (function->hasAttr(kEntryAttr) && !function.isExternal())
      entries.push_back(function);
  return entries;
}

int64_t pith::rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

int64_t pith::lastDim(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.getRank() ? type.getShape().back() : 1;
}

bool pith::isFloatTensor(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && isa<FloatType>(type.getElementType());
}

Value pith::stripBroadcast(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<BroadcastOp>(op) && !(isa<tensor::CastOp>(op) && isViewOp(op)))
      break;
    value = op->getOperand(0);
  }
  return value;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

WeightOp pith::loadedWeight(Value value) {
  auto load = value.getDefiningOp<LoadOp>();
  return load ? SymbolTable::lookupNearestSymbolFrom<WeightOp>(load, load.getWeightAttr()) : WeightOp();
}

static std::optional<double> scalarOf(Attribute attr) {
  if (auto elements = dyn_cast_or_null<DenseElementsAttr>(attr)) {
    if (!elements.isSplat())
      return std::nullopt;
    return scalarOf(elements.getSplatValue<Attribute>());
  }
  if (auto number = dyn_cast_or_null<FloatAttr>(attr))
    return number.getValueAsDouble();
  if (auto number = dyn_cast_or_null<IntegerAttr>(attr))
    return number.getType().isInteger(1) ? number.getValue().getBoolValue()
                                         : number.getValue().getSExtValue();
  return std::nullopt;
}

std::optional<double> pith::scalarConstant(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (isViewOp(op) || isa<tensor::ExtractSliceOp>(op)) {
      value = op->getOperand(0);
      continue;
    }
    Attribute attr;
    if (matchPattern(value, m_Constant(&attr)))
      return scalarOf(attr);
    if (auto splat = dyn_cast<tensor::SplatOp>(op))
      return scalarConstant(splat.getInput());
    if (WeightOp weight = loadedWeight(value); weight && weight.getTensorType().getNumElements() == 1) {
      SmallVector<float> elements;
      if (isa<FloatType>(weight.getTensorType().getElementType()) && succeeded(weight.decode(elements)))
        return elements[0];
    }
    break;
  }
  return std::nullopt;
}

bool pith::isScalar(Value value, double expected, double relative) {
  std::optional<double> found = scalarConstant(value);
  return found && std::abs(*found - expected) <= relative * std::max(std::abs(expected), 1e-30);
}

std::optional<std::pair<Value, double>> pith::scaledBy(Operation *op) {
  if (isa<arith::NegFOp>(op))
    return std::pair(op->getOperand(0), -1.0);
  if (isa<arith::MulFOp>(op))
    for (unsigned i : {0, 1})
      if (auto factor = scalarConstant(op->getOperand(i)))
        return std::pair(op->getOperand(1 - i), *factor);
  if (isa<arith::DivFOp>(op))
    if (auto divisor = scalarConstant(op->getOperand(1)); divisor && *divisor != 0)
      return std::pair(op->getOperand(0), 1.0 / *divisor);
  return std::nullopt;
}

std::optional<SmallVector<float>> pith::constantElements(Value value, int64_t maxElements) {
  auto type = cast<RankedTensorType>(value.getType());
  if (!type.hasStaticShape() || type.getNumElements() > maxElements || !isa<FloatType>(type.getElementType()))
    return std::nullopt;
  SmallVector<float> elements;
  if (WeightOp weight = loadedWeight(value)) {
    if (failed(weight.decode(elements)))
      return std::nullopt;
    return elements;
  }
  DenseElementsAttr attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  for (const APFloat &element : attr.getValues<APFloat>())
    elements.push_back(element.convertToDouble());
  return elements;
}

FlatSymbolRefAttr pith::weightSymbol(Value value, ArrayRef<int64_t> shape) {
  auto matches = [&](RankedTensorType type) { return shape.empty() || type.getShape() == shape; };
  while (auto cast = value.getDefiningOp<tensor::CastOp>())
    value = cast.getSource();
  auto type = cast<RankedTensorType>(value.getType());
  if (!matches(type) || !isa<FloatType>(type.getElementType()))
    return {};
  if (WeightOp weight = loadedWeight(value))
    return FlatSymbolRefAttr::get(weight.getSymNameAttr());
  DenseElementsAttr attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return {};
  auto module = value.getDefiningOp()->getParentOfType<ModuleOp>();
  for (auto weight : module.getOps<WeightOp>())
    if (weight.getData() == attr && weight.getTensorType() == type)
      return FlatSymbolRefAttr::get(weight.getSymNameAttr());
  OpBuilder builder(module.getContext());
  builder.setInsertionPointToStart(module.getBody());
  SymbolTable symbols(module);
  auto named = value.getLoc()->findInstanceOf<NameLoc>();
  auto weight =
      WeightOp::create(builder, value.getLoc(), named ? named.getName().getValue() : "constant", type, attr);
  weight->remove();
  symbols.insert(weight, module.getBody()->begin());
  return FlatSymbolRefAttr::get(weight.getSymNameAttr());
}

//===----------------------------------------------------------------------===//
// Channel vectors
//===----------------------------------------------------------------------===//

/// The value behind a vector of channels: its dimensions are 1 except the last, which has `channels`.
static Value vectorSource(Value value, int64_t channels) {
  if (ShapedType::isDynamic(channels))
    return {};
  Value source = stripBroadcast(value);
  while (auto reshape = source.getDefiningOp<ReshapeOp>())
    source = stripBroadcast(reshape.getSource());
  auto type = cast<RankedTensorType>(source.getType());
  if (!type.getRank() || type.getShape().back() != channels || !type.hasStaticShape() ||
      type.getNumElements() != channels)
    return {};
  // The outermost value must still have the channels last: a reshape on the way may have moved them.
  if (lastDim(value) != channels)
    return {};
  for (Value step = value; step != source; step = step.getDefiningOp()->getOperand(0))
    if (lastDim(step) != channels)
      return {};
  return source;
}

bool pith::isChannelVector(Value value, int64_t channels) {
  return isFloatTensor(value) && rankOf(value) > 0 && static_cast<bool>(vectorSource(value, channels));
}

Value pith::channelVector(OpBuilder &builder, Value value, int64_t channels) {
  if (!isFloatTensor(value) || rankOf(value) == 0)
    return {};
  Value source = vectorSource(value, channels);
  if (!source || rankOf(source) == 1)
    return source;
  auto type = RankedTensorType::get({channels}, cast<RankedTensorType>(source.getType()).getElementType());
  return ReshapeOp::create(builder, source.getLoc(), type, source, ValueRange());
}

//===----------------------------------------------------------------------===//
// Passes
//===----------------------------------------------------------------------===//

void pith::reportMissed(Operation *op, StringRef pass, StringRef what, StringRef reason) {
  remark::missed(op->getLoc(), remark::RemarkOpts::name(what).category(pass)) << reason;
}

void pith::eraseDead(func::FuncOp entry) {
  SmallVector<Operation *> ops;
  entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
  for (Operation *op : llvm::reverse(ops))
    if (isOpTriviallyDead(op))
      op->erase();
}

namespace {
/// x * 1, x / 1, x + 0, x - 0, x^1, and, or with what does not change it: also where the constant is a
/// broadcast scalar.
struct DropNeutral : RewritePattern {
  DropNeutral(MLIRContext *context) : RewritePattern(MatchAnyOpTypeTag(), 1, context) {}

  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (op->getNumOperands() != 2 || op->getNumResults() != 1 ||
        !isa<RankedTensorType>(op->getResult(0).getType()))
      return failure();
    std::optional<double> neutral;
    bool commutes =
        isa<arith::MulFOp, arith::AddFOp, arith::MulIOp, arith::AddIOp, arith::AndIOp, arith::OrIOp>(op);
    if (isa<arith::MulFOp, arith::DivFOp, math::PowFOp, arith::MulIOp, arith::DivSIOp>(op))
      neutral = 1.0;
    else if (isa<arith::AddFOp, arith::SubFOp, arith::AddIOp, arith::SubIOp, arith::OrIOp>(op))
      neutral = 0.0;
    else if (isa<arith::AndIOp>(op) && getElementTypeOrSelf(op->getResult(0).getType()).isInteger(1))
      neutral = 1.0;
    if (!neutral)
      return failure();
    for (unsigned i : {1, 0})
      if ((i == 1 || commutes) && scalarConstant(op->getOperand(i)) == neutral) {
        rewriter.replaceOp(op, op->getOperand(1 - i));
        return success();
      }
    return failure();
  }
};
} // namespace

LogicalResult pith::cleanUp(ModuleOp module) {
  MLIRContext *context = module.getContext();
  RewritePatternSet patterns(context);
  patterns.add<DropNeutral>(context);
  for (Dialect *dialect : context->getLoadedDialects())
    dialect->getCanonicalizationPatterns(patterns);
  for (RegisteredOperationName name : context->getRegisteredOperations())
    name.getCanonicalizationPatterns(patterns, context);
  FrozenRewritePatternSet frozen(std::move(patterns));
  for (func::FuncOp entry : entryFunctions(module)) {
    eraseDead(entry);
    if (failed(applyPatternsGreedily(entry, frozen)))
      return failure();
  }
  return success();
}
