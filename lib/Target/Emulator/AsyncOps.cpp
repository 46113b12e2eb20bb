//===- AsyncOps.cpp - asynchronous copies, mbarriers, fences --------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelLowering.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace pith::emulator;

/// An operation without results, which a predicate may switch off.
static LogicalResult replaceGuarded(KernelLowering &k, Operation *op, Value predicate, unsigned operation,
                                    uint64_t immediates, ArrayRef<Type> results, ArrayRef<Value> operands) {
  if (!op->use_empty())
    return op->emitOpError("with a predicate and a result is not known to the emulator");
  if (predicate) {
    auto guard = scf::IfOp::create(k.b, op->getLoc(), predicate, /*withElseRegion=*/false);
    k.b.setInsertionPointToStart(guard.thenBlock());
  }
  k.operate(op, operation, immediates, results, operands);
  op->erase();
  return success();
}

template <unsigned Operation_>
static LogicalResult plain(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, Operation_, 0, {});
}

static LogicalResult copyAsync(KernelLowering &k, Operation *op) {
  auto copy = cast<NVVM::CpAsyncOp>(op);
  Value bytes = k.i32Constant(copy.getSize()), used = copy.getCpSize() ? copy.getCpSize() : bytes;
  return k.replaceByOperate(op, PITH_EMU_COPY_ASYNC, 0, {copy.getDst(), copy.getSrc(), bytes, used});
}

static LogicalResult copyWait(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_COPY_WAIT, cast<NVVM::CpAsyncWaitGroupOp>(op).getN(), {});
}

static LogicalResult mbarrierInit(KernelLowering &k, Operation *op) {
  auto init = cast<NVVM::MBarrierInitOp>(op);
  return replaceGuarded(k, op, init.getPredicate(), PITH_EMU_MBARRIER_INIT, 0, {},
                        {init.getAddr(), init.getCount()});
}

static LogicalResult mbarrierInval(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_MBARRIER_INVALIDATE, 0, {cast<NVVM::MBarrierInvalOp>(op).getAddr()});
}

/// The state that an arrival gives, whether or not the operation has a result for it.
static LogicalResult arrive(KernelLowering &k, Operation *op, uint64_t kind, Value address, Value count) {
  Value state = k.operate(op, PITH_EMU_MBARRIER_ARRIVE, kind, {k.b.getI64Type()}, {address, count})[0];
  if (op->getNumResults())
    op->replaceAllUsesWith(ValueRange(state));
  op->erase();
  return success();
}

static LogicalResult mbarrierArrive(KernelLowering &k, Operation *op) {
  auto arrival = cast<NVVM::MBarrierArriveOp>(op);
  return arrive(k, op, 0, arrival.getAddr(), arrival.getCount() ? arrival.getCount() : k.i32Constant(1));
}

static LogicalResult mbarrierArriveExpect(KernelLowering &k, Operation *op) {
  auto arrival = cast<NVVM::MBarrierArriveExpectTxOp>(op);
  if (!arrival.getPredicate())
    return arrive(k, op, 1, arrival.getAddr(), arrival.getTxcount());
  return replaceGuarded(k, op, arrival.getPredicate(), PITH_EMU_MBARRIER_ARRIVE, 1, {k.b.getI64Type()},
                        {arrival.getAddr(), arrival.getTxcount()});
}

static LogicalResult mbarrierExpect(KernelLowering &k, Operation *op) {
  auto expect = cast<NVVM::MBarrierExpectTxOp>(op);
  return arrive(k, op, 2, expect.getAddr(), expect.getTxcount());
}

static LogicalResult mbarrierWaitParity(KernelLowering &k, Operation *op) {
  auto wait = cast<NVVM::MBarrierTryWaitParityOp>(op);
  return replaceGuarded(k, op, {}, PITH_EMU_MBARRIER_WAIT_PARITY, 0, {k.b.getI1Type()},
                        {wait.getAddr(), wait.getPhase()});
}

/// With a state of 64 bits or a parity of 32.
static LogicalResult mbarrierWait(KernelLowering &k, Operation *op) {
  unsigned kind = op->getOperand(1).getType().isInteger(64) ? PITH_EMU_MBARRIER_WAIT_STATE
                                                            : PITH_EMU_MBARRIER_WAIT_PARITY;
  return k.replaceByOperate(op, kind, 0, {op->getOperand(0), op->getOperand(1)});
}

