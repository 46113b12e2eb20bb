//===- RaiseRotary.cpp - rotary position embeddings -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// y = x C + R(x) S, with R a signed exchange of channels, is a rotary embedding if both channels of a pair
// have the same cosine and opposite sines. ChannelMap reads both spellings (rotate by slices, negation and
// concatenation; halves or even and odd channels rotated apart, then joined) as the same matrix; only that
// matrix decides. The op works on token-major rows with tables of one value per pair: heads are merged into
// the channels, halves are cut out of duplicated tables.
//
//   %y = (x * broadcast(cos(concat(t, t)))) + concat(-x[.., 32:], x[.., :32]) * broadcast(sin(concat(t, t)))
//   ->   %y = heads(pith.rope merge(x), cos(t), sin(t) {head_dim = 64, rotary_dim = 64})
//===----------------------------------------------------------------------===//
#include "ChannelMap.h"
#include "Matchers.h"
#include "Views.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"
#include <cmath>

namespace pith {
#define GEN_PASS_DEF_RAISEROTARY
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

//===----------------------------------------------------------------------===//
// Angles: outer products and their transposes as elementwise code
//===----------------------------------------------------------------------===//

/// matmul over k = 1 -> product of broadcasts.
void expandOuterProduct(Views &views, MatmulOp matmul) {
  if (views.sizes.of(matmul.getLhs(), rankOf(matmul.getLhs()) - 1) != Extent(1) ||
      !isFloatTensor(matmul.getResult()))
    return;
  OpBuilder builder(matmul);
  SmallVector<Extent> shape = views.sizes.shape(matmul.getResult());
  Value lhs = views.broadcast(builder, matmul.getLoc(), matmul.getLhs(), shape);
  Value rhs = views.broadcast(builder, matmul.getLoc(), matmul.getRhs(), shape);
  Value product = arith::MulFOp::create(builder, matmul.getLoc(), lhs, rhs);
  matmul.getResult().replaceAllUsesWith(castTo(builder, matmul.getLoc(), product, matmul.getType()));
}

/// transpose(f(broadcast(a), broadcast(b))) -> f(broadcast(a'), broadcast(b')).
void hoistTranspose(Views &views, TransposeOp transpose) {
  Operation *inner = transpose.getSource().getDefiningOp();
  if (!inner || !OpTrait::hasElementwiseMappableTraits(inner) || inner->getNumResults() != 1)
    return;
  OpBuilder builder(transpose);
  SmallVector<Value> operands;
  for (Value operand : inner->getOperands()) {
    if (!isa_and_nonnull<BroadcastOp>(operand.getDefiningOp()))
      return;
    View view = views.of(operand), moved{view.base, {}};
    for (int64_t dim : transpose.getPermutation())
      moved.dims.push_back(view.dims[dim]);
    operands.push_back(views.materialize(builder, transpose.getLoc(), moved));
    if (!operands.back())
      return;
  }
  if (llvm::any_of(operands, [&](Value value) {
        return cast<RankedTensorType>(value.getType()).getShape() !=
               cast<RankedTensorType>(operands[0].getType()).getShape();
      }))
    return;
  Operation *clone = builder.clone(*inner);
  clone->setOperands(operands);
  auto shape = cast<RankedTensorType>(operands[0].getType()).getShape();
  Value result = clone->getResult(0);
  result.setType(RankedTensorType::get(shape, cast<RankedTensorType>(result.getType()).getElementType()));
  transpose.getResult().replaceAllUsesWith(castTo(builder, transpose.getLoc(), result, transpose.getType()));
}

//===----------------------------------------------------------------------===//
// The rotation
//===----------------------------------------------------------------------===//

struct Rotation {
  int64_t rotaryDim = 0;
  bool interleaved = false;
  SmallVector<Term> cos, sin; // one per pair
};

const Term *termOf(const Sum &sum, int64_t x) {
  const Term *term = llvm::find_if(sum, [&](const Term &t) { return t.x == x; });
  return term == sum.end() ? nullptr : term;
}

bool isIdentity(const Sum &sum, int64_t channel) {
  return sum.size() == 1 && sum[0].x == channel && sum[0].expression == Term::kNone && sum[0].factor == 1.0;
}

std::optional<Rotation> classify(const Channels &channels) {
  Rotation rotation;
  int64_t count = channels.size();
  while (rotation.rotaryDim < count && channels[rotation.rotaryDim].size() == 2)
    ++rotation.rotaryDim;
  for (int64_t channel = rotation.rotaryDim; channel < count; ++channel)
    if (!isIdentity(channels[channel], channel))
      return std::nullopt;
  int64_t half = rotation.rotaryDim / 2;
  if (half == 0 || rotation.rotaryDim % 2)
    return std::nullopt;
  rotation.interleaved = half > 1 && termOf(channels[0], 1);
  for (int64_t pair = 0; pair < half; ++pair) {
    int64_t first = rotation.interleaved ? 2 * pair : pair,
            second = rotation.interleaved ? first + 1 : pair + half;
    const Term *c1 = termOf(channels[first], first), *s1 = termOf(channels[first], second);
    const Term *c2 = termOf(channels[second], second), *s2 = termOf(channels[second], first);
    if (!c1 || !s1 || !c2 || !s2 || c1->expression != c2->expression || s1->expression != s2->expression ||
        c1->factor != c2->factor || s1->factor != -s2->factor || c1->expression == Term::kNone ||
        s1->expression == Term::kNone)
      return std::nullopt;
    rotation.cos.push_back(*c1);
    rotation.sin.push_back(*s2);
  }
  return rotation;
}

/// The values above `root` through which x can reach it, the nearest first; empty unless something is joined.
SmallVector<Value> cone(Value root) {
  llvm::SetVector<Value> values;
  values.insert(root);
  bool joins = false;
  for (size_t next = 0; next < values.size() && next < 96; ++next) {
    Operation *op = values[next].getDefiningOp();
    if (!isa_and_nonnull<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::NegFOp, tensor::ExtractSliceOp,
                         tensor::ConcatOp, ReshapeOp, BroadcastOp, tensor::CastOp>(op))
      continue;
    joins |= isa<tensor::ConcatOp>(op);
    for (Value operand : op->getOperands())
      if (isFloatTensor(operand))
        values.insert(operand);
  }
  return joins ? llvm::to_vector(values.getArrayRef()) : SmallVector<Value>();
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

/// Channels first, first + stride, … of a table, cut out as near to its source as possible.
Value sliceChannels(OpBuilder &builder, Views &views, Value table, int64_t first, int64_t count,
                    int64_t stride) {
  Location loc = table.getLoc();
  int64_t channels = lastDim(table);
  if (first == 0 && stride == 1 && count == channels)
    return table;
  SmallVector<Extent> shape = views.sizes.shape(table);
  shape.back() = Extent(count);
  Operation *op = table.getDefiningOp();
  if (isa_and_nonnull<BroadcastOp>(op) && lastDim(op->getOperand(0)) == 1)
    return views.broadcast(builder, loc, op->getOperand(0), shape);
  if (isa_and_nonnull<BroadcastOp, ReshapeOp>(op) && rankOf(op->getOperand(0)) &&
      lastDim(op->getOperand(0)) == channels) {
    Value source = sliceChannels(builder, views, op->getOperand(0), first, count, stride);
    return isa<BroadcastOp>(op) ? views.broadcast(builder, loc, source, shape)
                                : views.reshape(builder, loc, source, shape);
  }
  // Elements repeated in place: one of each.
  if (auto reshape = dyn_cast_or_null<ReshapeOp>(op);
      reshape && stride > 1 && lastDim(reshape.getSource()) == stride) {
    Value source = reshape.getSource();
    SmallVector<Extent> from = views.sizes.shape(source);
    if (from.size() == shape.size() + 1 && first < stride &&
        std::equal(shape.begin(), shape.end(), from.begin()))
      return views.reshape(builder, loc, sliceChannels(builder, views, source, first, 1, 1), shape);
  }
  if (auto concat = dyn_cast_or_null<tensor::ConcatOp>(op);
      concat && static_cast<int64_t>(concat.getDim()) == rankOf(table) - 1) {
    int64_t begin = 0;
    for (Value input : concat.getInputs()) {
      int64_t size = lastDim(input);
      if (first >= begin && first + (count - 1) * stride < begin + size)
        return sliceChannels(builder, views, input, first - begin, count, stride);
      begin += size;
    }
  }
  if (op && OpTrait::hasElementwiseMappableTraits(op) && llvm::all_of(op->getOperands(), isFloatTensor)) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(sliceChannels(builder, views, operand, first, count, stride));
    Operation *clone = builder.clone(*op);
    clone->setOperands(operands);
    clone->getResult(0).setType(operands[0].getType());
    return clone->getResult(0);
  }
  SmallVector<OpFoldResult> offsets, sizes, strides;
  auto type = cast<RankedTensorType>(table.getType());
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    bool last = dim == type.getRank() - 1;
    offsets.push_back(builder.getIndexAttr(last ? first : 0));
    strides.push_back(builder.getIndexAttr(last ? stride : 1));
    if (last || !type.isDynamicDim(dim))
      sizes.push_back(builder.getIndexAttr(last ? count : type.getDimSize(dim)));
    else
      sizes.push_back(views.sizes.materialize(builder, loc, shape[dim]));
  }
  return tensor::ExtractSliceOp::create(builder, loc, table, offsets, sizes, strides);
}

