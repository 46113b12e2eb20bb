//===- FuseProjections.cpp - one linear for projections of one input -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A projection's place in the fused one is its role (query, key, value; gate, up), never its order in the
// file, so that the same weights end up stacked alike in every entry and in every exporter's spelling.
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace pith {
#define GEN_PASS_DEF_FUSEPROJECTIONS
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

/// Which attention or gated unit a projection serves, and as which of its inputs.
struct Role {
  Operation *consumer;
  unsigned input;
};

std::optional<Role> roleAt(OpOperand &use) {
  Operation *user = use.getOwner();
  unsigned operand = use.getOperandNumber();
  if (isa<AttentionOp>(user))
    return operand < 3 ? std::optional<Role>({user, operand}) : std::nullopt;
  // In a step, the append stands for the attention: it takes k and v.
  if (isa<KVAppendOp>(user))
    return Role{user, operand};
  if (auto attention = dyn_cast<CacheAttentionOp>(user))
    if (Operation *append = attention.getCache().getDefiningOp<KVAppendOp>(); append && operand == 0)
      return Role{append, 0};
  return std::nullopt;
}

/// The attention that a projection leads to by norms, rotation, views, caches and elementwise work.
std::optional<Role> attentionRole(LinearOp linear) {
  constexpr size_t kMaxSteps = 64;
  std::optional<Role> found;
  llvm::SetVector<Value> reached;
  reached.insert(linear.getResult());
  for (size_t i = 0; i < reached.size() && i < kMaxSteps; ++i)
    for (OpOperand &use : reached[i].getUses()) {
      if (std::optional<Role> role = roleAt(use)) {
        if (found && found->consumer != role->consumer)
          return std::nullopt;
        if (!found || role->input < found->input)
          found = role;
        continue;
      }
      Operation *user = use.getOwner();
      bool passes = isa<tensor::ExtractSliceOp, tensor::ConcatOp, tensor::CastOp, ReshapeOp, TransposeOp,
                        BroadcastOp, RopeOp, RMSNormOp, LayerNormOp, CacheUpdateOp>(user) ||
                    OpTrait::hasElementwiseMappableTraits(user);
      if (passes)
        reached.insert(user->getResult(0));
    }
  return found;
}

/// Biases on all or on none, weights of one orientation and format.
bool canStack(LinearOp a, LinearOp b) {
  auto format = [](LinearOp linear) -> std::pair<Type, Attribute> {
    auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(
        linear, cast<FlatSymbolRefAttr>(linear.getWeights()[0]));
    return weight ? std::pair<Type, Attribute>(weight.getTensorType().getElementType(),
                                               weight.getTensorType().getEncoding())
                  : std::pair<Type, Attribute>();
  };
  return a.getX() == b.getX() && a.getKMajor() == b.getKMajor() && a->getBlock() == b->getBlock() &&
         a.getBiases().has_value() == b.getBiases().has_value() && format(a) == format(b) &&
         getElementTypeOrSelf(a.getType()) == getElementTypeOrSelf(b.getType());
}

/// The value furthest up with the same tokens: sizes taken from it are not shape code among the layers.
Value tokensOf(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    bool keepsTokens =
        isa<LinearOp, RMSNormOp, LayerNormOp, RopeOp, ActivationOp, GLUOp, EmbeddingOp, CacheAttentionOp,
            AttentionOp>(op) ||
        (OpTrait::hasElementwiseMappableTraits(op) && isa<RankedTensorType>(op->getOperand(0).getType()));
    if (keepsTokens)
      value = op->getOperand(0);
    else if (auto gather = dyn_cast<GatherOp>(op);
             gather && gather.getAxis() == 0 && gather.getIndices().getType().getRank() == 1)
      value = gather.getIndices();
    else
      break;
  }
  return value;
}

