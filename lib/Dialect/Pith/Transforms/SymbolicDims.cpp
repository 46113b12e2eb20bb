//===- SymbolicDims.cpp ---------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "SymbolicDims.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <algorithm>

using namespace mlir;
using namespace pith;

//===----------------------------------------------------------------------===//
// Extent
//===----------------------------------------------------------------------===//

std::optional<int64_t> Extent::constant() const {
  if (terms.empty())
    return 0;
  if (terms.size() == 1 && terms.begin()->first.empty())
    return terms.begin()->second;
  return std::nullopt;
}

bool Extent::isNonNegative() const {
  return llvm::all_of(terms, [](const auto &term) { return term.second >= 0; });
}

std::optional<Extent> Extent::dividedBy(const Extent &divisor) const {
  if (*this == divisor && !terms.empty())
    return Extent(1);
  if (divisor.terms.size() != 1)
    return std::nullopt;
  const auto &[symbols, factor] = *divisor.terms.begin();
  Extent quotient;
  for (const auto &[monomial, coefficient] : terms) {
    if (coefficient % factor ||
        !std::includes(monomial.begin(), monomial.end(), symbols.begin(), symbols.end()))
      return std::nullopt;
    Monomial rest;
    std::set_difference(monomial.begin(), monomial.end(), symbols.begin(), symbols.end(),
                        std::back_inserter(rest));
    quotient.terms[rest] = coefficient / factor;
  }
  return quotient;
}

namespace pith {
Extent operator+(const Extent &a, const Extent &b) {
  Extent sum = a;
  for (const auto &[monomial, coefficient] : b.terms)
    if ((sum.terms[monomial] += coefficient) == 0)
      sum.terms.erase(monomial);
  return sum;
}

Extent operator*(const Extent &a, const Extent &b) {
  Extent product;
  for (const auto &[left, x] : a.terms)
    for (const auto &[right, y] : b.terms) {
      Extent::Monomial monomial;
      std::merge(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(monomial));
      if ((product.terms[monomial] += x * y) == 0)
        product.terms.erase(monomial);
    }
  return product;
}

Extent operator-(const Extent &a, const Extent &b) { return a + b * Extent(-1); }
} // namespace pith

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

static bool isIdentifier(StringRef text) {
  return !text.empty() &&
         llvm::all_of(text, [](char c) { return llvm::isAlnum(c) || c == '_' || c == '.' || c == ':'; });
}

SymbolicDims::SymbolicDims(func::FuncOp entry) {
  // Plain names first; sums of them ("past + sequence"), which exporters write too, are then parsed.
  for (bool plain : {true, false})
    for (BlockArgument arg : entry.getArguments()) {
      auto type = dyn_cast<RankedTensorType>(arg.getType());
      auto dims = entry.getArgAttrOfType<ArrayAttr>(arg.getArgNumber(), kDimsAttr);
      if (!type || !dims || static_cast<int64_t>(dims.size()) != type.getRank())
        continue;
      for (auto [dim, attr] : llvm::enumerate(dims)) {
        auto name = dyn_cast<StringAttr>(attr);
        if (!name || !type.isDynamicDim(dim) || named.contains(name) || isIdentifier(name) != plain)
          continue;
        if (!plain && parse(name))
          continue;
        named[name] = sources.size();
        sources.push_back({arg, static_cast<int64_t>(dim)});
      }
    }
  relate(entry);
}

std::optional<Extent> SymbolicDims::parse(StringRef name) {
  auto valueOf = [&](unsigned id) {
    auto it = known.find(id);
    return it == known.end() ? Extent::symbol(id) : it->second;
  };
  if (auto it = named.find(name); it != named.end())
    return valueOf(it->second);
  Extent sum;
  llvm::SmallVector<StringRef> parts;
  name.split(parts, '+');
  for (StringRef part : parts) {
    part = part.trim();
    int64_t number;
    if (auto it = named.find(part); it != named.end())
      sum = sum + valueOf(it->second);
    else if (!part.getAsInteger(10, number))
      sum = sum + Extent(number);
    else
      return std::nullopt;
  }
  return sum;
}

/// If `symbol` is one named symbol that does not occur in `value`: uses `value` in its place from now on.
bool SymbolicDims::substitute(const Extent &symbol, const Extent &value) {
  const auto &terms = symbol.getTerms();
  if (terms.size() != 1 || terms.begin()->second != 1 || terms.begin()->first.size() != 1)
    return false;
  unsigned id = terms.begin()->first.front();
  bool isNamed = llvm::any_of(named, [&](auto &entry) { return entry.second == id; });
  for (const auto &[monomial, coefficient] : value.getTerms()) {
    if (llvm::is_contained(monomial, id) || coefficient < 0)
      return false;
    // Only of other names: what is computed may itself come from this symbol.
    for (unsigned other : monomial)
      if (llvm::none_of(named, [&](auto &entry) { return entry.second == other; }))
        return false;
  }
  if (!isNamed || known.count(id))
    return false;
  known[id] = value;
  return true;
}