/// A view without a dimension in which it repeats itself; fails if it does not.
bool dropDim(View &view, int64_t dim) {
  if (!llvm::all_of(view.dims[dim], [](const Atom &atom) { return atom.isBroadcast(); }))
    return false;
  view.dims.erase(view.dims.begin() + dim);
  return true;
}

//===----------------------------------------------------------------------===//
// Raising
//===----------------------------------------------------------------------===//

class RotaryRaiser {
public:
  explicit RotaryRaiser(func::FuncOp entry) : entry(entry), views(entry) {}

  void run() {
    SmallVector<Operation *> ops;
    entry.getBody().walk([&](Operation *op) {
      if (op->getNumResults() == 1 && isFloatTensor(op->getResult(0)))
        ops.push_back(op);
    });
    // From the end: a partial rotation (joined with the channels that pass) is seen before the rotation
    // inside it.
    for (Operation *op : llvm::reverse(ops))
      if (isa<arith::AddFOp, arith::SubFOp, tensor::ConcatOp, ReshapeOp>(op) &&
          !raised.contains(op->getResult(0)))
        raise(op->getResult(0));
  }

private:
  void raise(Value root) {
    int64_t channels = rankOf(root) ? lastDim(root) : 0;
    if (rankOf(root) < 2 || ShapedType::isDynamic(channels) || channels < 2 || channels > 1024 ||
        channels % 2)
      return;
    SmallVector<Value> values = cone(root);
    for (Value x : values) {
      if (x == root || x.getType() != root.getType())
        continue;
      ChannelMap map(views.sizes, x);
      const Channels *matrix = map.of(root);
      if (!matrix)
        continue;
      if (auto rotation = classify(*matrix); rotation && emit(root, x, *rotation, map)) {
        raised.insert(values.begin(), values.end());
        return;
      }
    }
  }

