//===- IndexingOps.cpp - gathers, scatters and running sums, plainly ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "TensorBuilder.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace pith;

/// An index as given: negative ones count from the end.
static Value fromEnd(TensorBuilder &t, Value position, Value size) {
  return t.select(t.lessThan(position, t.idx(0)), t.add(position, size), position);
}

static Value isInside(TensorBuilder &t, Value position, Value size) {
  return arith::CmpIOp::create(t.b, t.loc, arith::CmpIPredicate::ult, position, size);
}

static Value both(TensorBuilder &t, Value x, Value y) {
  return x ? arith::AndIOp::create(t.b, t.loc, x, y) : y;
}

/// `tensor[indices]` where `inside`, else zero; nothing outside is read.
static Value extractOrZero(TensorBuilder &t, Value inside, Value tensor, ValueRange indices) {
  Type element = getElementTypeOrSelf(tensor.getType());
  auto choice = scf::IfOp::create(
      t.b, t.loc, inside,
      [&](OpBuilder &b, Location loc) {
        Value value = tensor::ExtractOp::create(b, loc, tensor, indices);
        scf::YieldOp::create(b, loc, value);
      },
      [&](OpBuilder &b, Location loc) {
        Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
        scf::YieldOp::create(b, loc, zero);
      });
  return choice.getResult(0);
}

static Value lowerGather(TensorBuilder &t, GatherOp op) {
  Value source = op.getSource(), indices = op.getIndices();
  int64_t axis = op.getAxis();
  Dims from = t.dims(source), at = t.dims(indices), sizes(from.begin(), from.begin() + axis);
  sizes.append(at.begin(), at.end());
  sizes.append(from.begin() + axis + 1, from.end());
  SmallVector<int64_t> indexLoops;
  for (size_t i = 0; i < at.size(); ++i)
    indexLoops.push_back(axis + i);
  Value length = t.size(from[axis]);
  return t.compute(sizes, getElementTypeOrSelf(source.getType()), indices, t.map(sizes.size(), indexLoops),
                   [&](ValueRange in) {
                     Value position = fromEnd(t, t.convert(in[0], t.index), length);
                     SmallVector<Value> point;
                     for (int64_t i = 0; i < axis; ++i)
                       point.push_back(t.loopIndex(i));
                     point.push_back(position);
                     for (size_t i = axis + at.size(); i < sizes.size(); ++i)
                       point.push_back(t.loopIndex(i));
                     return extractOrZero(t, isInside(t, position, length), source, point);
                   });
}

static Value lowerGatherND(TensorBuilder &t, GatherNDOp op) {
  Value source = op.getSource(), indices = op.getIndices();
  int64_t batch = op.getBatchDims();
  auto indexType = cast<RankedTensorType>(indices.getType());
  int64_t tuple = indexType.getShape().back(), outer = indexType.getRank() - 1;
  Dims from = t.dims(source), at = t.dims(indices), sizes(at.begin(), at.end() - 1);
  sizes.append(from.begin() + batch + tuple, from.end());
  return t.compute(sizes, getElementTypeOrSelf(source.getType()), {}, {}, [&](ValueRange) {
    SmallVector<Value> point, where;
    for (int64_t i = 0; i < outer; ++i)
      where.push_back(t.loopIndex(i));
    where.push_back({});
    for (int64_t i = 0; i < batch; ++i)
      point.push_back(t.loopIndex(i));
    Value inside;
    for (int64_t i = 0; i < tuple; ++i) {
      where.back() = t.idx(i);
      Value size = t.size(from[batch + i]);
      Value position = fromEnd(t, t.convert(t.extract(indices, where), t.index), size);
      inside = both(t, inside, isInside(t, position, size));
      point.push_back(position);
    }
    for (size_t i = outer; i < sizes.size(); ++i)
      point.push_back(t.loopIndex(i));
    return extractOrZero(t, inside, source, point);
  });
}

/// One tuple after the other, so that later ones win.
static Value lowerScatterND(TensorBuilder &t, ScatterNDOp op) {
  Value source = op.getSource(), indices = op.getIndices(), updates = op.getUpdates();
  auto indexType = cast<RankedTensorType>(indices.getType());
  int64_t tuple = indexType.getShape().back();
  Dims from = t.dims(source), at = t.dims(indices);
  ArrayRef<OpFoldResult> tail = ArrayRef(from).drop_front(tuple);
  OpFoldResult count = t.product(ArrayRef(at).drop_back());
  indices = t.reshape(indices, {count, t.fixed(tuple)});
  Dims flat{count};
  flat.append(tail.begin(), tail.end());
  updates = t.reshape(updates, flat);

  auto loop = scf::ForOp::create(t.b, t.loc, t.idx(0), t.size(count), t.idx(1), source);
  OpBuilder::InsertionGuard guard(t.b);
  t.b.setInsertionPointToStart(loop.getBody());
  Value n = loop.getInductionVar(), target = loop.getRegionIterArg(0);
  SmallVector<OpFoldResult> offsets, sizes, sliceOffsets{n}, sliceSizes{t.fixed(1)};
  Value inside;
  for (int64_t i = 0; i < tuple; ++i) {
    Value size = t.size(from[i]);
    Value position = fromEnd(t, t.convert(t.extract(indices, {n, t.idx(i)}), t.index), size);
    inside = both(t, inside, isInside(t, position, size));
    offsets.push_back(position);
    sizes.push_back(t.fixed(1));
  }
  for (OpFoldResult d : tail) {
    offsets.push_back(t.fixed(0));
    sizes.push_back(d);
    sliceOffsets.push_back(t.fixed(0));
    sliceSizes.push_back(d);
  }
  if (!inside)
    inside = arith::ConstantIntOp::create(t.b, t.loc, 1, 1);
  auto choice = scf::IfOp::create(
      t.b, t.loc, inside,
      [&](OpBuilder &b, Location loc) {
        SmallVector<OpFoldResult> strides(sliceSizes.size(), b.getIndexAttr(1));
        auto full = cast<RankedTensorType>(
            tensor::ExtractSliceOp::inferResultType(cast<RankedTensorType>(updates.getType()), sliceSizes));
        auto type = RankedTensorType::get(full.getShape().drop_front(), full.getElementType());
        Value slice =
            tensor::ExtractSliceOp::create(b, loc, type, updates, sliceOffsets, sliceSizes, strides);
        SmallVector<OpFoldResult> targetStrides(sizes.size(), b.getIndexAttr(1));
        Value written = tensor::InsertSliceOp::create(b, loc, slice, target, offsets, sizes, targetStrides);
        scf::YieldOp::create(b, loc, written);
      },
      [&](OpBuilder &b, Location loc) { scf::YieldOp::create(b, loc, target); });
  scf::YieldOp::create(t.b, t.loc, choice.getResults());
  return loop.getResult(0);
}

