//===- RaiseKVCacheRows.cpp - a graph rebuilt row by row ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Order of work, layouts, integers, and the operations that treat every row alike. Those that move dimensions
// are in RaiseKVCacheViews.cpp.
//
//===----------------------------------------------------------------------===//

#include "RaiseKVCacheRows.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace pith;

std::nullptr_t RowBuilder::fail(Operation *op, const Twine &reason) {
  if (why.empty()) {
    culpritOp = op;
    why = reason.str();
  }
  return nullptr;
}

std::nullptr_t RowBuilder::failAsAnalysis() { return fail(analysis.culprit(), analysis.reason()); }

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

SmallVector<int64_t> RowBuilder::Layout::squeezed() const {
  SmallVector<int64_t> result;
  llvm::copy_if(sizes, std::back_inserter(result), [](int64_t size) { return size != 1; });
  return result;
}

int64_t RowBuilder::Layout::outer() const {
  int64_t product = 1;
  for (int64_t i = 0; i < axis; ++i)
    product *= sizes[i];
  return product;
}

std::optional<RowBuilder::Layout> RowBuilder::layout(Value value) {
  Layout result;
  if (!isa<RankedTensorType>(value.getType()))
    return result;
  std::optional<SmallVector<SequenceDim>> dims = analysis.dims(value);
  if (!dims) {
    failAsAnalysis();
    return std::nullopt;
  }
  for (auto [d, dim] : llvm::enumerate(*dims)) {
    if (dim.kind == SequenceDim::Constant) {
      result.sizes.push_back(dim.factor);
      continue;
    }
    bool isRow = inputs.ofSource ? dim.kind == SequenceDim::Source : dim.isTokens();
    if (!isRow || result.axis >= 0) {
      fail(value.getDefiningOp(),
           dim.kind == SequenceDim::Other ? "has a dimension that is neither constant nor the sequence"
           : isRow                        ? mixture()
                   : "combines tokens and positions of the encoder's output outside of cross-attention");
      return std::nullopt;
    }
    result.axis = d;
    result.kind = dim.kind;
    result.factor = dim.factor;
    if (dim.factor > 1)
      result.sizes.push_back(dim.factor);
  }
  return result;
}

RankedTensorType RowBuilder::rowType(Value value, ArrayRef<int64_t> dims) {
  SmallVector<int64_t> shape{ShapedType::kDynamic};
  llvm::append_range(shape, dims);
  return RankedTensorType::get(shape, getElementTypeOrSelf(value.getType()));
}

Value RowBuilder::withDims(Value row, ArrayRef<int64_t> dims) {
  RankedTensorType type = rowType(row, dims);
  if (row.getType() == type)
    return row;
  // There and back again is nothing; every row form has the same rows.
  if (auto inner = row.getDefiningOp<ReshapeOp>())
    if (auto from = dyn_cast<RankedTensorType>(inner.getSource().getType());
        from && from.getRank() && from.isDynamicDim(0))
      return withDims(inner.getSource(), dims);
  return ReshapeOp::create(builder, row.getLoc(), type, row, ValueRange{inputs.rows});
}

Value RowBuilder::squeeze(Value row) {
  SmallVector<int64_t> dims;
  for (int64_t size : cast<RankedTensorType>(row.getType()).getShape().drop_front())
    if (size != 1)
      dims.push_back(size);
  return withDims(row, dims);
}

//===----------------------------------------------------------------------===//
// Order of work
//===----------------------------------------------------------------------===//

Value RowBuilder::require(Value value) {
  if (Value form = forms.lookup(value))
    return form;
  missing.push_back(value);
  return {};
}

Value RowBuilder::build(Value root) {
  SmallVector<Value> stack{root};
  while (!stack.empty()) {
    Value value = stack.back();
    if (forms.count(value)) {
      stack.pop_back();
      continue;
    }
    missing.clear();
    Value form = emit(value);
    if (!why.empty())
      return {};
    if (form) {
      forms[value] = form;
      stack.pop_back();
    } else if (missing.empty()) {
      return fail(value.getDefiningOp(), "is not known to work row by row");
    } else {
      stack.append(missing.rbegin(), missing.rend());
    }
  }
  return forms.lookup(root);
}

