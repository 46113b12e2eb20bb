//===- EntryManifest.h - what a file says of its entries --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_ENTRYMANIFEST_H
#define PITH_LIB_CONVERSION_COMMON_ENTRYMANIFEST_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "pith/Codegen/CPU/Kernels.h"
#include "pith/Dialect/Pith/IR/Pith.h"

namespace pith {

/// {entries = [{name, kind, inputs, outputs | vocab, max_rows}…], state = {page_tokens, page_bytes,
/// positions, condition_page_bytes}}
mlir::FailureOr<mlir::DictionaryAttr> describeEntries(mlir::ModuleOp module,
                                                      mlir::ArrayRef<mlir::func::FuncOp> entries);

/// Where a layer's cache lies in a page: states follow one another in the module's order, those of the
/// condition in pages of their own.
cpu::CacheLayout getCacheLayout(mlir::ModuleOp module, StateOp state);
/// Bytes of a page of all states of a sequence's tokens, or of its condition.
int64_t getPageBytes(mlir::ModuleOp module, bool condition);

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_ENTRYMANIFEST_H
