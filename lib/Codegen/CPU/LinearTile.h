//===- LinearTile.h - rows × panels of a linear layer in registers -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_CPU_LINEARTILE_H
#define PITH_LIB_CODEGEN_CPU_LINEARTILE_H

#include "KernelBuilder.h"
#include "LinearPanel.h"

namespace pith::cpu {

/// One row of activations as the tiles read it: f32, or int8 with a scale and a start value per block. The
/// start value is minus the zero point times the block's sum (times 1 where the layout has zero points), so
/// that start + sum of code * x is the sum of (code - zero) * x.
struct ActivationRow {
  ActivationRow() = default;
  ActivationRow(const PanelShape &shape, bool int8);
  bool int8 = false;
  int64_t scales = 0, starts = 0; // byte offsets: f32 and i32 per block
  int64_t bytes = 0;              // from one row to the next
};

/// The zero point that the dot product instruction of this machine sees for a layout without zero points, and
/// how much it differs from the stored one. AVX2 alone multiplies signed weights, 128 less than the stored
/// ones.
int64_t storedZeroBias(const Machine &machine, const PanelShape &shape);

class LinearTile {
public:
  LinearTile(KernelBuilder &k, const Machine &machine, const PanelShape &shape, const ActivationRow &row)
      : k(k), machine(machine), shape(shape), row(row) {}

  /// The order in which products are added up. Few sums need several chains each to hide the latency of an
  /// addition; tiles of one order give a row the same bits whatever their number of rows.
  struct Order {
    int64_t chains;    // of every sum in f32
    bool scaleWeights; // integers: scaled one by one, instead of the block's sum
    static Order fastest(int64_t rows, int64_t panels);
  };

  /// Sums for `rows` rows from address `x` on, `rowBytes` apart, and the panels at `panels`: rows * panels
  /// vectors of 16 f32, row by row. `stream` is for weights that come from memory: it prefetches them.
  KernelBuilder::Values sums(int64_t rows, llvm::ArrayRef<mlir::Value> panels, mlir::Value x,
                             int64_t rowBytes, bool stream, Order order);

private:
  using Value = mlir::Value;
  using Values = KernelBuilder::Values;
  /// Everything a block of K needs: addresses of its scales, zeros and lines, one of each per panel.
  struct Block {
    int64_t lines;
    Values scales, zeros, lineAddresses;
    Value x, xScales, xStarts;
  };
  struct Shape {
    int64_t rows, panels, rowBytes;
    bool stream;
    Order order;
  };
  using Step = llvm::function_ref<void(llvm::ArrayRef<Value> lines, Value x, int64_t index, Values &sums)>;

  Values overLines(int64_t lines, llvm::ArrayRef<Value> addresses, Value x, Values sums, Step step);
  Values overBlocks(llvm::ArrayRef<Value> panels, Value x, Values sums,
                    llvm::function_ref<Values(const Block &, Values)> body);
  Block blockAt(int64_t b, llvm::ArrayRef<Value> groups, Value x, Value xScales, Value xStarts);
  Values floatSums(llvm::ArrayRef<Value> panels, Value x);
  Values exactBlock(const Block &block, Values sums);
  Values int8Block(const Block &block, Values sums);
  void multiplyLine(llvm::ArrayRef<Values> weights, Value x, int64_t index, int64_t chains, Values &sums);
  Values expand(Value line);
  Values expandHalves(Value line);
  Values expandCodes(Value line);
  Value dot(Value sum, Value codes, Value x);
  Value scalesAt(Value address);
  void touch(Value line);

  KernelBuilder &k;
  const Machine &machine;
  const PanelShape &shape;
  const ActivationRow &row;
  Shape tile = {};
};

} // namespace pith::cpu

#endif // PITH_LIB_CODEGEN_CPU_LINEARTILE_H
