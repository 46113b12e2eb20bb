//===- RaiseKVCacheViews.cpp - row forms of views, caches and products -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RaiseKVCacheRows.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace pith;

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

Value RowBuilder::emitReshape(Operation *op, const Layout &to) {
  std::optional<Layout> from = layout(op->getOperand(0));
  if (!from)
    return {};
  // With as many elements in front of the sequence, row-major order takes each row to itself.
  if (from->axis < 0 || from->kind != to.kind || from->outer() != to.outer())
    return fail(op, "mixes the sequence with other dimensions");
  Value source = require(op->getOperand(0));
  return source ? withDims(source, to.squeezed()) : Value();
}

Value RowBuilder::emitBroadcast(BroadcastOp op, const Layout &to) {
  std::optional<Layout> from = layout(op.getSource());
  Value source = from ? require(op.getSource()) : Value();
  if (!source)
    return {};
  int64_t missingDims = int64_t(cast<RankedTensorType>(op.getType()).getRank()) -
                        cast<RankedTensorType>(op.getSource().getType()).getRank();
  if (from->axis >= 0 && from->axis + missingDims != to.axis)
    return fail(op, "broadcasts the sequence to another dimension");
  // The source's sizes, one for each of the result's: 1 or the full size.
  SmallVector<int64_t> dims;
  for (int64_t d = 0, rank = cast<RankedTensorType>(op.getType()).getRank(); d < rank; ++d) {
    if (d == to.axis) {
      if (to.factor > 1)
        dims.push_back(from->axis >= 0 ? from->factor : 1);
      continue;
    }
    dims.push_back(d < missingDims ? 1 : from->sizes[from->index(d - missingDims)]);
  }
  RankedTensorType type = rowType(source, to.sizes);
  Value aligned;
  if (from->axis >= 0)
    aligned = withDims(source, dims);
  else
    aligned = ReshapeOp::create(builder, op.getLoc(), RankedTensorType::get(dims, type.getElementType()),
                                source, ValueRange());
  if (aligned.getType() == type)
    return squeeze(aligned);
  // Straight to the squeezed type: unit dimensions of the result are unit in the source.
  SmallVector<int64_t> squeezedDims;
  for (auto [size, full] : llvm::zip(dims, to.sizes))
    if (full != 1)
      squeezedDims.push_back(size);
  if (from->axis >= 0)
    aligned = withDims(source, squeezedDims);
  else
    aligned =
        ReshapeOp::create(builder, op.getLoc(), RankedTensorType::get(squeezedDims, type.getElementType()),
                          source, ValueRange());
  return BroadcastOp::create(builder, op.getLoc(), rowType(source, to.squeezed()), aligned,
                             ValueRange{inputs.rows});
}

Value RowBuilder::emitTranspose(TransposeOp op, const Layout &to) {
  std::optional<Layout> from = layout(op.getSource());
  Value source = from ? require(op.getSource()) : Value();
  if (!source)
    return {};
  source = withDims(source, from->sizes);
  SmallVector<int64_t> permutation{0}, dims;
  for (auto [d, dim] : llvm::enumerate(op.getPermutation())) {
    if (dim != from->axis)
      permutation.push_back(1 + from->index(dim));
    else if (from->factor > 1)
      permutation.push_back(1 + from->axis);
  }
  if (!llvm::is_sorted(permutation))
    source = TransposeOp::create(builder, op.getLoc(), rowType(source, to.sizes), source, permutation);
  return squeeze(source);
}

