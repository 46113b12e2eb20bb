//===- TensorOps.cpp - verifiers and folders of the tensor operations -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/IR/Pith.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace pith;

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

/// Static sizes may differ only where one of them is dynamic.
static bool compatible(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

static bool isPermutation(ArrayRef<int64_t> values) {
  SmallVector<bool> seen(values.size());
  for (int64_t value : values) {
    if (value < 0 || value >= int64_t(values.size()) || seen[value])
      return false;
    seen[value] = true;
  }
  return true;
}

static LogicalResult verifyDims(Operation *op, RankedTensorType result, ValueRange dims) {
  if (int64_t(dims.size()) != int64_t(result.getNumDynamicDims()))
    return op->emitOpError() << "has " << dims.size() << " sizes for the " << result.getNumDynamicDims()
                             << " dynamic dimensions of " << result;
  return success();
}

static LogicalResult verifyElementType(Operation *op, Value source, Value result) {
  if (typeOf(source).getElementType() != typeOf(result).getElementType())
    return op->emitOpError() << "element types differ: " << typeOf(source) << " and " << typeOf(result);
  return success();
}

static LogicalResult verifyAxis(Operation *op, int64_t axis, int64_t rank) {
  if (axis < 0 || axis >= rank)
    return op->emitOpError() << "axis " << axis << " is outside rank " << rank;
  return success();
}

//===----------------------------------------------------------------------===//
// ReshapeOp
//===----------------------------------------------------------------------===//

LogicalResult ReshapeOp::verify() {
  RankedTensorType from = typeOf(getSource()), to = typeOf(getResult());
  if (failed(verifyElementType(*this, getSource(), getResult())) || failed(verifyDims(*this, to, getDims())))
    return failure();
  if (from.hasStaticShape() && to.hasStaticShape() && from.getNumElements() != to.getNumElements()) // reshape_c2
    return emitOpError() << "cannot give the " << from.getNumElements() << " elements of " << from << " the shape of "
                         << to;
  return success();
}

/// The value and the dimension that `size` is the tensor.dim of.
static std::pair<Value, int64_t> dimOf(Value size) {
  auto dim = size.getDefiningOp<tensor::DimOp>();
  if (!dim || !dim.getConstantIndex())
    return {};
  return {dim.getSource(), *dim.getConstantIndex()};
}

OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  RankedTensorType from = typeOf(getSource()), to = typeOf(getResult());
  if (from == to && from.getNumDynamicDims() <= 1)
    return getSource(); // equal static sizes leave one choice for the dynamic one
  if (from == to) {
    // All sizes asked for are the source's own.
    unsigned next = 0;
    bool same = true;
    for (int64_t i = 0; i < to.getRank(); ++i)
      if (to.isDynamicDim(i)) {
        auto [value, dim] = dimOf(getDims()[next++]);
        same &= value == getSource() && dim == i;
      }
    if (same)
      return getSource();
  }
  if (auto inner = getSource().getDefiningOp<ReshapeOp>()) {
    // The inner source already has this shape, sizes included.
    if (inner.getSource().getType() == to) {
      unsigned next = 0;
      bool same = true;
      for (int64_t i = 0; i < to.getRank() && same; ++i)
        if (to.isDynamicDim(i)) {
          auto [value, dim] = dimOf(getDims()[next++]);
          same = value == inner.getSource() && dim == i;
        }
      if (same)
        return inner.getSource();
    }
    getSourceMutable().assign(inner.getSource());
    return getResult();
  }
  if (auto elements = dyn_cast_or_null<DenseElementsAttr>(adaptor.getSource()); elements && to.hasStaticShape())
    return elements.reshape(to);
  return {};
}

