//===- WarpGroup.h - products of 128 threads by wgmma -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// wgmma of sm_90a: four warps multiply 64 own rows by up to 256 common ones, 16 k at a time, while the threads do other
// things. Own rows are in registers: warp w of the group has rows 16w to 16w + 15, its lane l of them rows l / 4 and l / 4 + 8
// and of the k the places 2 (l % 4) and + 1, + 8 and + 9. Common rows are read from shared memory, where a row is 128 bytes,
// 64 k, whose 16-byte units change places by the row's lowest three bits; rows follow each other, the first 1024-byte aligned.
//
// With `columns`, common rows are neighbours there instead: a row of 128 bytes has 64 of them for one k.
//
// An instruction begins and others must not touch its registers until it has ended. So what orders them takes the registers
// through itself: nothing else can be moved past it.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_WARPGROUP_H
#define PITH_LIB_CODEGEN_GPU_WARPGROUP_H

#include "KernelBuilder.h"

namespace pith::gpu {

class WarpGroup {
public:
  using Value = mlir::Value;
  using Values = KernelBuilder::Values;
  static constexpr int64_t rowBytes = 128, ownRows = 64, threads = 128, stepK = 16, stepWords = 4;

  WarpGroup(KernelBuilder &k, Element element, int64_t commonRows, bool columns = false)
      : k(k), element(element), rows(commonRows), columns(columns) {}

  /// Where unit `unit` of common row `row` stands.
  static Value offset(KernelBuilder &k, Value row, Value unit);
  /// Common rows at an address, for `multiply`; `step` steps of 16 k further on. With columns, every 64 of them have `depth`
  /// rows of 128 bytes.
  Value descriptor(Value address, int64_t depth = 0);
  Value atStep(Value descriptor, int64_t step) {
    return k.add(descriptor, step * stepK * (columns ? rowBytes : 2) / 16);
  }
  /// No sums yet, as the instruction holds them: a struct of rows / 2 f32. Sum 4c + 2p + e is own row l / 4 + 8p and common
  /// row 8c + 2 (l % 4) + e.
  Value zeros();
  /// Own operands (i32, any number of them), which products may use now.
  Values begin(llvm::ArrayRef<Value> own);
  /// The same for sums that something else has written.
  Value begin(Value sums);
  /// Begins to add a product along 16 k. `own`: words of rows l / 4, + 8, and again for the upper 8 places of k. `fresh`: the
  /// sums before count as zeros.
  Value multiply(llvm::ArrayRef<Value> own, Value common, Value sums, bool fresh = false);
  /// Products that are under way are a group; until at most `pending` groups are.
  void commit();
  void wait(int64_t pending);
  /// The sums when all has ended.
  Value finish(Value sums);

private:
  Value through(llvm::StringRef text, mlir::Type type, char kind, llvm::ArrayRef<Value> values);
  mlir::Type sumsType() const;
  Values elements(Value sums);
  KernelBuilder &k;
  Element element;
  int64_t rows;
  bool columns;
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_WARPGROUP_H
