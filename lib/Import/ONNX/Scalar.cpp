//===- Scalar.cpp - code on single elements ---------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scalar.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "pith/Dialect/Pith/IR/Loops.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/APSInt.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

int64_t pith::onnx::toInteger(double value) {
  APSInt result(64, /*isUnsigned=*/false);
  bool exact;
  APFloat(value).convertToInteger(result, APFloat::rmTowardZero, &exact);
  return result.getSExtValue();
}

Scalar Scalar::number(Importer &im, Type type, double value) {
  OpBuilder &b = im.builder;
  if (isa<FloatType>(type))
    return {im, arith::ConstantOp::create(b, im.loc, b.getFloatAttr(type, value))};
  return {im, arith::ConstantOp::create(b, im.loc, b.getIntegerAttr(type, toInteger(value)))};
}

template <typename FloatOp, typename IntOp>
static Scalar binary(Scalar a, Scalar b) {
  return a.isFloat() ? a.call<FloatOp>(b) : a.call<IntOp>(b);
}

Scalar Scalar::operator+(Scalar b) const { return binary<arith::AddFOp, arith::AddIOp>(*this, b); }
Scalar Scalar::operator-(Scalar b) const { return binary<arith::SubFOp, arith::SubIOp>(*this, b); }
Scalar Scalar::operator*(Scalar b) const { return binary<arith::MulFOp, arith::MulIOp>(*this, b); }
Scalar Scalar::operator/(Scalar b) const { return binary<arith::DivFOp, arith::DivSIOp>(*this, b); }
Scalar Scalar::operator%(Scalar b) const { return binary<arith::RemFOp, arith::RemSIOp>(*this, b); }
Scalar Scalar::max(Scalar b) const { return binary<arith::MaximumFOp, arith::MaxSIOp>(*this, b); }
Scalar Scalar::min(Scalar b) const { return binary<arith::MinimumFOp, arith::MinSIOp>(*this, b); }
Scalar Scalar::operator&(Scalar b) const { return call<arith::AndIOp>(b); }
Scalar Scalar::operator|(Scalar b) const { return call<arith::OrIOp>(b); }

static Scalar compare(Scalar a, Scalar b, arith::CmpFPredicate floats, arith::CmpIPredicate integers) {
  OpBuilder &builder = a.im->builder;
  if (a.isFloat())
    return {*a.im, arith::CmpFOp::create(builder, a.im->loc, floats, a.value, b.value)};
  return {*a.im, arith::CmpIOp::create(builder, a.im->loc, integers, a.value, b.value)};
}

Scalar Scalar::operator<(Scalar b) const {
  return compare(*this, b, arith::CmpFPredicate::OLT, arith::CmpIPredicate::slt);
}
Scalar Scalar::operator<=(Scalar b) const {
  return compare(*this, b, arith::CmpFPredicate::OLE, arith::CmpIPredicate::sle);
}
Scalar Scalar::operator==(Scalar b) const {
  return compare(*this, b, arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq);
}
Scalar Scalar::operator!=(Scalar b) const {
  return compare(*this, b, arith::CmpFPredicate::UNE, arith::CmpIPredicate::ne);
}

Scalar Scalar::select(Scalar yes, Scalar no) const {
  return {*im, arith::SelectOp::create(im->builder, im->loc, value, yes.value, no.value)};
}

