//===- Values.cpp - values of the graph and their sizes -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "Scalar.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// Tensors with at most this many elements take part in shape arithmetic.
static constexpr int64_t kMaxContents = 256;

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Val *Importer::make(int32_t type, const Tensor &tensor) {
  Val &val = vals.emplace_back();
  val.type = type;
  val.shape = tensor.shape;
  val.value = tensor.value;
  return &val;
}

Val *Importer::makeContents(int32_t type, Shape shape, Shape contents) {
  Val &val = vals.emplace_back();
  val.type = type;
  val.shape = std::move(shape);
  val.contents = std::move(contents);
  return &val;
}

Val *Importer::makeView(const Val &of, Shape shape) {
  Val &val = vals.emplace_back();
  val.type = of.type;
  val.shape = std::move(shape);
  val.init = of.init;
  val.contents = of.contents;
  if (!val.init && !val.contents)
    val.value = of.value;
  return &val;
}

const Shape *Importer::contents(Val *val) {
  if (val->contents)
    return &*val->contents;
  if (!isInteger(val->type) && val->type != Bool)
    return nullptr;
  if (count(val->shape).isConstant(0)) {
    val->contents = Shape();
    return &*val->contents;
  }
  DenseElementsAttr elements;
  if (val->init) {
    if (val->init->count > kMaxContents)
      return nullptr;
    elements = elementsOf(*val->init);
  } else if (val->value) {
    auto constant = val->value.getDefiningOp<arith::ConstantOp>();
    if (constant)
      elements = dyn_cast<DenseElementsAttr>(constant.getValue());
  }
  if (!elements)
    return nullptr;
  // The product itself may be more than 64 bits hold.
  int64_t number = 1;
  for (int64_t size : elements.getType().getShape())
    if (size < 0 || llvm::MulOverflow(number, size, number) || number > kMaxContents)
      return nullptr;
  Shape result;
  bool zeroExtend = isUnsigned(val->type) && val->type != UInt64;
  for (const APInt &value : elements.getValues<APInt>())
    result.push_back(zeroExtend ? int64_t(value.getZExtValue()) : value.getSExtValue());
  val->contents = std::move(result);
  return &*val->contents;
}

const Shape *Importer::elements(Val *val) {
  if (const Shape *known = contents(val))
    return known;
  if (!isInteger(val->type))
    return nullptr;
  std::optional<int64_t> number = count(val->shape).constant();
  if (!number || *number < 0 || *number > 64 || val->rank() > 1)
    return nullptr;
  Tensor source = tensor(val);
  Shape result;
  for (int64_t i = 0; i < *number; ++i) {
    Value value = element(*this, source, i).value;
    Value asIndex =
        isUnsigned(val->type)
            ? arith::IndexCastUIOp::create(builder, loc, builder.getIndexType(), value).getResult()
            : arith::IndexCastOp::create(builder, loc, builder.getIndexType(), value).getResult();
    result.push_back(symbols.value(asIndex));
  }
  insideContents.push_back(val);
  val->contents = std::move(result);
  return &*val->contents;
}

std::optional<SmallVector<int64_t>> Importer::constants(Val *val) {
  const Shape *known = contents(val);
  if (!known)
    return std::nullopt;
  SmallVector<int64_t> result;
  for (const Expr &e : *known) {
    std::optional<int64_t> value = symbols.normalize(e).constant();
    if (!value)
      return std::nullopt;
    result.push_back(*value);
  }
  return result;
}

std::optional<double> Importer::scalar(Val *val) {
  if (isInteger(val->type)) {
    std::optional<SmallVector<int64_t>> values = constants(val);
    return values && values->size() == 1 ? std::optional<double>(values->front()) : std::nullopt;
  }
  DenseElementsAttr elements;
  if (val->init && val->init->count == 1)
    elements = elementsOf(*val->init);
  else if (val->value)
    if (auto constant = val->value.getDefiningOp<arith::ConstantOp>())
      elements = dyn_cast<DenseElementsAttr>(constant.getValue());
  if (!elements || !isa<FloatType>(elements.getElementType()) ||
      (elements.getNumElements() != 1 && !elements.isSplat()))
    return std::nullopt;
  APFloat value = *elements.getValues<APFloat>().begin();
  bool lost;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
  return value.convertToDouble();
}