static LogicalResult fenceProxy(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_FENCE_ASYNC, 0, {});
}

static LogicalResult bulkLoad(KernelLowering &k, Operation *op) {
  auto copy = cast<NVVM::CpAsyncBulkGlobalToSharedClusterOp>(op);
  if (copy.getMulticastMask())
    return op->emitOpError("to several blocks is not known to the emulator");
  return k.replaceByOperate(op, PITH_EMU_BULK_COPY, 0,
                            {copy.getDstMem(), copy.getSrcMem(), copy.getMbar(), copy.getSize()});
}

static LogicalResult bulkStore(KernelLowering &k, Operation *op) {
  auto copy = cast<NVVM::CpAsyncBulkSharedCTAToGlobalOp>(op);
  if (copy.getByteMask())
    return op->emitOpError("with a mask is not known to the emulator");
  return k.replaceByOperate(op, PITH_EMU_BULK_COPY, 1, {copy.getDstMem(), copy.getSrcMem(), copy.getSize()});
}

static LogicalResult tensorLoad(KernelLowering &k, Operation *op) {
  auto copy = cast<NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp>(op);
  if (copy.getMulticastMask() || copy.getMode() != NVVM::TMALoadMode::TILE ||
      !copy.getIm2colOffsets().empty())
    return op->emitOpError("of this mode is not known to the emulator");
  SmallVector<Value> operands{copy.getDstMem(), copy.getTmaDescriptor(), copy.getMbar()};
  llvm::append_range(operands, copy.getCoordinates());
  return replaceGuarded(k, op, copy.getPredicate(), PITH_EMU_TENSOR_COPY, copy.getCoordinates().size(), {},
                        operands);
}

static LogicalResult tensorStore(KernelLowering &k, Operation *op) {
  auto copy = cast<NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp>(op);
  if (copy.getMode() != NVVM::TMAStoreMode::TILE)
    return op->emitOpError("of this mode is not known to the emulator");
  SmallVector<Value> operands{copy.getSrcMem(), copy.getTmaDescriptor()};
  llvm::append_range(operands, copy.getCoordinates());
  return replaceGuarded(k, op, copy.getPredicate(), PITH_EMU_TENSOR_COPY,
                        uint64_t(copy.getCoordinates().size()) | 1 << 8, {}, operands);
}

static LogicalResult bulkWait(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_BULK_WAIT, cast<NVVM::CpAsyncBulkWaitGroupOp>(op).getGroup(), {});
}

void pith::emulator::addAsyncHandlers(Handlers &handlers) {
  handlers["nvvm.cp.async.shared.global"] = copyAsync;
  handlers["nvvm.cp.async.commit.group"] = plain<PITH_EMU_COPY_COMMIT>;
  handlers["nvvm.cp.async.wait.group"] = copyWait;
  handlers["nvvm.mbarrier.init"] = mbarrierInit;
  handlers["nvvm.mbarrier.inval"] = mbarrierInval;
  handlers["nvvm.mbarrier.arrive"] = mbarrierArrive;
  handlers["nvvm.mbarrier.arrive.expect_tx"] = mbarrierArriveExpect;
  handlers["nvvm.mbarrier.expect_tx"] = mbarrierExpect;
  handlers["nvvm.mbarrier.try_wait.parity"] = mbarrierWaitParity;
  handlers["nvvm.mbarrier.try_wait"] = handlers["nvvm.mbarrier.test.wait"] = mbarrierWait;
  handlers["nvvm.fence.proxy"] = fenceProxy;
  handlers["nvvm.cp.async.bulk.shared.cluster.global"] = bulkLoad;
  handlers["nvvm.cp.async.bulk.global.shared.cta"] = bulkStore;
  handlers["nvvm.cp.async.bulk.tensor.shared.cluster.global"] = tensorLoad;
  handlers["nvvm.cp.async.bulk.tensor.global.shared.cta"] = tensorStore;
  handlers["nvvm.cp.async.bulk.commit.group"] = plain<PITH_EMU_BULK_COMMIT>;
  handlers["nvvm.cp.async.bulk.wait_group"] = bulkWait;
}
