//===- TensorBuilder.cpp - words that plain lowerings are written in ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "TensorBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/APFloat.h"

using namespace mlir;
using namespace pith;

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

static OpFoldResult multiply(OpBuilder &b, Location loc, OpFoldResult x, OpFoldResult y) {
  std::optional<int64_t> cx = getConstantIntValue(x), cy = getConstantIntValue(y);
  if (cx && cy)
    return b.getIndexAttr(*cx * *cy);
  if (cx && *cx == 1)
    return y;
  if (cy && *cy == 1)
    return x;
  return arith::MulIOp::create(b, loc, getValueOrCreateConstantIndexOp(b, loc, x),
                               getValueOrCreateConstantIndexOp(b, loc, y))
      .getResult();
}

/// One value per dimension of a function's arguments, at the function's start, and one per name: the runtime
/// has checked that dimensions of one name are equal.
static Value argumentDim(BlockArgument argument, int64_t i) {
  Block *block = argument.getOwner();
  if (auto function = dyn_cast<func::FuncOp>(block->getParentOp())) {
    auto nameOf = [&](unsigned number, int64_t d) {
      auto names = function.getArgAttrOfType<ArrayAttr>(number, kDimsAttr);
      return names && d < static_cast<int64_t>(names.size()) ? dyn_cast<StringAttr>(names[d]) : StringAttr();
    };
    auto firstOfName = [&](StringAttr name) -> std::pair<BlockArgument, int64_t> {
      for (BlockArgument other : block->getArguments())
        if (auto type = dyn_cast<RankedTensorType>(other.getType()))
          for (int64_t d = 0; d < type.getRank(); ++d)
            if (type.isDynamicDim(d) && nameOf(other.getArgNumber(), d) == name)
              return {other, d};
      return {argument, i};
    };
    if (StringAttr name = nameOf(argument.getArgNumber(), i))
      std::tie(argument, i) = firstOfName(name);
  }
  for (Operation *user : argument.getUsers())
    if (auto dim = dyn_cast<tensor::DimOp>(user); dim && dim.getConstantIndex() == i) {
      Operation *index = dim.getIndex().getDefiningOp();
      dim->moveBefore(&block->front());
      if (index->getBlock() == block)
        index->moveBefore(&block->front());
      return dim;
    }
  OpBuilder start = OpBuilder::atBlockBegin(block);
  return tensor::DimOp::create(start, argument.getLoc(), argument, i);
}

/// The operand that has the same size in dimension `i` as the result of an operation that is not lowered yet.
static Value sameSize(Operation *op, int64_t i) {
  if (isa<RMSNormOp, LayerNormOp, RopeOp, ActivationOp, GLUOp, SoftmaxOp, CumSumOp, LinearOp, EmbeddingOp,
          CacheAttentionOp, AttentionOp>(op)) {
    Value first = op->getOperand(0);
    return i < llvm::cast<RankedTensorType>(first.getType()).getRank() ? first : Value();
  }
  if (OpTrait::hasElementwiseMappableTraits(op))
    for (Value operand : op->getOperands())
      if (isa<RankedTensorType>(operand.getType()))
        return operand;
  return {};
}

/// The `dims` operand that says the size, for operations that have such.
static Value statedSize(Operation *op, int64_t i) {
  auto find = [&](auto shaped) -> Value {
    auto type = llvm::cast<RankedTensorType>(shaped.getResult().getType());
    return shaped.getDims()[type.getDynamicDimIndex(i)];
  };
  if (auto reshape = dyn_cast<ReshapeOp>(op))
    return find(reshape);
  if (auto broadcast = dyn_cast<BroadcastOp>(op))
    return find(broadcast);
  if (auto iota = dyn_cast<IotaOp>(op))
    return find(iota);
  if (auto update = dyn_cast<CacheUpdateOp>(op))
    return find(update);
  return {};
}

