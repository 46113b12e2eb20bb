//===- WarpGroup.cpp - products of 128 threads by wgmma -------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "WarpGroup.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/raw_ostream.h"
#include <string>

using namespace mlir;
using namespace pith::gpu;

Value WarpGroup::offset(KernelBuilder &k, Value row, Value unit) {
  Value place = arith::XOrIOp::create(k.b, k.loc, unit, k.bitAnd(row, 7));
  return k.add(k.mul(row, rowBytes), k.mul(place, 16));
}

Type WarpGroup::sumsType() const {
  return LLVM::LLVMStructType::getLiteral(k.b.getContext(), SmallVector<Type>(rows / 2, k.f32));
}

Value WarpGroup::zeros() {
  Value zero = k.constant(k.f32, 0), sums = LLVM::UndefOp::create(k.b, k.loc, sumsType());
  for (int64_t i = 0; i < rows / 2; ++i)
    sums = LLVM::InsertValueOp::create(k.b, k.loc, sums, zero, i);
  return sums;
}

/// In units of 16 bytes: address, one row to the next (given by the swizzle) or 64 columns to the next 64,
/// eight rows to the next eight.
Value WarpGroup::descriptor(Value address, int64_t depth) {
  Value bytes = LLVM::PtrToIntOp::create(k.b, k.loc, k.i64, address);
  uint64_t leading = columns ? uint64_t(depth * rowBytes / 16) : 1;
  uint64_t fixed = leading << 16 | uint64_t(8 * rowBytes / 16) << 32 | uint64_t(1) << 62;
  Value rest = arith::ConstantOp::create(k.b, k.loc, k.b.getI64IntegerAttr(int64_t(fixed)));
  return k.bitOr(k.shiftRight(k.bitAnd(bytes, 0x3ffff), 4), rest);
}

/// "=f,=f,…,0,1,…": `count` results, each in the register of an operand.
static std::string tied(char kind, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i)
    text += std::string(i ? ",=" : "=") + kind;
  for (int64_t i = 0; i < count; ++i)
    text += "," + std::to_string(i);
  return text;
}

static Value assembly(KernelBuilder &k, Type type, ValueRange operands, StringRef text,
                      StringRef constraints) {
  return LLVM::InlineAsmOp::create(k.b, k.loc, type, operands, text, constraints, /*has_side_effects=*/true,
                                   /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
      .getResult(0);
}

Value WarpGroup::through(StringRef text, Type type, char kind, ArrayRef<Value> values) {
  return assembly(k, type, values, text, tied(kind, int64_t(values.size())));
}

/// The dialect's operation takes own rows from shared memory only.
Value WarpGroup::multiply(ArrayRef<Value> own, Value common, Value sums, bool fresh) {
  int64_t count = rows / 2;
  std::string text;
  llvm::raw_string_ostream out(text);
  out << "wgmma.mma_async.sync.aligned.m64n" << rows << "k" << stepK << ".f32." << nameOf(element) << "."
      << nameOf(element) << " {";
  for (int64_t i = 0; i < count; ++i)
    out << (i ? ", $" : "$") << i;
  out << "}, {";
  for (int64_t i = 0; i < stepWords; ++i)
    out << (i ? ", $" : "$") << 2 * count + i;
  // Counts the sums before?, signs, K is in the common rows' direction.
  out << "}, $" << 2 * count + stepWords << ", " << (fresh ? 0 : 1) << ", 1, 1, " << (columns ? 1 : 0) << ";";
  Values operands;
  if (fresh) // which keeps the sums before in registers of their own, uncopied
    sums = LLVM::UndefOp::create(k.b, k.loc, sums.getType());
  for (int64_t i = 0; i < count; ++i)
    operands.push_back(LLVM::ExtractValueOp::create(k.b, k.loc, sums, i));
  operands.append(own.begin(), own.end());
  operands.push_back(common);
  return assembly(k, sums.getType(), operands, text, tied('f', count) + ",r,r,r,r,l");
}

WarpGroup::Values WarpGroup::elements(Value sums) {
  Values values;
  for (int64_t i = 0; i < rows / 2; ++i)
    values.push_back(LLVM::ExtractValueOp::create(k.b, k.loc, sums, i));
  return values;
}

WarpGroup::Values WarpGroup::begin(ArrayRef<Value> own) {
  auto type = LLVM::LLVMStructType::getLiteral(k.b.getContext(), SmallVector<Type>(own.size(), k.i32));
  Value all = through("wgmma.fence.sync.aligned;", type, 'r', own);
  Values result;
  for (int64_t i = 0; i < int64_t(own.size()); ++i)
    result.push_back(LLVM::ExtractValueOp::create(k.b, k.loc, all, i));
  return result;
}

Value WarpGroup::begin(Value sums) {
  return through("wgmma.fence.sync.aligned;", sums.getType(), 'f', elements(sums));
}

void WarpGroup::commit() { NVVM::WgmmaGroupSyncAlignedOp::create(k.b, k.loc); }
void WarpGroup::wait(int64_t pending) {
  NVVM::WgmmaWaitGroupSyncOp::create(k.b, k.loc, k.b.getI64IntegerAttr(pending));
}

Value WarpGroup::finish(Value sums) {
  return through("wgmma.wait_group.sync.aligned 0;", sums.getType(), 'f', elements(sums));
}
