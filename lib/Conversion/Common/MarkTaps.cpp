//===- MarkTaps.cpp - where a step's hidden states can be seen ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block's stream goes in, is added to behind the attention and again behind the MLP, and goes out:
//
//   pith.tap 0(%x)                      block_in 0
//   %h = arith.addf %x, %attention
//   pith.tap 1(%h)                      after_attention 0
//   %y = arith.addf %h, %mlp
//   pith.tap 2(%y)                      after_mlp 0, which is block_in 1
//
// Behind the attention there is a place only if everything from the block's start to its end passes one value
// there: not where attention and MLP run side by side.
//
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "pith/Conversion/Passes.h"
#include "llvm/ADT/SetVector.h"

namespace pith {
#define GEN_PASS_DEF_MARKTAPS
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
class StepTaps {
public:
  explicit StepTaps(func::FuncOp step) : step(step), b(step.getContext()) {}
  void mark();

private:
  int64_t tap(Value x);
  int64_t tapNorm(Value stream);
  static Value behindAttention(BlockOp block);

  func::FuncOp step;
  OpBuilder b;
  int64_t slots = 0;
};
} // namespace

/// What `value` is computed from inside the block, without looking behind `stop`.
static llvm::SetVector<Value> sources(Value value, Value stop, Block *body) {
  llvm::SetVector<Value> found;
  found.insert(value);
  for (size_t i = 0; i < found.size(); ++i)
    if (Operation *op = found[i].getDefiningOp(); op && found[i] != stop && op->getBlock() == body)
      for (Value operand : op->getOperands())
        found.insert(operand);
  return found;
}

/// The value behind the last attention that all of the stream passes, and from which it forks again.
Value StepTaps::behindAttention(BlockOp block) {
  Block *body = &block.getBody().front();
  Value start = body->getArgument(0), end = body->getTerminator()->getOperand(0);
  Operation *attention = nullptr;
  for (Operation &op : *body)
    if (isa<CacheAttentionOp>(op))
      attention = &op;
  if (!attention)
    return {};
  for (Operation *op = attention->getNextNode(); op; op = op->getNextNode()) {
    if (op->getNumResults() != 1 || op->getResult(0) == end || op->getResult(0).getType() != start.getType())
      continue;
    Value value = op->getResult(0);
    bool forks = std::distance(value.user_begin(), value.user_end()) > 1;
    if (forks && sources(value, Value(), body).contains(attention->getResult(0)) &&
        !sources(end, value, body).contains(start))
      return value;
  }
  return {};
}

int64_t StepTaps::tap(Value x) {
  b.setInsertionPointAfterValue(x);
  TapOp::create(b, x.getLoc(), slots, x, Value(), Value(), StringAttr(), FloatAttr());
  return slots++;
}

/// Behind the norm that the stream or its wanted rows go through: rows are taken from the stream and
/// normalized, because the norm itself sees the rows with logits only. -1: there is none.
int64_t StepTaps::tapNorm(Value stream) {
  for (Value value = stream; value;) {
    Operation *user = nullptr;
    for (Operation *other : value.getUsers())
      if (!isa<tensor::DimOp, TapOp>(other))
        user = user ? step.getOperation() : other;
    Value scale, bias;
    FloatAttr epsilon;
    if (auto gather = dyn_cast_or_null<GatherOp>(user); gather && gather.getAxis() == 0) {
      value = gather.getResult();
      continue;
    }
    if (auto rms = dyn_cast_or_null<RMSNormOp>(user)) {
      scale = rms.getScale();
      epsilon = rms.getEpsilonAttr();
    } else if (auto layer = dyn_cast_or_null<LayerNormOp>(user)) {
      scale = layer.getScale();
      bias = layer.getBias();
      epsilon = layer.getEpsilonAttr();
    }
    auto isVector = [](Value v) { return v.getDefiningOp() && getElementTypeOrSelf(v.getType()).isF32(); };
    if (!scale || !isVector(scale) || (bias && !isVector(bias)))
      return -1;
    b.setInsertionPoint(user);
    TapOp::create(b, user->getLoc(), slots, stream, scale, bias,
                  b.getStringAttr(isa<RMSNormOp>(user) ? "rms" : "layer"), epsilon);
    return slots++;
  }
  return -1;
}

void StepTaps::mark() {
  SmallVector<BlockOp> blocks(step.getOps<BlockOp>());
  if (blocks.empty())
    return;
  auto type = cast<RankedTensorType>(blocks.front().getStream().getType());
  bool known = type.getRank() == 2 && type.getElementType().isF32() && !type.isDynamicDim(1);
  for (BlockOp block : blocks)
    known &= block.getStream().getType() == type && block.getResult().getType() == type;
  if (!known)
    return;
  SmallVector<int64_t> blockIn, afterAttention, afterMlp;
  for (auto [i, block] : llvm::enumerate(blocks)) {
    bool continues = i > 0 && block.getStream() == blocks[i - 1].getResult();
    blockIn.push_back(continues ? afterMlp.back() : tap(block.getStream()));
    Value middle = behindAttention(block);
    afterAttention.push_back(middle ? tap(middle) : -1);
    afterMlp.push_back(tap(block.getResult()));
  }
  int64_t finalNorm = tapNorm(blocks.back().getResult());
  auto list = [&](ArrayRef<int64_t> values) { return b.getI64ArrayAttr(values); };
  step->setAttr(kTapsAttr,
                b.getDictionaryAttr({b.getNamedAttr("after_attention", list(afterAttention)),
                                     b.getNamedAttr("after_final_norm", b.getI64IntegerAttr(finalNorm)),
                                     b.getNamedAttr("after_mlp", list(afterMlp)),
                                     b.getNamedAttr("block_in", list(blockIn)),
                                     b.getNamedAttr("hidden", b.getI64IntegerAttr(type.getDimSize(1))),
                                     b.getNamedAttr("places", b.getI64IntegerAttr(slots))}));
}

namespace {
struct MarkTaps : pith::impl::MarkTapsBase<MarkTaps> {
  void runOnOperation() override {
    for (auto entry : getOperation().getOps<func::FuncOp>())
      if (auto kind = entry->getAttrOfType<StringAttr>(kEntryAttr); kind && kind.getValue() == "step")
        StepTaps(entry).mark();
  }
};
} // namespace