Value RowBuilder::emit(Value value) {
  std::optional<Layout> to = layout(value);
  if (!to)
    return {};
  if (value == analysis.tokens() && !inputs.ofSource)
    return inputs.tokens;
  if (getElementTypeOrSelf(value.getType()).isIntOrIndex())
    return emitInteger(value, *to);
  auto result = dyn_cast<OpResult>(value);
  if (!result) {
    auto argument = cast<BlockArgument>(value);
    return fail(nullptr, "depends on input " + Twine(argument.getArgNumber()) +
                             ", which is no token id, mask or position");
  }
  return to->axis < 0 ? emitUniform(result, *to) : emitRow(result, *to);
}

//===----------------------------------------------------------------------===//
// Integers, and values that are the same for all rows
//===----------------------------------------------------------------------===//

Value RowBuilder::emitInteger(Value value, const Layout &to) {
  Operation *op = value.getDefiningOp();
  if (to.axis < 0) {
    if (op && (op->hasTrait<OpTrait::ConstantLike>() || isa<LoadOp>(op)))
      return builder.clone(*op)->getResult(0);
    TypedAttr constant = analysis.constant(value);
    if (!constant)
      return failAsAnalysis();
    return arith::ConstantOp::create(builder, value.getLoc(), constant);
  }
  if (std::optional<int64_t> offset = analysis.positionOffset(value))
    return emitPosition(value, to, *offset);
  if (!op)
    return fail(nullptr, "depends on an integer input that is no token id, mask or position");
  if (isa<IotaOp>(op) && int64_t(cast<IotaOp>(op).getAxis()) == to.axis)
    return fail(op, "counts the tokens of a step instead of their positions");
  return emitRow(cast<OpResult>(value), to);
}

Value RowBuilder::emitPosition(Value value, const Layout &to, int64_t offset) {
  Location loc = value.getLoc();
  Value row = inputs.positions;
  if (offset) {
    auto type = cast<RankedTensorType>(row.getType());
    Value constant = arith::ConstantOp::create(
        builder, loc,
        DenseElementsAttr::get(RankedTensorType::get({}, type.getElementType()),
                               builder.getIntegerAttr(type.getElementType(), offset)));
    Value offsets = BroadcastOp::create(builder, loc, type, constant, ValueRange{inputs.rows});
    row = arith::AddIOp::create(builder, loc, row, offsets);
  }
  Type element = getElementTypeOrSelf(value.getType());
  RankedTensorType type = cast<RankedTensorType>(row.getType()).clone(element);
  if (element.isIndex())
    row = arith::IndexCastOp::create(builder, loc, type, row);
  else if (element.getIntOrFloatBitWidth() > 32)
    row = arith::ExtSIOp::create(builder, loc, type, row);
  else if (element.getIntOrFloatBitWidth() < 32)
    return fail(value.getDefiningOp(), "keeps positions in fewer than 32 bits");
  SmallVector<int64_t> dims = to.squeezed();
  if (dims.empty())
    return row;
  row = withDims(row, SmallVector<int64_t>(dims.size(), 1));
  return BroadcastOp::create(builder, loc, rowType(row, dims), row, ValueRange{inputs.rows});
}