OpFoldResult pith::getDim(OpBuilder &b, Location loc, Value tensor, int64_t i) {
  auto type = llvm::cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(i))
    return b.getIndexAttr(type.getDimSize(i));
  if (auto argument = dyn_cast<BlockArgument>(tensor))
    return argumentDim(argument, i);
  Operation *def = tensor.getDefiningOp();
  if (auto op = dyn_cast_or_null<tensor::EmptyOp>(def))
    return op.getMixedSizes()[i];
  if (auto op = dyn_cast_or_null<tensor::CastOp>(def))
    return getDim(b, loc, op.getSource(), i);
  if (auto op = dyn_cast_or_null<DestinationStyleOpInterface>(def))
    return getDim(b, loc, op.getTiedOpOperand(cast<OpResult>(tensor))->get(), i);
  if (auto op = dyn_cast_or_null<tensor::ExtractSliceOp>(def)) {
    llvm::SmallBitVector dropped = op.getDroppedDims();
    for (auto [position, size] : llvm::enumerate(op.getMixedSizes()))
      if (!dropped.test(position) && i-- == 0)
        return size;
  }
  if (auto op = dyn_cast_or_null<tensor::ExpandShapeOp>(def))
    return op.getMixedOutputShape()[i];
  if (auto op = dyn_cast_or_null<tensor::CollapseShapeOp>(def)) {
    OpFoldResult size = b.getIndexAttr(1);
    SmallVector<ReassociationIndices> groups = op.getReassociationIndices(); // lives as long as the loop
    for (int64_t source : groups[i])
      size = multiply(b, loc, size, getDim(b, loc, op.getSrc(), source));
    return size;
  }
  if (auto op = dyn_cast_or_null<LaunchOp>(def))
    return getDim(b, loc, op.getOperands()[op.getOutputs()[cast<OpResult>(tensor).getResultNumber()]], i);
  if (Value same = def ? sameSize(def, i) : Value())
    return getDim(b, loc, same, i);
  if (Value stated = def ? statedSize(def, i) : Value())
    return getAsOpFoldResult(stated);
  if (auto op = dyn_cast_or_null<ReifyRankedShapedTypeOpInterface>(def)) {
    ReifiedRankedShapedTypeDims shapes;
    if (succeeded(op.reifyResultShapes(b, shapes)))
      return shapes[cast<OpResult>(tensor).getResultNumber()][i];
  }
  return tensor::DimOp::create(b, loc, tensor, i).getResult();
}

Dims TensorBuilder::dims(Value tensor) {
  Dims result;
  for (int64_t i = 0, e = llvm::cast<RankedTensorType>(tensor.getType()).getRank(); i < e; ++i)
    result.push_back(dim(tensor, i));
  return result;
}

Dims TensorBuilder::dims(Type type, ValueRange dynamic) {
  Dims result;
  unsigned next = 0;
  for (int64_t size : llvm::cast<RankedTensorType>(type).getShape())
    result.push_back(ShapedType::isDynamic(size) ? getAsOpFoldResult(dynamic[next++]) : fixed(size));
  return result;
}

Value TensorBuilder::size(OpFoldResult dim) { return getValueOrCreateConstantIndexOp(b, loc, dim); }

OpFoldResult TensorBuilder::product(ArrayRef<OpFoldResult> dims) {
  OpFoldResult result = fixed(1);
  for (OpFoldResult d : dims)
    result = multiply(b, loc, result, d);
  return result;
}

OpFoldResult TensorBuilder::sum(OpFoldResult x, OpFoldResult y) {
  std::optional<int64_t> cx = getConstantIntValue(x), cy = getConstantIntValue(y);
  if (cx && cy)
    return fixed(*cx + *cy);
  return arith::AddIOp::create(b, loc, size(x), size(y)).getResult();
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

TensorBuilder::TensorBuilder(OpBuilder &b, Location loc) : b(b), loc(loc) {
  f32 = b.getF32Type();
  index = b.getIndexType();
  i1 = b.getI1Type();
}

Value TensorBuilder::idx(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }

Value TensorBuilder::number(Type type, double value) {
  if (auto floatType = dyn_cast<FloatType>(type))
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(floatType, value));
  return arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, static_cast<int64_t>(value)));
}

Value TensorBuilder::lowest(Type type) {
  if (auto floatType = dyn_cast<FloatType>(type))
    return arith::ConstantOp::create(
        b, loc, b.getFloatAttr(floatType, APFloat::getInf(floatType.getFloatSemantics(), /*Negative=*/true)));
  return arith::ConstantOp::create(
      b, loc,
      b.getIntegerAttr(type, APInt::getSignedMinValue(type.isIndex() ? 64 : type.getIntOrFloatBitWidth())));
}

Value TensorBuilder::highest(Type type) {
  if (auto floatType = dyn_cast<FloatType>(type))
    return arith::ConstantOp::create(
        b, loc, b.getFloatAttr(floatType, APFloat::getInf(floatType.getFloatSemantics())));
  return arith::ConstantOp::create(
      b, loc,
      b.getIntegerAttr(type, APInt::getSignedMaxValue(type.isIndex() ? 64 : type.getIntOrFloatBitWidth())));
}

