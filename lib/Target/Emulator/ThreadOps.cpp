//===- ThreadOps.cpp - who a thread is, barriers, exchanges ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelLowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/APInt.h"

using namespace mlir;
using namespace pith::emulator;

//===----------------------------------------------------------------------===//
// Identity
//===----------------------------------------------------------------------===//

enum : unsigned {
  ThreadId = offsetof(pith_emu_thread, thread),
  BlockId = offsetof(pith_emu_thread, block),
  BlockSize = offsetof(pith_emu_thread, block_size),
  GridSize = offsetof(pith_emu_thread, grid_size),
  LaneId = offsetof(pith_emu_thread, lane),
  WarpId = offsetof(pith_emu_thread, warp),
  WarpSize = offsetof(pith_emu_thread, warp_size),
  SharedBytes = offsetof(pith_emu_thread, shared_bytes)
};

/// A number of the thread, as whatever integer the operation gives.
static void replaceByNumber(KernelLowering &k, Operation *op, Value number) {
  Type type = op->getResultTypes().front();
  if (type.isIndex())
    number = arith::IndexCastUIOp::create(k.b, op->getLoc(), type, number);
  else if (type.isInteger(64))
    number = LLVM::ZExtOp::create(k.b, op->getLoc(), type, number);
  k.replace(op, number);
}

template <unsigned Offset>
static LogicalResult number(KernelLowering &k, Operation *op) {
  replaceByNumber(k, op, k.field(Offset, k.b.getI32Type()));
  return success();
}

/// gpu.thread_id and the like: the dimension is an attribute.
template <typename Op, unsigned Offset>
static LogicalResult dimension(KernelLowering &k, Operation *op) {
  unsigned which = static_cast<unsigned>(cast<Op>(op).getDimension());
  replaceByNumber(k, op, k.field(Offset + 4 * which, k.b.getI32Type()));
  return success();
}

static LogicalResult globalId(KernelLowering &k, Operation *op) {
  unsigned which = 4 * static_cast<unsigned>(cast<gpu::GlobalIdOp>(op).getDimension());
  Type i32 = k.b.getI32Type();
  Value blocks =
      LLVM::MulOp::create(k.b, op->getLoc(), k.field(BlockId + which, i32), k.field(BlockSize + which, i32));
  replaceByNumber(k, op, LLVM::AddOp::create(k.b, op->getLoc(), blocks, k.field(ThreadId + which, i32)));
  return success();
}

/// mbcnt: the mask's bits below this lane, in one half of the wave, plus a number.
template <bool High>
static LogicalResult mbcnt(KernelLowering &k, Operation *op) {
  Location loc = op->getLoc();
  Type i32 = k.b.getI32Type(), i64 = k.b.getI64Type();
  Value lane = LLVM::ZExtOp::create(k.b, loc, i64, k.field(LaneId, i32));
  Value one = k.constant(i64, 1), shift = k.constant(i64, High ? 32 : 0);
  Value below = LLVM::SubOp::create(k.b, loc, LLVM::ShlOp::create(k.b, loc, one, lane), one);
  Value half = LLVM::TruncOp::create(k.b, loc, i32, LLVM::LShrOp::create(k.b, loc, below, shift));
  Value counted = LLVM::CtPopOp::create(k.b, loc, LLVM::AndOp::create(k.b, loc, half, op->getOperand(0)));
  k.replace(op, LLVM::AddOp::create(k.b, loc, counted, op->getOperand(1))->getResults());
  return success();
}

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

static LogicalResult barrier(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_BARRIER, 0, {});
}

