//===- Tensors.cpp - code on tensors with symbolic sizes -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

Tensor Importer::splat(Type element, double value, ArrayRef<Expr> shape) {
  if (!isa<FloatType>(element))
    return splatInt(element, int64_t(value), shape);
  RankedTensorType type = typeOf(element, shape);
  RankedTensorType constant = type.hasStaticShape() ? type : RankedTensorType::get({}, element);
  auto elements = DenseElementsAttr::get(constant, Attribute(FloatAttr::get(element, value)));
  Tensor scalar{arith::ConstantOp::create(builder, loc, elements), {}};
  if (type.hasStaticShape())
    return {scalar.value, Shape(shape)};
  return broadcast(scalar, shape);
}

Tensor Importer::splatInt(Type element, int64_t value, ArrayRef<Expr> shape) {
  RankedTensorType type = typeOf(element, shape);
  RankedTensorType constant = type.hasStaticShape() ? type : RankedTensorType::get({}, element);
  APInt bits = APInt(64, value, true).sextOrTrunc(element.getIntOrFloatBitWidth());
  Tensor scalar{arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(constant, bits)), {}};
  if (type.hasStaticShape())
    return {scalar.value, Shape(shape)};
  return broadcast(scalar, shape);
}

Tensor Importer::fromExpr(Type element, const Expr &e) {
  if (std::optional<int64_t> constant = symbols.normalize(e).constant())
    return splat(element, double(*constant));
  Value scalar = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), index(e));
  if (isa<FloatType>(element))
    scalar = arith::SIToFPOp::create(builder, loc, element, scalar);
  else if (!element.isInteger(64))
    scalar = arith::TruncIOp::create(builder, loc, element, scalar);
  return {tensor::FromElementsOp::create(builder, loc, RankedTensorType::get({}, element), scalar), {}};
}

Tensor Importer::iota(Type element, ArrayRef<Expr> shape, int64_t axis) {
  return {IotaOp::create(builder, loc, typeOf(element, shape), axis, dynamicDims(shape)), Shape(shape)};
}

Tensor Importer::reshape(const Tensor &source, ArrayRef<Expr> shape) {
  if (sameShape(source.shape, shape))
    return {conform(source), Shape(shape)};
  RankedTensorType type = typeOf(source.element(), shape);
  auto from = llvm::cast<RankedTensorType>(source.value.getType());
  if (from.hasStaticShape() && type.hasStaticShape() && from.getNumElements() != type.getNumElements()) {
    if (current && !current->failed)
      current->error() << "cannot give a tensor of shape " << symbols.print(source.shape) << " the shape "
                       << symbols.print(shape);
    return {tensor::EmptyOp::create(builder, loc, type, ValueRange()), Shape(shape)};
  }
  // Constants of shape arithmetic and scalars are small: no op for their shape.
  if (type.hasStaticShape())
    if (auto constant = source.value.getDefiningOp<arith::ConstantOp>())
      if (auto elements = dyn_cast<DenseElementsAttr>(constant.getValue()))
        return {arith::ConstantOp::create(builder, loc, elements.reshape(type)), Shape(shape)};
  return {ReshapeOp::create(builder, loc, type, source.value, dynamicDims(shape)), Shape(shape)};
}

Tensor Importer::broadcast(const Tensor &source, ArrayRef<Expr> shape) {
  if (source.shape.size() == shape.size() &&
      llvm::all_of_zip(source.shape, shape, [&](const Expr &a, const Expr &b) {
        return !symbols.normalize(a).isConstant(1) || symbols.normalize(b).isConstant(1);
      }))
    return {conform({source.value, Shape(shape)}), Shape(shape)};
  RankedTensorType type = typeOf(source.element(), shape);
  if (type.hasStaticShape())
    if (auto constant = source.value.getDefiningOp<arith::ConstantOp>())
      if (auto elements = dyn_cast<DenseElementsAttr>(constant.getValue());
          elements && (elements.isSplat() || elements.getNumElements() == 1))
        return {arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, *elements.getValues<Attribute>().begin())),
                Shape(shape)};
  return {BroadcastOp::create(builder, loc, type, source.value, dynamicDims(shape)), Shape(shape)};
}

