//===- LinalgToLoops.cpp - from linalg on buffers to loops ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Loops are nested as the operation lists them, outermost first. Leading parallel loops become one
// `scf.parallel`, which the team divides; the innermost loop never is one of them if there are others, so
// that it stays a plain loop over contiguous elements that LLVM vectorizes. Sums over the innermost reduction
// loops are kept in registers.
//
//===----------------------------------------------------------------------===//
#include "FlatLoop.h"
#include "SortLoops.h"
#include "TeamCalls.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/PatternMatch.h"
#include "pith/Conversion/Passes.h"

namespace pith {
#define GEN_PASS_DEF_LINALGTOTEAMLOOPS
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;

namespace {
/// Turns one linalg operation into loops.
class LoopEmitter {
public:
  LoopEmitter(OpBuilder &b, linalg::LinalgOp op) : b(b), op(op), loc(op.getLoc()) {}

  /// `inTeam`: a thread takes whole rows. `onGrid`: a thread takes one element of the result, sums are formed
  /// last.
  void run(bool inTeam, bool onGrid) {
    ranges = op.createLoopRanges(b, loc);
    kinds = op.getIteratorTypesArray();
    unsigned loops = kinds.size(), parallel = 0;
    for (unsigned i = 0; i < loops; ++i)
      order.push_back(i);
    indices.resize(loops);
    if (onGrid)
      std::stable_partition(order.begin(), order.end(), [&](unsigned i) { return isParallel(i); });
    while (parallel < loops && isParallel(order[parallel]))
      ++parallel;
    if (!onGrid && parallel == loops && parallel > 1)
      --parallel;
    firstSum = loops;
    while (firstSum > parallel && kinds[order[firstSum - 1]] == utils::IteratorType::reduction)
      --firstSum;
    if ((!inTeam && !onGrid) || parallel == 0) {
      nest(0, {});
      return;
    }
    SmallVector<Value> lower, upper, step;
    for (unsigned i = 0; i < parallel; ++i) {
      const Range &range = ranges[order[i]];
      lower.push_back(value(range.offset));
      upper.push_back(value(range.size));
      step.push_back(value(range.stride));
    }
    scf::ParallelOp::create(b, loc, lower, upper, step, [&](OpBuilder &, Location, ValueRange ivs) {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(ivs.front().getParentBlock());
      for (auto [i, iv] : llvm::enumerate(ivs))
        indices[order[i]] = iv;
      nest(parallel, {});
    });
  }

private:
  bool isParallel(unsigned i) const { return kinds[i] == utils::IteratorType::parallel; }
  Value value(OpFoldResult size) { return getValueOrCreateConstantIndexOp(b, loc, size); }

  SmallVector<Value> place(OpOperand &operand) {
    SmallVector<Value> result;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (AffineExpr expr : map.getResults()) {
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        result.push_back(indices[dim.getPosition()]);
      else
        result.push_back(affine::expandAffineExpr(b, loc, expr, indices, {}));
    }
    return result;
  }

  /// Not moved by the reduction loops that are innermost.
  bool isSum(OpOperand &output) {
    AffineMap map = op.getMatchingIndexingMap(&output);
    for (unsigned i = firstSum; i < kinds.size(); ++i)
      if (map.isFunctionOfDim(order[i]))
        return false;
    return firstSum < kinds.size();
  }

  /// Loops from `depth` on; gives the new sums.
  SmallVector<Value> nest(unsigned depth, SmallVector<Value> sums) {
    if (depth == kinds.size())
      return body(sums);
    bool opensSums = depth == firstSum;
    if (opensSums)
      for (OpOperand &output : op.getDpsInitsMutable())
        if (isSum(output))
          sums.push_back(memref::LoadOp::create(b, loc, output.get(), place(output)));
    const Range &range = ranges[order[depth]];
    auto loop = scf::ForOp::create(b, loc, value(range.offset), value(range.size), value(range.stride), sums);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(loop.getBody());
      indices[order[depth]] = loop.getInductionVar();
      SmallVector<Value> next = nest(depth + 1, llvm::to_vector_of<Value>(loop.getRegionIterArgs()));
      if (!sums.empty())
        scf::YieldOp::create(b, loc, next);
    }
    if (depth + 1 == kinds.size())
      pith::markVectorizable(loop);
    SmallVector<Value> results(loop.getResults());
    if (opensSums) {
      unsigned next = 0;
      for (OpOperand &output : op.getDpsInitsMutable())
        if (isSum(output))
          memref::StoreOp::create(b, loc, results[next++], output.get(), place(output));
    }
    return results;
  }