Tensor Importer::tensor(Val *val) {
  Type element = elementType(context, val->type);
  if (!element) { // no type of tensors here
    if (current && !current->failed)
      current->error() << "elements of " << elementName(val->type) << " are not supported here";
    element = builder.getI8Type();
  }
  RankedTensorType type = typeOf(element, val->shape);
  if (!val->value) {
    insideValues.push_back(val);
    if (val->init && elementType(context, val->init->type) == element) {
      const Initializer &init = *val->init;
      auto stored = RankedTensorType::get(init.dims, element);
      // Big constants are weights, whose bytes stay in the file.
      constexpr int64_t kMaxConstant = 64;
      if (init.count <= kMaxConstant) {
        DenseElementsAttr elements = elementsOf(init);
        if (type.hasStaticShape() && type.getNumElements() == init.count)
          elements = elements.reshape(type);
        val->value = arith::ConstantOp::create(builder, loc, elements);
      } else if (isSmall(init.type)) {
        val->value = reshape(unpacked(init), val->shape).value;
      } else {
        Tensor loaded{LoadOp::create(builder, loc, stored, weight(init, stored)), {}};
        for (int64_t dim : init.dims)
          loaded.shape.push_back(dim);
        val->value = reshape(loaded, val->shape).value;
      }
    } else if (val->contents && isa<IntegerType>(element)) {
      std::optional<SmallVector<int64_t>> values = constants(val);
      if (values && type.hasStaticShape() && type.getNumElements() == int64_t(values->size())) {
        SmallVector<APInt> bits;
        for (int64_t value : *values)
          bits.push_back(APInt(64, value, true).sextOrTrunc(element.getIntOrFloatBitWidth()));
        val->value = arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, bits));
      } else {
        SmallVector<Value> parts;
        for (const Expr &e : *val->contents) {
          Value part = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), index(e));
          if (!element.isInteger(64))
            part = arith::TruncIOp::create(builder, loc, element, part);
          parts.push_back(part);
        }
        auto flat = RankedTensorType::get({int64_t(parts.size())}, element);
        if (type.getRank() == 0)
          flat = type;
        Tensor made{tensor::FromElementsOp::create(builder, loc, flat, parts), {}};
        if (type.getRank())
          made.shape.push_back(int64_t(parts.size()));
        val->value = reshape(made, val->shape).value;
      }
    } else {
      // Only reached behind an error: a placeholder of the right type keeps the rest going.
      val->value = tensor::EmptyOp::create(builder, loc, type, dynamicDims(val->shape));
    }
  }
  Tensor result{val->value, val->shape};
  result.value = conform(result);
  for (Expr &size : result.shape)
    size = symbols.normalize(size);
  return result;
}

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

/// What depends on the inputs' sizes alone is part of the prologue, also where the size that it is a part of
/// is not: other sizes of the prologue may use it.
Value Importer::materialize(SymbolId id) {
  // Not a reference: making other symbols' values does not add symbols, but the vector may not promise that.
  Symbols::Symbol symbol = symbols[id];
  if (symbol.value)
    return symbol.value;
  bool isDim = symbol.kind == Symbols::Kind::Dim;
  Value lhs = index(isDim ? Expr(symbol.dim) : symbol.lhs), rhs = isDim ? Value() : index(symbol.rhs);
  OpBuilder::InsertionGuard guard(builder);
  bool early = symbols.fromInputs(Expr::symbol(id));
  if (early && prologueEnd)
    builder.setInsertionPointAfter(prologueEnd);
  else if (early)
    builder.setInsertionPointToStart(&main.getBody().front());
  Value value;
  if (isDim) {
    value = tensor::DimOp::create(builder, loc, main.getArgument(symbol.argument), lhs);
  } else {
    switch (symbol.kind) {
    case Symbols::Kind::FloorDiv:
      // What is divided by is positive, but a size that is read at run time may be wrong.
      if (!symbol.rhs.constant() && !symbols.fromInputs(symbol.rhs) && !symbols.atLeast(symbol.rhs, 1))
        rhs = arith::MaxSIOp::create(builder, loc, rhs, index(1));
      // Sizes are not negative, and then truncation is the same and cheaper.
      if (symbol.lower && *symbol.lower >= 0)
        value = arith::DivSIOp::create(builder, loc, lhs, rhs);
      else
        value = arith::FloorDivSIOp::create(builder, loc, lhs, rhs);
      break;
    case Symbols::Kind::Min:
      value = arith::MinSIOp::create(builder, loc, lhs, rhs);
      break;
    case Symbols::Kind::Max:
      value = arith::MaxSIOp::create(builder, loc, lhs, rhs);
      break;
    case Symbols::Kind::Product:
      value = arith::MulIOp::create(builder, loc, lhs, rhs);
      break;
    default:
      value = arith::AddIOp::create(builder, loc, lhs, rhs);
      break;
    }
  }
  if (early)
    prologueEnd = value.getDefiningOp();
  else
    insideSymbols.push_back(id);
  symbols[id].value = value;
  return value;
}