Value TensorBuilder::convert(Value scalar, Type type) {
  Type from = scalar.getType();
  if (from == type)
    return scalar;
  auto fromFloat = dyn_cast<FloatType>(from), toFloat = dyn_cast<FloatType>(type);
  if (fromFloat && toFloat) {
    if (fromFloat.getWidth() == toFloat.getWidth()) // f16 and bf16
      return convert(convert(scalar, f32), type);
    if (fromFloat.getWidth() < toFloat.getWidth())
      return arith::ExtFOp::create(b, loc, type, scalar);
    return arith::TruncFOp::create(b, loc, type, scalar);
  }
  if (from.isIndex() && toFloat)
    return convert(arith::IndexCastOp::create(b, loc, b.getI64Type(), scalar), type);
  if (fromFloat && type.isIndex())
    return convert(convert(scalar, b.getI64Type()), type);
  if (toFloat)
    return from.isInteger(1) ? arith::UIToFPOp::create(b, loc, type, scalar).getResult()
                             : arith::SIToFPOp::create(b, loc, type, scalar).getResult();
  if (fromFloat)
    return arith::FPToSIOp::create(b, loc, type, scalar);
  if (from.isIndex() || type.isIndex())
    return from.isInteger(1) ? arith::IndexCastUIOp::create(b, loc, type, scalar).getResult()
                             : arith::IndexCastOp::create(b, loc, type, scalar).getResult();
  if (from.getIntOrFloatBitWidth() > type.getIntOrFloatBitWidth())
    return arith::TruncIOp::create(b, loc, type, scalar);
  return from.isInteger(1) ? arith::ExtUIOp::create(b, loc, type, scalar).getResult()
                           : arith::ExtSIOp::create(b, loc, type, scalar).getResult();
}

template <typename FloatOp, typename IntOp>
static Value binary(TensorBuilder &t, Value x, Value y) {
  if (isa<FloatType>(x.getType()))
    return FloatOp::create(t.b, t.loc, x, y);
  return IntOp::create(t.b, t.loc, x, y);
}
Value TensorBuilder::add(Value x, Value y) { return binary<arith::AddFOp, arith::AddIOp>(*this, x, y); }
Value TensorBuilder::sub(Value x, Value y) { return binary<arith::SubFOp, arith::SubIOp>(*this, x, y); }
Value TensorBuilder::mul(Value x, Value y) { return binary<arith::MulFOp, arith::MulIOp>(*this, x, y); }
Value TensorBuilder::div(Value x, Value y) { return binary<arith::DivFOp, arith::DivSIOp>(*this, x, y); }
Value TensorBuilder::maximum(Value x, Value y) {
  return binary<arith::MaximumFOp, arith::MaxSIOp>(*this, x, y);
}
Value TensorBuilder::minimum(Value x, Value y) {
  return binary<arith::MinimumFOp, arith::MinSIOp>(*this, x, y);
}

Value TensorBuilder::lessThan(Value x, Value y) {
  if (isa<FloatType>(x.getType()))
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, y);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, x, y);
}
Value TensorBuilder::atLeast(Value x, Value y) {
  if (isa<FloatType>(x.getType()))
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, x, y);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, x, y);
}
Value TensorBuilder::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, loc, condition, x, y);
}
Value TensorBuilder::accumulate(Value x, Value y) {
  if (isa<FloatType>(x.getType()))
    return arith::AddFOp::create(b, loc, x, y, arith::FastMathFlags::reassoc);
  return add(x, y);
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

Value TensorBuilder::empty(ArrayRef<OpFoldResult> dims, Type element) {
  return tensor::EmptyOp::create(b, loc, dims, element);
}

Value TensorBuilder::filled(ArrayRef<OpFoldResult> dims, Value scalar) {
  return linalg::FillOp::create(b, loc, scalar, empty(dims, scalar.getType())).getResult(0);
}

SmallVector<Value> TensorBuilder::generic(StringRef iterators, ValueRange ins, ValueRange outs,
                                          ArrayRef<AffineMap> maps, Body body) {
  SmallVector<utils::IteratorType> kinds;
  for (char kind : iterators)
    kinds.push_back(kind == 'p' ? utils::IteratorType::parallel : utils::IteratorType::reduction);
  auto op = linalg::GenericOp::create(
      b, loc, outs.getTypes(), ins, outs, maps, kinds, [&](OpBuilder &nested, Location, ValueRange scalars) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(nested.getInsertionBlock(), nested.getInsertionPoint());
        linalg::YieldOp::create(b, loc, body(scalars));
      });
  return SmallVector<Value>(op.getResults());
}