Scalar Scalar::to(Type to) const {
  OpBuilder &b = im->builder;
  Type from = type();
  auto make = [&](auto op) { return Scalar(*im, op.getResult()); };
  if (from == to)
    return *this;
  if (from.isIndex() && isa<FloatType>(to))
    return this->to(b.getI64Type()).to(to);
  if (isFloat() && to.isIndex())
    return this->to(b.getI64Type()).to(to);
  if (from.isIndex() || to.isIndex()) {
    if (from.isInteger(1))
      return make(arith::IndexCastUIOp::create(b, im->loc, to, value));
    return make(arith::IndexCastOp::create(b, im->loc, to, value));
  }
  unsigned fromBits = from.getIntOrFloatBitWidth(), toBits = to.getIntOrFloatBitWidth();
  if (isFloat() && isa<FloatType>(to)) {
    if (fromBits == toBits)
      return this->to(b.getF32Type()).to(to);
    return fromBits < toBits ? make(arith::ExtFOp::create(b, im->loc, to, value))
                             : make(arith::TruncFOp::create(b, im->loc, to, value));
  }
  if (isFloat())
    return make(arith::FPToSIOp::create(b, im->loc, to, value));
  if (isa<FloatType>(to))
    return from.isInteger(1) ? make(arith::UIToFPOp::create(b, im->loc, to, value))
                             : make(arith::SIToFPOp::create(b, im->loc, to, value));
  if (fromBits > toBits)
    return make(arith::TruncIOp::create(b, im->loc, to, value));
  return from.isInteger(1) ? make(arith::ExtUIOp::create(b, im->loc, to, value))
                           : make(arith::ExtSIOp::create(b, im->loc, to, value));
}

Scalar Scalar::toIndex() const { return to(im->builder.getIndexType()); }

//===----------------------------------------------------------------------===//
// Tensors of elements
//===----------------------------------------------------------------------===//

Tensor pith::onnx::compute(Importer &im, Type element, ArrayRef<Expr> shape, function_ref<Scalar(Point)> code) {
  OpBuilder &b = im.builder;
  RankedTensorType type = im.typeOf(element, shape);
  Value init = tensor::EmptyOp::create(b, im.loc, type, im.dynamicDims(shape));
  int64_t rank = shape.size();
  SmallVector<utils::IteratorType> kinds(rank, utils::IteratorType::parallel);
  auto op = linalg::GenericOp::create(b, im.loc, TypeRange(type), ValueRange(), ValueRange(init),
                                      b.getMultiDimIdentityMap(rank), kinds);
  OpBuilder::InsertionGuard guard(b);
  Importer::Inside inside(im, op);
  b.createBlock(&op.getRegion(), {}, {element}, {im.loc});
  Scalars point;
  for (int64_t i = 0; i < rank; ++i)
    point.push_back({im, linalg::IndexOp::create(b, im.loc, i)});
  Scalar result = code(point);
  linalg::YieldOp::create(b, im.loc, result.value);
  return {op.getResult(0), Shape(shape)};
}

Scalar pith::onnx::at(Importer &im, const Tensor &tensor, Point point) {
  SmallVector<Value> indices;
  for (Scalar i : point)
    indices.push_back(i.toIndex().value);
  return {im, tensor::ExtractOp::create(im.builder, im.loc, tensor.value, indices)};
}

Scalars pith::onnx::choose(Scalar condition, function_ref<Scalars()> yes, function_ref<Scalars()> no) {
  Importer &im = *condition.im;
  OpBuilder &b = im.builder;
  auto code = [&](function_ref<Scalars()> make) {
    return [&b, make](OpBuilder &nested, Location loc) {
      OpBuilder::InsertionGuard guard(b);
      b.restoreInsertionPoint(nested.saveInsertionPoint());
      SmallVector<Value> values;
      for (Scalar s : make())
        values.push_back(s.value);
      nested.restoreInsertionPoint(b.saveInsertionPoint());
      scf::YieldOp::create(nested, loc, values);
    };
  };
  auto op = scf::IfOp::create(b, im.loc, condition.value, code(yes), code(no));
  Scalars results;
  for (Value value : op.getResults())
    results.push_back({im, value});
  return results;
}

Scalar pith::onnx::atOr(Importer &im, const Tensor &tensor, Point point, Scalar inside, Scalar otherwise) {
  return choose(
             inside, [&] { return Scalars{at(im, tensor, point)}; }, [&] { return Scalars{otherwise}; })
      .front();
}