static LogicalResult namedBarrier(KernelLowering &k, Operation *op) {
  if (auto wait = dyn_cast<NVVM::BarrierOp>(op)) {
    if (wait.getReductionOp())
      return op->emitOpError("with a reduction is not known to the emulator");
    if (!wait.getBarrierId() && !wait.getNumberOfThreads())
      return barrier(k, op);
    Value id = wait.getBarrierId(), count = wait.getNumberOfThreads();
    return k.replaceByOperate(op, PITH_EMU_NAMED_BARRIER, 0,
                              {id ? id : k.i32Constant(0), count ? count : k.i32Constant(0)});
  }
  auto arrive = cast<NVVM::BarrierArriveOp>(op);
  Value id = arrive.getBarrierId();
  return k.replaceByOperate(op, PITH_EMU_NAMED_BARRIER, 1,
                            {id ? id : k.i32Constant(0), arrive.getNumberOfThreads()});
}

//===----------------------------------------------------------------------===//
// Exchanges
//===----------------------------------------------------------------------===//

/// A value of up to 64 bits as i64.
static Value toBits(KernelLowering &k, Value value) {
  unsigned bits = k.bytesOf(value.getType()) * 8;
  Value integer = k.bitcast(value, k.b.getIntegerType(bits));
  return bits == 64 ? integer : Value(LLVM::ZExtOp::create(k.b, value.getLoc(), k.b.getI64Type(), integer));
}

static Value fromBits(KernelLowering &k, Value bits, Type type) {
  unsigned width = k.bytesOf(type) * 8;
  if (width < 64)
    bits = LLVM::TruncOp::create(k.b, bits.getLoc(), k.b.getIntegerType(width), bits);
  return k.bitcast(bits, type);
}

static SmallVector<Value> shuffle(KernelLowering &k, Operation *op, unsigned mode, Value value, Value b,
                                  Value c, Value mask) {
  SmallVector<Value> results = k.operate(op, PITH_EMU_SHUFFLE, mode, {k.b.getI64Type(), k.b.getI1Type()},
                                         {toBits(k, value), b, c, mask});
  results[0] = fromBits(k, results[0], value.getType());
  return results;
}

static LogicalResult gpuShuffle(KernelLowering &k, Operation *op) {
  auto exchange = cast<gpu::ShuffleOp>(op);
  IntegerAttr width;
  if (!matchPattern(exchange.getWidth(), m_Constant(&width)))
    return op->emitOpError("the emulator needs a constant width");
  int64_t lanes = width.getInt();
  if (lanes < 1 || (lanes & (lanes - 1)) || lanes > k.warpSize)
    return op->emitOpError("has width ") << lanes << ", expected a power of two up to " << k.warpSize;
  if (k.bytesOf(exchange.getValue().getType()) > 8)
    return op->emitOpError("exchanges more than 64 bits");
  unsigned mode = 0;
  switch (exchange.getMode()) {
  case gpu::ShuffleMode::IDX:
    mode = 0;
    break;
  case gpu::ShuffleMode::UP:
    mode = 1;
    break;
  case gpu::ShuffleMode::DOWN:
    mode = 2;
    break;
  case gpu::ShuffleMode::XOR:
    mode = 3;
    break;
  }
  // As PTX has it: a clamp, and the bits of the lane that stay.
  int64_t clamp = mode == 1 ? 0 : lanes - 1, segment = (k.warpSize - 1) & ~(lanes - 1);
  k.replace(op, shuffle(k, op, mode, exchange.getValue(), exchange.getOffset(),
                        k.i32Constant(segment << 8 | clamp), k.i32Constant(-1)));
  return success();
}

static LogicalResult nvvmShuffle(KernelLowering &k, Operation *op) {
  auto exchange = cast<NVVM::ShflOp>(op);
  unsigned mode = 0;
  switch (exchange.getKind()) {
  case NVVM::ShflKind::idx:
    mode = 0;
    break;
  case NVVM::ShflKind::up:
    mode = 1;
    break;
  case NVVM::ShflKind::down:
    mode = 2;
    break;
  case NVVM::ShflKind::bfly:
    mode = 3;
    break;
  }
  SmallVector<Value> results = shuffle(k, op, mode, exchange.getVal(), exchange.getOffset(),
                                       exchange.getMaskAndClamp(), exchange.getThreadMask());
  if (!isa<LLVM::LLVMStructType>(exchange.getType())) {
    k.replace(op, results[0]);
    return success();
  }
  Value both = LLVM::UndefOp::create(k.b, op->getLoc(), exchange.getType());
  for (int64_t i = 0; i < 2; ++i)
    both = LLVM::InsertValueOp::create(k.b, op->getLoc(), both, results[i], i);
  k.replace(op, both);
  return success();
}

