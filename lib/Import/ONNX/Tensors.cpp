//===- Tensors.cpp - code on tensors with symbolic sizes -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "Scalar.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

Tensor Importer::splat(Type element, double value, ArrayRef<Expr> shape) {
  if (!isa<FloatType>(element))
    return splatInt(element, toInteger(value), shape);
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
    return isa<FloatType>(element) ? splat(element, double(*constant)) : splatInt(element, *constant);
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
  auto old = llvm::cast<RankedTensorType>(source.value.getType());
  if (old.hasStaticShape() && type.hasStaticShape() && old.getNumElements() != type.getNumElements()) {
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
  // A reshape of a reshape is one, or none if it leads back.
  Value from = source.value;
  if (auto inner = from.getDefiningOp<ReshapeOp>()) {
    auto found = viewed.find(inner.getSource());
    if (found != viewed.end()) {
      Tensor original{inner.getSource(), found->second};
      if (sameShape(original.shape, shape))
        return {conform(original), Shape(shape)};
      from = original.value;
    }
  } else {
    viewed[from] = source.shape;
  }
  return {ReshapeOp::create(builder, loc, type, from, dynamicDims(shape)), Shape(shape)};
}

Tensor Importer::broadcast(const Tensor &source, ArrayRef<Expr> shape) {
  if (source.shape.size() == shape.size() &&
      llvm::all_of_zip(source.shape, shape, [&](const Expr &a, const Expr &b) {
        return !symbols.normalize(a).isConstant(1) || symbols.normalize(b).isConstant(1);
      }))
    return {conform({source.value, Shape(shape)}), Shape(shape)};
  RankedTensorType type = typeOf(source.element(), shape);
  bool fits = source.shape.size() <= shape.size();
  for (size_t i = 0; fits && i < source.shape.size(); ++i) {
    Expr mine = symbols.normalize(source.shape[i]);
    Expr size = symbols.normalize(shape[shape.size() - source.shape.size() + i]);
    fits = mine.isConstant(1) || !mine.constant() || !size.constant() || mine == size;
  }
  if (!fits) {
    if (current && !current->failed)
      current->error() << "cannot broadcast a tensor of shape " << symbols.print(source.shape) << " to "
                       << symbols.print(shape);
    return {tensor::EmptyOp::create(builder, loc, type, dynamicDims(shape)), Shape(shape)};
  }
  // One value in all places has one form: a constant if all sizes are, else a scalar constant that is broadcast.
  if (auto constant = source.value.getDefiningOp<arith::ConstantOp>())
    if (auto elements = dyn_cast<DenseElementsAttr>(constant.getValue()); elements && elements.isSplat()) {
      auto shaped = type.hasStaticShape() ? type : RankedTensorType::get({}, source.element());
      Value value = arith::ConstantOp::create(builder, loc, elements.resizeSplat(shaped));
      if (!type.hasStaticShape())
        value = BroadcastOp::create(builder, loc, type, value, dynamicDims(shape));
      return {value, Shape(shape)};
    }
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
  if (auto inner = source.value.getDefiningOp<TransposeOp>()) {
    SmallVector<int64_t> composed;
    Shape original(source.shape.size(), Expr(0));
    for (int64_t from : permutation)
      composed.push_back(inner.getPermutation()[from]);
    for (auto [i, from] : llvm::enumerate(inner.getPermutation()))
      original[from] = source.shape[i];
    return transpose({inner.getSource(), original}, composed);
  }
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
    bool beyond = offset && *offset >= 0 && length && size && *size > 0 &&
                  (*offset >= *length || (*length - *offset - 1) / step < *size - 1);
    if (beyond || (offset && *offset < 0)) {
      if (current && !current->failed)
        current->error() << "slice from " << *offset << " of dimension " << i << " lies outside shape "
                         << symbols.print(source.shape);
      return {tensor::EmptyOp::create(builder, loc, type, dynamicDims(sizes)), Shape(sizes)};
    }
    // Nothing is left; upstream's op does not allow an offset at the end.
    if (size == 0 || (offset && length && *offset >= *length))
      return splat(source.element(), 0, sizes);
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

/// The scalar constant that a value repeats; null if it is something else.
static Value repeatedScalar(Value value) {
  auto broadcast = value.getDefiningOp<BroadcastOp>();
  if (!broadcast || !broadcast.getSource().getDefiningOp<arith::ConstantOp>() ||
      cast<RankedTensorType>(broadcast.getSource().getType()).getRank() != 0)
    return {};
  return broadcast.getSource();
}

Tensor Importer::elementwise(ArrayRef<Tensor> operands, function_ref<Value(ArrayRef<Value>)> code) {
  SmallVector<Value> values, scalars;
  for (const Tensor &operand : operands) {
    values.push_back(conform({operand.value, operands[0].shape}));
    if (Value scalar = repeatedScalar(operand.value))
      scalars.push_back(scalar);
  }
  if (scalars.size() == values.size())
    return broadcast({code(scalars), {}}, operands[0].shape);
  return {code(values), operands[0].shape};
}

Tensor Importer::compare(arith::CmpIPredicate predicate, const Tensor &a, const Tensor &b) {
  return elementwise({a, b}, [&](auto v) { return builder.createOrFold<arith::CmpIOp>(loc, predicate, v[0], v[1]); });
}
Tensor Importer::compare(arith::CmpFPredicate predicate, const Tensor &a, const Tensor &b) {
  return elementwise({a, b}, [&](auto v) { return builder.createOrFold<arith::CmpFOp>(loc, predicate, v[0], v[1]); });
}
Tensor Importer::select(const Tensor &condition, const Tensor &a, const Tensor &b) {
  return elementwise({condition, a, b},
                     [&](auto v) { return builder.createOrFold<arith::SelectOp>(loc, v[0], v[1], v[2]); });
}

bool Importer::isRepeated(const Tensor &x, double value) {
  Value scalar = repeatedScalar(x.value) ? repeatedScalar(x.value) : x.value;
  auto constant = scalar.getDefiningOp<arith::ConstantOp>();
  auto elements = constant ? dyn_cast<DenseElementsAttr>(constant.getValue()) : DenseElementsAttr();
  if (!elements || !elements.isSplat())
    return false;
  if (isa<FloatType>(elements.getElementType()))
    return elements.getSplatValue<APFloat>().isExactlyValue(value);
  return elements.getElementType().isInteger(1) ? elements.getSplatValue<bool>() == (value != 0)
                                                : elements.getSplatValue<APInt>().getSExtValue() == toInteger(value);
}

Tensor Importer::add(const Tensor &a, const Tensor &b) {
  return isa<FloatType>(a.element()) ? binary<arith::AddFOp>(a, b) : binary<arith::AddIOp>(a, b);
}
Tensor Importer::sub(const Tensor &a, const Tensor &b) {
  return isa<FloatType>(a.element()) ? binary<arith::SubFOp>(a, b) : binary<arith::SubIOp>(a, b);
}
Tensor Importer::mul(const Tensor &a, const Tensor &b) {
  if (isRepeated(b, 1))
    return a;
  if (isRepeated(a, 1))
    return {b.value, a.shape};
  return isa<FloatType>(a.element()) ? binary<arith::MulFOp>(a, b) : binary<arith::MulIOp>(a, b);
}
Tensor Importer::div(const Tensor &a, const Tensor &b) {
  return isRepeated(b, 1) ? a : binary<arith::DivFOp>(a, b);
}

//===----------------------------------------------------------------------===//
// Conversions of elements
//===----------------------------------------------------------------------===//

/// The conversion op `OpTy` to elements of type `to`.
template <typename OpTy>
static Tensor convert(Importer &im, const Tensor &source, Type to) {
  return im.elementwise(source, [&](ArrayRef<Value> v) -> Value {
    return im.builder.createOrFold<OpTy>(im.loc, cast<RankedTensorType>(v[0].getType()).clone(to), v[0]);
  });
}

Tensor Importer::castTo(const Tensor &source, Type to) {
  Type from = source.element();
  if (from == to)
    return source;
  unsigned fromBits = from.getIntOrFloatBitWidth(), toBits = to.getIntOrFloatBitWidth();
  if (isa<FloatType>(from) && isa<FloatType>(to)) {
    if (fromBits == toBits) // f16 and bf16 meet in f32
      return castTo(castTo(source, builder.getF32Type()), to);
    return fromBits < toBits ? convert<arith::ExtFOp>(*this, source, to) : convert<arith::TruncFOp>(*this, source, to);
  }
  if (isa<FloatType>(from))
    return convert<arith::FPToSIOp>(*this, source, to);
  if (isa<FloatType>(to))
    return convert<arith::SIToFPOp>(*this, source, to);
  return fromBits < toBits ? convert<arith::ExtSIOp>(*this, source, to) : convert<arith::TruncIOp>(*this, source, to);
}

Tensor Importer::cast(const Tensor &source, int32_t from, int32_t to, const CastMode &mode) {
  Type element = elementType(context, to);
  if (from == to)
    return source;
  if (isSmall(from))
    return castFromSmall(source, from, to, mode);
  if (isSmall(to))
    return castToSmall(source, from, to, mode);
  if (to == Bool) {
    Tensor zero = splat(source.element(), 0.0, source.shape);
    return isFloat(from) ? compare(arith::CmpFPredicate::UNE, source, zero)
                         : compare(arith::CmpIPredicate::ne, source, zero);
  }
  unsigned bits = element.getIntOrFloatBitWidth();
  if (isUnsigned(from) && isFloat(to))
    return convert<arith::UIToFPOp>(*this, source, element);
  if (isFloat(from) && to == UInt64)
    return convert<arith::FPToUIOp>(*this, source, element);
  if (isFloat(from) && !isFloat(to) && bits < 32) // values wrap as in a C program
    return castTo(castTo(source, builder.getI32Type()), element);
  if (isFloat(from) && to == UInt32)
    return castTo(castTo(source, builder.getI64Type()), element);
  if (isUnsigned(from) && !isFloat(to) && bits > source.element().getIntOrFloatBitWidth())
    return convert<arith::ExtUIOp>(*this, source, element);
  return castTo(source, element);
}
