//===- RaiseAttention.cpp - attention -------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// matmul(softmax(f(matmul(q, k'))), v) is attention, where f is made of scalar factors (anywhere: on q, on k,
// on the product), a softcap and masks. Heads that repeat a kv head, in whatever spelling, are read through
// the index map h -> h / n. q, k and v become token-major, where the conversions cancel against those that
// split the heads.
//
// Rows in which every key is hidden. pith.attention gives zeros there; the graph says so too where it guards
// its softmax against NaN. Without a guard, an additive -inf gives NaN, and zeros replace what nobody can
// have relied on. A finite sentinel stays in the mask as it is (added, not turned into a predicate), so such
// rows average as they did. A sentinel that replaces the score (select) is added instead: the same at -1e9
// and beyond, where the score vanishes in it; at -1e4 the two differ only in rows without any key, which a
// causal mask does not have.
//===----------------------------------------------------------------------===//
#include "AttentionScores.h"
#include "Matchers.h"
#include "Views.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"
#include <cmath>

namespace pith {
#define GEN_PASS_DEF_RAISEATTENTION
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

/// A head dimension as `kept` heads, each repeated: index map h -> h / n. None if it repeats in another
/// order.
std::optional<View> withoutRepeats(const View &view, int64_t dim) {
  View result = view;
  View::Dim &heads = result.dims[dim];
  while (!heads.empty() && heads.back().isBroadcast())
    heads.pop_back();
  for (const Atom &atom : heads)
    if (atom.isBroadcast())
      return std::nullopt;
  return result;
}

class AttentionRaiser {
public:
  explicit AttentionRaiser(func::FuncOp entry) : entry(entry), views(entry), builder(entry.getContext()) {}

  void run() {
    SmallVector<Operation *> ops;
    entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops) {
      builder.setInsertionPoint(op);
      if (auto gather = dyn_cast<GatherOp>(op))
        expandHeadGather(gather);
    }
    for (Operation *op : ops) {
      builder.setInsertionPoint(op);
      if (auto matmul = dyn_cast<MatmulOp>(op))
        raise(matmul);
      else if (auto attention = dyn_cast<AttentionOp>(op))
        dropRepeats(attention);
    }
  }

private:
  /// gather(x, [0, 0, 1, 1, …] axis 1) -> the same as a broadcast.
  void expandHeadGather(GatherOp gather) {
    DenseIntElementsAttr indices;
    int64_t axis = gather.getAxis();
    auto constant = gather.getIndices().getDefiningOp<arith::ConstantOp>();
    if (!constant || rankOf(gather.getIndices()) != 1 ||
        !(indices = dyn_cast<DenseIntElementsAttr>(constant.getValue())))
      return;
    auto source = cast<RankedTensorType>(gather.getSource().getType());
    int64_t count = indices.getNumElements(), kept = source.getDimSize(axis);
    if (ShapedType::isDynamic(kept) || kept == 0 || count % kept || count == kept)
      return;
    for (auto [at, index] : llvm::enumerate(indices.getValues<APInt>()))
      if (index.getSExtValue() != static_cast<int64_t>(at) / (count / kept))
        return;
    SmallVector<Extent> shape = views.sizes.shape(gather.getSource()), unit = shape, repeated;
    unit.insert(unit.begin() + axis + 1, Extent(1));
    repeated = unit;
    repeated[axis + 1] = Extent(count / kept);
    shape[axis] = Extent(count);
    Value value = views.reshape(builder, gather.getLoc(), gather.getSource(), unit);
    value = views.broadcast(builder, gather.getLoc(), value, repeated);
    value = views.reshape(builder, gather.getLoc(), value, shape);
    gather.getResult().replaceAllUsesWith(castTo(builder, gather.getLoc(), value, gather.getType()));
  }

  /// Three dimensions as four: batch and heads unfolded, or one head.
  static bool withHeads(View &view, int64_t heads) {
    if (view.dims.size() == 4)
      return true;
    return view.dims.size() == 3 && Views::split(view, 0, Extent(heads));
  }

