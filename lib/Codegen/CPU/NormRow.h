//===- NormRow.h - the normalization of one row -----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_CPU_NORMROW_H
#define PITH_LIB_CODEGEN_CPU_NORMROW_H

#include "KernelBuilder.h"

namespace pith::cpu {

/// Builds out[:] = norm(x)[:] for one row; a plain copy with Norm::None.
class NormRow {
public:
  NormRow(KernelBuilder &k, const NormSpec &spec, int64_t lanes);
  void build(mlir::Value x, mlir::Value scale, mlir::Value bias, mlir::Value out);

private:
  using Value = mlir::Value;
  using Step = llvm::function_ref<Value(Value sum, Value v, bool partial)>;
  Value sumOver(Value x, Step step);
  void overColumns(llvm::function_ref<void(Value bytes, Value mask)> body);

  KernelBuilder &k;
  const NormSpec &spec;
  int64_t lanes, whole;
  Value tail;
};

} // namespace pith::cpu

#endif // PITH_LIB_CODEGEN_CPU_NORMROW_H
