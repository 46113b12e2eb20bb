//===- LinearPrologue.h - activations as linear tiles read them -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_CPU_LINEARPROLOGUE_H
#define PITH_LIB_CODEGEN_CPU_LINEARPROLOGUE_H

#include "LinearTile.h"

namespace pith::cpu {

/// Writes one row of activations, normalized, padded and (for int8) quantized, to `out`.
class LinearPrologue {
public:
  using Value = mlir::Value;
  LinearPrologue(KernelBuilder &k, const Machine &machine, const LinearSpec &spec, const PanelShape &shape,
                 const ActivationRow &row, Value normScale, Value normBias)
      : k(k), machine(machine), spec(spec), shape(shape), row(row), normScale(normScale), normBias(normBias) {
  }

  void prepare(Value x, Value out);

private:
  using Values = KernelBuilder::Values;
  /// Columns [begin, begin + count) in vectors of 16; the last one may be short, `mask` is null for whole
  /// vectors.
  Values overColumns(Value begin, int64_t count, Values carried,
                     llvm::function_ref<void(Value column, Value mask, Values &carried)> body);
  Value loadColumns(Value base, Value column, Value mask);
  void computeStatistics(Value x);
  Value normalized(Value x, Value column, Value mask);
  void copyRow(Value x, Value out);
  void quantizeBlock(Value x, Value out, Value block, int64_t columns);

  KernelBuilder &k;
  const Machine &machine;
  const LinearSpec &spec;
  const PanelShape &shape;
  const ActivationRow &row;
  Value normScale, normBias;
  Value mean, inverse; // of the row at hand, as vectors
};

} // namespace pith::cpu

#endif // PITH_LIB_CODEGEN_CPU_LINEARPROLOGUE_H
