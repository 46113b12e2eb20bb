//===- TeamLoops.h - loops that the team divides ----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_PITHTOCPU_TEAMLOOPS_H
#define PITH_LIB_CONVERSION_PITHTOCPU_TEAMLOOPS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"

namespace pith {

/// Loops as functions `(%ctx: !llvm.ptr, %thread: i32, captured…)` that compute one thread's share. Equal
/// loops are one function.
class LoopOutliner {
public:
  LoopOutliner(mlir::ModuleOp module, mlir::SymbolTable &symbols) : module(module), symbols(symbols) {}
  /// Replaces the loop by a call.
  void outline(mlir::scf::ParallelOp loop, mlir::Value context, mlir::Value thread);

private:
  mlir::func::FuncOp build(mlir::scf::ParallelOp loop, mlir::ArrayRef<mlir::Value> captured);

  mlir::ModuleOp module;
  mlir::SymbolTable &symbols;
  llvm::StringMap<mlir::func::FuncOp> known;
};

} // namespace pith

#endif // PITH_LIB_CONVERSION_PITHTOCPU_TEAMLOOPS_H
