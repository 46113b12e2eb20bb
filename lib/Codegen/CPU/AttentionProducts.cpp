//===- AttentionProducts.cpp - q · k and p · v in registers ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both products read their 64 keys or values once per micro tile, in order, and ask for the same bytes of the
// next page meanwhile: one prefetch per 64-byte line. Decode runs at the speed of these prefetches.
//
//===----------------------------------------------------------------------===//
#include "AttentionTile.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::cpu;

/// Into L2, not L1: a prefetch to L1 holds one of its few miss buffers until memory answers, and a page ahead
/// is too many lines for them (measured on Zen 4: 14 GB/s against 25).
static void prefetchLines(KernelBuilder &k, Value address, int64_t bytes) {
  for (int64_t line = 0; line < bytes; line += 64)
    LLVM::Prefetch::create(k.b, k.loc, k.at(address, line), /*rw=*/0, /*hint=*/2, /*cache=*/1);
}

void AttentionTile::scores(const Micro &m) {
  const int64_t headDim = spec.cache.headDim, lanes = plan.lanes;
  // As many vectors of keys as give every query its accumulators, but whole groups, and a divisor of the
  // page.
  int64_t vectors = CacheLayout::pageTokens / lanes;
  while (vectors * lanes > keyGroup && vectors * m.queries > plan.registers)
    vectors /= 2;
  const int64_t step = vectors * lanes;
  const int64_t unroll = vectors * m.queries >= 16 ? 2 : 4;
  const int64_t main = headDim / unroll * unroll;
  Value query = queryAt(m.first);

  auto someKeys = [&](Value key) {
    Value offset = k.mul(key, headDim * elementSize);
    Value keys = k.at(m.keys, offset), prefetch = k.at(m.prefetch, offset);
    auto channel = [&](Value keysOfChannel, Value queryChannel, KernelBuilder::Values &sums) {
      KernelBuilder::Values loaded;
      for (int64_t v = 0; v < vectors; ++v) {
        int64_t group = v * lanes / keyGroup, inGroup = v * lanes % keyGroup;
        Value address = k.at(keysOfChannel, (group * keyGroup * headDim + inGroup) * elementSize);
        loaded.push_back(k.toF32(k.load(k.vec(lanes, element), address)));
      }
      for (int64_t q = 0; q < m.queries; ++q) {
        Value x = k.splat(k.load(k.f32, k.at(queryChannel, q * headDim * 4)), lanes);
        for (int64_t v = 0; v < vectors; ++v) {
          Value &sum = sums[q * vectors + v];
          sum = k.fma(loaded[v], x, sum);
        }
      }
    };
    auto channels = [&](Value d, int64_t count, KernelBuilder::Values &sums) {
      Value keysOfChannel = k.at(keys, k.mul(d, keyGroup * elementSize)),
            queryChannel = k.at(query, k.mul(d, 4));
      for (int64_t i = 0; i < count; ++i)
        channel(k.at(keysOfChannel, i * keyGroup * elementSize), k.at(queryChannel, i * 4), sums);
      prefetchLines(k, k.at(prefetch, k.mul(d, step * elementSize)), count * step * elementSize);
    };

    KernelBuilder::Values sums(m.queries * vectors, k.constant(vector(), 0));
    if (main > 0)
      sums = k.loop(k.index(0), k.index(main), unroll, sums, [&](Value d, ArrayRef<Value> carried) {
        KernelBuilder::Values next(carried);
        channels(d, unroll, next);
        return next;
      });
    if (main < headDim)
      channels(k.index(main), headDim - main, sums);
    for (int64_t q = 0; q < m.queries; ++q)
      for (int64_t v = 0; v < vectors; ++v)
        k.store(sums[q * vectors + v],
                k.at(k.at(weights, k.mul(key, 4)), (q * CacheLayout::pageTokens + v * lanes) * 4));
  };

  if (step == CacheLayout::pageTokens)
    return someKeys(k.index(0));
  k.loop(k.sub(m.from, k.rem(m.from, step)), m.to, step, someKeys);
}