namespace {
/// A size that is a constant belongs into the type.
template <typename OpTy>
struct StaticDims : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    RankedTensorType type = typeOf(op.getResult());
    SmallVector<int64_t> shape(type.getShape());
    SmallVector<Value> dims;
    unsigned next = 0;
    for (int64_t &size : shape) {
      if (!ShapedType::isDynamic(size))
        continue;
      Value dim = op.getDims()[next++];
      if (std::optional<int64_t> value = getConstantIntValue(dim); value && *value >= 0)
        size = *value;
      else
        dims.push_back(dim);
    }
    if (dims.size() == op.getDims().size())
      return failure();
    auto refined = RankedTensorType::get(shape, type.getElementType());
    Value result = OpTy::create(rewriter, op.getLoc(), refined, op.getSource(), dims);
    rewriter.replaceOpWithNewOp<tensor::CastOp>(op, type, result);
    return success();
  }
};
} // namespace

void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<StaticDims<ReshapeOp>>(context);
}

//===----------------------------------------------------------------------===//
// BroadcastOp
//===----------------------------------------------------------------------===//

LogicalResult BroadcastOp::verify() {
  RankedTensorType from = typeOf(getSource()), to = typeOf(getResult());
  if (failed(verifyElementType(*this, getSource(), getResult())) || failed(verifyDims(*this, to, getDims())))
    return failure();
  int64_t missing = to.getRank() - from.getRank();
  if (missing < 0) // broadcast_c2
    return emitOpError() << "source rank " << from.getRank() << " exceeds result rank " << to.getRank();
  for (int64_t i = 0; i < from.getRank(); ++i) {
    int64_t size = from.getDimSize(i), target = to.getDimSize(i + missing);
    if (size != 1 && !compatible(size, target)) // broadcast_c3
      return emitOpError() << "source dimension " << i << " of size " << size << " does not fit result dimension "
                           << i + missing << " of size " << target;
  }
  return success();
}

OpFoldResult BroadcastOp::fold(FoldAdaptor adaptor) {
  RankedTensorType from = typeOf(getSource()), to = typeOf(getResult());
  // Only unit source dimensions are repeated, so equal types without a static 1 that could grow are the identity.
  if (from == to)
    return getSource();
  if (auto inner = getSource().getDefiningOp<BroadcastOp>()) {
    // Alignment at the right composes; a unit dimension repeated twice is repeated once.
    getSourceMutable().assign(inner.getSource());
    return getResult();
  }
  if (auto elements = dyn_cast_or_null<DenseElementsAttr>(adaptor.getSource());
      elements && elements.isSplat() && to.hasStaticShape())
    return elements.resizeSplat(to);
  return {};
}

void BroadcastOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<StaticDims<BroadcastOp>>(context);
}

//===----------------------------------------------------------------------===//
// TransposeOp
//===----------------------------------------------------------------------===//

LogicalResult TransposeOp::verify() {
  RankedTensorType from = typeOf(getSource()), to = typeOf(getResult());
  if (failed(verifyElementType(*this, getSource(), getResult())))
    return failure();
  ArrayRef<int64_t> permutation = getPermutation();
  if (int64_t(permutation.size()) != from.getRank() || !isPermutation(permutation)) // transpose_c1
    return emitOpError() << "[" << permutation << "] is not a permutation of rank " << from.getRank();
  if (to.getRank() != from.getRank())
    return emitOpError() << "result rank " << to.getRank() << " is not " << from.getRank();
  for (auto [i, source] : llvm::enumerate(permutation))
    if (!compatible(to.getDimSize(i), from.getDimSize(source))) // transpose_c2
      return emitOpError() << "result dimension " << i << " has size " << to.getDimSize(i) << ", expected "
                           << from.getDimSize(source);
  return success();
}