Value RowBuilder::emitSlice(tensor::ExtractSliceOp op, const Layout &to) {
  std::optional<Layout> from = layout(op.getSource());
  Value source = from ? require(op.getSource()) : Value();
  if (!source)
    return {};
  SmallVector<OpFoldResult> offsets = op.getMixedOffsets(), sizes = op.getMixedSizes(),
                            strides = op.getMixedStrides();
  Location loc = op.getLoc();
  auto constantOf = [&](OpFoldResult value) -> std::optional<int64_t> {
    if (std::optional<int64_t> constant = getConstantIntValue(value))
      return constant;
    auto attribute = dyn_cast_or_null<IntegerAttr>(analysis.constant(cast<Value>(value)));
    return attribute ? std::optional<int64_t>(attribute.getInt()) : std::nullopt;
  };
  auto isAlways = [&](OpFoldResult value, int64_t perNew, int64_t perPast) {
    if (auto dynamic = dyn_cast<Value>(value))
      return analysis.isAlways(dynamic, perNew, perPast);
    return perNew == 0 && perPast == 0 && getConstantIntValue(value) == 0;
  };
  // Along the sequence: everything, or of all tokens the new ones, or of a table the positions' rows.
  if (from->axis < 0) {
    int64_t axis = -1;
    for (auto [d, size] : llvm::enumerate(sizes))
      if (isAlways(size, 1, to.kind == SequenceDim::AllTokens)) {
        bool rows =
            to.kind == SequenceDim::AllTokens ? isAlways(offsets[d], 0, 0) : isAlways(offsets[d], 0, 1);
        if (!rows || !isConstantIntValue(strides[d], 1) || axis >= 0)
          return fail(op, "takes other rows of a table than those of the positions");
        axis = d;
      } else if (constantOf(offsets[d]) != 0 || constantOf(size) != from->sizes[d]) {
        return fail(op, "takes a part of a table's rows");
      }
    if (axis < 0)
      return fail(op, "takes a part of a table");
    return squeeze(gatherPositions(loc, source, axis, inputs.positions));
  }
  OpFoldResult offset = offsets[from->axis], size = sizes[from->axis];
  bool whole = isAlways(offset, 0, 0) && to.axis >= 0 && from->kind == to.kind;
  bool newest = from->kind == SequenceDim::AllTokens && to.kind == SequenceDim::NewTokens &&
                isAlways(offset, 0, 1) && isAlways(size, 1, 0);
  if ((!whole && !newest) || from->factor != 1 || !isConstantIntValue(strides[from->axis], 1))
    return fail(op, "takes a part of the sequence");
  SmallVector<OpFoldResult> rowOffsets{builder.getIndexAttr(0)}, rowSizes{inputs.rows},
      rowStrides{builder.getIndexAttr(1)};
  SmallVector<int64_t> rowDims;
  for (int64_t d = 0, rank = offsets.size(); d < rank; ++d) {
    if (d == from->axis)
      continue;
    std::optional<int64_t> start = constantOf(offsets[d]), count = constantOf(sizes[d]),
                           stride = constantOf(strides[d]);
    if (!start || !count || !stride)
      return failAsAnalysis();
    if (from->sizes[from->index(d)] == 1)
      continue;
    rowOffsets.push_back(builder.getIndexAttr(*start));
    rowSizes.push_back(builder.getIndexAttr(*count));
    rowStrides.push_back(builder.getIndexAttr(*stride));
    rowDims.push_back(*count);
  }
  if (source.getType() == rowType(source, rowDims))
    return squeeze(source);
  return squeeze(tensor::ExtractSliceOp::create(builder, loc, rowType(source, rowDims), source, rowOffsets,
                                                rowSizes, rowStrides));
}

//===----------------------------------------------------------------------===//
// Caches
//===----------------------------------------------------------------------===//

/// True if `value`, or a view of it, is an output: what this step has computed is the next one's past.
bool RowBuilder::isPresent(Value value) {
  llvm::SetVector<Value> seen;
  seen.insert(value);
  for (size_t i = 0; i < seen.size(); ++i)
    for (Operation *user : seen[i].getUsers()) {
      if (isa<func::ReturnOp>(user))
        return true;
      if (isa<ReshapeOp, TransposeOp, tensor::CastOp, tensor::ConcatOp, arith::TruncFOp, arith::ExtFOp>(user))
        seen.insert(user->getResult(0));
    }
  return false;
}

