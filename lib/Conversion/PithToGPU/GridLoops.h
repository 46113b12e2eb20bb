//===- GridLoops.h - loops as kernels ---------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_PITHTOGPU_GRIDLOOPS_H
#define PITH_LIB_CONVERSION_PITHTOGPU_GRIDLOOPS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"

namespace pith {

/// Parallel loops as kernels, one thread per iteration, each with a host function `(%ctx: !llvm.ptr, %thread:
/// i32, captured…)` that starts it. Equal loops are one kernel.
class GridOutliner {
public:
  GridOutliner(mlir::ModuleOp module, mlir::SymbolTable &symbols) : module(module), symbols(symbols) {}
  /// Replaces the loop by a call. Fails, with a diagnostic, on what a kernel cannot do.
  mlir::LogicalResult outline(mlir::scf::ParallelOp loop, mlir::Value context, mlir::Value thread);

private:
  mlir::ModuleOp module;
  mlir::SymbolTable &symbols;
  llvm::StringMap<mlir::gpu::GPUFuncOp> kernels; // by their text
  llvm::StringMap<mlir::func::FuncOp> hosts;     // by that and what they take
};

} // namespace pith

#endif // PITH_LIB_CONVERSION_PITHTOGPU_GRIDLOOPS_H