void SymbolicDims::relate(func::FuncOp entry) {
  if (named.size() < 2)
    return;
  entry.getBody().walk([&](Operation *op) {
    if (op->getNumOperands() < 2 || !OpTrait::hasElementwiseMappableTraits(op) ||
        !llvm::all_of(op->getOperandTypes(), llvm::IsaPred<RankedTensorType>))
      return;
    int64_t rank = cast<RankedTensorType>(op->getOperand(0).getType()).getRank();
    for (Value other : op->getOperands().drop_front())
      for (int64_t dim = 0; dim < rank; ++dim) {
        Extent a = of(op->getOperand(0), dim), b = of(other, dim);
        if (a != b && (substitute(a, b) || substitute(b, a)))
          cache.clear();
      }
  });
}

Extent SymbolicDims::opaque(Value value, int64_t dim) {
  sources.push_back({value, dim});
  return Extent::symbol(sources.size() - 1);
}

//===----------------------------------------------------------------------===//
// Sizes of tensors
//===----------------------------------------------------------------------===//

Extent SymbolicDims::of(Value tensor, int64_t dim) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(dim))
    return type.getDimSize(dim);
  if (auto it = cache.find({tensor, dim}); it != cache.end())
    return it->second;
  Extent extent = compute(tensor, dim);
  return cache[{tensor, dim}] = extent;
}

SmallVector<Extent> SymbolicDims::shape(Value tensor) {
  SmallVector<Extent> extents;
  for (int64_t dim = 0, rank = cast<RankedTensorType>(tensor.getType()).getRank(); dim < rank; ++dim)
    extents.push_back(of(tensor, dim));
  return extents;
}

Extent SymbolicDims::fromDynamicDims(RankedTensorType type, ValueRange dims, int64_t dim) {
  return ofIndex(dims[type.getDynamicDimIndex(dim)]);
}

Extent SymbolicDims::fromSizes(ArrayRef<OpFoldResult> sizes, int64_t dim) {
  if (auto number = getConstantIntValue(sizes[dim]))
    return *number;
  return ofIndex(cast<Value>(sizes[dim]));
}

Extent SymbolicDims::compute(Value tensor, int64_t dim) {
  if (auto arg = dyn_cast<BlockArgument>(tensor)) {
    auto entry = dyn_cast<func::FuncOp>(arg.getOwner()->getParentOp());
    if (entry && arg.getOwner()->isEntryBlock())
      if (auto dims = entry.getArgAttrOfType<ArrayAttr>(arg.getArgNumber(), kDimsAttr))
        if (dim < static_cast<int64_t>(dims.size()))
          if (auto name = dyn_cast<StringAttr>(dims[dim]))
            if (auto extent = parse(name))
              return *extent;
    return opaque(tensor, dim);
  }
  Operation *op = tensor.getDefiningOp();
  auto type = cast<RankedTensorType>(tensor.getType());
  return llvm::TypeSwitch<Operation *, Extent>(op)
      .Case<ReshapeOp, BroadcastOp, IotaOp, CacheUpdateOp>(
          [&](auto shaped) { return fromDynamicDims(type, shaped.getDims(), dim); })
      .Case<TransposeOp>([&](TransposeOp t) { return of(t.getSource(), t.getPermutation()[dim]); })
      .Case<tensor::CastOp>([&](tensor::CastOp cast) { return of(cast.getSource(), dim); })
      .Case<MatmulOp>([&](MatmulOp matmul) {
        return dim == type.getRank() - 1
                   ? of(matmul.getRhs(), cast<RankedTensorType>(matmul.getRhs().getType()).getRank() - 1)
                   : of(matmul.getLhs(), dim);
      })
      .Case<ReduceOp, SoftmaxOp, CumSumOp, ScatterNDOp>([&](auto same) { return of(same.getSource(), dim); })
      .Case<LinearOp, RMSNormOp, LayerNormOp, RopeOp, ActivationOp>(
          [&](auto rows) { return of(rows.getX(), dim); })
      .Case<GLUOp>([&](GLUOp glu) { return of(glu.getGate(), dim); })
      .Case<EmbeddingOp>([&](EmbeddingOp embedding) { return of(embedding.getIds(), dim); })
      .Case<AttentionOp>([&](AttentionOp attention) { return of(attention.getQ(), dim); })
      .Case<GatherOp>([&](GatherOp gather) {
        int64_t axis = gather.getAxis(),
                indices = cast<RankedTensorType>(gather.getIndices().getType()).getRank();
        if (dim < axis)
          return of(gather.getSource(), dim);
        if (dim < axis + indices)
          return of(gather.getIndices(), dim - axis);
        return of(gather.getSource(), dim - indices + 1);
      })
      .Case<GatherNDOp>([&](GatherNDOp gather) {
        int64_t indices = cast<RankedTensorType>(gather.getIndices().getType()).getRank();
        return dim < indices - 1 ? of(gather.getIndices(), dim) : opaque(tensor, dim);
      })
      .Case<tensor::ConcatOp>([&](tensor::ConcatOp concat) {
        if (dim != static_cast<int64_t>(concat.getDim()))
          return of(concat.getInputs().front(), dim);
        Extent sum;
        for (Value input : concat.getInputs())
          sum = sum + of(input, dim);
        return sum;
      })
      .Case<tensor::ExtractSliceOp>([&](tensor::ExtractSliceOp slice) {
        if (slice.getSourceType().getRank() != type.getRank())
          return opaque(tensor, dim);
        return fromSizes(slice.getMixedSizes(), dim);
      })
      .Case<tensor::InsertSliceOp>([&](tensor::InsertSliceOp insert) { return of(insert.getDest(), dim); })
      .Case<tensor::EmptyOp>([&](tensor::EmptyOp empty) { return fromSizes(empty.getMixedSizes(), dim); })
      .Case<tensor::SplatOp>(
          [&](tensor::SplatOp splat) { return fromDynamicDims(type, splat.getDynamicSizes(), dim); })
      .Case<tensor::GenerateOp>([&](tensor::GenerateOp generate) {
        return fromDynamicDims(type, generate.getDynamicExtents(), dim);
      })
      .Default([&](Operation *other) {
        if (OpTrait::hasElementwiseMappableTraits(other))
          for (Value operand : other->getOperands())
            if (isa<RankedTensorType>(operand.getType()))
              return of(operand, dim);
        return opaque(tensor, dim);
      });
}

