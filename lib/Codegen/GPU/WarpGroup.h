//===- WarpGroup.h - products of 128 threads from shared memory -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// wgmma of sm_90a: four warps multiply 64 own rows by up to 256 common ones; both operands are read from shared memory while
// the threads do other things. There a row is 128 bytes, 64 k, whose 16-byte units change places by the row's lowest three
// bits; rows follow each other, the first 1024-byte aligned.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_WARPGROUP_H
#define PITH_LIB_CODEGEN_GPU_WARPGROUP_H

#include "KernelBuilder.h"

namespace pith::gpu {

class WarpGroup {
public:
  using Value = mlir::Value;
  static constexpr int64_t rowBytes = 128, ownRows = 64;

  WarpGroup(KernelBuilder &k, Element element, int64_t commonRows) : k(k), element(element), rows(commonRows) {}

  /// Where unit `unit` of row `row` stands.
  static Value offset(KernelBuilder &k, Value row, Value unit);
  /// No sums yet, as the instruction holds them: a struct.
  Value zeros();
  /// Begins to add a product of own rows and common rows along 64 k.
  Value multiply(Value own, Value common, Value sums);
  /// Products that are under way are a group; until at most `pending` groups are.
  void commit();
  void wait(int64_t pending);
  /// Before the first product of a group.
  void begin();
  /// What this thread wrote to shared memory, the products see (behind a barrier).
  void publish();
  /// Sums as `tile.place sum` says of a team, 16 common rows after the other.
  KernelBuilder::Values unpack(Value sums);

private:
  Value descriptor(Value address);
  KernelBuilder &k;
  Element element;
  int64_t rows;
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_WARPGROUP_H
