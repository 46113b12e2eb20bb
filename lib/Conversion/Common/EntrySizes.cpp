//===- EntrySizes.cpp - what an entry knows before it runs ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EntrySizes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "pith/Dialect/Pith/IR/Loops.h"

using namespace mlir;
using namespace pith;

SizeHoister::SizeHoister(func::FuncOp entry)
    : block(&entry.front()), inputs(entry->getAttrOfType<IntegerAttr>("pith.inputs").getInt()) {
  OpBuilder b = OpBuilder::atBlockBegin(block);
  marker = arith::ConstantIndexOp::create(b, entry.getLoc(), 0);
}

SizeHoister::~SizeHoister() { marker->erase(); }

/// The size of a dimension that a loop's buffer has before, in and after each round.
static Value fixedSize(memref::DimOp dim) {
  Value buffer = dim.getSource();
  std::optional<int64_t> i = dim.getConstantIndex();
  while (i) {
    scf::ForOp loop;
    if (auto argument = dyn_cast<BlockArgument>(buffer)) {
      loop = dyn_cast<scf::ForOp>(argument.getOwner()->getParentOp());
      if (loop && loop->hasAttr(kFixedSizesAttr))
        buffer = loop.getTiedLoopInit(argument)->get();
    } else if ((loop = buffer.getDefiningOp<scf::ForOp>()) && loop->hasAttr(kFixedSizesAttr)) {
      buffer = loop.getInits()[cast<OpResult>(buffer).getResultNumber()];
    }
    if (!loop || !loop->hasAttr(kFixedSizesAttr))
      break;
  }
  auto alloc = buffer.getDefiningOp<memref::AllocOp>();
  return alloc && i && alloc.getType().isDynamicDim(*i)
             ? alloc.getDynamicSizes()[alloc.getType().getDynamicDimIndex(*i)]
             : Value();
}

LogicalResult SizeHoister::hoist(Value size) {
  Operation *op = size.getDefiningOp();
  if (auto dim = dyn_cast_or_null<memref::DimOp>(op))
    if (Value fixed = fixedSize(dim)) {
      dim.replaceAllUsesWith(fixed); // whoever has asked may still hold the operation
      return hoist(fixed);
    }
  if (!op) // an argument of a loop is not known
    return success(cast<BlockArgument>(size).getOwner() == block);
  if (done.contains(op))
    return success();
  // A buffer's dimension is known if the buffer is an input; others have been folded to what they were made
  // with. So are an input's elements, which nothing writes.
  auto isInput = [&](Value buffer) {
    auto argument = dyn_cast<BlockArgument>(buffer);
    return argument && argument.getOwner() == block && argument.getArgNumber() < inputs;
  };
  bool known = op->getBlock() == block ? isMemoryEffectFree(op) : isPure(op);
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    known = known && isInput(dim.getSource());
  } else if (auto load = dyn_cast<memref::LoadOp>(op)) {
    known = load->getBlock() == block && isInput(load.getMemRef());
  } else
    known =
        known && llvm::none_of(op->getOperandTypes(), [](Type type) { return isa<BaseMemRefType>(type); });
  if (!known)
    return failure();
  SetVector<Value> inputs(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), inputs);
  for (Value input : inputs)
    if (failed(hoist(input)))
      return failure();
  op->moveBefore(marker);
  done.insert(op);
  return success();
}
