//===- RaiseLinear.cpp - projections by constant weights ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// A product whose right side is a weight is a linear, whichever way the weight lies; a gather of a weight's
// rows is an embedding. Reshapes that only fold token dimensions around them are moved away
// (Views::normalize), bias vectors join. A packed projection of which only ranges of channels are used (q, k
// and v of one product) is split into one linear per range: rows of a weight are a range of its bytes, so
// nothing is copied. A k-major weight has no such ranges and stays whole.
//===----------------------------------------------------------------------===//
#include "Matchers.h"
#include "Views.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"

namespace pith {
#define GEN_PASS_DEF_RAISELINEAR
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

template <typename OpTy>
SmallVector<OpTy> collect(func::FuncOp entry) {
  SmallVector<OpTy> ops;
  entry.getBody().walk([&](OpTy op) { ops.push_back(op); });
  return ops;
}

/// A weight seen as a matrix: its name, and whether the view swaps its dimensions.
struct Matrix {
  FlatSymbolRefAttr weight;
  bool transposed;
};

std::optional<Matrix> weightMatrix(Views &views, Value value) {
  if (rankOf(value) != 2)
    return std::nullopt;
  View view = views.of(value);
  SmallVector<Extent> shape = views.sizes.shape(view.base);
  if (shape.size() != 2)
    return std::nullopt;
  auto is = [&](int64_t dim, int64_t from) {
    if (shape[from].isConstant(1))
      return view.dims[dim].empty();
    return view.dims[dim].size() == 1 && view.dims[dim][0] == Atom{from, Extent(1), shape[from]};
  };
  bool straight = is(0, 0) && is(1, 1), transposed = is(0, 1) && is(1, 0);
  if (!straight && !transposed)
    return std::nullopt;
  FlatSymbolRefAttr weight = weightSymbol(view.base);
  if (!weight)
    return std::nullopt;
  return Matrix{weight, !straight};
}

void raiseMatmul(Views &views, MatmulOp matmul) {
  if (!isFloatTensor(matmul.getResult()))
    return;
  auto matrix = weightMatrix(views, matmul.getRhs());
  if (!matrix)
    return;
  OpBuilder builder(matmul);
  UnitAttr kMajor = matrix->transposed ? UnitAttr() : builder.getUnitAttr();
  auto linear = LinearOp::create(builder, matmul.getLoc(), matmul.getType(), matmul.getLhs(),
                                 builder.getArrayAttr({matrix->weight}), ArrayAttr(), kMajor);
  matmul.getResult().replaceAllUsesWith(linear);
}

void raiseGather(Views &views, GatherOp gather) {
  if (gather.getAxis() != 0 || !isFloatTensor(gather.getResult()))
    return;
  auto matrix = weightMatrix(views, gather.getSource());
  if (!matrix)
    return;
  OpBuilder builder(gather);
  auto embedding = EmbeddingOp::create(builder, gather.getLoc(), gather.getType(), gather.getIndices(),
                                       matrix->weight, builder.getF32FloatAttr(1.0),
                                       matrix->transposed ? builder.getUnitAttr() : UnitAttr());
  gather.getResult().replaceAllUsesWith(embedding);
}

/// linear(x) + vector. A product with other users is not computed twice for it.
void foldBias(arith::AddFOp sum) {
  for (unsigned i : {0, 1}) {
    auto linear = sum->getOperand(i).getDefiningOp<LinearOp>();
    if (!linear || linear.getBiases() || linear.getWeights().size() != 1 || !linear->hasOneUse())
      continue;
    OpBuilder builder(sum);
    Value vector = channelVector(builder, sum->getOperand(1 - i), lastDim(linear));
    // A vector with unit dimensions is reshaped before use: what it is reshaped from must be the constant.
    FlatSymbolRefAttr bias = vector ? weightSymbol(vector, {lastDim(linear)}) : FlatSymbolRefAttr();
    if (!bias)
      continue;
    sum.getResult().replaceAllUsesWith(
        LinearOp::create(builder, linear.getLoc(), linear.getType(), linear.getX(), linear.getWeightsAttr(),
                         builder.getArrayAttr({bias}), linear.getKMajorAttr()));
    return;
  }
}

/// embedding * scalar.
void foldScale(arith::MulFOp product) {
  auto scaled = scaledBy(product);
  auto embedding = scaled ? scaled->first.getDefiningOp<EmbeddingOp>() : EmbeddingOp();
  if (!embedding || !embedding->hasOneUse())
    return;
  OpBuilder builder(product);
  auto scale = builder.getF32FloatAttr(embedding.getScale().convertToFloat() * scaled->second);
  product.getResult().replaceAllUsesWith(EmbeddingOp::create(builder, embedding.getLoc(), embedding.getType(),
                                                             embedding.getIds(), embedding.getWeightAttr(),
                                                             scale, embedding.getKMajorAttr()));
}

//===----------------------------------------------------------------------===//
// Packed projections
//===----------------------------------------------------------------------===//

/// Rows [first, first + rows) of a weight's piece that has `total` rows; null if rows are not whole bytes.
Attribute sliceRows(Attribute piece, int64_t total, int64_t first, int64_t rows) {
  if (auto file = dyn_cast_or_null<FileAttr>(piece)) {
    if (file.getSize() % total)
      return {};
    int64_t row = file.getSize() / total;
    return FileAttr::get(piece.getContext(), file.getPath(), file.getOffset() + first * row, rows * row);
  }
  auto elements = dyn_cast_or_null<DenseElementsAttr>(piece);
  if (!elements || elements.getNumElements() % total || elements.getElementType().isInteger(1))
    return {};
  auto type = cast<RankedTensorType>(elements.getType());
  SmallVector<int64_t> shape{elements.getNumElements() / total * rows};
  if (type.getShape().front() == total) {
    shape = llvm::to_vector(type.getShape());
    shape.front() = rows;
  }
  auto sliced = RankedTensorType::get(shape, type.getElementType());
  if (elements.isSplat())
    return DenseElementsAttr::getFromRawBuffer(sliced, elements.getRawData());
  int64_t row = elements.getRawData().size() / total;
  return DenseElementsAttr::getFromRawBuffer(sliced, elements.getRawData().slice(first * row, rows * row));
}

/// slice(view(linear)) -> view(slice(linear)) where the slice takes a run of an outermost part of the
/// channels: the query of a packed projection that is seen as [3, heads, head_dim] per row.
void sliceBelowView(Views &views, tensor::ExtractSliceOp slice) {
  Value source = slice.getSource();
  if (!isViewOp(source.getDefiningOp()) || rankOf(source) != rankOf(slice.getResult()) ||
      !slice.hasUnitStride() ||
      !llvm::all_of(source.getUsers(), [](Operation *user) { return isa<tensor::ExtractSliceOp>(user); }))
    return;
  View view = views.of(source);
  if (!view.base.getDefiningOp<LinearOp>() || view.hasBroadcast())
    return;
  std::optional<int64_t> cut;
  for (int64_t dim = 0; dim < rankOf(source); ++dim)
    if (views.sizes.of(source, dim) != views.sizes.of(slice.getResult(), dim)) {
      if (cut)
        return;
      cut = dim;
    }
  int64_t channels = rankOf(view.base) - 1, width = lastDim(view.base);
  if (!cut || *cut == rankOf(source) - 1 || view.dims[*cut].size() != 1 || ShapedType::isDynamic(width))
    return;
  Atom &atom = view.dims[*cut][0];
  auto first = getConstantIntValue(slice.getMixedOffsets()[*cut]),
       count = getConstantIntValue(slice.getMixedSizes()[*cut]);
  auto stride = atom.stride.constant();
  if (atom.dim != channels || !first || !count || !stride || atom.stride * atom.extent != Extent(width))
    return;
  OpBuilder builder(slice);
  SmallVector<OpFoldResult> offsets, counts, strides(channels + 1, builder.getIndexAttr(1));
  for (int64_t dim = 0; dim < channels; ++dim) {
    offsets.push_back(builder.getIndexAttr(0));
    Extent extent = views.sizes.of(view.base, dim);
    counts.push_back(extent.constant()
                         ? OpFoldResult(builder.getIndexAttr(*extent.constant()))
                         : OpFoldResult(views.sizes.materialize(builder, slice.getLoc(), extent)));
  }
  offsets.push_back(builder.getIndexAttr(*first * *stride));
  counts.push_back(builder.getIndexAttr(*count * *stride));
  view.base = tensor::ExtractSliceOp::create(builder, slice.getLoc(), view.base, offsets, counts, strides);
  atom.extent = Extent(*count);
  if (*count == 1)
    view.dims[*cut].clear();
  if (Value value = views.materialize(builder, slice.getLoc(), view))
    slice.getResult().replaceAllUsesWith(castTo(builder, slice.getLoc(), value, slice.getType()));
}

/// Splits linears into the ranges of channels that their users take.
class Splitter {
public:
  explicit Splitter(ModuleOp module) : module(module), symbols(module) {}