void fuse(ArrayRef<LinearOp> linears) {
  LinearOp first = linears.front();
  for (LinearOp linear : linears)
    if (linear->isBeforeInBlock(first))
      first = linear;
  OpBuilder builder(first);
  SmallVector<Attribute> weights, biases;
  int64_t channels = 0;
  SmallVector<Location> locations;
  for (LinearOp linear : linears) {
    llvm::append_range(weights, linear.getWeights());
    if (linear.getBiases())
      llvm::append_range(biases, *linear.getBiases());
    channels += cast<RankedTensorType>(linear.getType()).getShape().back();
    locations.push_back(linear.getLoc());
  }
  Location loc = builder.getFusedLoc(locations);
  auto shapeWith = [&](int64_t size) {
    SmallVector<int64_t> shape(cast<RankedTensorType>(first.getType()).getShape());
    shape.back() = size;
    return RankedTensorType::get(shape, getElementTypeOrSelf(first.getType()));
  };
  Value fused =
      LinearOp::create(builder, loc, shapeWith(channels), first.getX(), builder.getArrayAttr(weights),
                       biases.empty() ? ArrayAttr() : builder.getArrayAttr(biases), first.getKMajorAttr());
  // Sizes of the tokens, the same for all slices.
  SmallVector<OpFoldResult> sizes;
  RankedTensorType type = shapeWith(channels);
  Value source = tokensOf(first.getX());
  for (int64_t d = 0; d + 1 < type.getRank(); ++d) {
    if (!type.isDynamicDim(d)) {
      sizes.push_back(builder.getIndexAttr(type.getDimSize(d)));
      continue;
    }
    // A view that ends the way up says its sizes itself; asked for them, it would tie layers to one another.
    auto view = source.getDefiningOp<ReshapeOp>();
    if (view && cast<RankedTensorType>(view.getType()).isDynamicDim(d)) {
      auto shape = cast<RankedTensorType>(view.getType()).getShape();
      sizes.push_back(view.getDims()[llvm::count(shape.take_front(d), ShapedType::kDynamic)]);
      continue;
    }
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointAfterValue(source);
    Value axis = arith::ConstantIndexOp::create(builder, loc, d);
    sizes.push_back(tensor::DimOp::create(builder, loc, source, axis).getResult());
  }
  SmallVector<OpFoldResult> offsets(type.getRank(), builder.getIndexAttr(0)),
      strides(type.getRank(), builder.getIndexAttr(1));
  int64_t offset = 0;
  sizes.push_back({});
  for (LinearOp linear : linears) {
    int64_t size = cast<RankedTensorType>(linear.getType()).getShape().back();
    offsets.back() = builder.getIndexAttr(offset);
    sizes.back() = builder.getIndexAttr(size);
    offset += size;
    Value slice = tensor::ExtractSliceOp::create(
        builder, linear.getLoc(), cast<RankedTensorType>(linear.getType()), fused, offsets, sizes, strides);
    linear.getResult().replaceAllUsesWith(slice);
  }
  for (LinearOp linear : linears)
    linear.erase();
}

struct FuseProjections : pith::impl::FuseProjectionsBase<FuseProjections> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<func::FuncOp>())
      fuseIn(func);
  }

  void fuseIn(func::FuncOp func) {
    // The projections of each consumer, with their roles.
    llvm::MapVector<Operation *, SmallVector<std::pair<unsigned, LinearOp>>> groups;
    func.walk([&](LinearOp linear) {
      if (std::optional<Role> role = attentionRole(linear))
        groups[role->consumer].push_back({role->input, linear});
    });
    func.walk([&](GLUOp glu) {
      auto gate = glu.getGate().getDefiningOp<LinearOp>(), up = glu.getUp().getDefiningOp<LinearOp>();
      if (gate && up && gate != up)
        groups[glu] = {{0, gate}, {1, up}};
    });
    llvm::SmallPtrSet<Operation *, 16> done;
    for (auto &[consumer, members] : groups) {
      llvm::stable_sort(members, [](const auto &a, const auto &b) { return a.first < b.first; });
      SmallVector<LinearOp> linears;
      for (auto &[input, linear] : members)
        if (!done.count(linear) && (linears.empty() || canStack(linears.front(), linear)))
          linears.push_back(linear);
      if (linears.size() < 2)
        continue;
      done.insert(linears.begin(), linears.end());
      fuse(linears);
    }
  }
};

} // namespace