OpFoldResult TransposeOp::fold(FoldAdaptor adaptor) {
  bool identity = llvm::all_of(llvm::enumerate(getPermutation()),
                               [](auto it) { return int64_t(it.index()) == it.value(); });
  if (identity && getSource().getType() == getType())
    return getSource();
  if (auto inner = getSource().getDefiningOp<TransposeOp>()) {
    SmallVector<int64_t> composed;
    for (int64_t source : getPermutation())
      composed.push_back(inner.getPermutation()[source]);
    setPermutation(composed);
    getSourceMutable().assign(inner.getSource());
    return getResult();
  }
  if (auto elements = dyn_cast_or_null<DenseElementsAttr>(adaptor.getSource());
      elements && elements.isSplat() && typeOf(getResult()).hasStaticShape())
    return elements.reshape(typeOf(getResult()));
  return {};
}

//===----------------------------------------------------------------------===//
// IotaOp, MatmulOp, ReduceOp, SoftmaxOp
//===----------------------------------------------------------------------===//

LogicalResult IotaOp::verify() {
  RankedTensorType type = typeOf(getResult());
  if (!type.getElementType().isIntOrIndex())
    return emitOpError() << "needs integer elements, found " << type;
  if (failed(verifyDims(*this, type, getDims())))
    return failure();
  return verifyAxis(*this, getAxis(), type.getRank());
}

LogicalResult MatmulOp::verify() {
  RankedTensorType lhs = typeOf(getLhs()), rhs = typeOf(getRhs()), result = typeOf(getResult());
  if (lhs.getRank() < 2 || rhs.getRank() < 2) // matmul_c1
    return emitOpError() << "needs operands of rank 2 or more, found " << lhs << " and " << rhs;
  if (rhs.getRank() != 2 && rhs.getRank() != lhs.getRank())
    return emitOpError() << "right operand must have rank 2 or " << lhs.getRank() << ", found " << rhs;
  if (result.getRank() != lhs.getRank())
    return emitOpError() << "result must have rank " << lhs.getRank() << ", found " << result;
  int64_t rank = lhs.getRank();
  int64_t k = lhs.getDimSize(rank - 1), rhsK = rhs.getDimSize(rhs.getRank() - 2);
  if (!compatible(k, rhsK)) // matmul_c2
    return emitOpError() << "inner sizes differ: " << k << " and " << rhsK;
  if (!compatible(result.getDimSize(rank - 2), lhs.getDimSize(rank - 2)) ||
      !compatible(result.getDimSize(rank - 1), rhs.getDimSize(rhs.getRank() - 1)))
    return emitOpError() << "result " << result << " does not fit " << lhs << " and " << rhs;
  for (int64_t i = 0; i < rank - 2; ++i) // matmul_c3
    if (!compatible(lhs.getDimSize(i), result.getDimSize(i)) ||
        (rhs.getRank() != 2 && !compatible(lhs.getDimSize(i), rhs.getDimSize(i))))
      return emitOpError() << "batch dimension " << i << " differs: " << lhs << ", " << rhs << ", " << result;
  return verifyElementType(*this, getLhs(), getRhs());
}

LogicalResult ReduceOp::verify() {
  RankedTensorType from = typeOf(getSource()), to = typeOf(getResult());
  if (from.getRank() != to.getRank() || from.getElementType() != to.getElementType())
    return emitOpError() << "result " << to << " does not fit source " << from;
  for (int64_t axis : getAxes())
    if (failed(verifyAxis(*this, axis, from.getRank())))
      return failure();
  for (int64_t i = 0; i < from.getRank(); ++i) {
    int64_t expected = llvm::is_contained(getAxes(), i) ? 1 : from.getDimSize(i);
    if (!compatible(to.getDimSize(i), expected))
      return emitOpError() << "result dimension " << i << " has size " << to.getDimSize(i) << ", expected " << expected;
  }
  return success();
}

LogicalResult SoftmaxOp::verify() { return verifyAxis(*this, getAxis(), typeOf(getSource()).getRank()); }
LogicalResult CumSumOp::verify() { return verifyAxis(*this, getAxis(), typeOf(getSource()).getRank()); }

//===----------------------------------------------------------------------===//
// Gather and scatter
//===----------------------------------------------------------------------===//