Value RowBuilder::emitUniform(OpResult value, const Layout &to) {
  Operation *op = value.getOwner();
  bool known = op->getNumResults() == 1 && op->getNumRegions() == 0 && isPure(op) &&
               !isa<AttentionOp, CacheUpdateOp>(op);
  if (!known)
    return fail(op, "is not known to work row by row");
  IRMapping mapping;
  for (Value operand : op->getOperands()) {
    std::optional<Layout> from = layout(operand);
    if (!from)
      return {};
    if (from->axis >= 0 && !isa<tensor::DimOp>(op))
      return failMixed(op);
    // Sizes are in the result's type.
    if (!isa<RankedTensorType>(operand.getType()) && isa<ReshapeOp, BroadcastOp>(op))
      continue;
    if (Value form = require(operand))
      mapping.map(operand, form);
  }
  if (!missing.empty())
    return {};
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return builder.clone(*op, mapping)->getResult(0);
  RankedTensorType result = RankedTensorType::get(to.sizes, type.getElementType());
  if (isa<ReshapeOp>(op))
    return ReshapeOp::create(builder, op->getLoc(), result, mapping.lookup(op->getOperand(0)), ValueRange());
  if (isa<BroadcastOp>(op))
    return BroadcastOp::create(builder, op->getLoc(), result, mapping.lookup(op->getOperand(0)),
                               ValueRange());
  if (isa<tensor::CastOp>(op))
    return mapping.lookup(op->getOperand(0));
  Operation *clone = builder.clone(*op, mapping);
  if (!isa<tensor::ExtractSliceOp>(op))
    clone->getResult(0).setType(result);
  return clone->getResult(0);
}

//===----------------------------------------------------------------------===//
// Row by row
//===----------------------------------------------------------------------===//

Value RowBuilder::emitRow(OpResult value, const Layout &to) {
  Operation *op = value.getOwner();
  if (OpTrait::hasElementwiseMappableTraits(op))
    return emitElementwise(op, to);
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case<AttentionOp>([&](AttentionOp attention) { return emitAttention(attention); })
      .Case<LinearOp, EmbeddingOp, RMSNormOp, LayerNormOp, RopeOp, ActivationOp, GLUOp>(
          [&](auto) { return emitTokenMajor(op, to); })
      .Case<ReshapeOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(
          [&](auto) { return emitReshape(op, to); })
      .Case<tensor::CastOp>([&](auto) { return require(op->getOperand(0)); })
      .Case<BroadcastOp>([&](BroadcastOp broadcast) { return emitBroadcast(broadcast, to); })
      .Case<TransposeOp>([&](TransposeOp transpose) { return emitTranspose(transpose, to); })
      .Case<tensor::ExtractSliceOp>([&](tensor::ExtractSliceOp slice) { return emitSlice(slice, to); })
      .Case<tensor::ConcatOp>([&](tensor::ConcatOp concat) { return emitConcat(concat, to); })
      .Case<CacheUpdateOp>([&](CacheUpdateOp update) { return emitCacheUpdate(update); })
      .Case<GatherOp>([&](GatherOp gather) { return emitGather(gather, to); })
      .Case<MatmulOp>([&](MatmulOp matmul) { return emitMatmul(matmul, to); })
      .Case<ReduceOp>([&](ReduceOp reduce) { return emitAlongAxes(op, reduce.getAxes(), to); })
      .Case<SoftmaxOp>([&](SoftmaxOp softmax) { return emitAlongAxes(op, {int64_t(softmax.getAxis())}, to); })
      .Case<CumSumOp>([&](CumSumOp sum) { return emitAlongAxes(op, {int64_t(sum.getAxis())}, to); })
      .Default([&](Operation *) { return fail(op, "is not known to work row by row"); });
}

/// The i32 value behind a widening that the user does not need.
static Value narrowIndex(Value value) {
  auto extension = value.getDefiningOp<arith::ExtSIOp>();
  return extension && getElementTypeOrSelf(extension.getIn().getType()).isInteger(32) ? extension.getIn()
                                                                                      : value;
}

Value RowBuilder::emitElementwise(Operation *op, const Layout &to) {
  IRMapping mapping;
  for (Value operand : op->getOperands()) {
    Value form = require(operand);
    if (!form)
      continue;
    mapping.map(operand, isa<arith::SIToFPOp>(op) ? narrowIndex(form) : form);
  }
  if (!missing.empty())
    return {};
  RankedTensorType type = rowType(op->getResult(0), to.squeezed());
  for (Value operand : op->getOperands()) {
    auto found = dyn_cast<RankedTensorType>(mapping.lookup(operand).getType());
    if (found && found.getShape() != type.getShape())
      return fail(op, "operands do not have the same rows");
  }
  Operation *clone = builder.clone(*op, mapping);
  clone->getResult(0).setType(type);
  return clone->getResult(0);
}