/// With the builder where the code may go.
Value Importer::materialize(const Expr &e) {
  if (auto it = indices.find(e); it != indices.end())
    return it->second;
  Value sum;
  if (std::optional<int64_t> constant = e.constant()) {
    sum = arith::ConstantIndexOp::create(builder, loc, *constant);
  } else {
    // Positive terms first, so that a difference needs no negation.
    for (bool negative : {false, true})
      for (const Expr::Term &term : e.terms()) {
        bool subtract = term.coefficient < 0 && term.coefficient != INT64_MIN && sum;
        if ((term.coefficient < 0) != negative)
          continue;
        Value product;
        for (SymbolId id : term.factors) {
          Value factor = materialize(id);
          product = product ? arith::MulIOp::create(builder, loc, product, factor).getResult() : factor;
        }
        int64_t coefficient = subtract ? -term.coefficient : term.coefficient;
        if (!product)
          product = index(Expr(coefficient));
        else if (coefficient != 1)
          product = arith::MulIOp::create(builder, loc, product, index(Expr(coefficient)));
        if (!sum)
          sum = product;
        else if (subtract)
          sum = arith::SubIOp::create(builder, loc, sum, product);
        else
          sum = arith::AddIOp::create(builder, loc, sum, product);
      }
  }
  indices.emplace(e, sum);
  if (!symbols.fromInputs(e))
    insideIndices.push_back(e);
  return sum;
}

Value Importer::index(const Expr &e) {
  Expr normal = symbols.normalize(e);
  if (auto it = indices.find(normal); it != indices.end())
    return it->second;
  OpBuilder::InsertionGuard guard(builder);
  if (!symbols.fromInputs(normal)) {
    if (writingInside)
      builder.setInsertionPoint(writingInside);
    return materialize(normal);
  }
  // Sizes that only depend on the inputs' sizes are computed once, at the top of the function.
  if (prologueEnd)
    builder.setInsertionPointAfter(prologueEnd);
  else
    builder.setInsertionPointToStart(&main.getBody().front());
  Value value = materialize(normal);
  Block *block = builder.getInsertionBlock();
  auto point = builder.getInsertionPoint();
  if (point != block->begin())
    prologueEnd = &*std::prev(point);
  return value;
}

/// An operation on symbols nests without bound in hostile models; what is deep is computed, and counts as an
/// input.
void Importer::settleSymbols() {
  constexpr unsigned kMaxDepth = 32;
  for (; settled < symbols.size(); ++settled)
    if (symbols[settled].depth > kMaxDepth) {
      index(Expr::symbol(settled));
      symbols[settled].depth = 0;
    }
}

OpFoldResult Importer::fold(const Expr &e) {
  if (std::optional<int64_t> constant = symbols.normalize(e).constant())
    return builder.getIndexAttr(*constant);
  return index(e);
}

SmallVector<Value> Importer::dynamicDims(ArrayRef<Expr> shape) {
  SmallVector<Value> result;
  RankedTensorType type = typeOf(builder.getI8Type(), shape);
  for (auto [i, size] : llvm::enumerate(shape))
    if (type.isDynamicDim(i))
      result.push_back(index(size));
  return result;
}

RankedTensorType Importer::typeOf(Type element, ArrayRef<Expr> shape) {
  SmallVector<int64_t> sizes;
  int64_t product = 1;
  bool bad = false;
  for (const Expr &size : shape) {
    std::optional<int64_t> constant = symbols.normalize(size).constant();
    if (constant && (*constant < 0 || llvm::MulOverflow(product, std::max<int64_t>(*constant, 1), product) ||
                     product > kMaxElements)) {
      bad = true;
      constant = std::nullopt;
      product = 1;
    }
    sizes.push_back(constant ? *constant : ShapedType::kDynamic);
  }
  if ((bad || shape.size() > 32) && current && !current->failed)
    current->error() << "a tensor of shape " << symbols.print(shape) << " is not possible";
  return RankedTensorType::get(sizes, element);
}

Value Importer::conform(const Tensor &tensor) {
  RankedTensorType type = typeOf(tensor.element(), tensor.shape);
  auto found = llvm::cast<RankedTensorType>(tensor.value.getType());
  if (found == type)
    return tensor.value;
  if (!tensor::CastOp::areCastCompatible(TypeRange(found), TypeRange(type))) {
    if (current && !current->failed)
      current->error() << "a value of type " << found << " is used as " << type;
    return tensor::EmptyOp::create(builder, loc, type, dynamicDims(tensor.shape));
  }
  return builder.createOrFold<tensor::CastOp>(loc, type, tensor.value);
}

bool Importer::sameShape(ArrayRef<Expr> a, ArrayRef<Expr> b) {
  return a.size() == b.size() && llvm::all_of_zip(a, b, [&](const Expr &x, const Expr &y) {
           return symbols.normalize(x) == symbols.normalize(y);
         });
}

Expr Importer::count(ArrayRef<Expr> shape) {
  Expr product = 1;
  for (const Expr &size : shape)
    product = symbols.mul(product, symbols.normalize(size));
  return product;
}