  /// The heads that are folded into the batch of [batch * heads, rows, channels], as its index map shows
  /// them.
  static int64_t foldedHeads(const View &view) {
    const View::Dim &batch = view.dims[0];
    return batch.size() > 1 ? batch.back().extent.constant().value_or(1) : 1;
  }

  /// [batch, heads, rows, channels] as token-major rows.
  Value merged(Location loc, const View &view) {
    return views.materialize(builder, loc, Views::regroup(view, {{0}, {2}, {1, 3}}));
  }

  void raise(MatmulOp output) {
    SoftmaxOp softmax = readProbabilities(views.sizes, output.getLhs());
    int64_t rank = rankOf(output.getResult());
    if (!softmax || (rank != 3 && rank != 4))
      return;
    auto miss = [&](StringRef reason) { reportMissed(softmax, "pith-raise-attention", "attention", reason); };
    if (static_cast<int64_t>(softmax.getAxis()) != rankOf(softmax.getResult()) - 1)
      return miss("the softmax is not over the keys");
    Scores scores;
    if (!readScores(views.sizes, softmax.getSource(), 1.0, scores))
      return miss("what the softmax takes is not a product with factors, a softcap and masks");
    View q = views.of(scores.product.getLhs(), true), k = views.of(scores.product.getRhs(), true);
    View v = views.of(output.getRhs(), true);
    if (k.dims.size() != q.dims.size() || v.dims.size() != static_cast<size_t>(rank) || k.dims.size() < 3)
      return miss("the keys or values are one matrix for all heads");
    std::swap(k.dims[k.dims.size() - 2], k.dims.back()); // the product takes the keys transposed
    int64_t folded = scores.heads ? scores.heads : headsOf(output.getResult());
    if (!folded)
      folded = foldedHeads(q);
    if (!withHeads(q, folded) || !withHeads(k, folded) || !withHeads(v, folded))
      return miss("heads that are folded into the batch cannot be told from it");
    auto heads = q.extent(1).constant(), headDim = q.extent(3).constant(), valueDim = v.extent(3).constant();
    if (!heads || !headDim || !valueDim)
      return miss("the number of heads or channels is not known");
    // Repeated heads are dropped if keys and values agree on them.
    auto keptK = withoutRepeats(k, 1), keptV = withoutRepeats(v, 1);
    if (keptK && keptV && keptK->extent(1) == keptV->extent(1)) {
      k = *keptK;
      v = *keptV;
    }
    auto kvHeads = k.extent(1).constant();
    if (!kvHeads || v.extent(1) != k.extent(1) || *kvHeads == 0 || *heads % *kvHeads)
      return miss("the heads of queries, keys and values do not divide");

    Location loc = softmax.getLoc();
    builder.setInsertionPoint(output);
    SmallVector<Extent> shape{q.extent(0), Extent(*heads), q.extent(2), k.extent(2)};
    Value mask;
    if (!scores.masks.empty() && !(mask = combine(loc, scores.masks, shape)))
      return miss("a mask's shape is not that of the scores, up to dimensions of 1");
    Value queries = merged(loc, q), keys = merged(loc, k), values = merged(loc, v);
    if (!queries || !keys || !values)
      return miss("queries, keys or values cannot be laid out by token");
    double scale = scores.scale * q.factor * k.factor;
    // The product of two rounded roots is what they are the roots of.
    double usual = 1.0 / std::sqrt(static_cast<double>(*headDim));
    if (std::abs(scale - usual) < 1e-6 * usual)
      scale = usual;
    SmallVector<int64_t> type(cast<RankedTensorType>(queries.getType()).getShape());
    type.back() = *heads * *valueDim;
    Type element = cast<RankedTensorType>(output.getType()).getElementType();
    auto attention =
        AttentionOp::create(builder, loc, RankedTensorType::get(type, element), queries, keys, values, mask,
                            Value(), builder.getI64IntegerAttr(*heads), builder.getI64IntegerAttr(*kvHeads),
                            builder.getF32FloatAttr(scale), UnitAttr(),
                            builder.getF32FloatAttr(scores.softcap), builder.getI64IntegerAttr(0));
    View back = views.of(attention);
    Views::split(back, 2, Extent(*valueDim));
    back = Views::regroup(back, {{0}, {2}, {1}, {3}});
    if (rank == 3)
      back = Views::regroup(back, {{0, 1}, {2}, {3}});
    Value result = views.materialize(builder, loc, back);
    result = castTo(builder, loc, result, output.getType());
    if (v.factor != 1.0)
      result = arith::MulFOp::create(builder, loc, result, scalarLike(loc, result, v.factor));
    output.getResult().replaceAllUsesWith(result);
  }

