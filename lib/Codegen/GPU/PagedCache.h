//===- PagedCache.h - lanes and pages in a device's memory ------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The device has a copy of the step's pith_exec_lane records, whose `pages` are device addresses of arrays of
// device addresses, and for each row of the batch the number of its lane (i32).
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_PAGEDCACHE_H
#define PITH_LIB_CODEGEN_GPU_PAGEDCACHE_H

#include "KernelBuilder.h"

namespace pith::gpu {

/// A sequence's record in `lanes` or in `conditions`.
struct LaneFields {
  LaneFields(KernelBuilder &k, mlir::Value records, mlir::Value number);
  mlir::Value firstRow, rows, past, pages;
};

/// The number of the sequence that a row belongs to.
mlir::Value laneOf(KernelBuilder &k, mlir::Value rowLanes, mlir::Value row);

/// The sequence that a row belongs to, seen from the row.
struct RowLane {
  RowLane(KernelBuilder &k, mlir::Value rowLanes, mlir::Value lanes, mlir::Value row);
  mlir::Value position; // of the row's token in its sequence
  mlir::Value pages;
};

/// One kv head's keys of one layer in the page with token `token`; `layer` is the layer's offset / 64. The
/// values stand valuesOffset(cache) behind.
mlir::Value headInPage(KernelBuilder &k, const CacheLayout &cache, mlir::Value pages, mlir::Value token,
                       mlir::Value layer, mlir::Value head);

inline int64_t valuesOffset(const CacheLayout &cache) {
  return CacheLayout::pageTokens * cache.headDim * elementBytes(cache.element);
}

/// "f16_8x128x128"
std::string nameOf(const CacheLayout &cache);

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_PAGEDCACHE_H
