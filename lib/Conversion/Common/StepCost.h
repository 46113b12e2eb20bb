//===- StepCost.h - what a token of a step reads and multiplies -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_STEPCOST_H
#define PITH_LIB_CONVERSION_COMMON_STEPCOST_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "pith/Dialect/Pith/IR/Pith.h"

namespace pith {

/// Notes on the module (`pith.model`, which goes into the manifest) the bytes of weights and the
/// multiply-adds of the step's linears: for each new row, and for each row of logits on top.
void noteStepCost(mlir::ModuleOp module, mlir::func::FuncOp step);

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_STEPCOST_H