  Value scalarLike(Location loc, Value like, double number) {
    auto type = cast<RankedTensorType>(like.getType());
    auto scalar = RankedTensorType::get({}, type.getElementType());
    Value constant = arith::ConstantOp::create(
        builder, loc, DenseElementsAttr::get(scalar, builder.getFloatAttr(type.getElementType(), number)));
    return castTo(builder, loc, views.broadcast(builder, loc, constant, views.sizes.shape(like)), type);
  }

  //===--------------------------------------------------------------------===//
  // Masks
  //===--------------------------------------------------------------------===//

  /// The mask of scores of this rank in rank 4, each dimension 1 or that of the scores. Null if it cannot be.
  Value fourDimensional(Location loc, Value mask, ArrayRef<Extent> shape, int64_t rank) {
    View view = views.of(stripBroadcast(mask));
    while (static_cast<int64_t>(view.dims.size()) < rank)
      view.dims.insert(view.dims.begin(), View::Dim());
    if (rank == 3) {
      if (view.dims[0].empty())
        view.dims.insert(view.dims.begin(), View::Dim());
      else if (!Views::split(view, 0, shape[1]))
        return {};
    }
    for (int64_t dim = 0; dim < 4; ++dim) {
      Extent extent = view.extent(dim);
      if (!extent.isConstant(1) && extent != shape[dim] && extent.constant() && shape[dim].constant())
        return {};
    }
    return views.materialize(builder, loc, view);
  }

  /// -inf or the sentinel where a predicate hides, 0 elsewhere.
  Value additive(Location loc, Value keep, double hidden) {
    auto type = cast<RankedTensorType>(keep.getType());
    auto scalar = RankedTensorType::get({}, builder.getF32Type());
    auto constant = [&](double number) {
      Value value = arith::ConstantOp::create(
          builder, loc, DenseElementsAttr::get(scalar, builder.getF32FloatAttr(static_cast<float>(number))));
      value = views.broadcast(builder, loc, value, views.sizes.shape(keep));
      return castTo(builder, loc, value, RankedTensorType::get(type.getShape(), builder.getF32Type()));
    };
    Value zero = constant(0.0), low = constant(hidden);
    return arith::SelectOp::create(builder, loc, keep, zero, low);
  }

