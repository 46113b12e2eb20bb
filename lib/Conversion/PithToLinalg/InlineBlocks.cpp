//===- InlineBlocks.cpp - put the contents of blocks in their place -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "mlir/IR/PatternMatch.h"
#include "pith/Conversion/Passes.h"

namespace pith {
#define GEN_PASS_DEF_INLINEBLOCKS
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;

namespace {
struct InlineBlocks : pith::impl::InlineBlocksBase<InlineBlocks> {
  void runOnOperation() override {
    SmallVector<pith::BlockOp> blocks;
    getOperation().walk([&](pith::BlockOp op) { blocks.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (pith::BlockOp op : blocks) {
      Block *body = &op.getBody().front();
      Operation *yield = body->getTerminator();
      rewriter.inlineBlockBefore(body, op, op->getOperands());
      SmallVector<Value> results(yield->getOperands());
      rewriter.eraseOp(yield);
      rewriter.replaceOp(op, results);
    }
  }
};
} // namespace