void AttentionTile::values(const Micro &m) {
  const int64_t lanes = plan.lanes, valueDim = spec.cache.valueDim;
  const int64_t all = llvm::divideCeil(valueDim, lanes), tail = valueDim % lanes;
  const int64_t most = std::max<int64_t>(1, plan.registers / m.queries);
  const int64_t chunk = llvm::divideCeil(all, llvm::divideCeil(all, most));
  const int64_t whole = valueDim / lanes / chunk;
  if (whole == 1)
    valueColumns(m, k.index(0), chunk, lanes);
  else if (whole > 1)
    k.loop(k.index(0), k.index(whole * chunk * lanes), chunk * lanes,
           [&](Value column) { valueColumns(m, column, chunk, lanes); });
  if (whole * chunk < all)
    valueColumns(m, k.index(whole * chunk * lanes), all - whole * chunk, tail ? tail : lanes);
}

void AttentionTile::valueColumns(const Micro &m, Value column, int64_t vectors, int64_t lastCount) {
  const int64_t lanes = plan.lanes, rowBytes = spec.cache.valueDim * elementSize;
  const int64_t unroll = m.queries * vectors > 8 ? 1 : 4;
  Value start = k.add(k.mul(column, elementSize), keyBytes(spec.cache));
  Value values = k.at(m.keys, start), prefetch = k.at(m.prefetch, start);
  Value sumColumn = k.at(sumAt(m.first), k.mul(column, 4));
  auto sumAddress = [&](int64_t q, int64_t v) {
    return k.at(sumColumn, (q * plan.valueStride + v * lanes) * 4);
  };

  KernelBuilder::Values acc;
  for (int64_t q = 0; q < m.queries; ++q) {
    Value factor = k.splat(k.load(k.f32, k.at(factors, q * 4)), lanes);
    for (int64_t v = 0; v < vectors; ++v)
      acc.push_back(k.fmul(k.load(vector(), sumAddress(q, v)), factor));
  }

  // The last vector of a row is read no further than the row: behind the last row the page may end.
  auto load = [&](Value address, int64_t v) {
    if (v + 1 < vectors || lastCount == lanes)
      return k.toF32(k.load(k.vec(lanes, element), k.at(address, v * lanes * elementSize)));
    Value part = k.toF32(k.load(k.vec(lastCount, element), k.at(address, v * lanes * elementSize)));
    SmallVector<int64_t> order(lanes, lastCount);
    for (int64_t lane = 0; lane < lastCount; ++lane)
      order[lane] = lane;
    Value zeros = k.constant(part.getType(), 0);
    return Value(vector::ShuffleOp::create(k.b, k.loc, part, zeros, order));
  };
  auto rows = [&](Value key, int64_t count, ArrayRef<Value> carried) {
    KernelBuilder::Values next(carried);
    Value row = k.mul(key, rowBytes), weight = k.at(weights, k.mul(key, 4));
    for (int64_t i = 0; i < count; ++i) {
      Value address = k.at(k.at(values, row), i * rowBytes);
      KernelBuilder::Values loaded;
      for (int64_t v = 0; v < vectors; ++v)
        loaded.push_back(load(address, v));
      prefetchLines(k, k.at(k.at(prefetch, row), i * rowBytes),
                    ((vectors - 1) * lanes + lastCount) * elementSize);
      for (int64_t q = 0; q < m.queries; ++q) {
        Value p = k.splat(k.load(k.f32, k.at(weight, (q * CacheLayout::pageTokens + i) * 4)), lanes);
        for (int64_t v = 0; v < vectors; ++v)
          next[q * vectors + v] = k.fma(loaded[v], p, next[q * vectors + v]);
      }
    }
    return next;
  };
  // Only keys that a row sees: a weight of zero would not make a NaN harmless.
  Value middle = k.sub(m.to, k.rem(k.sub(m.to, m.from), unroll));
  acc =
      k.loop(m.from, middle, unroll, acc, [&](Value key, ArrayRef<Value> c) { return rows(key, unroll, c); });
  if (unroll > 1)
    acc = k.loop(middle, m.to, 1, acc, [&](Value key, ArrayRef<Value> c) { return rows(key, 1, c); });
  for (int64_t q = 0; q < m.queries; ++q)
    for (int64_t v = 0; v < vectors; ++v)
      k.store(acc[q * vectors + v], sumAddress(q, v));
}
