//===- Attention.cpp - attention over the paged cache ---------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A work item is (lane, kv head, tile of rows). Items are independent, so results do not depend on the team.
// Every thread goes through all items, adding up their costs (rows × pages), and does those whose middle lies
// in its share of the total; a decode lane is one item per kv head, and a thread's items follow one another
// in memory.
//
//===----------------------------------------------------------------------===//
#include "AttentionTile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::cpu;

namespace {

class AttentionKernel {
public:
  AttentionKernel(KernelBuilder &k, const Machine &machine, const AttentionSpec &spec,
                  ArrayRef<Value> arguments, Value layerOffset)
      : k(k), spec(spec), plan(machine, spec), tile(k, spec, plan), layerOffset(layerOffset) {
    context = arguments[0];
    thread = k.zext(arguments[1], k.i64);
    q = arguments[2];
    out = arguments[3];
    size_t next = 4;
    if (spec.sinks)
      sinks = arguments[next++];
    if (spec.alibi)
      slopes = arguments[next++];
    if (spec.bias)
      bias = arguments[next++];
    ldq = arguments[next++];
    ldo = arguments[next];
  }

  void build() {
    Value lanes = emitLaneCount(k, context), zero = k.index(0);
    Value total = k.loop(zero, lanes, 1, {zero}, [&](Value i, ArrayRef<Value> sum) {
      Lane lane = laneAt(i);
      Value ofHead =
          forTiles(lane, zero, [&](const Item &item, Value before) { return k.add(before, item.cost); });
      return KernelBuilder::Values{k.add(sum[0], k.mul(ofHead, spec.cache.kvHeads))};
    })[0];
    Value threads = k.threads(context);
    k.loop(zero, lanes, 1, {zero}, [&](Value i, ArrayRef<Value> atLane) {
      Lane lane = laneAt(i);
      return k.loop(zero, k.index(spec.cache.kvHeads), 1, atLane, [&](Value head, ArrayRef<Value> atHead) {
        Value after = forTiles(lane, atHead[0], [&](const Item &item, Value before) {
          Value middle = k.add(k.mul(before, 2), item.cost);
          Value owner = k.div(k.mul(middle, threads), k.mul(total, 2));
          k.ifThen(k.equal(owner, thread), [&] { run(lane, head, item); });
          return k.add(before, item.cost);
        });
        return KernelBuilder::Values{after};
      });
    });
  }

private:
  struct Item {
    Value firstRow; // in the lane
    AttentionTile::Rows rows;
    Value firstPage, lastPage, cost;
  };

  /// With a condition, the lane's rows attend to the condition's pages.
  Lane laneAt(Value index) {
    Lane lane = emitLane(k, context, index);
    if (!spec.condition)
      return lane;
    Lane condition = emitCondition(k, context, index);
    return {lane.firstRow, lane.rows, condition.past, condition.pages};
  }

  /// One number carried through the tiles of a lane.
  Value forTiles(const Lane &lane, Value start, llvm::function_ref<Value(const Item &, Value)> body) {
    return k.loop(k.index(0), lane.rows, plan.tileRows, {start}, [&](Value row, ArrayRef<Value> carried) {
      Item item;
      item.firstRow = row;
      item.rows.count = k.minimum(k.sub(lane.rows, row), plan.tileRows);
      // Of a condition every row sees what its last position would.
      item.rows.position = spec.condition ? k.sub(lane.past, 1) : k.add(lane.past, row);
      Value last = spec.condition ? item.rows.position : k.sub(k.add(item.rows.position, item.rows.count), 1);
      item.lastPage = k.div(last, CacheLayout::pageTokens);
      item.firstPage = k.index(0);
      if (spec.window > 0)
        item.firstPage =
            k.div(k.maximum(k.sub(item.rows.position, spec.window - 1), 0), CacheLayout::pageTokens);
      item.cost = k.mul(item.rows.count, k.add(k.sub(item.lastPage, item.firstPage), 1));
      return KernelBuilder::Values{body(item, carried[0])};
    })[0];
  }

  void run(const Lane &lane, Value head, const Item &item) {
    Value row = k.add(lane.firstRow, item.firstRow), firstHead = k.mul(head, plan.group);
    auto rowsAt = [&](Value base, Value stride, int64_t width) {
      return k.at(base, k.mul(k.add(k.mul(row, stride), k.mul(firstHead, width)), 4));
    };
    auto headsOf = [&](Value base) { return base ? k.at(base, k.mul(firstHead, 4)) : Value(); };
    Value headBias = spec.bias ? k.at(bias, k.mul(firstHead, biasStride(spec.bias) * 4)) : Value();
    tile.begin(rowsAt(q, ldq, spec.cache.headDim), k.mul(ldq, 4), item.rows,
               {headsOf(sinks), headsOf(slopes), headBias});
    k.loop(item.firstPage, k.add(item.lastPage, 1), 1, [&](Value page) {
      // After the last page this thread most often reads the next head's first.
      Value isLast = k.equal(page, item.lastPage);
      Value nextPage = k.select(isLast, item.firstPage, k.add(page, 1));
      Value nextHead = k.select(isLast, k.add(head, 1), head);
      tile.page(emitHeadInPage(k, spec.cache, lane, layerOffset, page, head),
                emitHeadInPage(k, spec.cache, lane, layerOffset, nextPage, nextHead),
                k.mul(page, CacheLayout::pageTokens), item.rows);
    });
    tile.end(rowsAt(out, ldo, spec.cache.valueDim), k.mul(ldo, 4), item.rows);
  }

  KernelBuilder &k;
  const AttentionSpec &spec;
  const AttentionPlan plan;
  AttentionTile tile;
  Value context, thread, q, out, sinks, slopes, bias, ldq, ldo, layerOffset;
};

} // namespace

static std::string attentionName(const AttentionSpec &spec) {
  auto bits = [](float x) { return llvm::utohexstr(llvm::bit_cast<uint32_t>(x)); };
  std::string name =
      "attention_" + std::to_string(spec.heads) + "_" + nameOf(spec.cache) + "_s" + bits(spec.scale);
  if (spec.softcap > 0)
    name += "_cap" + bits(spec.softcap);
  if (spec.window > 0)
    name += "_w" + std::to_string(spec.window);
  if (spec.sinks)
    name += "_sinks";
  if (spec.alibi)
    name += "_alibi";
  if (spec.bias)
    name += "_bias" + std::to_string(spec.bias);
  if (spec.condition)
    name += "_condition";
  return name;
}

func::FuncOp pith::cpu::getOrCreateAttention(ModuleOp module, const Machine &machine,
                                             const AttentionSpec &spec) {
  unsigned pointers = 2 + spec.sinks + spec.alibi + (spec.bias > 0);
  return getOrCreateLayerKernel(module, attentionName(spec), spec.cache, pointers, 2,
                                [&](KernelBuilder &k, ArrayRef<Value> arguments, Value layerOffset) {
                                  AttentionKernel(k, machine, spec, arguments, layerOffset).build();
                                });
}
