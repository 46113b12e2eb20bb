//===- AttentionTile.h - queries against pages of keys ----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile is a few rows of one lane with all query heads of one kv head. Its queries stand in memory one after
// the other, row by row: query t is head t % heads of row t / heads. The tile reads the lane's pages once, 64
// keys at a time; within a page its queries go in micro tiles that fill the registers:
//
//   scores  s[q][key] = q · k, key vectors × broadcast queries (keys are stored so that 16 of them are one
//   load) softmax s -> 2^(s - m), running maximum m, running sum l and the factor 2^(m - m') per query values
//   acc[q][:] = acc[q][:] * factor + sum over keys of s[q][key] * v[key][:]
//
// The order of every sum depends on the query and its keys only, never on the tile: a row gives the same bits
// alone, in a batch, and in any chunk of its prompt.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_CPU_ATTENTIONTILE_H
#define PITH_LIB_CODEGEN_CPU_ATTENTIONTILE_H

#include "PagedCache.h"

namespace pith::cpu {

/// Sizes fixed when the kernel is built.
struct AttentionPlan {
  AttentionPlan(const Machine &machine, const AttentionSpec &spec);

  int64_t lanes;       // f32 in a vector
  int64_t registers;   // accumulators that a micro tile may hold
  int64_t group;       // query heads of a kv head
  int64_t headSplit;   // heads of one micro tile; `heads` is a multiple, the last ones may be padding
  int64_t heads;       // group, padded
  int64_t microRows;   // rows of a large micro tile; 1: there is only the small one
  int64_t tileRows;    // a multiple of microRows
  int64_t valueStride; // valueDim rounded up to whole vectors
  int64_t queries() const { return tileRows * heads; }
};

class AttentionTile {
public:
  /// Reserves the tile's memory on the stack: call at the kernel's start.
  AttentionTile(KernelBuilder &k, const AttentionSpec &spec, const AttentionPlan &plan);

  /// Where a tile's rows stand. `position` is that of the first row.
  struct Rows {
    mlir::Value count, position; // of a condition, all rows have the position of its end
  };
  /// What is added to scores, each at the tile's first head, or null.
  struct Extras {
    mlir::Value sinks, slopes, bias;
  };
  /// q at the tile's first row and first head, scaled into the tile's memory.
  void begin(mlir::Value q, mlir::Value rowBytes, const Rows &rows, const Extras &extras);
  /// One page, `keys` at its first key. `next` is where the next page read will be, for prefetching.
  void page(mlir::Value keys, mlir::Value next, mlir::Value firstToken, const Rows &rows);
  /// The finished rows to `out`.
  void end(mlir::Value out, mlir::Value rowBytes, const Rows &rows);

private:
  /// Some queries of one page: `rows` rows (a constant) with `queries / rows` heads each, from query `first`
  /// on.
  struct Micro {
    int64_t rows, queries;
    mlir::Value first, position; // of its first row
    mlir::Value keys, prefetch;  // both at a page's first key
    mlir::Value firstToken;      // the page's
    mlir::Value from, to;        // keys of the page that any of its rows sees
  };
  void micro(int64_t rows, mlir::Value row, mlir::Value keys, mlir::Value next, mlir::Value firstToken,
             mlir::Value position);
  void scores(const Micro &m);
  void softmax(const Micro &m);
  void addBias(mlir::Value query, mlir::Value distance, KernelBuilder::Values &scores);
  mlir::Value masked(mlir::Value score, mlir::Value low, mlir::Value high, int64_t firstKey);
  void values(const Micro &m);
  void valueColumns(const Micro &m, mlir::Value column, int64_t vectors, int64_t lastCount);
  void forHeads(const Rows &rows,
                llvm::function_ref<void(mlir::Value row, mlir::Value head, mlir::Value query)> body);

  mlir::Value queryAt(mlir::Value query) { return k.at(queries, k.mul(query, spec.cache.headDim * 4)); }
  mlir::Value sumAt(mlir::Value query) { return k.at(sums, k.mul(query, plan.valueStride * 4)); }
  mlir::Value weightAt(mlir::Value query) { return k.at(weights, k.mul(query, CacheLayout::pageTokens * 4)); }
  mlir::VectorType vector() { return k.vec(plan.lanes, k.f32); }

  KernelBuilder &k;
  const AttentionSpec &spec;
  const AttentionPlan &plan;
  mlir::Type element;
  int64_t elementSize;
  mlir::Value queries;      // [queries][headDim]
  mlir::Value sums;         // [queries][valueStride]
  mlir::Value weights;      // [queries of a micro tile][64]
  mlir::Value maxima;       // [queries]
  mlir::Value denominators; // [queries][lanes], to be added up
  mlir::Value factors;      // [queries of a micro tile]
  mlir::Value slopesLog2;   // [queries]
  mlir::Value bias;         // [heads][biasStride], of the tile that was begun
};

} // namespace pith::cpu

#endif // PITH_LIB_CODEGEN_CPU_ATTENTIONTILE_H