LogicalResult GatherOp::verify() {
  RankedTensorType source = typeOf(getSource()), indices = typeOf(getIndices()), result = typeOf(getResult());
  if (failed(verifyAxis(*this, getAxis(), source.getRank())) ||
      failed(verifyElementType(*this, getSource(), getResult())))
    return failure();
  if (result.getRank() != source.getRank() + indices.getRank() - 1)
    return emitOpError() << "result rank " << result.getRank() << ", expected "
                         << source.getRank() + indices.getRank() - 1;
  SmallVector<int64_t> expected(source.getShape().take_front(getAxis()));
  llvm::append_range(expected, indices.getShape());
  llvm::append_range(expected, source.getShape().drop_front(getAxis() + 1));
  for (auto [i, size] : llvm::enumerate(expected))
    if (!compatible(size, result.getDimSize(i)))
      return emitOpError() << "result dimension " << i << " has size " << result.getDimSize(i) << ", expected " << size;
  return success();
}

LogicalResult GatherNDOp::verify() {
  RankedTensorType source = typeOf(getSource()), indices = typeOf(getIndices()), result = typeOf(getResult());
  int64_t batch = getBatchDims();
  if (indices.getRank() < 1 || indices.isDynamicDim(indices.getRank() - 1))
    return emitOpError() << "needs index tuples of static length, found " << indices;
  int64_t tuple = indices.getShape().back();
  if (batch < 0 || batch >= indices.getRank() || batch + tuple > source.getRank())
    return emitOpError() << "tuples of " << tuple << " behind " << batch << " batch dimensions do not fit " << source;
  int64_t rank = indices.getRank() - 1 + source.getRank() - tuple - batch;
  if (result.getRank() != rank)
    return emitOpError() << "result rank " << result.getRank() << ", expected " << rank;
  return verifyElementType(*this, getSource(), getResult());
}

LogicalResult ScatterNDOp::verify() {
  RankedTensorType source = typeOf(getSource()), indices = typeOf(getIndices()), updates = typeOf(getUpdates());
  if (indices.getRank() < 1 || indices.isDynamicDim(indices.getRank() - 1))
    return emitOpError() << "needs index tuples of static length, found " << indices;
  int64_t tuple = indices.getShape().back();
  if (tuple > source.getRank())
    return emitOpError() << "tuples of " << tuple << " do not fit " << source;
  if (updates.getRank() != indices.getRank() - 1 + source.getRank() - tuple)
    return emitOpError() << "updates have rank " << updates.getRank() << ", expected "
                         << indices.getRank() - 1 + source.getRank() - tuple;
  if (failed(verifyElementType(*this, getSource(), getUpdates())))
    return failure();
  if (source.getRank() != typeOf(getResult()).getRank())
    return emitOpError() << "result " << typeOf(getResult()) << " does not have the source's rank";
  return verifyElementType(*this, getSource(), getResult());
}

LogicalResult CacheUpdateOp::verify() {
  RankedTensorType past = typeOf(getPast()), update = typeOf(getUpdate()), result = typeOf(getResult());
  if (past.getRank() != 4 || update.getRank() != 4 || result.getRank() != 4)
    return emitOpError() << "needs [batch, heads, length, channels], found " << past << ", " << update << ", " << result;
  if (typeOf(getStart()).getRank() != 1)
    return emitOpError() << "start must be [batch], found " << typeOf(getStart());
  for (int64_t i : {0, 1, 3})
    if (!compatible(past.getDimSize(i), result.getDimSize(i)) || !compatible(update.getDimSize(i), result.getDimSize(i)))
      return emitOpError() << "dimension " << i << " differs: " << past << ", " << update << ", " << result;
  if (failed(verifyElementType(*this, getPast(), getResult())) || failed(verifyElementType(*this, getUpdate(), getResult())))
    return failure();
  return verifyDims(*this, result, getDims());
}
