//===- TeamCalls.h - what a team asks the runtime for -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_TEAMCALLS_H
#define PITH_LIB_CONVERSION_COMMON_TEAMCALLS_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace pith {

/// A dense row-major buffer as MLIR describes one.
mlir::Value describeBuffer(mlir::OpBuilder &b, mlir::Location loc, mlir::MemRefType type, mlir::Value data,
                           mlir::ArrayRef<mlir::Value> dims);

/// Loads a field of `pith_exec_context`.
mlir::Value loadField(mlir::OpBuilder &b, mlir::Location loc, mlir::Value context, int64_t offset,
                      mlir::Type type);

/// Waits for the other threads.
void callBarrier(mlir::OpBuilder &b, mlir::Location loc, mlir::Value context, mlir::Value thread);

/// Whether every thread makes this call together: an allocation, its release, an output's memory, a check.
/// Such a call separates what stands before it from what follows, as a barrier does.
bool isTeamCall(mlir::Operation *op);

/// Replaces it by the call of the runtime.
void lowerTeamCall(mlir::Operation *op, mlir::Value context, mlir::Value thread);

/// Whether a loop or a branch is taken by the whole team at once: there is work in it that the team divides,
/// or does together. Otherwise thread 0 runs it, or each thread for itself.
bool isTeamRegion(mlir::Operation *op);

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_TEAMCALLS_H
