//===- KVAppend.cpp - new keys and values into a lane's pages -------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A value is a row of its page; a key becomes a column of its group of 16, headDim scattered stores. Threads
// share the batch's kv heads × rows, heads outside, so that few groups are written by two threads.
//
//===----------------------------------------------------------------------===//
#include "PagedCache.h"

using namespace mlir;
using namespace pith::cpu;

namespace {

class AppendKernel {
public:
  AppendKernel(KernelBuilder &k, const CacheLayout &cache, int64_t lanes) : k(k), cache(cache), lanes(lanes) {
    element = elementType(k, cache.element);
    bytes = elementBytes(cache.element);
  }

  /// Both pointers at one head's f32; `slot` is the token's place in its page.
  void token(Value key, Value value, Value headInPage, Value slot) {
    Value group = k.mul(k.div(slot, keyGroup), keyGroup * cache.headDim * bytes);
    Value column = k.at(headInPage, k.add(group, k.mul(k.rem(slot, keyGroup), bytes)));
    forVectors(cache.headDim, [&](Value first, int64_t count) {
      Value converted = read(key, first, count);
      Value base = k.at(column, k.mul(first, keyGroup * bytes));
      for (int64_t lane = 0; lane < count; ++lane)
        k.store(k.element(converted, lane), k.at(base, lane * keyGroup * bytes));
    });
    Value row = k.at(headInPage, k.add(k.mul(slot, cache.valueDim * bytes), keyBytes(cache)));
    forVectors(cache.valueDim, [&](Value first, int64_t count) {
      k.store(read(value, first, count), k.at(row, k.mul(first, bytes)), bytes);
    });
  }

private:
  void forVectors(int64_t size, llvm::function_ref<void(Value first, int64_t count)> body) {
    int64_t whole = size / lanes * lanes;
    if (whole > 0)
      k.loop(k.index(0), k.index(whole), lanes, [&](Value first) { body(first, lanes); });
    if (whole < size)
      body(k.index(whole), size - whole);
  }
  Value read(Value from, Value first, int64_t count) {
    return k.fromF32(k.load(k.vec(count, k.f32), k.at(from, k.mul(first, 4))), element);
  }

  KernelBuilder &k;
  const CacheLayout &cache;
  Type element;
  int64_t lanes, bytes;
};

} // namespace

func::FuncOp pith::cpu::getOrCreateKVAppend(ModuleOp module, const Machine &machine,
                                            const CacheLayout &cache) {
  std::string name = "kv_append_" + nameOf(cache);
  return getOrCreateLayerKernel(
      module, name, cache, 2, 2, [&](KernelBuilder &k, ArrayRef<Value> arguments, Value layerOffset) {
        Value context = arguments[0], thread = arguments[1], keys = arguments[2], values = arguments[3];
        Value ldk = arguments[4], ldv = arguments[5];
        AppendKernel kernel(k, cache, machine.vectorBytes / 4);
        Value lanes = emitLaneCount(k, context);

        // The lanes' items stand one after the other; a thread's share may begin and end inside a lane.
        auto itemsOf = [&](const Lane &lane) { return k.mul(lane.rows, cache.kvHeads); };
        auto total = k.loop(k.index(0), lanes, 1, {k.index(0)}, [&](Value i, ArrayRef<Value> sum) {
          return KernelBuilder::Values{k.add(sum[0], itemsOf(emitLane(k, context, i)))};
        });
        auto share = k.share(context, thread, total[0]);
        k.loop(k.index(0), lanes, 1, {k.index(0)}, [&](Value i, ArrayRef<Value> before) {
          Lane lane = emitLane(k, context, i);
          Value items = itemsOf(lane);
          Value begin = k.maximum(k.sub(share.begin, before[0]), 0);
          Value end = k.minimum(k.sub(share.end, before[0]), items);
          k.loop(begin, end, 1, [&](Value item) {
            Value head = k.div(item, lane.rows), index = k.rem(item, lane.rows);
            Value row = k.add(lane.firstRow, index), token = k.add(lane.past, index);
            Value page =
                emitHeadInPage(k, cache, lane, layerOffset, k.div(token, CacheLayout::pageTokens), head);
            auto head32 = [&](Value base, Value stride, int64_t width) {
              return k.at(base, k.mul(k.add(k.mul(row, stride), k.mul(head, width)), 4));
            };
            kernel.token(head32(keys, ldk, cache.headDim), head32(values, ldv, cache.valueDim), page,
                         k.rem(token, CacheLayout::pageTokens));
          });
          return KernelBuilder::Values{k.add(before[0], items)};
        });
      });
}
