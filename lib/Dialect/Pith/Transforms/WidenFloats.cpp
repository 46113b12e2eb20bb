//===- WidenFloats.cpp - f16 and bf16 become f32 --------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// An export in f16 says how the weights are stored, and, by casts around norms and softmax, where f16 would
// not do. Kernels read narrow weights and compute in f32, so inside an entry every narrow float becomes f32
// and the casts vanish; arguments and results keep their types, with one conversion at the boundary.
//===----------------------------------------------------------------------===//
#include "Matchers.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"

namespace pith {
#define GEN_PASS_DEF_WIDENFLOATS
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

bool isNarrow(Type type) { return type.isF16() || type.isBF16(); }

/// The type in f32; null if it is not narrow.
Type widened(Type type) {
  if (isNarrow(type))
    return Float32Type::get(type.getContext());
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    if (isNarrow(tensor.getElementType()))
      return RankedTensorType::get(tensor.getShape(), Float32Type::get(type.getContext()),
                                   tensor.getEncoding());
  return {};
}

APFloat toSingle(APFloat value) {
  bool lost;
  value.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &lost);
  return value;
}

Attribute widenedConstant(Attribute attr, Type type) {
  Type single = Float32Type::get(attr.getContext());
  if (auto number = dyn_cast<FloatAttr>(attr))
    return FloatAttr::get(single, toSingle(number.getValue()));
  if (auto elements = dyn_cast<DenseFPElementsAttr>(attr))
    return elements.mapValues(single, [](const APFloat &value) { return toSingle(value).bitcastToAPInt(); });
  return {};
}

LogicalResult widenOp(Operation *op) {
  if (isa<arith::BitcastOp, tensor::BitcastOp>(op) &&
      isNarrow(getElementTypeOrSelf(op->getOperand(0).getType())))
    return op->emitError("cannot compute in f32 what depends on the bits of a narrow float");
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    if (Type type = widened(constant.getType())) {
      Attribute attr = widenedConstant(constant.getValue(), type);
      if (!attr)
        return op->emitError("constant of type ")
               << constant.getType() << " has no elements that can be read as f32";
      constant.setValueAttr(cast<TypedAttr>(attr));
      constant.getResult().setType(type);
    }
    return success();
  }
  for (OpResult result : op->getResults())
    if (Type type = widened(result.getType()))
      result.setType(type);
  for (Region &region : op->getRegions())
    for (Block &block : region)
      for (BlockArgument arg : block.getArguments())
        if (Type type = widened(arg.getType()))
          arg.setType(type);
  return success();
}

/// A cast between f32 and f32, and what is left of one between a narrow float and f64.
void dropCast(Operation *op) {
  if (!isa<arith::ExtFOp, arith::TruncFOp>(op))
    return;
  Value source = op->getOperand(0), result = op->getResult(0);
  unsigned from = getElementTypeOrSelf(source.getType()).getIntOrFloatBitWidth();
  unsigned to = getElementTypeOrSelf(result.getType()).getIntOrFloatBitWidth();
  if (from != to)
    return;
  result.replaceAllUsesWith(source);
  op->erase();
}

LogicalResult widen(func::FuncOp entry) {
  SmallVector<Operation *> ops;
  entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
  for (Operation *op : ops)
    if (failed(widenOp(op)))
      return failure();
  for (Operation *op : ops)
    dropCast(op);

  OpBuilder builder(entry.getContext());
  builder.setInsertionPointToStart(&entry.getBody().front());
  for (BlockArgument arg : entry.getArguments())
    if (Type type = widened(arg.getType())) {
      auto wide = arith::ExtFOp::create(builder, arg.getLoc(), type, arg);
      // An element that sizes depend on is read from the argument itself.
      for (Operation *user : llvm::make_early_inc_range(arg.getUsers()))
        if (auto extract = dyn_cast<tensor::ExtractOp>(user); extract && extract->getBlock() == &entry.front()) {
          OpBuilder after(extract);
          auto narrow = tensor::ExtractOp::create(after, extract.getLoc(), arg, extract.getIndices());
          extract.replaceAllUsesWith(
              arith::ExtFOp::create(after, extract.getLoc(), extract.getType(), narrow.getResult()).getResult());
          extract.erase();
        }
      arg.replaceUsesWithIf(wide, [&](OpOperand &use) {
        return use.getOwner() != wide && !isa<tensor::DimOp>(use.getOwner()) &&
               !(isa<tensor::ExtractOp>(use.getOwner()) && use.getOwner()->getBlock() == &entry.front());
      });
      builder.setInsertionPointAfter(wide); // what stood behind it may be gone
    }
  SmallVector<func::ReturnOp> returns;
  entry.getBody().walk([&](func::ReturnOp ret) { returns.push_back(ret); });
  for (func::ReturnOp ret : returns) {
    builder.setInsertionPoint(ret);
    for (auto [operand, type] : llvm::zip(ret->getOpOperands(), entry.getResultTypes()))
      if (operand.get().getType() != type)
        operand.set(arith::TruncFOp::create(builder, ret.getLoc(), type, operand.get()));
  }
  return success();
}

struct WidenFloatsPass : pith::impl::WidenFloatsBase<WidenFloatsPass> {
  void runOnOperation() override {
    for (func::FuncOp entry : entryFunctions(getOperation()))
      if (failed(widen(entry)))
        return signalPassFailure();
    if (failed(cleanUp(getOperation())))
      signalPassFailure();
  }
};

} // namespace