Value TensorBuilder::compute(ArrayRef<OpFoldResult> dims, Type element, ValueRange ins,
                             ArrayRef<AffineMap> maps, llvm::function_ref<Value(ValueRange)> body) {
  SmallVector<AffineMap> all(maps);
  all.push_back(identity(dims.size()));
  return generic(std::string(dims.size(), 'p'), ins, empty(dims, element), all,
                 [&](ValueRange scalars) -> SmallVector<Value> { return {body(scalars.drop_back())}; })
      .front();
}

Value TensorBuilder::elementwise(ValueRange ins, Type element, llvm::function_ref<Value(ValueRange)> body) {
  // The most static input says the result's shape.
  Value shape = ins.front();
  for (Value in : ins)
    if (llvm::cast<RankedTensorType>(in.getType()).getNumDynamicDims() <
        llvm::cast<RankedTensorType>(shape.getType()).getNumDynamicDims())
      shape = in;
  Dims sizes = dims(shape);
  return compute(sizes, element, ins, SmallVector<AffineMap>(ins.size(), identity(sizes.size())), body);
}

Value TensorBuilder::elementwise(Value in, Type element, llvm::function_ref<Value(Value)> body) {
  return elementwise(ValueRange(in), element, [&](ValueRange scalars) { return body(scalars[0]); });
}

Value TensorBuilder::cast(Value tensor, Type element) {
  if (getElementTypeOrSelf(tensor.getType()) == element)
    return tensor;
  return elementwise(tensor, element, [&](Value x) { return convert(x, element); });
}

Value TensorBuilder::loopIndex(int64_t loop) { return linalg::IndexOp::create(b, loc, loop); }

Value TensorBuilder::extract(Value tensor, ValueRange indices) {
  return tensor::ExtractOp::create(b, loc, tensor, indices);
}

Value TensorBuilder::as(Value tensor, Type type) {
  if (tensor.getType() == type)
    return tensor;
  return tensor::CastOp::create(b, loc, type, tensor);
}

namespace {
/// A product of sizes in a normal form: a number times values, each as often as it occurs.
struct Product {
  int64_t number = 1;
  SmallVector<void *> values;
  void multiply(OpFoldResult dim) {
    if (std::optional<int64_t> constant = getConstantIntValue(dim)) {
      number *= *constant;
      return;
    }
    // A size such as 4 * b * s is the product of its factors.
    Value value = llvm::cast<Value>(dim);
    if (auto product = value.getDefiningOp<arith::MulIOp>()) {
      multiply(getAsOpFoldResult(product.getLhs()));
      multiply(getAsOpFoldResult(product.getRhs()));
      return;
    }
    void *key = value.getAsOpaquePointer();
    values.insert(llvm::upper_bound(values, key), key);
  }
  bool operator==(const Product &o) const { return number == o.number && values == o.values; }
};
} // namespace

/// Cuts two shapes of the same number of elements into the finest groups of dimensions with equal products.
/// What cannot be told apart stays in one group.
static void groupDimensions(ArrayRef<OpFoldResult> from, ArrayRef<OpFoldResult> to,
                            SmallVectorImpl<ReassociationIndices> &fromGroups,
                            SmallVectorImpl<ReassociationIndices> &toGroups) {
  size_t i = 0, j = 0;
  while (i < from.size() && j < to.size()) {
    ReassociationIndices left{static_cast<int64_t>(i)}, right{static_cast<int64_t>(j)};
    size_t ni = i + 1, nj = j + 1;
    Product x, y;
    x.multiply(from[i]);
    y.multiply(to[j]);
    // Grow both sides until some pair of prefixes has equal products.
    bool found = x == y;
    for (size_t ei = i + 1; !found && ei <= from.size(); ++ei) {
      Product px;
      for (size_t a = i; a < ei; ++a)
        px.multiply(from[a]);
      Product py;
      for (size_t ej = j; ej < to.size(); ++ej) {
        py.multiply(to[ej]);
        if (px == py) {
          ni = ei, nj = ej + 1, found = true;
          break;
        }
      }
    }
    if (!found)
      ni = from.size(), nj = to.size();
    for (size_t a = i + 1; a < ni; ++a)
      left.push_back(a);
    for (size_t a = j + 1; a < nj; ++a)
      right.push_back(a);
    fromGroups.push_back(left);
    toGroups.push_back(right);
    i = ni, j = nj;
  }
  // Only unit dimensions can be left.
  for (; i < from.size(); ++i)
    fromGroups.back().push_back(i);
  for (; j < to.size(); ++j)
    toGroups.back().push_back(j);
}

