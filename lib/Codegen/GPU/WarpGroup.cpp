//===- WarpGroup.cpp - products of 128 threads from shared memory ---------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "WarpGroup.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace pith::gpu;

Value WarpGroup::offset(KernelBuilder &k, Value row, Value unit) {
  Value place = arith::XOrIOp::create(k.b, k.loc, unit, k.bitAnd(row, 7));
  return k.add(k.mul(row, rowBytes), k.mul(place, 16));
}

Value WarpGroup::zeros() {
  Value zero = k.constant(k.f32, 0);
  auto type = LLVM::LLVMStructType::getLiteral(k.b.getContext(), SmallVector<Type>(rows / 2, k.f32));
  Value sums = LLVM::UndefOp::create(k.b, k.loc, type);
  for (int64_t i = 0; i < rows / 2; ++i)
    sums = LLVM::InsertValueOp::create(k.b, k.loc, sums, zero, i);
  return sums;
}

/// In units of 16 bytes: address, (one row to the next: given by the swizzle), eight rows to the next eight.
Value WarpGroup::descriptor(Value address) {
  Value bytes = LLVM::PtrToIntOp::create(k.b, k.loc, k.i64, address);
  uint64_t fixed = uint64_t(1) << 16 | uint64_t(8 * rowBytes / 16) << 32 | uint64_t(1) << 62;
  Value rest = arith::ConstantOp::create(k.b, k.loc, k.b.getI64IntegerAttr(int64_t(fixed)));
  return k.bitOr(k.shiftRight(k.bitAnd(bytes, 0x3ffff), 4), rest);
}

Value WarpGroup::multiply(Value own, Value common, Value sums) {
  MLIRContext *context = k.b.getContext();
  auto type = NVVM::WGMMATypesAttr::get(context, element == Element::F16 ? NVVM::WGMMATypes::f16
                                                                         : NVVM::WGMMATypes::bf16);
  auto one = NVVM::WGMMAScaleInAttr::get(context, NVVM::WGMMAScaleIn::one);
  Value a = descriptor(own), b = descriptor(common);
  for (int64_t step = 0; step < 4; ++step)
    sums = NVVM::WgmmaMmaAsyncOp::create(
        k.b, k.loc, sums.getType(), sums, k.add(a, 2 * step), k.add(b, 2 * step),
        NVVM::MMAShapeAttr::get(context, 64, int(rows), 16), type, type,
        NVVM::WGMMATypesAttr::get(context, NVVM::WGMMATypes::f32),
        NVVM::WGMMAScaleOutAttr::get(context, NVVM::WGMMAScaleOut::one), one, one,
        NVVM::MMALayoutAttr::get(context, NVVM::MMALayout::row),
        NVVM::MMALayoutAttr::get(context, NVVM::MMALayout::col), NVVM::MMAIntOverflowAttr());
  return sums;
}

void WarpGroup::begin() { NVVM::WgmmaFenceAlignedOp::create(k.b, k.loc); }
void WarpGroup::commit() { NVVM::WgmmaGroupSyncAlignedOp::create(k.b, k.loc); }
void WarpGroup::wait(int64_t pending) {
  NVVM::WgmmaWaitGroupSyncOp::create(k.b, k.loc, k.b.getI64IntegerAttr(pending));
}
void WarpGroup::publish() {
  NVVM::FenceProxyOp::create(k.b, k.loc, NVVM::ProxyKind::async_shared,
                             NVVM::SharedSpaceAttr::get(k.b.getContext(), NVVM::SharedSpace::shared_cta));
}

/// Element 8c + 4q + 2p + e of the instruction is sum 4p + 2q + e of common rows from 16c on.
KernelBuilder::Values WarpGroup::unpack(Value sums) {
  KernelBuilder::Values tiles;
  for (int64_t c = 0; c < rows / 16; ++c) {
    SmallVector<Value> elements(8);
    for (int64_t i = 0; i < 8; ++i)
      elements[i / 2 % 2 * 4 + i / 4 * 2 + i % 2] = LLVM::ExtractValueOp::create(k.b, k.loc, sums, 8 * c + i);
    tiles.push_back(vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), elements));
  }
  return tiles;
}