  std::optional<View> table(OpBuilder &builder, ChannelMap &map, ArrayRef<Term> wanted, double &factor) {
    auto found = map.find(wanted);
    if (!found)
      return std::nullopt;
    factor = found->factor;
    Value flat = found->value;
    if (found->trailing > 1) {
      SmallVector<Extent> shape = views.sizes.shape(flat);
      Extent channels(1);
      for (int64_t dim = 0; dim < found->trailing; ++dim)
        channels = channels * shape.pop_back_val();
      shape.push_back(channels);
      flat = views.reshape(builder, flat.getLoc(), flat, shape);
    }
    return views.of(sliceChannels(builder, views, flat, found->first, wanted.size(), found->stride));
  }

  Value emit(Value root, Value x, const Rotation &rotation, ChannelMap &map) {
    Location loc = root.getLoc();
    OpBuilder builder(root.getDefiningOp());
    double cosFactor, sinFactor;
    auto cos = table(builder, map, rotation.cos, cosFactor),
         sin = table(builder, map, rotation.sin, sinFactor);
    int64_t rank = rankOf(x);
    if (!cos || !sin || static_cast<int64_t>(cos->dims.size()) != rank ||
        static_cast<int64_t>(sin->dims.size()) != rank)
      return {};
    // The dimension of the heads is the one along which the tables do not change.
    std::optional<int64_t> heads;
    View rows = views.of(x);
    if (rank == 4) {
      for (int64_t dim : {1, 2}) {
        View cosRows = *cos, sinRows = *sin;
        bool isStatic = !cast<RankedTensorType>(x.getType()).isDynamicDim(dim);
        if (!heads && isStatic && dropDim(cosRows, dim) && dropDim(sinRows, dim))
          heads = dim;
      }
      if (!heads) {
        reportMissed(root.getDefiningOp(), "pith-raise-rotary", "rotary",
                     "the tables differ from head to head");
        return {};
      }
      dropDim(*cos, *heads);
      dropDim(*sin, *heads);
      rows =
          *heads == 1 ? Views::regroup(rows, {{0}, {2}, {1, 3}}) : Views::regroup(rows, {{0}, {1}, {2, 3}});
    } else if (rank > 4) {
      return {};
    }
    Value merged = views.materialize(builder, loc, rows);
    Value cosTable = scaled(builder, views.materialize(builder, loc, *cos), cosFactor);
    Value sinTable = scaled(builder, views.materialize(builder, loc, *sin), sinFactor);
    if (!merged || !cosTable || !sinTable)
      return {};
    sinTable = castTo(builder, loc, sinTable, cosTable.getType());
    Value rope =
        RopeOp::create(builder, loc, merged.getType(), merged, cosTable, sinTable,
                       builder.getI64IntegerAttr(lastDim(x)), builder.getI64IntegerAttr(rotation.rotaryDim),
                       rotation.interleaved ? builder.getUnitAttr() : UnitAttr());
    View back = views.of(rope);
    if (heads) {
      Views::split(back, 2, Extent(lastDim(x)));
      back = *heads == 1 ? Views::regroup(back, {{0}, {2}, {1}, {3}}) : back;
    }
    Value y = views.materialize(builder, loc, back);
    root.replaceAllUsesWith(castTo(builder, loc, y, root.getType()));
    return rope;
  }