Value TensorBuilder::reshape(Value tensor, ArrayRef<OpFoldResult> sizes) {
  auto type = llvm::cast<RankedTensorType>(tensor.getType());
  Type element = type.getElementType();
  SmallVector<int64_t> shape;
  for (OpFoldResult size : sizes)
    shape.push_back(getConstantIntValue(size).value_or(ShapedType::kDynamic));
  auto resultType = RankedTensorType::get(shape, element);
  if (type.getRank() == 0 || shape.empty()) {
    if (type.getRank() == 0 && shape.empty())
      return tensor;
    Value scalar = extract(tensor, SmallVector<Value>(type.getRank(), idx(0)));
    return tensor::FromElementsOp::create(
        b, loc, RankedTensorType::get(SmallVector<int64_t>(shape.size(), 1), element), scalar);
  }
  SmallVector<ReassociationIndices> fromGroups, toGroups;
  Dims from = dims(tensor);
  groupDimensions(from, sizes, fromGroups, toGroups);

  // What is known on the result's side of a group is known on the source's.
  SmallVector<int64_t> middle;
  SmallVector<int64_t> refined(type.getShape());
  for (auto [left, right] : llvm::zip_equal(fromGroups, toGroups)) {
    auto fixedProduct = [](ArrayRef<int64_t> group, ArrayRef<int64_t> shape) {
      int64_t product = 1;
      for (int64_t i : group)
        product = ShapedType::isDynamic(shape[i]) || product < 0 ? -1 : product * shape[i];
      return product;
    };
    int64_t x = fixedProduct(left, type.getShape()), y = fixedProduct(right, shape);
    if (x < 0 && y >= 0 && left.size() == 1) {
      refined[left[0]] = y;
      x = y;
    }
    middle.push_back(x < 0 ? ShapedType::kDynamic : x);
  }
  Value value = as(tensor, RankedTensorType::get(refined, element));
  if (llvm::any_of(fromGroups, [](auto &group) { return group.size() > 1; }))
    value =
        tensor::CollapseShapeOp::create(b, loc, RankedTensorType::get(middle, element), value, fromGroups);
  // Each side of an expansion is dynamic exactly if the other is.
  SmallVector<int64_t> adjusted(middle);
  for (auto [i, group] : llvm::enumerate(toGroups)) {
    bool dynamic = llvm::any_of(group, [&](int64_t d) { return ShapedType::isDynamic(shape[d]); });
    int64_t product = 1;
    if (!dynamic)
      for (int64_t d : group)
        product *= shape[d];
    adjusted[i] = dynamic ? ShapedType::kDynamic : product;
  }
  value = as(value, RankedTensorType::get(adjusted, element));
  if (llvm::any_of(toGroups, [](auto &group) { return group.size() > 1; }))
    value = tensor::ExpandShapeOp::create(b, loc, resultType, value, toGroups, sizes);
  return as(value, resultType);
}

//===----------------------------------------------------------------------===//
// Maps
//===----------------------------------------------------------------------===//

AffineMap TensorBuilder::map(int64_t loops, ArrayRef<int64_t> results) {
  SmallVector<AffineExpr> exprs;
  for (int64_t loop : results)
    exprs.push_back(loop < 0 ? b.getAffineConstantExpr(0) : b.getAffineDimExpr(loop));
  return AffineMap::get(loops, 0, exprs, b.getContext());
}

AffineMap TensorBuilder::identity(int64_t rank) { return b.getMultiDimIdentityMap(rank); }

AffineMap TensorBuilder::broadcast(Value tensor, int64_t rank) {
  auto type = llvm::cast<RankedTensorType>(tensor.getType());
  SmallVector<int64_t> results;
  for (int64_t i = 0; i < type.getRank(); ++i)
    results.push_back(type.getDimSize(i) == 1 ? -1 : rank - type.getRank() + i);
  return map(rank, results);
}