static LogicalResult vote(KernelLowering &k, Operation *op) {
  auto vote = cast<NVVM::VoteSyncOp>(op);
  unsigned kind = 0;
  switch (vote.getKind()) {
  case NVVM::VoteSyncKind::any:
    kind = 0;
    break;
  case NVVM::VoteSyncKind::all:
    kind = 1;
    break;
  case NVVM::VoteSyncKind::uni:
    kind = 2;
    break;
  case NVVM::VoteSyncKind::ballot:
    kind = 3;
    break;
  }
  return k.replaceByOperate(op, PITH_EMU_VOTE, kind, {vote.getPred(), vote.getMask()});
}

static LogicalResult redux(KernelLowering &k, Operation *op) {
  auto reduce = cast<NVVM::ReduxOp>(op);
  if (reduce.getAbs() || reduce.getNan())
    return op->emitOpError("with abs or nan is not known to the emulator");
  static const llvm::StringMap<unsigned> kinds = {{"add", 0},  {"umin", 1}, {"umax", 2}, {"min", 3},
                                                  {"max", 4},  {"and", 5},  {"or", 6},   {"xor", 7},
                                                  {"fmin", 8}, {"fmax", 9}};
  auto kind = kinds.find(NVVM::stringifyReduxKind(reduce.getKind()));
  if (kind == kinds.end())
    return op->emitOpError("is of a kind that the emulator does not know");
  return k.replaceByOperate(op, PITH_EMU_REDUX, kind->second, {reduce.getVal(), reduce.getMaskAndClamp()});
}

static LogicalResult elect(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_ELECT, 0, {});
}

static LogicalResult syncWarp(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_WARP_BARRIER, 0, SmallVector<Value>(op->getOperands()));
}

static LogicalResult ballot(KernelLowering &k, Operation *op) {
  Value bits = k.operate(op, PITH_EMU_BALLOT, 0, {k.b.getI64Type()}, {op->getOperand(0)})[0];
  k.replace(op, fromBits(k, bits, op->getResultTypes().front()));
  return success();
}

/// An operation on 32 bits, whose immediates are known, for values of 32 bits or a multiple: word by word.
static LogicalResult perWord(KernelLowering &k, Operation *op, unsigned operation, uint64_t immediates,
                             ArrayRef<Value> values, ArrayRef<Value> rest) {
  Type type = op->getResultTypes().front(), i32 = k.b.getI32Type();
  unsigned bytes = k.bytesOf(type);
  if (bytes < 4) {
    SmallVector<Value> operands;
    for (Value value : values)
      operands.push_back(
          LLVM::ZExtOp::create(k.b, op->getLoc(), i32, k.bitcast(value, k.b.getIntegerType(bytes * 8))));
    llvm::append_range(operands, rest);
    Value word = k.operate(op, operation, immediates, {i32}, operands)[0];
    Value low = LLVM::TruncOp::create(k.b, op->getLoc(), k.b.getIntegerType(bytes * 8), word);
    k.replace(op, k.bitcast(low, type));
    return success();
  }
  if (bytes % 4)
    return op->emitOpError("on ") << type << " is not known to the emulator";
  unsigned words = bytes / 4;
  if (words == 1) {
    SmallVector<Value> operands(values);
    llvm::append_range(operands, rest);
    k.replace(op, k.operate(op, operation, immediates, {type}, operands));
    return success();
  }
  auto vector = VectorType::get(words, i32);
  Value result = LLVM::UndefOp::create(k.b, op->getLoc(), vector);
  for (unsigned word = 0; word < words; ++word) {
    SmallVector<Value> operands;
    Value at = k.i32Constant(word);
    for (Value value : values)
      operands.push_back(LLVM::ExtractElementOp::create(k.b, op->getLoc(), k.bitcast(value, vector), at));
    llvm::append_range(operands, rest);
    Value one = k.operate(op, operation, immediates, {i32}, operands)[0];
    result = LLVM::InsertElementOp::create(k.b, op->getLoc(), result, one, at);
  }
  k.replace(op, k.bitcast(result, type));
  return success();
}

