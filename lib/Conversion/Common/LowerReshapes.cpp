//===- LowerReshapes.cpp - reshaped buffers as sizes and strides ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Upstream expands strided metadata only where each group of an expansion has one dynamic dimension at most.
// Ours have several (batch and sequence), whose sizes the operation names; so expansions and collapses become
// reinterpret casts.
//
//===----------------------------------------------------------------------===//
#include "LowerReshapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;

namespace {
class ReshapeLowering {
public:
  ReshapeLowering(Operation *op, Value source) : b(op), loc(op->getLoc()), source(source) {
    auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, source);
    auto type = cast<MemRefType>(source.getType());
    base = metadata.getBaseBuffer();
    auto [fixedStrides, fixedOffset] = type.getStridesAndOffset();
    offset = known(fixedOffset, metadata.getOffset());
    for (int64_t i = 0; i < type.getRank(); ++i) {
      sizes.push_back(known(type.getDimSize(i), metadata.getSizes()[i]));
      strides.push_back(known(fixedStrides[i], metadata.getStrides()[i]));
    }
  }

  Value expand(memref::ExpandShapeOp op) {
    SmallVector<OpFoldResult> newSizes = op.getMixedOutputShape(), newStrides(newSizes.size());
    for (auto [i, group] : llvm::enumerate(op.getReassociationIndices())) {
      OpFoldResult stride = strides[i];
      for (int64_t d : llvm::reverse(group)) {
        newStrides[d] = stride;
        stride = multiply(stride, newSizes[d]);
      }
    }
    return describe(op.getResultType(), newSizes, newStrides);
  }

  Value collapse(memref::CollapseShapeOp op) {
    SmallVector<OpFoldResult> newSizes, newStrides;
    for (const ReassociationIndices &group : op.getReassociationIndices()) {
      OpFoldResult size = b.getIndexAttr(1);
      for (int64_t d : group)
        size = multiply(size, sizes[d]);
      // Dimensions of size 1 have no meaningful stride.
      OpFoldResult stride = strides[group.back()];
      for (int64_t d : llvm::reverse(group))
        if (!isConstantIntValue(sizes[d], 1)) {
          stride = strides[d];
          break;
        }
      newSizes.push_back(size);
      newStrides.push_back(stride);
    }
    return describe(op.getResultType(), newSizes, newStrides);
  }

private:
  OpFoldResult known(int64_t fixed, Value value) {
    return ShapedType::isDynamic(fixed) ? OpFoldResult(value) : OpFoldResult(b.getIndexAttr(fixed));
  }

  OpFoldResult multiply(OpFoldResult x, OpFoldResult y) {
    std::optional<int64_t> cx = getConstantIntValue(x), cy = getConstantIntValue(y);
    if (cx && cy)
      return b.getIndexAttr(*cx * *cy);
    if (cx == 1)
      return y;
    if (cy == 1)
      return x;
    return arith::MulIOp::create(b, loc, getValueOrCreateConstantIndexOp(b, loc, x),
                                 getValueOrCreateConstantIndexOp(b, loc, y))
        .getResult();
  }

  /// What the type knows is given as constants, the rest as values.
  Value describe(MemRefType type, SmallVector<OpFoldResult> newSizes, SmallVector<OpFoldResult> newStrides) {
    auto [fixedStrides, fixedOffset] = type.getStridesAndOffset();
    auto fit = [&](OpFoldResult &value, int64_t fixed) {
      value = ShapedType::isDynamic(fixed) ? OpFoldResult(getValueOrCreateConstantIndexOp(b, loc, value))
                                           : OpFoldResult(b.getIndexAttr(fixed));
    };
    fit(offset, fixedOffset);
    for (int64_t i = 0; i < type.getRank(); ++i) {
      fit(newSizes[i], type.getDimSize(i));
      fit(newStrides[i], fixedStrides[i]);
    }
    return memref::ReinterpretCastOp::create(b, loc, type, base, offset, newSizes, newStrides);
  }

  OpBuilder b;
  Location loc;
  Value source, base;
  OpFoldResult offset;
  SmallVector<OpFoldResult> sizes, strides;
};
} // namespace

void pith::lowerReshapes(Operation *root) {
  root->walk([](Operation *op) {
    Value result;
    if (auto expand = dyn_cast<memref::ExpandShapeOp>(op))
      result = ReshapeLowering(op, expand.getSrc()).expand(expand);
    else if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op))
      result = ReshapeLowering(op, collapse.getSrc()).collapse(collapse);
    else
      return;
    op->getResult(0).replaceAllUsesWith(result);
    op->erase();
  });
}