Value RowBuilder::emitConcat(tensor::ConcatOp op, const Layout &to) {
  int64_t dim = op.getDim();
  if (dim == to.axis) {
    // Earlier tokens, then the new ones.
    if (op->getNumOperands() != 2 || !analysis.pastSource(op->getOperand(0)))
      return fail(op, "joins tokens along the sequence that are not a past input and the new tokens");
    std::optional<Layout> from = layout(op->getOperand(1));
    if (!from)
      return {};
    if (from->kind != SequenceDim::NewTokens || to.kind != SequenceDim::AllTokens || from->axis != dim)
      return fail(op, "does not join the earlier tokens with all new ones");
    if (!isPresent(op.getResult()))
      return fail(op, "keys and values of the new tokens are not an output: no state to keep");
    return require(op->getOperand(1));
  }
  SmallVector<Value> rows;
  int64_t position = to.index(dim);
  for (Value operand : op->getOperands()) {
    std::optional<Layout> from = layout(operand);
    if (!from)
      return {};
    if (from->axis != to.axis)
      return fail(op, "joins values with and without a sequence");
    if (Value row = require(operand)) {
      SmallVector<int64_t> dims;
      for (auto [i, size] : llvm::enumerate(from->sizes))
        if (size != 1 || int64_t(i) == position)
          dims.push_back(size);
      rows.push_back(withDims(row, dims));
    }
  }
  if (!missing.empty())
    return {};
  int64_t rowDim =
      1 + llvm::count_if(ArrayRef<int64_t>(to.sizes).take_front(position), [](int64_t s) { return s != 1; });
  return squeeze(tensor::ConcatOp::create(builder, op.getLoc(), rowType(rows.front(), to.squeezed()), rowDim,
                                          ValueRange(rows)));
}

Value RowBuilder::emitCacheUpdate(CacheUpdateOp op) {
  if (!analysis.pastSource(op.getPast()))
    return fail(op, "updates a cache that is not a past input");
  if (!analysis.isAlways(op.getStart(), 0, 1))
    return failAsAnalysis();
  if (!isPresent(op.getResult()))
    return fail(op, "keys and values of the new tokens are not an output: no state to keep");
  return require(op.getUpdate());
}

//===----------------------------------------------------------------------===//
// Tables and products
//===----------------------------------------------------------------------===//

Value RowBuilder::gatherPositions(Location loc, Value table, int64_t axis, Value indices) {
  auto type = cast<RankedTensorType>(table.getType());
  auto indexType = cast<RankedTensorType>(indices.getType());
  SmallVector<int64_t> shape(type.getShape().take_front(axis));
  llvm::append_range(shape, indexType.getShape());
  llvm::append_range(shape, type.getShape().drop_front(axis + 1));
  Value result = GatherOp::create(builder, loc, type.clone(shape), table, indices, axis);
  if (axis == 0)
    return result;
  // The rows are dimension `axis` now.
  SmallVector<int64_t> permutation{axis};
  SmallVector<int64_t> moved{shape[axis]};
  for (int64_t d = 0, rank = shape.size(); d < rank; ++d)
    if (d != axis) {
      permutation.push_back(d);
      moved.push_back(shape[d]);
    }
  return TransposeOp::create(builder, loc, type.clone(moved), result, permutation);
}

