//===- StepIndices.cpp - which rows of tables a step reads ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "StepIndices.h"
#include "mlir/IR/Matchers.h"
#include "pith/Dialect/Pith/IR/Pith.h"

using namespace mlir;
using namespace pith;

/// The number that all elements of a tensor are.
static std::optional<int64_t> splatNumber(Value tensor) {
  if (auto broadcast = tensor.getDefiningOp<BroadcastOp>())
    return splatNumber(broadcast.getSource());
  DenseIntElementsAttr elements;
  if (matchPattern(tensor, m_Constant(&elements)) && elements.isSplat())
    return elements.getSplatValue<APInt>().getSExtValue();
  return std::nullopt;
}

std::optional<ArgumentIndex> pith::traceIndex(Value indices) {
  int64_t offset = 0;
  while (true) {
    if (auto argument = dyn_cast<BlockArgument>(indices)) {
      if (!isa<func::FuncOp>(argument.getOwner()->getParentOp()))
        return std::nullopt;
      return ArgumentIndex{argument.getArgNumber(), offset};
    }
    Operation *op = indices.getDefiningOp();
    if (isa<arith::ExtSIOp, arith::TruncIOp, arith::IndexCastOp, ReshapeOp>(op)) {
      indices = op->getOperand(0);
      continue;
    }
    auto add = dyn_cast<arith::AddIOp>(op);
    if (!add)
      return std::nullopt;
    if (std::optional<int64_t> number = splatNumber(add.getRhs())) {
      offset += *number;
      indices = add.getLhs();
    } else if ((number = splatNumber(add.getLhs()))) {
      offset += *number;
      indices = add.getRhs();
    } else {
      return std::nullopt;
    }
  }
}

int64_t pith::positionLimit(func::FuncOp step) {
  constexpr unsigned positions = 1;
  int64_t limit = 0;
  auto bound = [&](Value indices, int64_t rows) {
    std::optional<ArgumentIndex> index = traceIndex(indices);
    if (!index || index->argument != positions || ShapedType::isDynamic(rows))
      return;
    int64_t count = std::max<int64_t>(rows - index->offset, 1);
    limit = limit ? std::min(limit, count) : count;
  };
  step.walk([&](Operation *op) {
    if (auto gather = dyn_cast<GatherOp>(op)) {
      bound(gather.getIndices(),
            cast<RankedTensorType>(gather.getSource().getType()).getDimSize(gather.getAxis()));
    } else if (auto embedding = dyn_cast<EmbeddingOp>(op)) {
      auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(op, embedding.getWeightAttr());
      if (weight && weight.getTensorType().getRank() == 2)
        bound(embedding.getIds(), weight.getTensorType().getDimSize(embedding.getKMajor() ? 1 : 0));
    }
  });
  return limit;
}
