//===- PithToLinalg.cpp - pith operations on tensors to linalg ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Operations are lowered in order, each from operands that are lowered already.
//
//===----------------------------------------------------------------------===//
#include "TensorBuilder.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/SymbolTable.h"
#include "pith/Conversion/PackedWeights.h"
#include "pith/Conversion/Passes.h"
#include "pith/Dialect/Pith/IR/PithDataOps.h"

namespace pith {
#define GEN_PASS_DEF_CONVERTPITHTOLINALG
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
struct ConvertPithToLinalg : pith::impl::ConvertPithToLinalgBase<ConvertPithToLinalg> {
  void runOnOperation() override;
  LogicalResult lowerFunction(func::FuncOp function, PackedWeights &weights);
  LogicalResult lowerOp(Operation *op, PackedWeights &weights);
  LogicalResult lowerLoad(LoadOp op, PackedWeights &weights);
};

/// Weights up to this many bytes become constants, which fold into the code that uses them.
constexpr int64_t constantBytes = 64;
} // namespace

LogicalResult ConvertPithToLinalg::lowerLoad(LoadOp op, PackedWeights &weights) {
  OpBuilder b(op);
  auto type = cast<RankedTensorType>(op.getResult().getType());
  auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(op, op.getWeightAttr());
  if (!weight)
    return op.emitError("no weight ") << op.getWeightAttr();
  if (type.getNumElements() * 8 <= constantBytes * 2)
    if (DenseElementsAttr elements = weight.getElements(constantBytes))
      if (elements.getType() == type) {
        op.replaceAllUsesWith(arith::ConstantOp::create(b, op.getLoc(), elements).getResult());
        op.erase();
        return success();
      }
  FailureOr<PackedOp> packed = weights.getPlain(weight, type);
  if (failed(packed))
    return failure();
  auto bufferType = MemRefType::get(type.getShape(), type.getElementType());
  Value address = PackedAddressOp::create(b, op.getLoc(), bufferType, FlatSymbolRefAttr::get(*packed));
  Value tensor =
      bufferization::ToTensorOp::create(b, op.getLoc(), type, address, /*restrict=*/true, /*writable=*/false);
  op.replaceAllUsesWith(tensor);
  op.erase();
  return success();
}

LogicalResult ConvertPithToLinalg::lowerOp(Operation *op, PackedWeights &weights) {
  if (auto load = dyn_cast<LoadOp>(op))
    return lowerLoad(load, weights);
  OpBuilder b(op);
  if (auto dim = dyn_cast<tensor::DimOp>(op)) {
    std::optional<int64_t> i = dim.getConstantIndex();
    auto type = dyn_cast<RankedTensorType>(dim.getSource().getType());
    if (!i || !type || *i >= type.getRank())
      return success();
    OpFoldResult size = getDim(b, op->getLoc(), dim.getSource(), *i);
    Value value = getValueOrCreateConstantIndexOp(b, op->getLoc(), size);
    if (value == dim)
      return success();
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
    return success();
  }
  if (op->getNumResults() != 1 || !isa<RankedTensorType>(op->getResult(0).getType()) ||
      op->getNumRegions() > 1)
    return success();
  TensorBuilder t(b, op->getLoc());
  FailureOr<Value> result = lowerTensorOp(t, op);
  if (succeeded(result) && !*result)
    result = lowerIndexingOp(t, op);
  if (succeeded(result) && !*result)
    result = lowerTransformerOp(t, op);
  if (failed(result))
    return failure();
  if (!*result)
    return success();
  Value value = t.as(*result, op->getResult(0).getType());
  op->getResult(0).replaceAllUsesWith(value);
  op->erase();
  return success();
}

LogicalResult ConvertPithToLinalg::lowerFunction(func::FuncOp function, PackedWeights &weights) {
  SmallVector<Operation *> ops;
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa<linalg::LinalgOp>(op))
      return WalkResult::skip();
    ops.push_back(op);
    return WalkResult::advance();
  });
  for (Operation *op : ops)
    if (failed(lowerOp(op, weights)))
      return failure();
  // Loads that the plain forms of transformer operations asked for.
  SmallVector<LoadOp> loads;
  function.walk([&](LoadOp op) { loads.push_back(op); });
  for (LoadOp op : loads)
    if (failed(lowerLoad(op, weights)))
      return failure();
  LogicalResult result = success();
  function.walk([&](Operation *op) {
    if (isa_and_nonnull<PithDialect>(op->getDialect()) && !isa<LaunchOp, PackedAddressOp, ArgSortOp>(op)) {
      op->emitError("cannot be lowered to code for this target");
      result = failure();
    }
  });
  return result;
}

void ConvertPithToLinalg::runOnOperation() {
  PackedWeights weights(getOperation());
  for (auto function : getOperation().getOps<func::FuncOp>())
    if (failed(lowerFunction(function, weights)))
      return signalPassFailure();
}