  SmallVector<Value> body(ArrayRef<Value> sums) {
    Block *block = op.getBlock();
    IRMapping map;
    auto read = [&](OpOperand &operand) {
      BlockArgument argument = block->getArgument(operand.getOperandNumber());
      if (argument.use_empty())
        return;
      if (!isa<MemRefType>(operand.get().getType()))
        map.map(argument, operand.get());
      else
        map.map(argument, memref::LoadOp::create(b, loc, operand.get(), place(operand)).getResult());
    };
    for (OpOperand *input : op.getDpsInputOperands())
      read(*input);
    unsigned nextSum = 0;
    for (OpOperand &output : op.getDpsInitsMutable()) {
      if (isSum(output))
        map.map(block->getArgument(output.getOperandNumber()), sums[nextSum++]);
      else
        read(output);
    }
    for (Operation &inner : block->without_terminator()) {
      if (auto index = dyn_cast<linalg::IndexOp>(inner))
        map.map(index.getResult(), indices[index.getDim()]);
      else
        b.clone(inner, map);
    }
    SmallVector<Value> results;
    Operation *yield = block->getTerminator();
    for (auto [output, value] : llvm::zip_equal(op.getDpsInitsMutable(), yield->getOperands())) {
      Value result = map.lookupOrDefault(value);
      if (isSum(output))
        results.push_back(result);
      else
        memref::StoreOp::create(b, loc, result, output.get(), place(output));
    }
    return results;
  }

  OpBuilder &b;
  linalg::LinalgOp op;
  Location loc;
  SmallVector<Range> ranges;
  SmallVector<utils::IteratorType> kinds;
  SmallVector<unsigned> order; // of the loops, outermost first
  SmallVector<Value> indices;
  unsigned firstSum = 0; // place in `order`
};
} // namespace

/// A copy is a loop like any other.
static void lowerCopy(memref::CopyOp op) {
  OpBuilder b(op);
  auto type = cast<MemRefType>(op.getTarget().getType());
  if (type.getRank() == 0) {
    Value value = memref::LoadOp::create(b, op.getLoc(), op.getSource());
    memref::StoreOp::create(b, op.getLoc(), value, op.getTarget());
    op.erase();
    return;
  }
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> kinds(type.getRank(), utils::IteratorType::parallel);
  linalg::GenericOp::create(
      b, op.getLoc(), op.getSource(), op.getTarget(), maps, kinds,
      [](OpBuilder &nested, Location loc, ValueRange in) { linalg::YieldOp::create(nested, loc, in[0]); });
  op.erase();
}

namespace {
struct LinalgToTeamLoops : pith::impl::LinalgToTeamLoopsBase<LinalgToTeamLoops> {
  using LinalgToTeamLoopsBase::LinalgToTeamLoopsBase;
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      // Before copies look like other work: a loop that only copies is one thread's.
      DenseSet<Operation *> team{function};
      function.walk<WalkOrder::PreOrder>([&](Operation *op) {
        if (team.contains(op->getParentOp()) && pith::isTeamRegion(op))
          team.insert(op);
      });
      SmallVector<memref::CopyOp> copies;
      function.walk([&](memref::CopyOp op) { copies.push_back(op); });
      for (memref::CopyOp op : copies)
        lowerCopy(op);
      SmallVector<pith::ArgSortOp> sorts;
      function.walk([&](pith::ArgSortOp op) { sorts.push_back(op); });
      for (pith::ArgSortOp op : sorts)
        if (failed(pith::lowerSort(op)))
          return signalPassFailure();
      SmallVector<linalg::LinalgOp> ops;
      function.walk([&](linalg::LinalgOp op) { ops.push_back(op); });
      for (linalg::LinalgOp op : ops) {
        if (!op.hasPureBufferSemantics()) {
          op->emitError("is still on tensors");
          return signalPassFailure();
        }
        OpBuilder b(op);
        bool inTeam = team.contains(op->getParentOp());
        LoopEmitter(b, op).run(/*inTeam=*/inTeam, /*onGrid=*/inTeam && grid);
        op->erase();
      }
    }
  }
};
} // namespace
