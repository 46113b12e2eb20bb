//===- SimplifyGathers.cpp - gathers that are simpler than they say -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// An index tuple of which one part counts along a dimension of the result, over all of the source's, takes
// that dimension as a whole; one into a dimension of size 1, or along which the source repeats itself, takes
// nothing in particular. What is left of such a tuple is mostly one index: a gather. A gather of a constant
// run of indices is a slice. A scatter whose tuples count along every dimension writes everything: its result
// is the updates.
//
//   gather_nd %m, concat(iota 0, %p, iota 2) : [1, 64, 4], [1, S, 4, 3]   ->   gather %m[0], %p : [64, 4],
//   [S] gather %qkv, [4] axis 2   ->   extract_slice %qkv[0, 0, 4, 0] [B, S, 1, 64] [1, 1, 1, 1]
//===----------------------------------------------------------------------===//
#include "Matchers.h"
#include "Views.h"
#include "mlir/IR/Matchers.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"

namespace pith {
#define GEN_PASS_DEF_SIMPLIFYGATHERS
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

bool repeats(const View::Dim &dim) {
  return llvm::all_of(dim, [](const Atom &atom) { return atom.isBroadcast(); });
}

/// The dimension along which the indices of `view` count from 0; none if they are anything else.
std::optional<int64_t> countedDim(const View &view) {
  auto iota = view.base.getDefiningOp<IotaOp>();
  if (!iota)
    return std::nullopt;
  std::optional<int64_t> counted;
  for (auto [d, dim] : llvm::enumerate(view.dims))
    for (const Atom &atom : dim) {
      if (atom.dim != static_cast<int64_t>(iota.getAxis()))
        continue;
      if (counted || dim.size() != 1 || !atom.stride.isConstant(1))
        return std::nullopt;
      counted = d;
    }
  return counted;
}

class GatherSimplifier {
public:
  explicit GatherSimplifier(func::FuncOp entry) : entry(entry), views(entry), builder(entry.getContext()) {}

  void run() {
    SmallVector<Operation *> ops;
    entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops) {
      builder.setInsertionPoint(op);
      if (auto gather = dyn_cast<GatherNDOp>(op))
        simplify(gather);
      else if (auto gather = dyn_cast<GatherOp>(op))
        slice(gather);
      else if (auto scatter = dyn_cast<ScatterNDOp>(op))
        replaceAll(scatter);
    }
  }

private:
  /// The parts of the index tuples, each without the last dimension.
  SmallVector<View, 3> parts(Value indices) {
    SmallVector<View, 3> result;
    SmallVector<Value> values{indices};
    if (auto concat = indices.getDefiningOp<tensor::ConcatOp>();
        concat && static_cast<int64_t>(concat.getDim()) == rankOf(indices) - 1)
      values.assign(concat.getInputs().begin(), concat.getInputs().end());
    for (Value value : values) {
      View view = views.of(value);
      if (lastDim(value) != 1 || !view.dims.back().empty())
        return {};
      view.dims.pop_back();
      result.push_back(view);
    }
    return result;
  }

  void simplify(GatherNDOp gather) {
    Location loc = gather.getLoc();
    SmallVector<View, 3> tuple = parts(gather.getIndices());
    View source = views.of(gather.getSource());
    if (gather.getBatchDims() != 0 || tuple.empty() || tuple.size() > source.dims.size())
      return;
    // What every index finds the same is not looked up.
    for (size_t part = tuple.size(); part-- > 0;)
      if (tuple.size() > 1 && repeats(source.dims[part])) {
        tuple.erase(tuple.begin() + part);
        source.dims.erase(source.dims.begin() + part);
      }
    int64_t leading = rankOf(gather.getIndices()) - 1;
    std::optional<int64_t> axis;
    SmallVector<int64_t> place(tuple.size()); // the result's dimension that is the source's as a whole
    for (auto [part, view] : llvm::enumerate(tuple)) {
      std::optional<int64_t> counted = countedDim(view);
      bool whole = counted && view.extent(*counted) == source.extent(part) &&
                   !llvm::is_contained(ArrayRef(place).take_front(part), *counted);
      place[part] = whole ? *counted : -1;
      if (!whole && axis)
        return;
      if (!whole)
        axis = part;
    }
    if (!axis) // the identity; one of them does as an index
      axis = tuple.size() - 1;
    place[*axis] = -1;
    View index = tuple[*axis];
    SmallVector<int64_t> order, rest; // of the gather's result, as dimensions of this one's
    for (int64_t d = 0; d < leading; ++d)
      if (!llvm::is_contained(place, d))
        rest.push_back(d);
      else if (!repeats(index.dims[d]))
        return;
    for (int64_t d = leading; d-- > 0;)
      if (llvm::is_contained(place, d))
        index.dims.erase(index.dims.begin() + d);
    for (auto [part, d] : llvm::enumerate(place))
      if (static_cast<int64_t>(part) == *axis)
        order.append(rest);
      else
        order.push_back(d);
    Value from = views.materialize(builder, loc, source), by = views.materialize(builder, loc, index);
    if (!from || !by)
      return;
    auto fromType = cast<RankedTensorType>(from.getType());
    SmallVector<int64_t> shape(fromType.getShape().take_front(*axis));
    llvm::append_range(shape, cast<RankedTensorType>(by.getType()).getShape());
    llvm::append_range(shape, fromType.getShape().drop_front(*axis + 1));
    Value result = GatherOp::create(builder, loc, fromType.clone(shape), from, by, *axis);
    // Dimension d of the result is where `order` has d.
    SmallVector<int64_t> permutation(rankOf(result)), moved;
    for (auto [at, d] : llvm::enumerate(order))
      permutation[d] = at;
    for (int64_t d = order.size(); d < rankOf(result); ++d)
      permutation[d] = d;
    for (int64_t from : permutation)
      moved.push_back(shape[from]);
    if (!llvm::is_sorted(permutation))
      result = TransposeOp::create(builder, loc, fromType.clone(moved), result, permutation);
    gather.getResult().replaceAllUsesWith(castTo(builder, loc, result, gather.getType()));
  }