Scalars pith::onnx::repeat(Scalar count, ArrayRef<Scalar> first, function_ref<Scalars(Scalar, Point)> code) {
  Importer &im = *count.im;
  OpBuilder &b = im.builder;
  SmallVector<Value> inits;
  for (Scalar s : first)
    inits.push_back(s.value);
  auto index = [&](double value) { return Scalar::number(im, b.getIndexType(), value).value; };
  auto loop = scf::ForOp::create(b, im.loc, index(0), count.toIndex().value, index(1), inits);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Scalars carried;
    for (Value value : loop.getRegionIterArgs())
      carried.push_back({im, value});
    SmallVector<Value> next;
    for (Scalar s : code({im, loop.getInductionVar()}, carried))
      next.push_back(s.value);
    scf::YieldOp::create(b, im.loc, next);
  }
  Scalars results;
  for (Value value : loop.getResults())
    results.push_back({im, value});
  return results;
}

SmallVector<Tensor> pith::onnx::repeat(Importer &im, const Expr &count, ArrayRef<Tensor> first,
                                       function_ref<SmallVector<Tensor>(Scalar, ArrayRef<Tensor>)> code) {
  OpBuilder &b = im.builder;
  if (im.symbols.normalize(count).isConstant(1)) // one token: no loop
    return code(Scalar::index(im, 0), first);
  SmallVector<Value> inits;
  for (const Tensor &t : first)
    inits.push_back(im.conform(t));
  auto loop = scf::ForOp::create(b, im.loc, im.index(0), im.index(count), im.index(1), inits);
  loop->setAttr(kFixedSizesAttr, b.getUnitAttr());
  {
    OpBuilder::InsertionGuard guard(b);
    Importer::Inside inside(im, loop);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Tensor> carried;
    for (auto [t, value] : llvm::zip_equal(first, loop.getRegionIterArgs()))
      carried.push_back({value, t.shape});
    // What a round gives goes where the next one reads it, and only when all of it is computed: a buffer of the round
    // itself would be written again while it is still read.
    SmallVector<Value> next;
    for (auto [t, old] : llvm::zip_equal(code({im, loop.getInductionVar()}, carried), carried)) {
      Value value = im.conform({t.value, old.shape});
      next.push_back(bufferization::MaterializeInDestinationOp::create(b, im.loc, value.getType(), value, old.value)
                         ->getResult(0));
    }
    scf::YieldOp::create(b, im.loc, next);
  }
  SmallVector<Tensor> results;
  for (auto [t, value] : llvm::zip_equal(first, loop.getResults()))
    results.push_back({value, t.shape});
  return results;
}

/// A slice of nothing; upstream's ops do not allow an offset in a dimension of size 0.
static bool isEmptySlice(Importer &im, ArrayRef<Expr> shape, int64_t axis) {
  return llvm::any_of(llvm::enumerate(shape), [&](auto size) {
    return int64_t(size.index()) != axis && im.symbols.normalize(size.value()).isConstant(0);
  });
}

static void slicePlace(Importer &im, ArrayRef<Expr> shape, int64_t axis, Scalar position,
                       SmallVectorImpl<OpFoldResult> &offsets, SmallVectorImpl<OpFoldResult> &sizes) {
  for (auto [i, size] : llvm::enumerate(shape)) {
    offsets.push_back(int64_t(i) == axis ? OpFoldResult(position.toIndex().value) : im.builder.getIndexAttr(0));
    sizes.push_back(int64_t(i) == axis ? im.builder.getIndexAttr(1) : im.fold(size));
  }
}

Tensor pith::onnx::readSlice(Importer &im, const Tensor &source, int64_t axis, Scalar position) {
  SmallVector<OpFoldResult> offsets, sizes, steps(source.rank(), im.builder.getIndexAttr(1));
  slicePlace(im, source.shape, axis, position, offsets, sizes);
  Shape shape = source.shape;
  shape[axis] = 1;
  if (isEmptySlice(im, shape, axis))
    return im.splat(source.element(), 0, shape);
  RankedTensorType type = im.typeOf(source.element(), shape);
  return {tensor::ExtractSliceOp::create(im.builder, im.loc, type, im.conform(source), offsets, sizes, steps), shape};
}

