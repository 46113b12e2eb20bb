//===- ExposeValues.cpp - values inside graphs as outputs -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/PassManager.h"
#include "pith/Conversion/Passes.h"
#include "llvm/ADT/StringMap.h"

namespace pith {
#define GEN_PASS_DEF_EXPOSEVALUES
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;

/// The first name in a location.
static StringRef nodeName(Location location) {
  StringRef name;
  location->walk([&](Location inner) {
    if (auto named = dyn_cast<NameLoc>(inner)) {
      name = named.getName();
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  return name;
}

/// A value that an output can hold and that is computed, not only looked at in another shape.
static bool isComputed(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || type.getEncoding() || !isa<FloatType>(type.getElementType()))
    return false;
  Operation *op = value.getDefiningOp();
  return !isa<arith::ConstantOp, pith::LoadOp, pith::ReshapeOp, pith::BroadcastOp, pith::TransposeOp,
              tensor::ExtractSliceOp, tensor::CastOp, tensor::EmptyOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op);
}

namespace {
struct ExposeValues : pith::impl::ExposeValuesBase<ExposeValues> {
  using ExposeValuesBase::ExposeValuesBase;

  void expose(func::FuncOp entry) {
    Operation *end = entry.getBody().front().getTerminator();
    SmallVector<Value> outputs(end->getOperands());
    SmallVector<Type> types(entry.getResultTypes());
    SmallVector<Attribute> names;
    llvm::StringMap<unsigned> seen;
    Builder builder(&getContext());
    for (Operation &op : entry.getBody().front().without_terminator()) {
      if (blocksOnly && !isa<pith::BlockOp>(op))
        continue;
      for (Value value : op.getResults()) {
        if (!isComputed(value) || llvm::is_contained(outputs, value))
          continue;
        std::string name = op.getName().getStringRef().str();
        if (auto block = dyn_cast<pith::BlockOp>(op))
          name += " " + std::to_string(block.getIndex());
        else if (StringRef node = nodeName(op.getLoc()); !node.empty())
          name += (" " + node).str();
        if (unsigned count = ++seen[name]; count > 1)
          name += " (" + std::to_string(count) + ")";
        outputs.push_back(value);
        types.push_back(value.getType());
        names.push_back(builder.getStringAttr(name));
      }
    }
    unsigned first = entry.getNumResults();
    end->setOperands(outputs);
    entry.setType(builder.getFunctionType(entry.getArgumentTypes(), types));
    for (auto [i, name] : llvm::enumerate(names))
      entry.setResultAttr(first + i, pith::kNameAttr, name);
  }

  void runOnOperation() override {
    if (!blocksOnly) {
      OpPassManager inlining(ModuleOp::getOperationName());
      inlining.addPass(pith::createInlineBlocks());
      if (failed(runPipeline(inlining, getOperation())))
        return signalPassFailure();
    }
    for (auto entry : getOperation().getOps<func::FuncOp>()) {
      auto kind = entry->getAttrOfType<StringAttr>(pith::kEntryAttr);
      if (kind && kind.getValue() == "invoke" && entry.getBody().hasOneBlock())
        expose(entry);
    }
  }
};
} // namespace