Value RowBuilder::emitGather(GatherOp op, const Layout &to) {
  std::optional<Layout> from = layout(op.getSource());
  std::optional<Layout> by = from ? layout(op.getIndices()) : std::nullopt;
  if (!by)
    return {};
  int64_t axis = op.getAxis();
  Value source = require(op.getSource());
  if (from->axis == axis && by->axis >= 0) {
    // Each new token takes its own row of a value over all tokens.
    if (from->kind == SequenceDim::NewTokens && analysis.hasPast())
      return fail(op, "takes rows of other tokens");
    if (analysis.positionOffset(op.getIndices()) != 0)
      return fail(op, "takes rows of other tokens");
    return source ? withDims(source, to.squeezed()) : Value();
  }
  Value indices = require(op.getIndices());
  if (!source || !indices)
    return {};
  if (by->axis >= 0) {
    if (from->axis >= 0)
      return fail(op, "takes rows of other tokens");
    if (auto extension = indices.getDefiningOp<arith::ExtSIOp>())
      indices = extension.getIn();
    return withDims(gatherPositions(op.getLoc(), source, axis, indices), to.squeezed());
  }
  if (from->axis == axis || from->axis < 0)
    return fail(op, "takes a part of the sequence");
  source = withDims(source, from->sizes);
  return squeeze(GatherOp::create(builder, op.getLoc(), rowType(source, to.sizes), source, indices,
                                  from->index(axis) + 1));
}

Value RowBuilder::emitMatmul(MatmulOp op, const Layout &to) {
  std::optional<Layout> left = layout(op.getLhs());
  std::optional<Layout> right = left ? layout(op.getRhs()) : std::nullopt;
  if (!right)
    return {};
  if (left->axis >= 0 && right->axis >= 0)
    return failMixed(op);
  Value lhs = require(op.getLhs()), rhs = require(op.getRhs());
  if (!lhs || !rhs)
    return {};
  int64_t rank = cast<RankedTensorType>(op.getType()).getRank();
  // One matrix for all rows: row = [K], matrix = [K, N], or transposed [N, K].
  bool leftRows = left->axis >= 0;
  const Layout &rowLayout = leftRows ? *left : *right, &matrixLayout = leftRows ? *right : *left;
  if (rowLayout.factor != 1 || rowLayout.axis != (leftRows ? rank - 2 : rank - 1) || rowLayout.outer() != 1 ||
      matrixLayout.squeezed().size() > 2)
    return fail(op, "is a product that does not work row by row");
  Value row = leftRows ? lhs : rhs, matrix = leftRows ? rhs : lhs;
  int64_t k = leftRows ? rowLayout.sizes.back() : rowLayout.sizes[rank - 2],
          n = leftRows ? to.sizes.back() : to.sizes[rank - 2];
  for (int64_t d = 0; d + 2 < int64_t(matrixLayout.sizes.size()); ++d)
    if (matrixLayout.sizes[d] != 1)
      return fail(op, "is a product that does not work row by row");
  Location loc = op.getLoc();
  Type element = cast<RankedTensorType>(row.getType()).getElementType();
  auto reshapeMatrix = [&](ArrayRef<int64_t> shape) {
    return ReshapeOp::create(builder, loc, RankedTensorType::get(shape, element), matrix, ValueRange())
        .getResult();
  };
  RankedTensorType type = rowType(row, {n});
  if (k != 1) {
    Value factor = reshapeMatrix(leftRows ? ArrayRef<int64_t>{k, n} : ArrayRef<int64_t>{n, k});
    if (!leftRows)
      factor = TransposeOp::create(builder, loc, RankedTensorType::get({k, n}, element), factor,
                                   ArrayRef<int64_t>{1, 0});
    return squeeze(MatmulOp::create(builder, loc, type, withDims(row, {k}), factor));
  }
  // An outer product, as of positions and frequencies.
  Value x = BroadcastOp::create(builder, loc, type, withDims(row, {1}), ValueRange{inputs.rows});
  Value y = BroadcastOp::create(builder, loc, type, reshapeMatrix({n}), ValueRange{inputs.rows});
  Value product = isa<FloatType>(element) ? arith::MulFOp::create(builder, loc, x, y).getResult()
                                          : arith::MulIOp::create(builder, loc, x, y).getResult();
  return squeeze(product);
}
