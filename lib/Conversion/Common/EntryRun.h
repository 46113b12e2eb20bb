//===- EntryRun.h - the code of an entry beside its sizes -------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_ENTRYRUN_H
#define PITH_LIB_CONVERSION_COMMON_ENTRYRUN_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"
#include "pith/Dialect/Pith/IR/Pith.h"

namespace pith {

/// How many of a bufferized entry's arguments are inputs; -1: it is not bufferized.
int64_t inputsOf(mlir::func::FuncOp entry);

/// Divides a bufferized entry in two: itself, which keeps the arithmetic that gives the sizes it returns, and
/// `@entry_run(%ctx: !llvm.ptr, %thread: i32, buffers…)` with all that it did. Null, after a diagnostic, for
/// others.
mlir::func::FuncOp separateRun(mlir::func::FuncOp entry, mlir::SymbolTable &symbols);

/// The address of a buffer's first element, i64.
mlir::Value startOf(mlir::OpBuilder &b, mlir::Location loc, mlir::Value buffer);

/// What a kernel's declaration says of it; null, after a diagnostic, where that is no dictionary.
mlir::DictionaryAttr specOf(mlir::func::FuncOp kernel);

/// Replaces a launch by a call of its function with the context, the thread, pointers to the buffers, then
/// the sizes given, then the row strides that the kernel asks for.
mlir::LogicalResult callKernel(LaunchOp op, mlir::SymbolTable &symbols, mlir::Value context,
                               mlir::Value thread);

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_ENTRYRUN_H
