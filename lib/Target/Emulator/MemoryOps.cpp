//===- MemoryOps.cpp - loads, stores and addresses ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A pointer is a host address. Only a pointer to shared memory that becomes an integer, or comes from one,
// counts from the beginning of shared memory, as on the device: kernels compute swizzles and descriptors from
// such numbers.
//
//===----------------------------------------------------------------------===//
#include "KernelLowering.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::emulator;

static bool isShared(Type type) {
  auto pointer = dyn_cast<LLVM::LLVMPointerType>(type);
  return pointer && (pointer.getAddressSpace() == 3 || pointer.getAddressSpace() == 7);
}

/// The alignment that the device demands of an access: of what the operation says, or of the whole vector.
static unsigned alignmentOf(std::optional<uint64_t> stated, unsigned bytes) {
  if (stated && *stated)
    return *stated;
  return llvm::isPowerOf2_32(bytes) ? bytes : 1;
}

static LogicalResult load(KernelLowering &k, Operation *op) {
  auto load = cast<LLVM::LoadOp>(op);
  unsigned bytes = k.bytesOf(load.getType()), flags = 0;
  // A volatile or atomic load looks for what another thread writes.
  if (load.getVolatile_() || load.getOrdering() != LLVM::AtomicOrdering::not_atomic)
    flags = PITH_EMU_ATOMIC;
  k.check(op, load.getAddr(), k.i32Constant(bytes), alignmentOf(load.getAlignment(), bytes), flags);
  // On the host it may stand before the check no more than elsewhere.
  load.setInvariant(false);
  return success();
}

static LogicalResult store(KernelLowering &k, Operation *op) {
  auto store = cast<LLVM::StoreOp>(op);
  unsigned bytes = k.bytesOf(store.getValue().getType()), flags = PITH_EMU_WRITE;
  if (store.getVolatile_() || store.getOrdering() != LLVM::AtomicOrdering::not_atomic)
    flags |= PITH_EMU_ATOMIC;
  k.check(op, store.getAddr(), k.i32Constant(bytes), alignmentOf(store.getAlignment(), bytes), flags);
  return success();
}

static LogicalResult atomic(KernelLowering &k, Operation *op) {
  Value pointer = op->getOperand(0);
  unsigned bytes = k.bytesOf(op->getOperand(1).getType());
  k.check(op, pointer, k.i32Constant(bytes), bytes, PITH_EMU_WRITE | PITH_EMU_ATOMIC);
  return success();
}

/// memcpy, memmove, memset: a length that only the run knows is checked as well.
static LogicalResult block(KernelLowering &k, Operation *op) {
  Value bytes = op->getOperand(2);
  if (bytes.getType().isInteger(64))
    bytes = LLVM::TruncOp::create(k.b, op->getLoc(), k.b.getI32Type(), bytes);
  k.check(op, op->getOperand(0), bytes, 1, PITH_EMU_WRITE);
  if (isa<LLVM::LLVMPointerType>(op->getOperand(1).getType()))
    k.check(op, op->getOperand(1), bytes, 1, 0);
  return success();
}

/// Each element that the mask has is an access of its own; none is one of no bytes.
static LogicalResult masked(KernelLowering &k, Operation *op) {
  bool loads = isa<LLVM::MaskedLoadOp>(op);
  Value pointer = op->getOperand(loads ? 0 : 1), mask = op->getOperand(loads ? 1 : 2);
  auto type = dyn_cast<VectorType>(loads ? op->getResultTypes().front() : op->getOperand(0).getType());
  if (!type || type.getRank() != 1 || type.isScalable())
    return op->emitOpError("of this type is not known to the emulator");
  unsigned bytes = k.bytesOf(type.getElementType());
  for (int64_t i = 0; i < type.getNumElements(); ++i) {
    Value on = LLVM::ExtractElementOp::create(k.b, op->getLoc(), mask, k.i32Constant(i));
    Value size = LLVM::SelectOp::create(k.b, op->getLoc(), on, k.i32Constant(bytes), k.i32Constant(0));
    Value place = LLVM::GEPOp::create(k.b, op->getLoc(), pointer.getType(), type.getElementType(), pointer,
                                      ArrayRef<LLVM::GEPArg>{int32_t(i)});
    k.check(op, place, size, bytes, loads ? 0 : PITH_EMU_WRITE);
  }
  return success();
}

static LogicalResult ptrToInt(KernelLowering &k, Operation *op) {
  auto cast = llvm::cast<LLVM::PtrToIntOp>(op);
  if (!isShared(cast.getArg().getType()))
    return success();
  Value address = LLVM::PtrToIntOp::create(k.b, op->getLoc(), k.b.getI64Type(), k.plain(cast.getArg()));
  Value offset = LLVM::SubOp::create(k.b, op->getLoc(), address, k.sharedBase());
  unsigned width = cast.getType().getIntOrFloatBitWidth();
  if (width < 64)
    offset = LLVM::TruncOp::create(k.b, op->getLoc(), cast.getType(), offset);
  k.replace(op, offset);
  return success();
}

static LogicalResult intToPtr(KernelLowering &k, Operation *op) {
  auto cast = llvm::cast<LLVM::IntToPtrOp>(op);
  if (!isShared(cast.getType()))
    return success();
  Value offset = cast.getArg();
  if (offset.getType().getIntOrFloatBitWidth() < 64)
    offset = LLVM::ZExtOp::create(k.b, op->getLoc(), k.b.getI64Type(), offset);
  Value address = LLVM::AddOp::create(k.b, op->getLoc(), offset, k.sharedBase());
  k.replace(op, LLVM::IntToPtrOp::create(k.b, op->getLoc(), cast.getType(), address)->getResults());
  return success();
}

static LogicalResult addressOf(KernelLowering &k, Operation *op) {
  auto address = cast<LLVM::AddressOfOp>(op);
  if (!isShared(address.getType()))
    return op->emitOpError("the emulator has no variables but those in shared memory, got '")
           << address.getGlobalName() << "'";
  auto place = k.shared.offsets.find(address.getGlobalName());
  if (place == k.shared.offsets.end())
    return op->emitOpError("no variable '") << address.getGlobalName() << "' in shared memory";
  Value base = k.field(8, LLVM::LLVMPointerType::get(k.b.getContext()));
  Value value = LLVM::GEPOp::create(k.b, op->getLoc(), base.getType(), k.b.getI8Type(), base,
                                    ArrayRef<LLVM::GEPArg>{int32_t(place->second)});
  k.replace(op, LLVM::AddrSpaceCastOp::create(k.b, op->getLoc(), address.getType(), value)->getResults());
  return success();
}

/// What only asks for speed.
static LogicalResult drop(KernelLowering &k, Operation *op) {
  op->erase();
  return success();
}

void pith::emulator::addMemoryHandlers(Handlers &handlers) {
  handlers["llvm.load"] = load;
  handlers["llvm.store"] = store;
  handlers["llvm.atomicrmw"] = handlers["llvm.cmpxchg"] = atomic;
  handlers["llvm.intr.memcpy"] = handlers["llvm.intr.memmove"] = handlers["llvm.intr.memset"] = block;
  handlers["llvm.intr.masked.load"] = handlers["llvm.intr.masked.store"] = masked;
  handlers["llvm.ptrtoint"] = ptrToInt;
  handlers["llvm.inttoptr"] = intToPtr;
  handlers["llvm.mlir.addressof"] = addressOf;
  handlers["llvm.intr.prefetch"] = handlers["llvm.intr.assume"] = drop;
}
