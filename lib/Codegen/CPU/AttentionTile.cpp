//===- AttentionTile.cpp - queries against pages of keys ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The tile: its plan, its memory, the way through a page, softmax. The two products are in
// AttentionProducts.cpp.
//
//===----------------------------------------------------------------------===//
#include "AttentionTile.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::cpu;

static constexpr double log2e = 1.44269504088896340736;
/// Below every score, and finite: a page that a query does not see leaves factor 1 and weights 0, never inf -
/// inf.
static constexpr double noMaximum = -1e30;

AttentionPlan::AttentionPlan(const Machine &machine, const AttentionSpec &spec) {
  // 32 zmm: 24 accumulators, the rest for keys or values and temporaries. 16 ymm: 12.
  bool wide = machine.vectorBytes == 64;
  lanes = machine.vectorBytes / 4;
  registers = wide ? 24 : 12;
  group = spec.heads / spec.cache.kvHeads;
  // Scores of a micro tile take at least two vectors of keys per query; see AttentionTile::scores.
  int64_t mostHeads = wide ? 8 : 6;
  headSplit = llvm::divideCeil(group, llvm::divideCeil(group, mostHeads));
  heads = llvm::alignTo(group, headSplit);
  microRows = heads == headSplit ? std::max<int64_t>(1, 6 / headSplit) : 1;
  // 32 queries share each page that comes from L2 or beyond, and their state stays in L1 and L2.
  tileRows = std::max<int64_t>(1, 32 / heads / microRows) * microRows;
  valueStride = llvm::alignTo(spec.cache.valueDim, lanes);
}

AttentionTile::AttentionTile(KernelBuilder &k, const AttentionSpec &spec, const AttentionPlan &plan)
    : k(k), spec(spec), plan(plan), element(elementType(k, spec.cache.element)),
      elementSize(elementBytes(spec.cache.element)) {
  int64_t all = plan.queries(), some = plan.microRows * plan.headSplit;
  queries = k.stackBuffer(all * spec.cache.headDim * 4);
  sums = k.stackBuffer(all * plan.valueStride * 4);
  weights = k.stackBuffer(some * CacheLayout::pageTokens * 4);
  maxima = k.stackBuffer(all * 4);
  denominators = k.stackBuffer(all * plan.lanes * 4);
  factors = k.stackBuffer(some * 4);
  if (spec.alibi)
    slopesLog2 = k.stackBuffer(all * 4);
}

//===----------------------------------------------------------------------===//
// Begin and end
//===----------------------------------------------------------------------===//

void AttentionTile::forHeads(const Rows &rows,
                             llvm::function_ref<void(Value row, Value head, Value query)> body) {
  k.loop(k.index(0), rows.count, 1, [&](Value row) {
    k.loop(k.index(0), k.index(plan.group), 1,
           [&](Value head) { body(row, head, k.add(k.mul(row, plan.heads), head)); });
  });
}

/// body(offset, mask) over `count` floats in vectors; the mask is null but for a last partial one.
static void overVectors(KernelBuilder &k, int64_t count, int64_t lanes,
                        llvm::function_ref<void(Value bytes, Value mask)> body) {
  int64_t whole = count / lanes * lanes;
  if (whole > 0)
    k.loop(k.index(0), k.index(whole * 4), lanes * 4, [&](Value bytes) { body(bytes, Value()); });
  if (whole < count)
    body(k.index(whole * 4), k.firstLanes(lanes, k.index(count - whole)));
}