  void replaceAll(ScatterNDOp scatter) {
    SmallVector<View, 3> tuple = parts(scatter.getIndices());
    SmallVector<Extent> shape = views.sizes.shape(scatter.getSource());
    if (tuple.empty() || tuple.size() > shape.size() || views.sizes.shape(scatter.getUpdates()) != shape)
      return;
    for (auto [part, view] : llvm::enumerate(tuple)) {
      std::optional<int64_t> counted = countedDim(view);
      bool isOnly =
          shape[part].isConstant(1) && view.dims.size() == tuple.size() && scalarConstant(view.base) == 0.0;
      if (!isOnly && counted != static_cast<int64_t>(part))
        return;
    }
    scatter.getResult().replaceAllUsesWith(
        castTo(builder, scatter.getLoc(), scatter.getUpdates(), scatter.getType()));
  }

  void slice(GatherOp gather) {
    DenseIntElementsAttr indices;
    auto type = cast<RankedTensorType>(gather.getSource().getType());
    int64_t axis = gather.getAxis(), rank = type.getRank();
    if (!isFloatTensor(gather.getSource()) || rank < 2 || type.isDynamicDim(axis) ||
        rankOf(gather.getIndices()) > 1 || !matchPattern(gather.getIndices(), m_Constant(&indices)) ||
        indices.getNumElements() == 0)
      return;
    SmallVector<int64_t> run;
    for (const APInt &index : indices.getValues<APInt>())
      run.push_back(index.getSExtValue() + (index.isNegative() ? type.getDimSize(axis) : 0));
    int64_t step = run.size() > 1 ? run[1] - run[0] : 1;
    for (auto [at, index] : llvm::enumerate(run))
      if (step <= 0 || index < 0 || index >= type.getDimSize(axis) ||
          index != run[0] + static_cast<int64_t>(at) * step)
        return;
    Location loc = gather.getLoc();
    SmallVector<OpFoldResult> offsets(rank, builder.getIndexAttr(0)), strides(rank, builder.getIndexAttr(1)),
        sizes;
    SmallVector<Extent> shape = views.sizes.shape(gather.getSource());
    shape[axis] = Extent(static_cast<int64_t>(run.size()));
    for (const Extent &extent : shape)
      sizes.push_back(extent.constant() ? OpFoldResult(builder.getIndexAttr(*extent.constant()))
                                        : OpFoldResult(views.sizes.materialize(builder, loc, extent)));
    offsets[axis] = builder.getIndexAttr(run[0]);
    strides[axis] = builder.getIndexAttr(step);
    Value result = tensor::ExtractSliceOp::create(builder, loc, gather.getSource(), offsets, sizes, strides);
    if (rankOf(gather.getIndices()) == 0)
      shape.erase(shape.begin() + axis);
    result = views.reshape(builder, loc, result, shape);
    gather.getResult().replaceAllUsesWith(castTo(builder, loc, result, gather.getType()));
  }

  func::FuncOp entry;
  Views views;
  OpBuilder builder;
};

struct SimplifyGathers : pith::impl::SimplifyGathersBase<SimplifyGathers> {
  void runOnOperation() override {
    for (func::FuncOp entry : entryFunctions(getOperation())) {
      GatherSimplifier(entry).run();
      eraseDead(entry);
    }
  }
};

} // namespace
