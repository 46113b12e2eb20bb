//===- Attended.cpp - the tokens that rows attend to ----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Attended.h"
#include "PagedCache.h"
#include <numeric>

using namespace mlir;
using namespace pith::gpu;

Attended::Attended(KernelBuilder &k, const AttentionSpec &spec, const AttentionArguments &a, Value row)
    : spec(&spec), a(&a) {
  if (spec.tensors) {
    sequence = k.div(row, a.queries);
    firstRow = k.mul(sequence, a.queries);
    rows = a.queries;
    tokens = a.tokens;
    past = k.sub(a.tokens, a.queries);
    return;
  }
  Value number = laneOf(k, a.rowLanes, row);
  LaneFields lane(k, a.lanes, number);
  firstRow = lane.firstRow;
  rows = lane.rows;
  past = lane.past;
  pages = lane.pages;
  if (spec.condition) {
    LaneFields condition(k, a.conditions, number);
    tokens = condition.past;
    pages = condition.pages;
  }
}

Value Attended::positionOf(KernelBuilder &k, Value row) const { return k.add(past, k.sub(row, firstRow)); }

Value Attended::endOf(KernelBuilder &k, Value row) const {
  bool all = spec->condition || (spec->tensors && !spec->causal);
  return all ? tokens : k.add(positionOf(k, row), 1);
}

Value Attended::beginOf(KernelBuilder &k, Value row) const {
  return spec->window > 0 ? k.maximum(k.sub(k.add(positionOf(k, row), 1), spec->window), 0) : k.index(0);
}

Attended::Run Attended::from(KernelBuilder &k, Value token, Value kvHead, Value end) const {
  const CacheLayout &cache = spec->cache;
  if (!spec->tensors) {
    Value present = end ? k.minimum(token, k.sub(end, 1)) : token;
    Value head = headInPage(k, cache, pages, present, a->layer, kvHead);
    return {head, k.at(head, valuesOffset(cache)), k.rem(token, CacheLayout::pageTokens)};
  }
  Value first = k.mul(k.zext(sequence, k.i64), k.zext(tokens, k.i64));
  auto headOf = [&](Value base, Value stride, int64_t width) {
    Value row = k.mul(first, k.zext(stride, k.i64)), column = k.zext(k.mul(kvHead, width), k.i64);
    return k.at(base, k.mul(k.add(row, column), elementBytes(cache.element)));
  };
  return {headOf(a->keys, a->ldk, cache.headDim), headOf(a->values, a->ldv, cache.valueDim), token};
}

Value Attended::place(KernelBuilder &k, Value base, Value slot, Value offset, int64_t width,
                      Value stride) const {
  int64_t bytes = elementBytes(spec->cache.element);
  if (offset)
    slot = k.add(slot, offset);
  if (!spec->tensors)
    return k.at(base, k.mul(slot, width * bytes));
  // A page has 64 places whatever is in them; a tensor ends.
  Value row = k.zext(k.minimum(slot, k.sub(tokens, 1)), k.i64);
  return k.at(base, k.mul(k.mul(row, k.zext(stride, k.i64)), bytes));
}

Value Attended::key(KernelBuilder &k, const Run &run, Value offset) const {
  return place(k, run.keys, run.slot, offset, spec->cache.headDim, a->ldk);
}

Value Attended::value(KernelBuilder &k, const Run &run, Value offset) const {
  return place(k, run.values, run.slot, offset, spec->cache.valueDim, a->ldv);
}

/// Tensors may be columns of one projection, keys and values behind one another.
static int64_t alignOf(const pith::gpu::AttentionSpec &spec, int64_t width, int64_t wanted) {
  const CacheLayout &cache = spec.cache;
  int64_t step = spec.tensors ? std::gcd(cache.headDim, cache.valueDim) : width;
  return alignmentOf(step * elementBytes(cache.element), wanted);
}

int64_t Attended::keyAlign(int64_t wanted) const { return alignOf(*spec, spec->cache.headDim, wanted); }
int64_t Attended::valueAlign(int64_t wanted) const { return alignOf(*spec, spec->cache.valueDim, wanted); }
