//===- PagedCache.cpp - lanes and pages as kernels see them ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "PagedCache.h"
#include "pith/executable.h"
#include <cstddef>

using namespace mlir;
using namespace pith::cpu;

Type pith::cpu::elementType(KernelBuilder &k, CacheLayout::Element element) {
  switch (element) {
  case CacheLayout::Element::F32:
    return k.f32;
  case CacheLayout::Element::F16:
    return k.f16;
  case CacheLayout::Element::BF16:
    return k.bf16;
  }
  return k.f32;
}

std::string pith::cpu::nameOf(const CacheLayout &cache) {
  const char *element = cache.element == CacheLayout::Element::F32   ? "f32"
                        : cache.element == CacheLayout::Element::F16 ? "f16"
                                                                     : "bf16";
  return (Twine(element) + "_" + Twine(cache.kvHeads) + "x" + Twine(cache.headDim) + "x" +
          Twine(cache.valueDim))
      .str();
}

Value pith::cpu::emitLaneCount(KernelBuilder &k, Value context) {
  return k.zext(k.load(k.i32, k.at(context, int64_t(offsetof(pith_exec_context, lanes)))), k.i64);
}

static Lane loadLane(KernelBuilder &k, Value context, size_t field, Value index) {
  Value lanes = k.load(k.ptr, k.at(context, int64_t(field)));
  Value lane = k.at(lanes, k.mul(index, sizeof(pith_exec_lane)));
  auto number = [&](size_t offset) { return k.zext(k.load(k.i32, k.at(lane, int64_t(offset))), k.i64); };
  return {number(offsetof(pith_exec_lane, first_row)), number(offsetof(pith_exec_lane, rows)),
          number(offsetof(pith_exec_lane, past)),
          k.load(k.ptr, k.at(lane, int64_t(offsetof(pith_exec_lane, pages))))};
}

Lane pith::cpu::emitLane(KernelBuilder &k, Value context, Value index) {
  return loadLane(k, context, offsetof(pith_exec_context, lane), index);
}

Lane pith::cpu::emitCondition(KernelBuilder &k, Value context, Value index) {
  return loadLane(k, context, offsetof(pith_exec_context, conditions), index);
}

Value pith::cpu::emitHeadInPage(KernelBuilder &k, const CacheLayout &cache, const Lane &lane,
                                Value layerOffset, Value page, Value head) {
  Value address = k.load(k.ptr, k.at(lane.pages, k.mul(page, 8)));
  return k.at(address, k.add(k.mul(head, cache.headBytes()), layerOffset));
}

func::FuncOp
pith::cpu::getOrCreateLayerKernel(ModuleOp module, StringRef name, const CacheLayout &cache,
                                  unsigned pointers, unsigned sizes,
                                  llvm::function_ref<void(KernelBuilder &, ArrayRef<Value>, Value)> body) {
  func::FuncOp shared =
      getOrCreateKernel(module, name, pointers, sizes + 1, [&](KernelBuilder &k, ArrayRef<Value> arguments) {
        body(k, arguments.drop_back(), arguments.back());
      });
  std::string own = (name + "_at" + Twine(cache.layerOffset)).str();
  return getOrCreateKernel(module, own, pointers, sizes, [&](KernelBuilder &k, ArrayRef<Value> arguments) {
    SmallVector<Value> operands(arguments);
    operands.push_back(k.index(cache.layerOffset));
    func::CallOp::create(k.b, k.loc, shared, operands);
  });
}
