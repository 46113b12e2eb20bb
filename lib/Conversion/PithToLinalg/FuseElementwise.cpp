//===- FuseElementwise.cpp - compute what is used once where it is used ---===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "pith/Conversion/Passes.h"

namespace pith {
#define GEN_PASS_DEF_FUSEELEMENTWISE
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;

/// Merged loops stay small enough to compile quickly.
constexpr int64_t largestBody = 48;

/// Only moves or converts what it reads: as cheap as the read that it replaces.
static bool isCheap(linalg::GenericOp op) {
  if (op.getNumDpsInputs() > 1)
    return false;
  return llvm::all_of(op.getBody()->without_terminator(), [](Operation &inner) {
    return isa<linalg::IndexOp, arith::ConstantOp, arith::ExtFOp, arith::TruncFOp, arith::ExtSIOp,
               arith::ExtUIOp, arith::TruncIOp, arith::SIToFPOp, arith::UIToFPOp, arith::IndexCastOp,
               arith::NegFOp>(inner);
  });
}

static bool shouldFuse(OpOperand *operand) {
  auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
  auto consumer = dyn_cast<linalg::GenericOp>(operand->getOwner());
  if (!producer || !consumer)
    return false;
  if (static_cast<int64_t>(producer.getBody()->getOperations().size() +
                           consumer.getBody()->getOperations().size()) > largestBody)
    return false;
  if (isCheap(producer))
    return true;
  // Each of its elements must be read exactly once.
  AffineMap map = consumer.getMatchingIndexingMap(operand);
  return producer->hasOneUse() && map.isPermutation();
}

namespace {
struct FuseElementwise : pith::impl::FuseElementwiseBase<FuseElementwise> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    linalg::populateElementwiseOpsFusionPatterns(patterns, shouldFuse);
    linalg::GenericOp::getCanonicalizationPatterns(patterns, &getContext());
    GreedyRewriteConfig config;
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      return signalPassFailure();
  }
};
} // namespace