void AttentionTile::begin(Value q, Value rowBytes, const Rows &rows, const Extras &extras) {
  const CacheLayout &cache = spec.cache;
  bias = extras.bias;
  // Scores come out in powers of two, or as the argument of softcap's tanh.
  Value factor = k.constant(vector(), spec.softcap > 0 ? spec.scale / spec.softcap : spec.scale * log2e);
  auto empty = [&](Value query) {
    overVectors(k, plan.valueStride, plan.lanes,
                [&](Value bytes, Value) { k.store(k.constant(vector(), 0), k.at(sumAt(query), bytes)); });
  };
  auto setState = [&](Value query, Value maximum, Value denominator) {
    k.store(maximum, k.at(maxima, k.mul(query, 4)));
    k.store(denominator, k.at(denominators, k.mul(query, plan.lanes * 4)));
  };
  Value zeros = k.constant(vector(), 0);
  forHeads(rows, [&](Value row, Value head, Value query) {
    Value from = k.at(q, k.add(k.mul(row, rowBytes), k.mul(head, cache.headDim * 4))), to = queryAt(query);
    overVectors(k, cache.headDim, plan.lanes, [&](Value bytes, Value mask) {
      Value address = k.at(from, bytes), target = k.at(to, bytes);
      if (mask)
        k.maskedStore(k.fmul(k.maskedLoad(vector(), address, mask), factor), target, mask);
      else
        k.store(k.fmul(k.load(vector(), address), factor), target);
    });
    empty(query);
    if (spec.sinks) {
      // A sink is a key with that score and no value.
      Value sink = k.fmul(k.load(k.f32, k.at(extras.sinks, k.mul(head, 4))), k.constant(k.f32, log2e));
      setState(query, k.fmax(sink, k.constant(k.f32, noMaximum)),
               k.select(k.firstLanes(plan.lanes, k.index(1)), k.constant(vector(), 1), zeros));
    } else {
      setState(query, k.constant(k.f32, noMaximum), zeros);
    }
    if (spec.alibi)
      k.store(k.fmul(k.load(k.f32, k.at(extras.slopes, k.mul(head, 4))), k.constant(k.f32, log2e)),
              k.at(slopesLog2, k.mul(query, 4)));
  });
  if (plan.heads == plan.group)
    return;
  k.loop(k.index(0), rows.count, 1, [&](Value row) {
    k.loop(k.index(plan.group), k.index(plan.heads), 1, [&](Value head) {
      Value query = k.add(k.mul(row, plan.heads), head);
      k.loop(k.index(0), k.index(cache.headDim * 4), 4,
             [&](Value bytes) { k.store(k.constant(k.f32, 0), k.at(queryAt(query), bytes)); });
      empty(query);
      setState(query, k.constant(k.f32, noMaximum), zeros);
      if (spec.alibi)
        k.store(k.constant(k.f32, 0), k.at(slopesLog2, k.mul(query, 4)));
    });
  });
}

void AttentionTile::end(Value out, Value rowBytes, const Rows &rows) {
  forHeads(rows, [&](Value row, Value head, Value query) {
    Value total = k.reduceAdd(k.load(vector(), k.at(denominators, k.mul(query, plan.lanes * 4))));
    Value factor = k.splat(k.fdiv(k.constant(k.f32, 1), total), plan.lanes);
    Value from = sumAt(query),
          to = k.at(out, k.add(k.mul(row, rowBytes), k.mul(head, spec.cache.valueDim * 4)));
    overVectors(k, spec.cache.valueDim, plan.lanes, [&](Value bytes, Value mask) {
      Value result = k.fmul(k.load(vector(), k.at(from, bytes)), factor);
      if (mask)
        k.maskedStore(result, k.at(to, bytes), mask);
      else
        k.store(result, k.at(to, bytes));
    });
  });
}

//===----------------------------------------------------------------------===//
// One page
//===----------------------------------------------------------------------===//

void AttentionTile::page(Value keys, Value next, Value firstToken, const Rows &rows) {
  Value large = k.index(0);
  if (plan.microRows > 1) {
    large = k.sub(rows.count, k.rem(rows.count, plan.microRows));
    k.loop(k.index(0), large, plan.microRows,
           [&](Value row) { micro(plan.microRows, row, keys, next, firstToken, rows.position); });
  }
  k.loop(large, rows.count, 1, [&](Value row) { micro(1, row, keys, next, firstToken, rows.position); });
}

void AttentionTile::micro(int64_t rows, Value row, Value keys, Value next, Value firstToken, Value position) {
  Micro m;
  m.rows = rows;
  m.queries = rows * plan.headSplit;
  m.position = spec.condition ? position : k.add(position, row);
  m.keys = keys;
  m.firstToken = firstToken;
  m.to = k.minimum(k.sub(k.add(m.position, spec.condition ? 1 : rows), firstToken), CacheLayout::pageTokens);
  m.from = k.index(0);
  if (spec.window > 0)
    m.from = k.maximum(k.sub(m.position, k.add(firstToken, spec.window - 1)), 0);
  k.ifThen(k.lessThan(m.from, m.to), [&] {
    auto heads = [&](Value head) {
      m.first = k.add(k.mul(row, plan.heads), head);
      // The tile's first queries fetch the next page; for the others this page is at hand, and asking again
      // costs little.
      m.prefetch = k.select(k.equal(m.first, 0), next, keys);
      scores(m);
      softmax(m);
      values(m);
    };
    if (plan.heads == plan.headSplit)
      heads(k.index(0));
    else
      k.loop(k.index(0), k.index(plan.heads), plan.headSplit, heads);
  });
}