Tensor Importer::transpose(const Tensor &source, ArrayRef<int64_t> permutation) {
  bool identity = true;
  Shape shape;
  for (auto [i, from] : llvm::enumerate(permutation)) {
    identity &= from == int64_t(i);
    shape.push_back(source.shape[from]);
  }
  if (identity)
    return source;
  return {TransposeOp::create(builder, loc, typeOf(source.element(), shape), source.value, permutation), shape};
}

Tensor Importer::slice(const Tensor &source, ArrayRef<Expr> offsets, ArrayRef<Expr> sizes, ArrayRef<int64_t> steps) {
  bool whole = sameShape(source.shape, sizes);
  SmallVector<OpFoldResult> offsetValues, sizeValues, stepValues;
  for (size_t i = 0; i < sizes.size(); ++i) {
    int64_t step = steps.empty() ? 1 : steps[i];
    whole &= step == 1 && symbols.normalize(offsets[i]).isConstant(0);
    offsetValues.push_back(fold(offsets[i]));
    sizeValues.push_back(fold(sizes[i]));
    stepValues.push_back(builder.getIndexAttr(step));
  }
  if (whole)
    return source;
  RankedTensorType type = typeOf(source.element(), sizes);
  // A constant slice outside a constant dimension cannot come from a correct size computation.
  for (size_t i = 0; i < sizes.size(); ++i) {
    std::optional<int64_t> offset = symbols.normalize(offsets[i]).constant(), size = symbols.normalize(sizes[i]).constant(),
                           length = symbols.normalize(source.shape[i]).constant();
    int64_t step = steps.empty() ? 1 : steps[i];
    bool outside = offset && (*offset < 0 || (length && *offset > *length));
    if (offset && length && size && *size > 0 && !outside)
      outside = (*length - *offset - 1) / step < *size - 1 || *offset >= *length;
    if (outside) {
      if (current && !current->failed)
        current->error() << "slice from " << *offset << " of dimension " << i << " lies outside shape "
                         << symbols.print(source.shape);
      return {tensor::EmptyOp::create(builder, loc, type, dynamicDims(sizes)), Shape(sizes)};
    }
  }
  Value value = tensor::ExtractSliceOp::create(builder, loc, type, source.value, offsetValues, sizeValues, stepValues);
  return {value, Shape(sizes)};
}

Tensor Importer::sliceDim(const Tensor &source, int64_t axis, const Expr &offset, const Expr &size) {
  Shape offsets(source.rank(), Expr(0)), sizes = source.shape;
  offsets[axis] = offset;
  sizes[axis] = size;
  return slice(source, offsets, sizes);
}

Tensor Importer::concat(ArrayRef<Tensor> parts, int64_t axis) {
  if (parts.size() == 1)
    return parts[0];
  Shape shape = parts[0].shape;
  for (const Tensor &part : parts.drop_front())
    shape[axis] = symbols.add(shape[axis], part.shape[axis]);
  SmallVector<Value> values;
  for (const Tensor &part : parts) {
    // The other dimensions are equal, so all parts may know what one knows.
    Shape own = shape;
    own[axis] = part.shape[axis];
    values.push_back(conform({part.value, own}));
  }
  return {tensor::ConcatOp::create(builder, loc, typeOf(parts[0].element(), shape), axis, values), shape};
}

Tensor Importer::gather(const Tensor &source, const Tensor &indices, int64_t axis) {
  Shape shape(source.shape.begin(), source.shape.begin() + axis);
  shape.append(indices.shape.begin(), indices.shape.end());
  shape.append(source.shape.begin() + axis + 1, source.shape.end());
  return {GatherOp::create(builder, loc, typeOf(source.element(), shape), source.value, indices.value, axis), shape};
}

Tensor Importer::gatherND(const Tensor &source, const Tensor &indices, int64_t batchDims, ArrayRef<Expr> shape) {
  return {GatherNDOp::create(builder, loc, typeOf(source.element(), shape), source.value, indices.value, batchDims),
          Shape(shape)};
}

Tensor Importer::reduce(ReduceKind kind, const Tensor &source, ArrayRef<int64_t> axes) {
  if (axes.empty())
    return source;
  Shape shape = source.shape;
  for (int64_t axis : axes)
    shape[axis] = 1;
  SmallVector<int64_t> sorted(axes);
  llvm::sort(sorted);
  return {ReduceOp::create(builder, loc, typeOf(source.element(), shape), kind, source.value, sorted), shape};
}

Tensor Importer::matmul(const Tensor &lhs, const Tensor &rhs) {
  Shape shape = lhs.shape;
  shape.back() = rhs.shape.back();
  return {MatmulOp::create(builder, loc, typeOf(lhs.element(), shape), lhs.value, rhs.value), shape};
}