  void run(func::FuncOp entry) {
    Views views(entry);
    for (LinearOp linear : collect<LinearOp>(entry))
      split(views, linear);
    eraseDead(entry);
    for (WeightOp weight : packed)
      if (SymbolTable::symbolKnownUseEmpty(weight, module))
        symbols.erase(weight);
  }

private:
  struct Range {
    int64_t first, size;
    bool operator<(const Range &other) const {
      return std::tie(first, size) < std::tie(other.first, other.size);
    }
  };

  /// The channels that a slice takes of every row, if it is such a slice.
  static std::optional<Range> channelRange(Views &views, tensor::ExtractSliceOp slice) {
    int64_t last = rankOf(slice.getSource()) - 1;
    if (rankOf(slice.getResult()) != last + 1 || !slice.hasUnitStride())
      return std::nullopt;
    for (int64_t dim = 0; dim < last; ++dim)
      if (!isConstantIntValue(slice.getMixedOffsets()[dim], 0) ||
          views.sizes.of(slice.getResult(), dim) != views.sizes.of(slice.getSource(), dim))
        return std::nullopt;
    auto first = getConstantIntValue(slice.getMixedOffsets()[last]),
         size = getConstantIntValue(slice.getMixedSizes()[last]);
    if (!first || !size)
      return std::nullopt;
    return Range{*first, *size};
  }

