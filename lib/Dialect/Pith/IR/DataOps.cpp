//===- DataOps.cpp - operations for sizes that depend on data ---*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/IR/PithDataOps.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace pith;

#define GET_OP_CLASSES
#include "pith/Dialect/Pith/IR/PithDataOps.cpp.inc"

LogicalResult ArgSortOp::verify() {
  auto keys = llvm::cast<ShapedType>(getKeys().getType());
  if (keys.getRank() != 3)
    return emitOpError("keys must have rank 3, found ") << keys;
  for (Value value : {getOrder(), getScratch()}) {
    auto type = llvm::cast<ShapedType>(value.getType());
    if (type.getRank() != 2 || !type.getElementType().isInteger(64) ||
        failed(verifyCompatibleShape(type.getShape(), keys.getShape().take_front(2))))
      return emitOpError("positions of ") << keys << " must be [R, N] of i64, found " << type;
  }
  return success();
}

void ArgSortOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  if (isa<BaseMemRefType>(getKeys().getType()))
    effects.emplace_back(MemoryEffects::Read::get(), &getKeysMutable());
  for (OpOperand *out : {&getOrderMutable(), &getScratchMutable()})
    if (isa<BaseMemRefType>(out->get().getType())) {
      effects.emplace_back(MemoryEffects::Read::get(), out);
      effects.emplace_back(MemoryEffects::Write::get(), out);
    }
}