  Value negated(Location loc, Value predicate) {
    auto type = cast<RankedTensorType>(predicate.getType());
    auto scalar = RankedTensorType::get({}, builder.getI1Type());
    Value ones = arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(scalar, true));
    ones = castTo(builder, loc, views.broadcast(builder, loc, ones, views.sizes.shape(predicate)), type);
    return arith::XOrIOp::create(builder, loc, predicate, ones);
  }

  /// If `value` is select(keep, 0, -inf) or the other way round: the predicate that keeps.
  Value asPredicate(Location loc, Value value) {
    auto select = stripBroadcast(value).getDefiningOp<arith::SelectOp>();
    if (!select || !isa<RankedTensorType>(select.getCondition().getType()))
      return {};
    auto yes = scalarConstant(select.getTrueValue()), no = scalarConstant(select.getFalseValue());
    if (yes == 0.0 && no == -INFINITY)
      return select.getCondition();
    if (yes == -INFINITY && no == 0.0)
      return negated(loc, select.getCondition());
    return {};
  }

  Value combine(Location loc, ArrayRef<Mask> masks, ArrayRef<Extent> shape) {
    SmallVector<Value> predicates, terms;
    for (const Mask &mask : masks) {
      Value value = mask.value;
      bool predicate = cast<RankedTensorType>(value.getType()).getElementType().isInteger(1);
      bool infinite = predicate && std::isinf(static_cast<float>(mask.hidden));
      if (!predicate)
        if (Value keep = asPredicate(loc, value)) {
          value = keep;
          predicate = infinite = true;
        }
      value = fourDimensional(loc, value, shape, rankOf(mask.value));
      if (!value)
        return {};
      if (predicate && !mask.keep)
        value = negated(loc, value);
      if (infinite)
        predicates.push_back(value);
      else if (predicate)
        terms.push_back(additive(loc, value, mask.hidden));
      else if (mask.factor == 1.0)
        terms.push_back(value);
      else
        terms.push_back(arith::MulFOp::create(builder, loc, value, scalarLike(loc, value, mask.factor)));
    }
    Value keep = join<arith::AndIOp>(loc, predicates);
    if (terms.empty())
      return keep;
    if (keep)
      terms.push_back(additive(loc, keep, -INFINITY));
    return join<arith::AddFOp>(loc, terms);
  }

  template <typename OpTy>
  Value join(Location loc, ArrayRef<Value> values) {
    Value joined;
    for (Value value : values) {
      if (!joined) {
        joined = value;
        continue;
      }
      SmallVector<Extent> shape, left = views.sizes.shape(joined), right = views.sizes.shape(value);
      for (auto [a, b] : llvm::zip(left, right))
        shape.push_back(a.isConstant(1) ? b : a);
      Value a = left == shape ? joined : views.broadcast(builder, loc, joined, shape);
      Value b = right == shape ? value : views.broadcast(builder, loc, value, shape);
      joined = OpTy::create(builder, loc, a, castTo(builder, loc, b, a.getType()));
    }
    return joined;
  }

  //===--------------------------------------------------------------------===//
  // Attention as imported
  //===--------------------------------------------------------------------===//

  /// An attention that was given repeated keys and values reads the ones that are repeated.
  void dropRepeats(AttentionOp attention) {
    int64_t kvHeads = attention.getKvHeads();
    SmallVector<View, 2> narrow;
    for (Value operand : {attention.getK(), attention.getV()}) {
      View view = views.of(operand);
      int64_t channels = lastDim(operand);
      if (ShapedType::isDynamic(channels) || !Views::split(view, 2, Extent(channels / kvHeads)))
        return;
      auto kept = withoutRepeats(view, 2);
      if (!kept)
        return;
      narrow.push_back(*kept);
    }
    auto kept = narrow[0].extent(2).constant();
    if (!kept || *kept == kvHeads || kvHeads % *kept || narrow[1].extent(2) != narrow[0].extent(2))
      return;
    auto merge = [&](const View &view) {
      return views.materialize(builder, attention.getLoc(), Views::regroup(view, {{0}, {1}, {2, 3}}));
    };
    Value k = merge(narrow[0]), v = merge(narrow[1]);
    if (!k || !v)
      return;
    attention.getKMutable().assign(k);
    attention.getVMutable().assign(v);
    attention.setKvHeads(*kept);
  }

  func::FuncOp entry;
  Views views;
  OpBuilder builder;
};

struct RaiseAttentionPass : pith::impl::RaiseAttentionBase<RaiseAttentionPass> {
  void runOnOperation() override {
    for (func::FuncOp entry : entryFunctions(getOperation())) {
      AttentionRaiser(entry).run();
      {
        Views views(entry);
        views.sinkSlices(entry);
        views.normalize(entry);
      }
      eraseDead(entry);
      entry.getBody().walk([](SoftmaxOp softmax) {
        bool multiplied =
            llvm::any_of(softmax->getUsers(), [](Operation *user) { return isa<MatmulOp>(user); });
        if (!multiplied)
          reportMissed(softmax, "pith-raise-attention", "attention",
                       "the probabilities are not multiplied by values");
      });
    }
    if (failed(cleanUp(getOperation())))
      signalPassFailure();
  }
};

} // namespace