  void split(Views &views, LinearOp linear) {
    if (linear.getWeights().size() != 1 || linear->use_empty())
      return;
    SmallVector<std::pair<tensor::ExtractSliceOp, Range>> slices;
    for (Operation *user : linear->getUsers()) {
      auto slice = dyn_cast<tensor::ExtractSliceOp>(user);
      auto range = slice ? channelRange(views, slice) : std::nullopt;
      if (!range)
        return;
      slices.push_back({slice, *range});
    }
    if (linear.getKMajor())
      return reportMissed(
          linear, "pith-raise-linear", "linear",
          "packed projection stays whole: its weight lies k-major, a range of channels is no range of bytes");
    auto weight = symbols.lookup<WeightOp>(cast<FlatSymbolRefAttr>(linear.getWeights()[0]).getValue());
    WeightOp bias;
    if (linear.getBiases())
      bias = symbols.lookup<WeightOp>(cast<FlatSymbolRefAttr>((*linear.getBiases())[0]).getValue());
    if (!weight || (linear.getBiases() && !bias))
      return;
    std::map<Range, Value> parts; // in the order of the channels
    for (auto [slice, range] : slices)
      parts[range] = Value();
    for (auto &[range, part] : parts) {
      FlatSymbolRefAttr rows = rowsOf(weight, range);
      FlatSymbolRefAttr biasRows = bias ? rowsOf(bias, range) : FlatSymbolRefAttr();
      if (!rows || (bias && !biasRows))
        return;
      OpBuilder builder(linear);
      auto type = cast<RankedTensorType>(linear.getType());
      SmallVector<int64_t> shape(type.getShape());
      shape.back() = range.size;
      part = LinearOp::create(builder, linear.getLoc(), RankedTensorType::get(shape, type.getElementType()),
                              linear.getX(), builder.getArrayAttr({rows}),
                              bias ? builder.getArrayAttr({biasRows}) : ArrayAttr(), UnitAttr());
    }
    for (auto [slice, range] : slices) {
      OpBuilder builder(slice);
      slice.getResult().replaceAllUsesWith(castTo(builder, slice.getLoc(), parts[range], slice.getType()));
    }
    packed.insert(weight);
    if (bias)
      packed.insert(bias);
  }

  /// A weight of the rows in `range`, one per range and source.
  FlatSymbolRefAttr rowsOf(WeightOp weight, Range range) {
    RankedTensorType type = weight.getTensorType();
    int64_t total = type.getDimSize(0);
    if (range.size == total)
      return FlatSymbolRefAttr::get(weight.getSymNameAttr());
    std::string name =
        (weight.getSymName() + "." + Twine(range.first) + "_" + Twine(range.first + range.size)).str();
    if (auto known = made.find(name); known != made.end())
      return known->second;
    SmallVector<Attribute, 3> pieces;
    for (Attribute piece : {weight.getData(), weight.getScalesAttr(), weight.getZerosAttr()}) {
      pieces.push_back(piece ? sliceRows(piece, total, range.first, range.size) : Attribute());
      if (piece && !pieces.back())
        return {};
    }
    SmallVector<int64_t> shape(type.getShape());
    shape.front() = range.size;
    auto sliced = RankedTensorType::get(shape, type.getElementType(), type.getEncoding());
    OpBuilder builder(weight);
    auto part = WeightOp::create(builder, weight.getLoc(), name, sliced, pieces[0], pieces[1], pieces[2]);
    part->remove();
    symbols.insert(part, std::next(weight->getIterator()));
    return made[name] = FlatSymbolRefAttr::get(part.getSymNameAttr());
  }

  ModuleOp module;
  SymbolTable symbols;
  llvm::SetVector<WeightOp> packed;
  llvm::StringMap<FlatSymbolRefAttr> made;
};

struct RaiseLinearPass : pith::impl::RaiseLinearBase<RaiseLinearPass> {
  void runOnOperation() override {
    for (func::FuncOp entry : entryFunctions(getOperation())) {
      {
        Views views(entry);
        for (MatmulOp matmul : collect<MatmulOp>(entry))
          raiseMatmul(views, matmul);
        for (GatherOp gather : collect<GatherOp>(entry))
          raiseGather(views, gather);
        views.normalize(entry);
      }
      eraseDead(entry);
      for (auto sum : collect<arith::AddFOp>(entry))
        foldBias(sum);
      for (auto product : collect<arith::MulFOp>(entry))
        foldScale(product);
      eraseDead(entry);
      {
        Views views(entry);
        for (auto slice : collect<tensor::ExtractSliceOp>(entry))
          sliceBelowView(views, slice);
        views.normalize(entry);
      }
      eraseDead(entry);
      Splitter(getOperation()).run(entry);
    }
    if (failed(cleanUp(getOperation())))
      signalPassFailure();
  }
};

} // namespace
