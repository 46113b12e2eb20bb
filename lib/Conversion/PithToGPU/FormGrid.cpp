//===- FormGrid.cpp - make entries start kernels on a device --------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One thread of the host runs the entry. Arithmetic on sizes is its own; kernels and parallel loops are
// started on the device, in order; anything else that writes memory is a loop of one iteration. A value that
// the host needs from memory is asked for, which waits for the device.
//
//===----------------------------------------------------------------------===//
#include "../Common/EntryRun.h"
#include "../Common/LowerReshapes.h"
#include "../Common/TeamCalls.h"
#include "GridLoops.h"
#include "Launcher.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "pith/Conversion/PackedWeights.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"
#include "pith/executable.h"

namespace pith {
#define GEN_PASS_DEF_FORMGRID
#include "pith/Conversion/PithToGPU/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
class GridFormer {
public:
  GridFormer(func::FuncOp run, bool mayRead, SymbolTable &symbols, GridOutliner &outliner)
      : run(run), mayRead(mayRead), symbols(symbols), outliner(outliner), context(run.getArgument(0)),
        thread(run.getArgument(1)) {}
  LogicalResult form() { return formBlock(run.front()); }

private:
  LogicalResult formBlock(Block &block);
  LogicalResult outlineOne(Operation *op);
  LogicalResult read(memref::LoadOp op);

  func::FuncOp run;
  bool mayRead;
  SymbolTable &symbols;
  GridOutliner &outliner;
  Value context, thread;
  Value place; // 8 bytes of the host's stack
};
} // namespace

/// As a loop of one iteration.
LogicalResult GridFormer::outlineOne(Operation *op) {
  if (!op->use_empty())
    return op->emitError("writes memory and gives a value, which is not supported here");
  OpBuilder b(op);
  Value zero = arith::ConstantIndexOp::create(b, op->getLoc(), 0),
        one = arith::ConstantIndexOp::create(b, op->getLoc(), 1);
  auto loop = scf::ParallelOp::create(b, op->getLoc(), zero, one, one);
  op->moveBefore(loop.getBody()->getTerminator());
  return outliner.outline(loop, context, thread);
}

LogicalResult GridFormer::read(memref::LoadOp op) {
  if (!mayRead)
    return op.emitError(
        "decides on the host by a value that the device computes: there is no step for devices then");
  OpBuilder b(op);
  Location loc = op.getLoc();
  Type pointer = context.getType(), type = op.getType();
  auto asI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
  };
  if (!place) {
    OpBuilder start = OpBuilder::atBlockBegin(&run.front());
    Value count = LLVM::ConstantOp::create(start, loc, start.getI64Type(), 1);
    place = LLVM::AllocaOp::create(start, loc, pointer, start.getI64Type(), count, 8);
  }
  auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, op.getMemRef());
  Value offset = arith::ConstantIndexOp::create(b, loc, 0);
  for (auto [position, stride] : llvm::zip_equal(op.getIndices(), metadata.getStrides()))
    offset = arith::AddIOp::create(b, loc, offset, arith::MulIOp::create(b, loc, position, stride));
  Value bytes = arith::ConstantIndexOp::create(b, loc, elementBytes(type));
  Value address = arith::AddIOp::create(b, loc, startOf(b, loc, op.getMemRef()),
                                        asI64(arith::MulIOp::create(b, loc, offset, bytes)));
  Value operands[] = {loadField(b, loc, context, offsetof(pith_exec_context, read), pointer), context,
                      LLVM::IntToPtrOp::create(b, loc, pointer, address), place, asI64(bytes)};
  auto call = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                          {pointer, pointer, pointer, b.getI64Type()});
  LLVM::CallOp::create(b, loc, call, operands);
  Value value;
  if (type.isIndex())
    value = arith::IndexCastOp::create(b, loc, type, LLVM::LoadOp::create(b, loc, b.getI64Type(), place));
  else if (type.getIntOrFloatBitWidth() < 8)
    value = arith::TruncIOp::create(b, loc, type, LLVM::LoadOp::create(b, loc, b.getI8Type(), place));
  else
    value = LLVM::LoadOp::create(b, loc, type, place);
  op.replaceAllUsesWith(value);
  op.erase();
  return success();
}

LogicalResult GridFormer::formBlock(Block &block) {
  SmallVector<Operation *> ops;
  for (Operation &op : block.without_terminator())
    ops.push_back(&op);
  for (Operation *op : ops) {
    if (isTeamCall(op)) {
      lowerTeamCall(op, context, thread);
      continue;
    }
    if (auto launch = dyn_cast<LaunchOp>(op)) {
      if (failed(callKernel(launch, symbols, context, thread)))
        return failure();
      continue;
    }
    if (auto loop = dyn_cast<scf::ParallelOp>(op)) {
      if (failed(outliner.outline(loop, context, thread)))
        return failure();
      continue;
    }
    if (isTeamRegion(op)) {
      for (Region &region : op->getRegions())
        if (!region.empty() && failed(formBlock(region.front())))
          return failure();
      continue;
    }
    bool writes = false;
    SmallVector<memref::LoadOp> loads;
    op->walk([&](Operation *inner) {
      writes |= isa<memref::StoreOp>(inner);
      if (auto load = dyn_cast<memref::LoadOp>(inner))
        loads.push_back(load);
    });
    if (writes) {
      if (failed(outlineOne(op)))
        return failure();
      continue;
    }
    for (memref::LoadOp load : loads)
      if (failed(read(load)))
        return failure();
  }
  return success();
}

namespace {
struct FormGrid : pith::impl::FormGridBase<FormGrid> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    GridOutliner outliner(module, symbols);
    (void)kernelsOf(module); // a model without kernels is one for a device, too
    for (auto entry : llvm::to_vector(module.getOps<func::FuncOp>())) {
      auto kind = entry->getAttrOfType<StringAttr>(kEntryAttr);
      if (!kind || entry.isExternal())
        continue;
      func::FuncOp run = separateRun(entry, symbols);
      if (!run || failed(GridFormer(run, kind.getValue() == "invoke", symbols, outliner).form()))
        return signalPassFailure();
      lowerReshapes(run);
    }
  }
};
} // namespace