/// `tensor` read from the end along one dimension.
static Value reversed(TensorBuilder &t, Value tensor, int64_t axis) {
  Dims sizes = t.dims(tensor);
  Value last = t.sub(t.size(sizes[axis]), t.idx(1));
  return t.compute(sizes, getElementTypeOrSelf(tensor.getType()), {}, {}, [&](ValueRange) {
    SmallVector<Value> point;
    for (size_t i = 0; i < sizes.size(); ++i)
      point.push_back(t.loopIndex(i));
    point[axis] = t.sub(last, point[axis]);
    return t.extract(tensor, point);
  });
}

/// A sequential innermost loop over the axis carries the sum; each step also writes its element of the
/// result.
static Value lowerCumSum(TensorBuilder &t, CumSumOp op) {
  int64_t axis = op.getAxis();
  Value source = op.getReverse() ? reversed(t, op.getSource(), axis) : op.getSource();
  Type element = getElementTypeOrSelf(source.getType());
  Dims sizes = t.dims(source), outer;
  int64_t rank = sizes.size();
  SmallVector<int64_t> loops, sumLoops;
  for (int64_t i = 0; i < rank; ++i) {
    if (i == axis) {
      loops.push_back(rank - 1);
      continue;
    }
    outer.push_back(sizes[i]);
    sumLoops.push_back(outer.size() - 1);
    loops.push_back(outer.size() - 1);
  }
  AffineMap map = t.map(rank, loops);
  SmallVector<Value> results =
      t.generic(std::string(rank - 1, 'p') + "r", source,
                {t.empty(sizes, element), t.filled(outer, t.number(element, 0))},
                {map, map, t.map(rank, sumLoops)}, [&](ValueRange in) -> SmallVector<Value> {
                  Value sum = t.add(in[2], in[0]);
                  return {op.getExclusive() ? in[2] : sum, sum};
                });
  return op.getReverse() ? reversed(t, results[0], axis) : results[0];
}

static Value lowerCacheUpdate(TensorBuilder &t, CacheUpdateOp op) {
  Value past = op.getPast(), update = op.getUpdate(), start = op.getStart();
  auto type = cast<RankedTensorType>(op.getResult().getType());
  auto startType = cast<RankedTensorType>(start.getType());
  Value pastLength = t.size(t.dim(past, 2)), rows = t.size(t.dim(update, 2));
  // One start per batch row, or one for all.
  SmallVector<int64_t> startLoops(startType.getRank(), -1);
  if (startType.getRank() == 1 && startType.getDimSize(0) != 1)
    startLoops[0] = 0;
  return t.compute(
      t.dims(type, op.getDims()), type.getElementType(), start, t.map(4, startLoops), [&](ValueRange in) {
        SmallVector<Value> point;
        for (int64_t i = 0; i < 4; ++i)
          point.push_back(t.loopIndex(i));
        Value row = t.sub(point[2], t.convert(in[0], t.index));
        SmallVector<Value> fresh(point);
        fresh[2] = row;
        auto choice = scf::IfOp::create(
            t.b, t.loc, isInside(t, row, rows),
            [&](OpBuilder &b, Location loc) {
              Value value = tensor::ExtractOp::create(b, loc, update, fresh);
              scf::YieldOp::create(b, loc, value);
            },
            [&](OpBuilder &b, Location loc) {
              TensorBuilder nested(b, loc);
              Value value = extractOrZero(nested, isInside(nested, point[2], pastLength), past, point);
              scf::YieldOp::create(b, loc, value);
            });
        return choice.getResult(0);
      });
}

FailureOr<Value> pith::lowerIndexingOp(TensorBuilder &t, Operation *op) {
  if (auto gather = dyn_cast<GatherOp>(op))
    return lowerGather(t, gather);
  if (auto gather = dyn_cast<GatherNDOp>(op))
    return lowerGatherND(t, gather);
  if (auto scatter = dyn_cast<ScatterNDOp>(op))
    return lowerScatterND(t, scatter);
  if (auto sum = dyn_cast<CumSumOp>(op))
    return lowerCumSum(t, sum);
  if (auto update = dyn_cast<CacheUpdateOp>(op))
    return lowerCacheUpdate(t, update);
  return Value();
}