Tensor pith::onnx::writeSlice(Importer &im, const Tensor &target, const Tensor &slice, int64_t axis, Scalar position) {
  if (isEmptySlice(im, target.shape, axis))
    return target;
  SmallVector<OpFoldResult> offsets, sizes, steps(target.rank(), im.builder.getIndexAttr(1));
  slicePlace(im, target.shape, axis, position, offsets, sizes);
  Shape shape = target.shape;
  shape[axis] = 1;
  return {tensor::InsertSliceOp::create(im.builder, im.loc, im.conform({slice.value, shape}), im.conform(target), offsets,
                                        sizes, steps),
          target.shape};
}

Tensor pith::onnx::fromScalar(Scalar scalar) {
  auto type = RankedTensorType::get({}, scalar.type());
  return {tensor::FromElementsOp::create(scalar.im->builder, scalar.im->loc, type, scalar.value), {}};
}

Scalar pith::onnx::toScalar(Importer &im, const Tensor &tensor) {
  Scalar zero = Scalar::index(im, 0);
  return at(im, tensor, Scalars(tensor.rank(), zero));
}

//===----------------------------------------------------------------------===//
// Elements of small tensors, without the tensors
//===----------------------------------------------------------------------===//

namespace {
/// Follows an element to the inputs that it is computed from.
class ElementReader {
public:
  explicit ElementReader(Importer &im) : im(im) {}
  /// Null if that is not possible, or takes too much code.
  Value read(Value tensor, int64_t number);

private:
  static constexpr int mostSteps = 512;
  Importer &im;
  int steps = 0;
  llvm::DenseMap<std::pair<Value, int64_t>, Value> known;

  Value follow(Value tensor, RankedTensorType type, int64_t number);
};
} // namespace

static SmallVector<int64_t> position(ArrayRef<int64_t> shape, int64_t number) {
  SmallVector<int64_t> result(shape.size());
  for (size_t i = shape.size(); i-- > 0; number /= shape[i])
    result[i] = number % shape[i];
  return result;
}

static int64_t linear(ArrayRef<int64_t> shape, ArrayRef<int64_t> position) {
  int64_t result = 0;
  for (auto [size, i] : llvm::zip_equal(shape, position))
    result = result * size + i;
  return result;
}

Value ElementReader::read(Value tensor, int64_t number) {
  auto type = dyn_cast<RankedTensorType>(tensor.getType());
  if (!type || !type.hasStaticShape() || number < 0 || number >= type.getNumElements() || ++steps > mostSteps)
    return {};
  auto [it, fresh] = known.try_emplace({tensor, number}, Value());
  if (!fresh)
    return it->second;
  Value result = follow(tensor, type, number);
  return known[{tensor, number}] = result;
}