//===----------------------------------------------------------------------===//
// Index arithmetic
//===----------------------------------------------------------------------===//

Extent SymbolicDims::ofIndex(Value index) {
  if (auto it = cache.find({index, -1}); it != cache.end())
    return it->second;
  Extent extent = computeIndex(index);
  return cache[{index, -1}] = extent;
}

Extent SymbolicDims::computeIndex(Value index) {
  APInt number;
  if (matchPattern(index, m_ConstantInt(&number)))
    return number.getSExtValue();
  Operation *op = index.getDefiningOp();
  if (!op)
    return opaque(index, -1);
  auto operand = [&](unsigned i) { return ofIndex(op->getOperand(i)); };
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp>(op))
    return operand(0);
  if (auto dim = dyn_cast<tensor::DimOp>(op))
    if (auto number = dim.getConstantIndex())
      if (isa<RankedTensorType>(dim.getSource().getType()))
        return of(dim.getSource(), *number);
  if (isa<arith::AddIOp>(op))
    return operand(0) + operand(1);
  if (isa<arith::SubIOp>(op))
    return operand(0) - operand(1);
  if (isa<arith::MulIOp>(op))
    return operand(0) * operand(1);
  if (isa<arith::DivSIOp, arith::DivUIOp, arith::FloorDivSIOp, arith::CeilDivSIOp, arith::CeilDivUIOp>(op))
    if (auto quotient = operand(0).dividedBy(operand(1)))
      return *quotient;
  if (isa<arith::MinSIOp, arith::MaxSIOp, arith::MinUIOp, arith::MaxUIOp>(op)) {
    Extent a = operand(0), b = operand(1);
    bool min = isa<arith::MinSIOp, arith::MinUIOp>(op);
    if ((b - a).isNonNegative())
      return min ? a : b;
    if ((a - b).isNonNegative())
      return min ? b : a;
  }
  return opaque(index, -1);
}

Value SymbolicDims::materialize(OpBuilder &builder, Location loc, const Extent &extent) {
  auto constant = [&](int64_t number) -> Value {
    return arith::ConstantIndexOp::create(builder, loc, number);
  };
  Value sum;
  for (const auto &[monomial, coefficient] : extent.getTerms()) {
    Value product;
    for (unsigned id : monomial) {
      Source source = sources[id];
      Value factor = source.value;
      if (source.dim >= 0)
        factor = tensor::DimOp::create(builder, loc, source.value, source.dim);
      else if (!factor.getType().isIndex())
        factor = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), factor);
      product = product ? arith::MulIOp::create(builder, loc, product, factor).getResult() : factor;
    }
    if (!product)
      product = constant(coefficient);
    else if (coefficient != 1)
      product = arith::MulIOp::create(builder, loc, product, constant(coefficient));
    sum = sum ? arith::AddIOp::create(builder, loc, sum, product).getResult() : product;
  }
  return sum ? sum : constant(0);
}