static LogicalResult dpp(KernelLowering &k, Operation *op) {
  auto dpp = cast<ROCDL::DPPUpdateOp>(op);
  uint64_t immediates = (dpp.getDppCtrl() & 0x1ff) | (dpp.getRowMask() & 15) << 9 |
                        (dpp.getBankMask() & 15) << 13 | uint64_t(dpp.getBoundCtrl()) << 17;
  return perWord(k, op, PITH_EMU_DPP, immediates, {dpp.getOld(), dpp.getSrc()}, {});
}

static LogicalResult swizzle(KernelLowering &k, Operation *op) {
  APInt offset;
  if (!matchPattern(op->getOperand(1), m_ConstantInt(&offset)))
    return op->emitOpError("the emulator needs a constant offset");
  return k.replaceByOperate(op, PITH_EMU_SWIZZLE, offset.getZExtValue() & 0xffff, {op->getOperand(0)});
}

static LogicalResult bpermute(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_BPERMUTE, 0, SmallVector<Value>(op->getOperands()));
}

static LogicalResult permlanex16(KernelLowering &k, Operation *op) {
  auto permute = cast<ROCDL::PermlaneX16Op>(op);
  return perWord(k, op, PITH_EMU_PERMLANE, 1 | permute.getFi() << 1 | permute.getBoundControl() << 2,
                 {permute.getOld(), permute.getSrc0()}, {permute.getSrc1(), permute.getSrc2()});
}

static LogicalResult readLane(KernelLowering &k, Operation *op) {
  bool named = isa<ROCDL::ReadlaneOp>(op);
  SmallVector<Value> rest;
  if (named)
    rest.push_back(op->getOperand(1));
  return perWord(k, op, named ? PITH_EMU_READLANE : PITH_EMU_READFIRSTLANE, 0, {op->getOperand(0)}, rest);
}

//===----------------------------------------------------------------------===//
// The rest
//===----------------------------------------------------------------------===//

static LogicalResult drop(KernelLowering &k, Operation *op) {
  op->erase();
  return success();
}

static LogicalResult yield(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_YIELD, 0, {});
}

static LogicalResult returnOp(KernelLowering &k, Operation *op) {
  func::ReturnOp::create(k.b, op->getLoc());
  op->erase();
  return success();
}

