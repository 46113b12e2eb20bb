//===- AssemblyOps.cpp - instructions that kernels write as text ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Some instructions have no operation: products of wgmma with A in registers, loads that say how to cache.
// Those are read from the text; any other text is an error. What orders products may take registers through
// itself: results that are its operands.
//
//===----------------------------------------------------------------------===//
#include "KernelLowering.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <cstddef>
#include <cstdint>
#include <string>

using namespace mlir;
using namespace pith::emulator;

static LogicalResult unknown(Operation *op, StringRef text) {
  return op->emitOpError("of '") << text << "' is not known to the emulator";
}

/// wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {sums}, {a, a, a, a}, descriptor of B, scale, sign,
/// sign, transposed; the operands are the sums, four words of A, the descriptor and, where the scale is a
/// predicate, an integer for it.
static LogicalResult wgmma(KernelLowering &k, LLVM::InlineAsmOp op) {
  StringRef text = op.getAsmString();
  StringRef shape = text.split("wgmma.mma_async.sync.aligned.m64n").second, tail = shape.rsplit('}').second;
  auto [sizes, types] = shape.split('.');
  SmallVector<StringRef> names, flags;
  types.take_until([](char c) { return c == ' ' || c == '{'; }).split(names, '.');
  tail.take_until([](char c) { return c == ';'; }).split(flags, ',', -1, /*KeepEmpty=*/false);
  unsigned n = 0;
  if (sizes.split('k').first.getAsInteger(10, n) || names.size() != 3 || flags.size() < 5 ||
      names[0] != "f32")
    return unknown(op, text);
  for (StringRef &flag : flags)
    flag = flag.trim();
  auto a = typeCode(names[1]), b = typeCode(names[2]);
  SmallVector<Value> operands(op.getOperands());
  bool scaled = flags[1] != "0" && flags[1] != "1";
  if (!a || !b || operands.size() != n / 2 + 5 + scaled || op->getNumResults() != 1)
    return unknown(op, text);
  if (!scaled)
    operands.push_back(k.i32Constant(flags[1] == "1"));
  uint64_t immediates = n / 8 | *a << 6 | *b << 10 | PITH_EMU_F32 << 14 | 1 << 18 |
                        uint64_t(flags.size() > 4 && flags[4] == "1") << 20 |
                        uint64_t(flags[2] == "-1") << 21 | uint64_t(flags[3] == "-1") << 22;
  return k.replaceByOperate(op, PITH_EMU_WGMMA, immediates, operands);
}

/// wgmma.fence or wgmma.wait_group, each of whose results is the operand of its number.
static LogicalResult orderProducts(KernelLowering &k, LLVM::InlineAsmOp op) {
  StringRef text = op.getAsmString(), wait = text;
  unsigned pending = 0;
  bool waits = wait.consume_front("wgmma.wait_group.sync.aligned ");
  SmallVector<StringRef> constraints;
  op.getConstraints().split(constraints, ',');
  SmallVector<Value> operands(op.getOperands());
  bool known =
      waits ? !wait.trim(" ;").getAsInteger(10, pending) : text.trim(" ;") == "wgmma.fence.sync.aligned";
  known &= op->getNumResults() == 1 && constraints.size() == 2 * operands.size();
  for (size_t i = 0; known && i < operands.size(); ++i)
    known = constraints[operands.size() + i] == std::to_string(i);
  auto type = known ? dyn_cast<LLVM::LLVMStructType>(op->getResult(0).getType()) : LLVM::LLVMStructType();
  if (!type || type.getBody().size() != operands.size())
    return unknown(op, text);
  k.operate(op, waits ? PITH_EMU_WGMMA_WAIT : PITH_EMU_WGMMA_FENCE, pending, {}, {});
  Value all = LLVM::UndefOp::create(k.b, op.getLoc(), type);
  for (auto [i, operand] : llvm::enumerate(operands))
    all = LLVM::InsertValueOp::create(k.b, op.getLoc(), all, operand, int64_t(i));
  k.replace(op, all);
  return success();
}

static LogicalResult inlineAsm(KernelLowering &k, Operation *op) {
  auto assembly = cast<LLVM::InlineAsmOp>(op);
  StringRef text = assembly.getAsmString();
  if (text.contains("wgmma.mma_async.sync.aligned.m64n"))
    return wgmma(k, assembly);
  if (text.starts_with("wgmma.") && !assembly.getOperands().empty())
    return orderProducts(k, assembly);
  // How the amdgpu dialect writes its barrier for some chips.
  if (text.contains("s_barrier") && op->getNumResults() == 0)
    return k.replaceByOperate(op, PITH_EMU_BARRIER, 0, {});
  return unknown(op, text);
}

/// ld.global….v4.b32 {four}, [address]
static LogicalResult globalLoad(KernelLowering &k, NVVM::InlinePtxOp op) {
  unsigned bytes = 0;
  for (Type type : op->getResultTypes())
    bytes += k.bytesOf(type);
  Value address = op.getReadOnlyArgs().front();
  if (!isa<LLVM::LLVMPointerType>(address.getType()))
    return unknown(op, op.getPtxCode());
  k.check(op, address, k.i32Constant(bytes), bytes, PITH_EMU_GLOBAL);
  SmallVector<Value> values;
  unsigned offset = 0;
  for (Type type : op->getResultTypes()) {
    Value place = LLVM::GEPOp::create(k.b, op.getLoc(), address.getType(), k.b.getI8Type(), address,
                                      ArrayRef<LLVM::GEPArg>{int32_t(offset)});
    values.push_back(LLVM::LoadOp::create(k.b, op.getLoc(), type, place));
    offset += k.bytesOf(type);
  }
  k.replace(op, values);
  return success();
}

/// lop3.b32: any function of three bits, by its table.
static LogicalResult lop3(KernelLowering &k, NVVM::InlinePtxOp op, unsigned table) {
  Location loc = op.getLoc();
  Value inputs[3];
  for (unsigned i = 0; i < 3; ++i)
    inputs[i] = op.getReadOnlyArgs()[i];
  Value ones = k.i32Constant(-1), result = k.i32Constant(0);
  for (unsigned row = 0; row < 8; ++row) {
    if (!(table >> row & 1))
      continue;
    Value term = ones;
    for (unsigned i = 0; i < 3; ++i) {
      bool set = row >> (2 - i) & 1;
      Value input = set ? inputs[i] : Value(LLVM::XOrOp::create(k.b, loc, inputs[i], ones));
      term = LLVM::AndOp::create(k.b, loc, term, input);
    }
    result = LLVM::OrOp::create(k.b, loc, result, term);
  }
  k.replace(op, result);
  return success();
}

static LogicalResult inlinePtx(KernelLowering &k, Operation *op) {
  auto ptx = cast<NVVM::InlinePtxOp>(op);
  StringRef text = ptx.getPtxCode();
  if (ptx.getPredicate() || !ptx.getReadWriteArgs().empty())
    return unknown(op, text);
  if (text.starts_with("ld.global") && op->getNumResults() && !ptx.getReadOnlyArgs().empty())
    return globalLoad(k, ptx);
  unsigned table = 0;
  if (text.starts_with("lop3.b32") && ptx.getReadOnlyArgs().size() == 3 && op->getNumResults() == 1 &&
      !text.rsplit(',').second.trim(" ;").getAsInteger(0, table))
    return lop3(k, ptx, table);
  return unknown(op, text);
}

void pith::emulator::addAssemblyHandlers(Handlers &handlers) {
  handlers["llvm.inline_asm"] = inlineAsm;
  handlers["nvvm.inline_ptx"] = inlinePtx;
}
