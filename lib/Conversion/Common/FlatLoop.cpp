//===- FlatLoop.cpp - a nest of parallel loops as one ---------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "FlatLoop.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;
using namespace pith;

void pith::markVectorizable(scf::ForOp loop) {
  MLIRContext *context = loop.getContext();
  auto vectorize = LLVM::LoopVectorizeAttr::get(context, /*disable=*/BoolAttr::get(context, false), {}, {},
                                                {}, {}, {}, {});
  loop->setAttr("loop_annotation", LLVM::LoopAnnotationAttr::get(context, {}, vectorize, {}, {}, {}, {}, {},
                                                                 {}, {}, {}, {}, {}, {}, {}, {}));
}

bool pith::isConstant(Value value) {
  Operation *def = value.getDefiningOp();
  return def && def->hasTrait<OpTrait::ConstantLike>();
}

llvm::SetVector<Value> pith::capturedBy(scf::ParallelOp loop) {
  llvm::SetVector<Value> used(loop->operand_begin(), loop->operand_end()), captured;
  getUsedValuesDefinedAbove(loop->getRegions(), used);
  for (Value value : used)
    if (!isConstant(value))
      captured.insert(value);
  return captured;
}

FlatLoop::FlatLoop(OpBuilder &b, scf::ParallelOp loop, llvm::function_ref<Value(Value)> outside)
    : loop(loop) {
  Location loc = loop.getLoc();
  for (auto [l, u, s] : llvm::zip_equal(loop.getLowerBound(), loop.getUpperBound(), loop.getStep())) {
    lower.push_back(outside(l));
    steps.push_back(outside(s));
    Value distance = arith::SubIOp::create(b, loc, outside(u), lower.back());
    counts.push_back(arith::CeilDivSIOp::create(b, loc, distance, steps.back()));
  }
  total = counts.front();
  for (Value count : ArrayRef(counts).drop_front())
    total = arith::MulIOp::create(b, loc, total, count);
}

void FlatLoop::bind(OpBuilder &b, Value flat, IRMapping &map) const {
  Location loc = scf::ParallelOp(loop).getLoc();
  for (int64_t i = counts.size() - 1; i >= 0; --i) {
    Value position = flat;
    if (i > 0) {
      position = arith::RemUIOp::create(b, loc, flat, counts[i]);
      flat = arith::DivUIOp::create(b, loc, flat, counts[i]);
    }
    Value scaled = arith::MulIOp::create(b, loc, position, steps[i]);
    map.map(scf::ParallelOp(loop).getInductionVars()[i],
            arith::AddIOp::create(b, loc, lower[i], scaled).getResult());
  }
}
