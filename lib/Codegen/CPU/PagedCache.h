//===- PagedCache.h - lanes and pages as kernels see them -------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_CPU_PAGEDCACHE_H
#define PITH_LIB_CODEGEN_CPU_PAGEDCACHE_H

#include "KernelBuilder.h"

namespace pith::cpu {

/// One pith_exec_lane; sizes as i64.
struct Lane {
  mlir::Value firstRow, rows, past, pages;
};

mlir::Value emitLaneCount(KernelBuilder &k, mlir::Value context);
Lane emitLane(KernelBuilder &k, mlir::Value context, mlir::Value index);
/// The same lane's condition: `past` is its length, `pages` are its own.
Lane emitCondition(KernelBuilder &k, mlir::Value context, mlir::Value index);

/// Page `page` of a lane, at the keys and values of kv head `head` in the layer at `layerOffset`.
mlir::Value emitHeadInPage(KernelBuilder &k, const CacheLayout &cache, const Lane &lane,
                           mlir::Value layerOffset, mlir::Value page, mlir::Value head);

/// Keys stand in groups of 16 tokens, [headDim][16].
inline constexpr int64_t keyGroup = 16;

using kernels::elementBytes;
mlir::Type elementType(KernelBuilder &k, CacheLayout::Element element);
inline int64_t keyBytes(const CacheLayout &cache) {
  return CacheLayout::pageTokens * cache.headDim * elementBytes(cache.element);
}

/// Element and shape of a cache in a kernel's name.
std::string nameOf(const CacheLayout &cache);

/// A kernel that works on one layer's share of the pages. Layers differ in `cache.layerOffset` only: the body
/// is built once and takes the offset (its last argument, i64); each layer gets a function that passes its
/// own.
mlir::func::FuncOp getOrCreateLayerKernel(
    mlir::ModuleOp module, llvm::StringRef name, const CacheLayout &cache, unsigned pointers, unsigned sizes,
    llvm::function_ref<void(KernelBuilder &, llvm::ArrayRef<mlir::Value> arguments, mlir::Value layerOffset)>
        body);

} // namespace pith::cpu

#endif // PITH_LIB_CODEGEN_CPU_PAGEDCACHE_H
