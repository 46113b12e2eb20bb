//===- SortLoops.cpp - sorting as loops -----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A merge sort of positions, from short runs to long ones: runs of 1, 2, 4, ... positions are merged in pairs
// into the scratch, which is copied back. It keeps the order of equal items and needs no recursion.
//
//===----------------------------------------------------------------------===//
#include "SortLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace pith;

namespace {
class SortEmitter {
public:
  explicit SortEmitter(ArgSortOp op) : op(op), b(op), loc(op.getLoc()) {}

  void run() {
    Value rows = memref::DimOp::create(b, loc, op.getKeys(), 0);
    count = memref::DimOp::create(b, loc, op.getKeys(), 1);
    numbers = memref::DimOp::create(b, loc, op.getKeys(), 2);
    zero = index(0);
    one = index(1);
    auto parallel = scf::ParallelOp::create(b, loc, ValueRange(zero), ValueRange(rows), ValueRange(one));
    b.setInsertionPointToStart(parallel.getBody());
    row = parallel.getInductionVars().front();
    sortRow();
  }

private:
  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value atMost(Value x) { return arith::MinSIOp::create(b, loc, x, count); }
  Value less(Value x, Value y) { return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, x, y); }
  Value select(Value c, Value x, Value y) { return arith::SelectOp::create(b, loc, c, x, y); }
  Value position(Value at) {
    Value value = memref::LoadOp::create(b, loc, op.getOrder(), ValueRange{row, at});
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), value);
  }
  void store(Value position, Value to, Value at) {
    Value value = arith::IndexCastOp::create(b, loc, b.getI64Type(), position);
    memref::StoreOp::create(b, loc, value, to, ValueRange{row, at});
  }

  /// A loop from `lower` to `upper`; the body gets its number and the carried values and gives the next ones.
  SmallVector<Value> loop(Value lower, Value upper, Value step, ValueRange carried,
                          llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
    auto loop = scf::ForOp::create(b, loc, lower, upper, step, carried);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> next = body(loop.getInductionVar(), loop.getRegionIterArgs());
    if (!carried.empty())
      scf::YieldOp::create(b, loc, next);
    return SmallVector<Value>(loop.getResults());
  }

  /// Whether the number x stands before y.
  Value before(Value x, Value y) {
    if (op.getDescending())
      std::swap(x, y);
    if (!isa<FloatType>(x.getType())) {
      bool isUnsigned = op.getIsUnsigned() || x.getType().isInteger(1);
      return arith::CmpIOp::create(b, loc, isUnsigned ? arith::CmpIPredicate::ult : arith::CmpIPredicate::slt,
                                   x, y);
    }
    auto compare = [&](arith::CmpFPredicate predicate, Value l, Value r) -> Value {
      return arith::CmpFOp::create(b, loc, predicate, l, r);
    };
    Value onlyRight = arith::AndIOp::create(b, loc, compare(arith::CmpFPredicate::ORD, x, x),
                                            compare(arith::CmpFPredicate::UNO, y, y));
    return arith::OrIOp::create(b, loc, compare(arith::CmpFPredicate::OLT, x, y), onlyRight);
  }

  /// Whether item x stands before item y: the first number that differs decides.
  Value itemBefore(Value x, Value y) {
    auto number = [&](Value item, Value k) -> Value {
      return memref::LoadOp::create(b, loc, op.getKeys(), ValueRange{row, item, k});
    };
    if (cast<MemRefType>(op.getKeys().getType()).getDimSize(2) == 1)
      return before(number(x, zero), number(y, zero));
    Value no = arith::ConstantIntOp::create(b, loc, 0, 1);
    // Carried: whether x, and whether y, is known to stand before the other.
    return loop(zero, numbers, one, {no, no}, [&](Value k, ValueRange known) -> SmallVector<Value> {
      Value left = number(x, k), right = number(y, k);
      Value decided = arith::OrIOp::create(b, loc, known[0], known[1]);
      return {select(decided, known[0], before(left, right)), select(decided, known[1], before(right, left))};
    })[0];
  }

  void sortRow() {
    loop(zero, count, one, {}, [&](Value i, ValueRange) -> SmallVector<Value> {
      store(i, op.getOrder(), i);
      return {};
    });
    // while (width < count)
    auto passes = scf::WhileOp::create(b, loc, TypeRange(b.getIndexType()), ValueRange(one));
    OpBuilder::InsertionGuard guard(b);
    Block *check = b.createBlock(&passes.getBefore(), {}, b.getIndexType(), loc);
    scf::ConditionOp::create(b, loc, less(check->getArgument(0), count), check->getArguments());
    Block *pass = b.createBlock(&passes.getAfter(), {}, b.getIndexType(), loc);
    Value width = pass->getArgument(0), pair = add(width, width);
    loop(zero, count, pair, {}, [&](Value start, ValueRange) -> SmallVector<Value> {
      Value middle = atMost(add(start, width)), end = atMost(add(start, pair));
      merge(start, middle, end);
      return {};
    });
    loop(zero, count, one, {}, [&](Value i, ValueRange) -> SmallVector<Value> {
      Value value = memref::LoadOp::create(b, loc, op.getScratch(), ValueRange{row, i});
      memref::StoreOp::create(b, loc, value, op.getOrder(), ValueRange{row, i});
      return {};
    });
    scf::YieldOp::create(b, loc, pair);
  }

  void merge(Value start, Value middle, Value end) {
    loop(start, end, one, {start, middle}, [&](Value to, ValueRange next) -> SmallVector<Value> {
      Value i = next[0], j = next[1], hasLeft = less(i, middle), hasRight = less(j, end);
      // What has run out is not read.
      Value left = position(select(hasLeft, i, start)), right = position(select(hasRight, j, start));
      Value rightFirst = itemBefore(right, left);
      Value no = arith::ConstantIntOp::create(b, loc, 0, 1);
      Value takeRight = arith::AndIOp::create(b, loc, hasRight, rightFirst);
      takeRight = select(hasLeft, takeRight, arith::ConstantIntOp::create(b, loc, 1, 1));
      takeRight = select(hasRight, takeRight, no);
      store(select(takeRight, right, left), op.getScratch(), to);
      return {select(takeRight, i, add(i, one)), select(takeRight, add(j, one), j)};
    });
  }

  ArgSortOp op;
  OpBuilder b;
  Location loc;
  Value row, count, numbers, zero, one;
};
} // namespace

LogicalResult pith::lowerSort(ArgSortOp op) {
  if (!isa<MemRefType>(op.getKeys().getType()) || op->getNumResults())
    return op.emitError("is still on tensors");
  SortEmitter(op).run();
  op.erase();
  return success();
}