void pith::emulator::addThreadHandlers(Handlers &handlers) {
  handlers["gpu.thread_id"] = dimension<gpu::ThreadIdOp, ThreadId>;
  handlers["gpu.block_id"] = dimension<gpu::BlockIdOp, BlockId>;
  handlers["gpu.block_dim"] = dimension<gpu::BlockDimOp, BlockSize>;
  handlers["gpu.grid_dim"] = dimension<gpu::GridDimOp, GridSize>;
  handlers["gpu.global_id"] = globalId;
  handlers["gpu.lane_id"] = handlers["nvvm.read.ptx.sreg.laneid"] = number<LaneId>;
  handlers["gpu.subgroup_id"] = handlers["nvvm.read.ptx.sreg.warpid"] = number<WarpId>;
  handlers["gpu.subgroup_size"] = handlers["nvvm.read.ptx.sreg.warpsize"] = handlers["rocdl.wavefrontsize"] =
      number<WarpSize>;
  handlers["nvvm.read.ptx.sreg.dynamic.smem.size"] = number<SharedBytes>;
  handlers["nvvm.read.ptx.sreg.tid.x"] = handlers["rocdl.workitem.id.x"] = number<ThreadId>;
  handlers["nvvm.read.ptx.sreg.tid.y"] = handlers["rocdl.workitem.id.y"] = number<ThreadId + 4>;
  handlers["nvvm.read.ptx.sreg.tid.z"] = handlers["rocdl.workitem.id.z"] = number<ThreadId + 8>;
  handlers["nvvm.read.ptx.sreg.ctaid.x"] = handlers["rocdl.workgroup.id.x"] = number<BlockId>;
  handlers["nvvm.read.ptx.sreg.ctaid.y"] = handlers["rocdl.workgroup.id.y"] = number<BlockId + 4>;
  handlers["nvvm.read.ptx.sreg.ctaid.z"] = handlers["rocdl.workgroup.id.z"] = number<BlockId + 8>;
  handlers["nvvm.read.ptx.sreg.ntid.x"] = handlers["rocdl.workgroup.dim.x"] = number<BlockSize>;
  handlers["nvvm.read.ptx.sreg.ntid.y"] = handlers["rocdl.workgroup.dim.y"] = number<BlockSize + 4>;
  handlers["nvvm.read.ptx.sreg.ntid.z"] = handlers["rocdl.workgroup.dim.z"] = number<BlockSize + 8>;
  handlers["nvvm.read.ptx.sreg.nctaid.x"] = handlers["rocdl.grid.dim.x"] = number<GridSize>;
  handlers["nvvm.read.ptx.sreg.nctaid.y"] = handlers["rocdl.grid.dim.y"] = number<GridSize + 4>;
  handlers["nvvm.read.ptx.sreg.nctaid.z"] = handlers["rocdl.grid.dim.z"] = number<GridSize + 8>;
  handlers["rocdl.mbcnt.lo"] = mbcnt<false>;
  handlers["rocdl.mbcnt.hi"] = mbcnt<true>;

  handlers["gpu.barrier"] = handlers["nvvm.barrier0"] = handlers["rocdl.barrier"] =
      handlers["rocdl.s.barrier"] = barrier;
  handlers["nvvm.barrier"] = handlers["nvvm.barrier.arrive"] = namedBarrier;
  handlers["nvvm.bar.warp.sync"] = syncWarp;

  handlers["gpu.shuffle"] = gpuShuffle;
  handlers["nvvm.shfl.sync"] = nvvmShuffle;
  handlers["nvvm.vote.sync"] = vote;
  handlers["nvvm.redux.sync"] = redux;
  handlers["nvvm.elect.sync"] = elect;
  handlers["rocdl.ballot"] = ballot;
  handlers["rocdl.update.dpp"] = dpp;
  handlers["rocdl.ds_swizzle"] = swizzle;
  handlers["rocdl.ds_bpermute"] = bpermute;
  handlers["rocdl.permlanex16"] = permlanex16;
  handlers["rocdl.readlane"] = handlers["rocdl.readfirstlane"] = readLane;

  handlers["gpu.return"] = returnOp;
  handlers["nvvm.nanosleep"] = handlers["rocdl.s.sleep"] = yield;
  // What only asks for speed, or orders what a thread here does in order anyway.
  for (const char *name :
       {"nvvm.setmaxregister", "nvvm.griddepcontrol", "nvvm.prefetch", "nvvm.memory.barrier",
        "nvvm.fence.sc.cluster", "nvvm.fence.mbarrier.init", "rocdl.s.setprio", "rocdl.sched.barrier",
        "rocdl.sched.group.barrier", "rocdl.iglp.opt", "rocdl.s.waitcnt", "rocdl.s.wait.dscnt",
        "rocdl.s.wait.loadcnt", "rocdl.s.wait.storecnt", "rocdl.s.wait.expcnt", "rocdl.s.nop", "llvm.fence"})
    handlers[name] = drop;
}
