//===- PagedCache.cpp - lanes and pages in a device's memory --------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "PagedCache.h"
#include "pith/executable.h"
#include "llvm/ADT/Twine.h"
#include <cstddef>

using namespace mlir;
using namespace pith::gpu;

Value pith::gpu::laneOf(KernelBuilder &k, Value rowLanes, Value row) {
  return k.load(k.i32, k.atWide(rowLanes, row, 4));
}

LaneFields::LaneFields(KernelBuilder &k, Value records, Value number) {
  Value lane = k.atWide(records, number, sizeof(pith_exec_lane));
  auto field = [&](size_t offset) { return k.load(k.i32, k.at(lane, int64_t(offset))); };
  firstRow = field(offsetof(pith_exec_lane, first_row));
  rows = field(offsetof(pith_exec_lane, rows));
  past = field(offsetof(pith_exec_lane, past));
  pages = k.load(k.ptr, k.at(lane, int64_t(offsetof(pith_exec_lane, pages))));
}

RowLane::RowLane(KernelBuilder &k, Value rowLanes, Value lanes, Value row) {
  LaneFields lane(k, lanes, laneOf(k, rowLanes, row));
  position = k.add(lane.past, k.sub(row, lane.firstRow));
  pages = lane.pages;
}

Value pith::gpu::headInPage(KernelBuilder &k, const CacheLayout &cache, Value pages, Value token, Value layer,
                            Value head) {
  Value page = k.load(k.ptr, k.atWide(pages, k.div(token, CacheLayout::pageTokens), 8));
  return k.at(k.atWide(page, layer, 64), k.mul(head, cache.headBytes()));
}

std::string pith::gpu::nameOf(const CacheLayout &cache) {
  return (nameOf(cache.element) + "_" + Twine(cache.kvHeads) + "x" + Twine(cache.headDim) + "x" +
          Twine(cache.valueDim))
      .str();
}