Value ElementReader::follow(Value tensor, RankedTensorType type, int64_t number) {
  OpBuilder &b = im.builder;
  SmallVector<int64_t> where = position(type.getShape(), number);
  auto shapeOf = [](Value v) { return cast<RankedTensorType>(v.getType()).getShape(); };
  if (auto argument = dyn_cast<BlockArgument>(tensor)) {
    if (!isa_and_nonnull<func::FuncOp>(argument.getOwner()->getParentOp())) // a body may have no parent yet
      return {};
    SmallVector<Value> indices;
    for (int64_t i : where)
      indices.push_back(im.index(i));
    return tensor::ExtractOp::create(b, im.loc, tensor, indices);
  }
  Operation *op = tensor.getDefiningOp();
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    auto elements = dyn_cast<DenseElementsAttr>(constant.getValue());
    if (!elements)
      return {};
    auto value = cast<TypedAttr>(elements.getValues<Attribute>()[number]);
    return arith::ConstantOp::create(b, im.loc, value);
  }
  if (isa<ReshapeOp, tensor::CastOp>(op))
    return read(op->getOperand(0), number);
  if (auto made = dyn_cast<tensor::FromElementsOp>(op))
    return made.getElements()[number];
  if (auto broadcast = dyn_cast<BroadcastOp>(op)) {
    auto from = cast<RankedTensorType>(broadcast.getSource().getType());
    if (!from.hasStaticShape())
      return {};
    SmallVector<int64_t> source(where.end() - from.getRank(), where.end());
    for (auto [i, size] : llvm::zip_equal(source, from.getShape()))
      if (size == 1)
        i = 0;
    return read(broadcast.getSource(), linear(from.getShape(), source));
  }
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    SmallVector<int64_t> source(where.size());
    for (auto [i, from] : llvm::enumerate(transpose.getPermutation()))
      source[from] = where[i];
    return read(transpose.getSource(), linear(shapeOf(transpose.getSource()), source));
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    auto from = cast<RankedTensorType>(slice.getSource().getType());
    if (!from.hasStaticShape() || slice.getStaticOffsets().size() != where.size() ||
        llvm::any_of(slice.getStaticOffsets(), ShapedType::isDynamic) ||
        llvm::any_of(slice.getStaticStrides(), ShapedType::isDynamic))
      return {};
    for (auto [i, offset, stride] : llvm::zip_equal(where, slice.getStaticOffsets(), slice.getStaticStrides()))
      i = offset + i * stride;
    return read(slice.getSource(), linear(from.getShape(), where));
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    for (Value part : concat.getInputs()) {
      ArrayRef<int64_t> shape = shapeOf(part);
      if (llvm::any_of(shape, ShapedType::isDynamic))
        return {};
      int64_t &i = where[concat.getDim()];
      if (i < shape[concat.getDim()])
        return read(part, linear(shape, where));
      i -= shape[concat.getDim()];
    }
    return {};
  }
  if (auto iota = dyn_cast<IotaOp>(op))
    return Scalar::number(im, type.getElementType(), double(where[iota.getAxis()])).value;
  if (auto reduce = dyn_cast<ReduceOp>(op)) {
    ArrayRef<int64_t> shape = shapeOf(reduce.getSource());
    if (reduce.getKind() == ReduceKind::Mean || llvm::any_of(shape, ShapedType::isDynamic))
      return {};
    Scalar sum;
    int64_t total = ShapedType::getNumElements(shape);
    if (total > mostSteps)
      return {};
    for (int64_t n = 0; n < total; ++n) {
      SmallVector<int64_t> from = position(shape, n);
      for (int64_t axis : reduce.getAxes())
        from[axis] = 0;
      if (from != where)
        continue;
      Value element = read(reduce.getSource(), n);
      if (!element)
        return {};
      Scalar x(im, element);
      switch (reduce.getKind()) {
      case ReduceKind::Sum: sum = sum.value ? sum + x : x; break;
      case ReduceKind::Prod: sum = sum.value ? sum * x : x; break;
      case ReduceKind::Max: sum = sum.value ? sum.max(x) : x; break;
      default: sum = sum.value ? sum.min(x) : x; break;
      }
    }
    return sum.value;
  }
  if (OpTrait::hasElementwiseMappableTraits(op) && op->getNumResults() == 1) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      operands.push_back(isa<RankedTensorType>(operand.getType()) ? read(operand, number) : operand);
      if (!operands.back())
        return {};
    }
    OperationState state(im.loc, op->getName(), operands, type.getElementType(), op->getAttrs());
    return b.create(state)->getResult(0);
  }
  return {};
}

Scalar pith::onnx::element(Importer &im, const Tensor &tensor, int64_t number) {
  if (Value value = ElementReader(im).read(tensor.value, number))
    return {im, value};
  auto type = cast<RankedTensorType>(tensor.value.getType());
  Scalars point;
  for (int64_t i : position(type.getShape(), number))
    point.push_back(Scalar::index(im, i));
  return at(im, tensor, point);
}