/// Operands and result are [tokens..., channels]; weights, scales and biases have no tokens.
Value RowBuilder::emitTokenMajor(Operation *op, const Layout &to) {
  IRMapping mapping;
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    std::optional<Layout> from = layout(operand);
    Value form = from ? require(operand) : Value();
    if (!form)
      continue;
    bool hasChannels = !isa<EmbeddingOp>(op);
    if (from->axis >= 0 && hasChannels) {
      int64_t rank = cast<RankedTensorType>(operand.getType()).getRank();
      if (from->axis == rank - 1)
        return fail(op, "has the sequence as its channels");
      SmallVector<int64_t> dims = from->squeezed();
      if (from->sizes.back() == 1)
        dims.push_back(1);
      form = withDims(form, dims);
    } else if (isa<EmbeddingOp>(op)) {
      form = narrowIndex(form);
    }
    if (i == 0 && from->axis < 0)
      return fail(op, "is not known to work row by row");
    mapping.map(operand, form);
  }
  if (!missing.empty() || !why.empty())
    return {};
  SmallVector<int64_t> dims = to.squeezed();
  if (to.sizes.empty() || to.sizes.back() == 1)
    dims.push_back(1);
  Operation *clone = builder.clone(*op, mapping);
  clone->getResult(0).setType(rowType(op->getResult(0), dims));
  return squeeze(clone->getResult(0));
}

Value RowBuilder::emitAttention(AttentionOp op) {
  if (!buildAttention)
    return fail(op, inputs.ofSource ? "attention among the encoder's positions"
                                    : "attention behind the rows that are wanted");
  bool isCross = analysis.isCross(op);
  Value q = require(op.getQ()), k = isCross ? Value() : require(op.getK()),
        v = isCross ? Value() : require(op.getV());
  Value sinks = op.getSinks() ? require(op.getSinks()) : Value();
  if (!missing.empty())
    return {};
  std::optional<CausalMask> mask;
  if (!isCross)
    mask = analysis.causalMask(op);
  else if (analysis.seesWholeSource(op))
    mask = CausalMask();
  if (!mask)
    return failAsAnalysis();
  auto channels = [](Value value) { return cast<RankedTensorType>(value.getType()).getShape().back(); };
  auto full = [&](Value row, Value exported) -> Value {
    return row ? withDims(row, {channels(exported)}) : Value();
  };
  for (Value operand : {op.getQ(), op.getK(), op.getV()})
    if (ShapedType::isDynamic(channels(operand)))
      return fail(op, "has a dynamic number of channels");
  Value result = buildAttention(op, *mask, full(q, op.getQ()), full(k, op.getK()), full(v, op.getV()), sinks);
  return squeeze(result);
}

Value RowBuilder::emitAlongAxes(Operation *op, ArrayRef<int64_t> axes, const Layout &to) {
  std::optional<Layout> from = layout(op->getOperand(0));
  if (!from)
    return {};
  if (llvm::is_contained(axes, from->axis) || from->axis < 0)
    return failMixed(op);
  Value source = require(op->getOperand(0));
  if (!source)
    return {};
  source = withDims(source, from->sizes);
  SmallVector<int64_t> rowAxes;
  for (int64_t axis : axes)
    rowAxes.push_back(from->index(axis) + 1);
  Location loc = op->getLoc();
  Value result;
  if (auto reduce = dyn_cast<ReduceOp>(op))
    result = ReduceOp::create(builder, loc, rowType(source, to.sizes), reduce.getKind(), source, rowAxes);
  else if (isa<SoftmaxOp>(op))
    result = SoftmaxOp::create(builder, loc, source.getType(), source, rowAxes.front());
  else
    result = CumSumOp::create(builder, loc, source.getType(), source, rowAxes.front(),
                              cast<CumSumOp>(op).getExclusive(), cast<CumSumOp>(op).getReverse());
  return squeeze(result);
}
