//===- NormalizeViews.cpp - views where they meet their inverses ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Matchers.h"
#include "Views.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace pith;

/// Gives the view's last dimension a base dimension of its own, by splitting the base's last dimension.
static bool isolateLastDim(Views &views, OpBuilder &builder, Location loc, View &view) {
  int64_t last = rankOf(view.base) - 1;
  if (view.dims.empty() || view.dims.back().size() != 1)
    return false;
  Atom inner = view.dims.back()[0];
  if (inner.dim != last || !inner.stride.isConstant(1))
    return false;
  SmallVector<Extent> shape = views.sizes.shape(view.base);
  if (inner.extent == shape.back())
    return true;
  std::optional<Extent> outer = shape.back().dividedBy(inner.extent);
  if (!outer)
    return false;
  View isolated = view;
  for (View::Dim &dim : MutableArrayRef(isolated.dims).drop_back())
    for (Atom &atom : dim)
      if (atom.dim == last) {
        std::optional<Extent> stride = atom.stride.dividedBy(inner.extent);
        if (!stride)
          return false;
        atom.stride = *stride;
      }
  isolated.dims.back()[0].dim = last + 1;
  shape.back() = *outer;
  shape.push_back(inner.extent);
  isolated.base = views.reshape(builder, loc, view.base, shape);
  view = isolated;
  return true;
}

/// What is to be broadcast again where the rows have another shape: a scalar, or a vector of channels.
static Value rowOperand(OpBuilder &builder, Value value) {
  if (std::optional<double> scalar = scalarConstant(value)) {
    auto type = RankedTensorType::get({}, cast<RankedTensorType>(value.getType()).getElementType());
    Attribute element = builder.getFloatAttr(type.getElementType(), *scalar);
    return arith::ConstantOp::create(builder, value.getLoc(), DenseElementsAttr::get(type, element));
  }
  return channelVector(builder, value, lastDim(value));
}

/// op(view(x)) -> view(op(x)) where op works on vectors of the last dimension and the view moves whole
/// vectors.
bool Views::sink(Operation *op) {
  if (op->getNumResults() != 1 || !isFloatTensor(op->getResult(0)))
    return false;
  bool named = isa<RMSNormOp, LayerNormOp, LinearOp, ActivationOp>(op);
  bool elementwise = isa<GLUOp>(op) || OpTrait::hasElementwiseMappableTraits(op);
  if ((!named && !elementwise) || rankOf(op->getResult(0)) < 2)
    return false;
  OpBuilder builder(op);
  std::optional<View> shared;
  SmallVector<Value> operands;
  for (Value operand : named ? op->getOperands().take_front(1) : op->getOperands()) {
    View view;
    if (!isFloatTensor(operand) && !isa<arith::SIToFPOp, arith::UIToFPOp>(op))
      return false;
    if (isChannelVector(operand, lastDim(op->getResult(0))) || scalarConstant(operand)) {
      if (named)
        return false;
      operands.push_back(Value()); // broadcast again below
      continue;
    }
    view = of(operand);
    if (view.base == operand || view.hasBroadcast() || rankOf(view.base) < 2)
      return false;
    if (elementwise && rankOf(operand) > rankOf(view.base) && isFloatTensor(operand))
      return false; // a head of its own, not folded tokens: what rotates it should still find it
    if (shared && (shared->dims != view.dims || sizes.shape(shared->base) != sizes.shape(view.base)))
      return false;
    shared = view;
    operands.push_back(view.base);
  }
  if (!shared)
    return false;
  View result = *shared;
  if (!isolateLastDim(*this, builder, op->getLoc(), result) || result.dims.size() < 2)
    return false;
  if (result.base != shared->base && (isa<LinearOp>(op) || elementwise))
    return false; // heads stay merged
  if (cost(result) == 0u)
    return false; // only splits the last dimension
  SmallVector<Extent> shape = sizes.shape(result.base);
  for (auto [index, operand] : llvm::enumerate(operands)) {
    if (!operand)
      operand = broadcast(builder, op->getLoc(), rowOperand(builder, op->getOperand(index)), shape);
    else if (named)
      operand = result.base;
  }
  Operation *clone = builder.clone(*op);
  for (auto [index, operand] : llvm::enumerate(operands))
    clone->setOperand(index, operand);
  shape.back() = sizes.of(op->getResult(0), rankOf(op->getResult(0)) - 1);
  Value value = clone->getResult(0);
  value.setType(typeFor(value, shape));
  for (Value operand : clone->getOperands().take_front(named ? 0 : clone->getNumOperands()))
    if (cast<RankedTensorType>(operand.getType()).getShape() !=
        cast<RankedTensorType>(value.getType()).getShape())
      clone->replaceUsesOfWith(operand, [&] {
        OpBuilder before(clone);
        Type element = cast<RankedTensorType>(operand.getType()).getElementType();
        return castTo(before, op->getLoc(), operand, cast<RankedTensorType>(value.getType()).clone(element));
      }());
  if (named && !isa<LinearOp>(op) && clone->getOperand(0).getType() != value.getType())
    value.setType(clone->getOperand(0).getType());
  result.base = value;
  result.dims.back() = View::Dim{Atom{rankOf(value) - 1, Extent(1), shape.back()}};
  Value written = materialize(builder, op->getLoc(), result);
  if (!written)
    return false;
  op->getResult(0).replaceAllUsesWith(castTo(builder, op->getLoc(), written, op->getResult(0).getType()));
  return true;
}

