//===- KVAppend.cpp - new keys and values to the paged cache --------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "PagedCache.h"
#include "Rotate.h"
#include "llvm/ADT/Twine.h"

using namespace mlir;
using namespace pith::gpu;

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateKVAppend(mlir::gpu::GPUModuleOp module, const AppendSpec &spec) {
  const CacheLayout &cache = spec.cache;
  bool rotates = spec.rotaryDim > 0;
  std::string name = "kv_append_" + nameOf(cache) + "_" + nameOf(spec.input).str();
  if (rotates)
    name += ("_r" + Twine(spec.rotaryDim) + (spec.interleaved ? "_interleaved" : "")).str();
  RotatedHead head{cache.headDim, spec.rotaryDim, spec.interleaved};
  // A thread takes a unit of a key or a channel of a value: all heads' keys first.
  int64_t keyItems = cache.kvHeads * head.units(), items = keyItems + cache.kvHeads * cache.valueDim;
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = 128;
  shape.grid = {getAffineConstantExpr(llvm::divideCeil(items, shape.threads), context),
                getAffineDimExpr(0, context)};
  SmallVector<Argument> arguments = {Argument::In, Argument::In};
  arguments.append(rotates ? 2 : 0, Argument::In);
  arguments.append({Argument::In, Argument::In});
  arguments.append(4, Argument::Size);
  return getOrCreateKernel(module, name, arguments, shape, [&](KernelBuilder &k, ArrayRef<Value> a) {
    size_t next = rotates ? 4 : 2;
    Value keys = a[0], values = a[1], rowLanes = a[next], lanes = a[next + 1];
    Value ldk = a[next + 3], ldv = a[next + 4], layer = a[next + 5];
    int64_t inBytes = elementBytes(spec.input), bytes = elementBytes(cache.element);
    Value row = k.block(mlir::gpu::Dimension::y);
    Value item = k.add(k.mul(k.block(), k.threads), k.thread());
    k.ifThen(k.lessThan(item, items), [&] {
      RowLane lane(k, rowLanes, lanes, row);
      Value slot = k.rem(lane.position, CacheLayout::pageTokens);
      auto place = [&](Value base, Value stride, Value first) {
        Value start = k.add(k.mul(k.zext(row, k.i64), k.zext(stride, k.i64)), k.zext(first, k.i64));
        return k.at(base, k.mul(start, inBytes));
      };
      auto put = [&](Value to, Value channel, Value value) {
        k.storeFloats(cache.element, value, k.at(to, k.mul(channel, bytes)), bytes);
      };
      k.ifThen(
          k.lessThan(item, keyItems),
          [&] {
            Value kvHead = k.div(item, head.units());
            Value page = headInPage(k, cache, lane.pages, lane.position, layer, kvHead);
            Value to = k.at(page, k.mul(slot, cache.headDim * bytes));
            Value cosines = rotates ? k.atWide(a[2], row, head.pairs() * 4) : Value();
            Value sines = rotates ? k.atWide(a[3], row, head.pairs() * 4) : Value();
            head.emit(k, spec.input, place(keys, ldk, k.mul(kvHead, cache.headDim)), cosines, sines,
                      k.rem(item, head.units()), [&](Value channel, Value v) { put(to, channel, v); });
          },
          [&] {
            Value column = k.sub(item, keyItems), kvHead = k.div(column, cache.valueDim);
            Value page = headInPage(k, cache, lane.pages, lane.position, layer, kvHead);
            Value to = k.at(k.at(page, k.mul(slot, cache.valueDim * bytes)), valuesOffset(cache));
            put(to, k.rem(column, cache.valueDim),
                k.loadFloats(spec.input, place(values, ldv, column), 1, 0));
          });
    });
  });
}