Value AttentionTile::masked(Value score, Value low, Value high, int64_t firstKey) {
  Value key = k.add(k.lanes(plan.lanes), firstKey);
  Value visible = arith::CmpIOp::create(k.b, k.loc, arith::CmpIPredicate::slt, key, high);
  if (low) {
    Value late = arith::CmpIOp::create(k.b, k.loc, arith::CmpIPredicate::sge, key, low);
    visible = arith::AndIOp::create(k.b, k.loc, visible, late);
  }
  return k.select(visible, score, k.constant(vector(), -std::numeric_limits<double>::infinity()));
}

/// A page's scores of one query, whose first key is `distance` away (negative, or a few rows ahead).
void AttentionTile::addBias(Value query, Value distance, KernelBuilder::Values &scores) {
  Value head = k.minimum(k.rem(query, plan.heads), plan.group - 1);
  // What is farther away than the front reaches is one number.
  Value from = k.add(k.maximum(k.add(distance, spec.bias - 1), -biasFront), biasFront);
  Value run = k.at(bias, k.mul(k.add(k.mul(head, biasStride(spec.bias)), from), 4));
  for (auto [v, score] : llvm::enumerate(scores))
    score =
        k.fma(k.load(vector(), k.at(run, int64_t(v) * plan.lanes * 4)), k.constant(vector(), log2e), score);
}

void AttentionTile::softmax(const Micro &m) {
  int64_t vectors = CacheLayout::pageTokens / plan.lanes;
  // Degree 4 is off by 3e-6, far below the rounding of 16-bit keys and values.
  int degree = spec.cache.element == CacheLayout::Element::F32 ? 6 : 4;
  auto narrow = [&](Value x) { return arith::TruncIOp::create(k.b, k.loc, k.i32, x); };
  k.loop(k.index(0), k.index(m.queries), 1, [&](Value index) {
    Value query = k.add(m.first, index), weight = weightAt(index);
    Value position =
        m.rows == 1 || spec.condition ? m.position : k.add(m.position, k.div(index, plan.headSplit));
    KernelBuilder::Values s;
    for (int64_t v = 0; v < vectors; ++v)
      s.push_back(k.load(vector(), k.at(weight, v * plan.lanes * 4)));
    if (spec.softcap > 0)
      for (Value &score : s)
        score = k.fmul(k.tanh(score), k.constant(vector(), spec.softcap * log2e));
    Value distance = k.sub(m.firstToken, position); // of the page's first key, negative or zero
    if (spec.alibi) {
      Value slope = k.splat(k.load(k.f32, k.at(slopesLog2, k.mul(query, 4))), plan.lanes);
      Value first = k.add(k.lanes(plan.lanes), k.splat(narrow(distance), plan.lanes));
      for (int64_t v = 0; v < vectors; ++v)
        s[v] = k.fma(slope, k.toF32(k.add(first, v * plan.lanes)), s[v]);
    }
    if (spec.bias)
      addBias(query, distance, s);

    // Keys beyond the row's own, or before its window. What stands there may be NaN: selected away, not added
    // to.
    Value end = k.sub(k.index(1), distance), begin;
    Value partial = k.lessThan(end, CacheLayout::pageTokens);
    if (spec.window > 0) {
      begin = k.sub(end, spec.window);
      partial = arith::OrIOp::create(k.b, k.loc, partial, k.lessThan(k.index(0), begin));
    }
    s = k.ifElse(
        partial, SmallVector<Type>(vectors, vector()),
        [&] {
          Value high = k.splat(narrow(end), plan.lanes);
          Value low = begin ? k.splat(narrow(begin), plan.lanes) : Value();
          KernelBuilder::Values result;
          for (int64_t v = 0; v < vectors; ++v)
            result.push_back(masked(s[v], low, high, v * plan.lanes));
          return result;
        },
        [&] { return s; });

    Value largest = s[0];
    for (Value score : ArrayRef(s).drop_front())
      largest = k.fmax(largest, score);
    Value maximumAt = k.at(maxima, k.mul(query, 4));
    Value before = k.load(k.f32, maximumAt), maximum = k.fmax(k.reduceMax(largest), before);
    // Degree 6 gives exactly 1 where the maximum stays.
    Value factor = k.exp2NonPositive(k.fsub(before, maximum), 6);
    Value shift = k.splat(maximum, plan.lanes), total;
    for (int64_t v = 0; v < vectors; ++v) {
      Value p = k.exp2NonPositive(k.fsub(s[v], shift), degree);
      k.store(p, k.at(weight, v * plan.lanes * 4));
      total = total ? k.fadd(total, p) : p;
    }
    Value denominatorAt = k.at(denominators, k.mul(query, plan.lanes * 4));
    k.store(k.fma(k.load(vector(), denominatorAt), k.splat(factor, plan.lanes), total), denominatorAt);
    k.store(maximum, maximumAt);
    k.store(factor, k.at(factors, k.mul(index, 4)));
  });
}