void Views::sinkSlices(func::FuncOp entry) {
  SmallVector<tensor::ExtractSliceOp> slices;
  entry.getBody().walk([&](tensor::ExtractSliceOp slice) { slices.push_back(slice); });
  for (tensor::ExtractSliceOp slice : slices) {
    int64_t last = rankOf(slice.getResult()) - 1;
    if (rankOf(slice.getSource()) != last + 1 || last < 1)
      continue;
    bool channels = true;
    for (int64_t dim = 0; dim < last; ++dim)
      channels &= isConstantIntValue(slice.getMixedOffsets()[dim], 0) &&
                  sizes.of(slice.getSource(), dim) == sizes.of(slice.getResult(), dim);
    View view = of(slice.getSource());
    OpBuilder builder(slice);
    if (!channels || view.base == slice.getSource() || view.hasBroadcast() ||
        !isolateLastDim(*this, builder, slice.getLoc(), view) || cost(view) == 0u)
      continue;
    SmallVector<Extent> shape = sizes.shape(view.base);
    SmallVector<OpFoldResult> offsets(shape.size(), builder.getIndexAttr(0));
    SmallVector<OpFoldResult> strides(shape.size(), builder.getIndexAttr(1)), counts;
    offsets.back() = slice.getMixedOffsets()[last];
    strides.back() = slice.getMixedStrides()[last];
    shape.back() = sizes.of(slice.getResult(), last);
    for (const Extent &extent : shape)
      counts.push_back(extent.constant() ? OpFoldResult(builder.getIndexAttr(*extent.constant()))
                                         : OpFoldResult(sizes.materialize(builder, slice.getLoc(), extent)));
    view.base = tensor::ExtractSliceOp::create(builder, slice.getLoc(), view.base, offsets, counts, strides);
    view.dims.back() = View::Dim{Atom{rankOf(view.base) - 1, Extent(1), shape.back()}};
    if (Value value = materialize(builder, slice.getLoc(), view))
      slice.getResult().replaceAllUsesWith(castTo(builder, slice.getLoc(), value, slice.getType()));
  }
}

void Views::normalize(func::FuncOp entry) {
  SmallVector<Operation *> ops;
  entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
  for (Operation *op : ops) {
    if (!isViewOp(op)) {
      sink(op);
      continue;
    }
    View view = of(op->getResult(0));
    if (view.base == op->getResult(0))
      continue;
    unsigned length = 0;
    for (Value value = op->getResult(0); value != view.base; value = value.getDefiningOp()->getOperand(0))
      length += !isa<tensor::CastOp>(value.getDefiningOp());
    std::optional<unsigned> shortest = cost(view);
    if (!shortest || *shortest >= length)
      continue;
    OpBuilder builder(op);
    Value value = materialize(builder, op->getLoc(), view);
    op->getResult(0).replaceAllUsesWith(castTo(builder, op->getLoc(), value, op->getResult(0).getType()));
  }
}