Tensor Importer::compare(arith::CmpIPredicate predicate, const Tensor &a, const Tensor &b) {
  return {builder.createOrFold<arith::CmpIOp>(loc, predicate, conform(a), conform({b.value, a.shape})), a.shape};
}
Tensor Importer::compare(arith::CmpFPredicate predicate, const Tensor &a, const Tensor &b) {
  return {builder.createOrFold<arith::CmpFOp>(loc, predicate, conform(a), conform({b.value, a.shape})), a.shape};
}
Tensor Importer::select(const Tensor &condition, const Tensor &a, const Tensor &b) {
  return {builder.createOrFold<arith::SelectOp>(loc, conform(condition), conform({a.value, condition.shape}),
                                                conform({b.value, condition.shape})),
          condition.shape};
}

Tensor Importer::add(const Tensor &a, const Tensor &b) {
  return isa<FloatType>(a.element()) ? binary<arith::AddFOp>(a, b) : binary<arith::AddIOp>(a, b);
}
Tensor Importer::sub(const Tensor &a, const Tensor &b) {
  return isa<FloatType>(a.element()) ? binary<arith::SubFOp>(a, b) : binary<arith::SubIOp>(a, b);
}
Tensor Importer::mul(const Tensor &a, const Tensor &b) {
  return isa<FloatType>(a.element()) ? binary<arith::MulFOp>(a, b) : binary<arith::MulIOp>(a, b);
}
Tensor Importer::div(const Tensor &a, const Tensor &b) { return binary<arith::DivFOp>(a, b); }

//===----------------------------------------------------------------------===//
// Conversions of elements
//===----------------------------------------------------------------------===//

Tensor Importer::castTo(const Tensor &source, Type to) {
  Type from = source.element();
  RankedTensorType type = llvm::cast<RankedTensorType>(source.value.getType()).clone(to);
  auto emit = [&](auto op) -> Tensor {
    using OpTy = decltype(op);
    return {builder.createOrFold<OpTy>(loc, type, source.value), source.shape};
  };
  if (from == to)
    return source;
  unsigned fromBits = from.getIntOrFloatBitWidth(), toBits = to.getIntOrFloatBitWidth();
  if (isa<FloatType>(from) && isa<FloatType>(to)) {
    if (fromBits == toBits) // f16 and bf16 meet in f32
      return castTo(castTo(source, builder.getF32Type()), to);
    return fromBits < toBits ? emit(arith::ExtFOp()) : emit(arith::TruncFOp());
  }
  if (isa<FloatType>(from))
    return emit(arith::FPToSIOp());
  if (isa<FloatType>(to))
    return emit(arith::SIToFPOp());
  return fromBits < toBits ? emit(arith::ExtSIOp()) : emit(arith::TruncIOp());
}

Tensor Importer::cast(const Tensor &source, int32_t from, int32_t to) {
  Type element = elementType(context, to);
  RankedTensorType type = llvm::cast<RankedTensorType>(source.value.getType()).clone(element);
  if (from == to)
    return source;
  if (to == Bool) {
    Tensor zero = splat(source.element(), 0.0, source.shape);
    return isFloat(from) ? compare(arith::CmpFPredicate::UNE, source, zero)
                         : compare(arith::CmpIPredicate::ne, source, zero);
  }
  if (isUnsigned(from) && isFloat(to))
    return {builder.createOrFold<arith::UIToFPOp>(loc, type, source.value), source.shape};
  if (isFloat(from) && isUnsigned(to) && elementType(context, to).getIntOrFloatBitWidth() == 64)
    return {builder.createOrFold<arith::FPToUIOp>(loc, type, source.value), source.shape};
  if (isFloat(from) && !isFloat(to) && element.getIntOrFloatBitWidth() < 32) // values wrap as in a C program
    return castTo(castTo(source, builder.getI32Type()), element);
  if (isFloat(from) && to == UInt32)
    return castTo(castTo(source, builder.getI64Type()), element);
  if (isUnsigned(from) && !isFloat(to) &&
      element.getIntOrFloatBitWidth() > source.element().getIntOrFloatBitWidth())
    return {builder.createOrFold<arith::ExtUIOp>(loc, type, source.value), source.shape};
  if (element == source.element())
    return source;
  return castTo(source, element);
}