  Value scaled(OpBuilder &builder, Value table, double factor) {
    if (!table || factor == 1.0)
      return table;
    auto scalar = RankedTensorType::get({}, cast<RankedTensorType>(table.getType()).getElementType());
    Value constant = arith::ConstantOp::create(
        builder, table.getLoc(),
        DenseElementsAttr::get(scalar, builder.getFloatAttr(scalar.getElementType(), factor)));
    constant = views.broadcast(builder, table.getLoc(), constant, views.sizes.shape(table));
    return arith::MulFOp::create(builder, table.getLoc(), table,
                                 castTo(builder, table.getLoc(), constant, table.getType()));
  }

  func::FuncOp entry;
  Views views;
  llvm::DenseSet<Value> raised;
};

/// Rotations that were left: a negated slice joined with another one.
void reportLeft(func::FuncOp entry) {
  entry.getBody().walk([](tensor::ConcatOp concat) {
    bool rotates = llvm::any_of(concat.getInputs(), [](Value input) {
      auto neg = input.getDefiningOp<arith::NegFOp>();
      return neg && neg.getOperand().getDefiningOp<tensor::ExtractSliceOp>();
    });
    if (rotates)
      reportMissed(concat, "pith-raise-rotary", "rotary",
                   "halves are exchanged and negated, but their tables are not known to be one cosine and "
                   "one sine per pair");
  });
}

struct RaiseRotaryPass : pith::impl::RaiseRotaryBase<RaiseRotaryPass> {
  void runOnOperation() override {
    for (func::FuncOp entry : entryFunctions(getOperation())) {
      {
        Views views(entry);
        SmallVector<Operation *> ops;
        entry.getBody().walk([&](Operation *op) { ops.push_back(op); });
        for (Operation *op : ops)
          if (auto matmul = dyn_cast<MatmulOp>(op))
            expandOuterProduct(views, matmul);
          else if (auto transpose = dyn_cast<TransposeOp>(op))
            hoistTranspose(views, transpose);
      }
      eraseDead(entry);
      RotaryRaiser(entry).run();
      Views(entry).normalize(entry);
      eraseDead(entry);
      reportLeft(entry);
    }
    if (failed(cleanUp(getOperation())))
      signalPassFailure();
  }
};

} // namespace
