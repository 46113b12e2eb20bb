//===- Attention.cpp - attention over the paged cache, for few new tokens -===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bound: the bytes of keys and values. A block takes one row's query heads of one kv head (or some of them)
// and a range of tokens. `lanes` neighbouring lanes hold one token's channels, 16 bytes each, so that a
// subgroup reads several tokens' keys in a row; each such token group takes `tokens` tokens a step, with all
// their loads in flight, and keeps its own online softmax: maximum, sum and weighted values in registers. At
// the end the groups of a subgroup merge by exchanges, the subgroups through shared memory, and splits
// through a second kernel.
//
//===----------------------------------------------------------------------===//
#include "Attended.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::gpu;

namespace {
struct Plan {
  explicit Plan(const AttentionSpec &spec) {
    const CacheLayout &cache = spec.cache;
    int64_t bytes = elementBytes(cache.element), widest = std::max(cache.headDim, cache.valueDim);
    vector = 16 / bytes;
    while (cache.headDim % vector != 0 || cache.valueDim % vector != 0)
      vector /= 2;
    lanes = std::min<int64_t>(llvm::PowerOf2Ceil(llvm::divideCeil(widest, vector)), subgroupLanes);
    keyParts = llvm::divideCeil(cache.headDim, vector * lanes);
    valueParts = llvm::divideCeil(cache.valueDim, vector * lanes);
    // Queries and sums of all heads stay in registers: at most 80 of them.
    int64_t group = spec.heads / cache.kvHeads;
    for (heads = group; heads > 1 && (group % heads != 0 || heads * vector * (keyParts + valueParts) > 80);)
      --heads;
    tokens = heads * (keyParts + valueParts) * vector > 48 ? 2 : 4;
    groups = threads / lanes;
  }
  static constexpr int64_t threads = 128;
  int64_t vector;               // channels of one load
  int64_t lanes;                // of one token
  int64_t keyParts, valueParts; // loads of one lane for a token
  int64_t heads;                // query heads of a block, a divisor of those of a kv head
  int64_t tokens;               // of a group in a step
  int64_t groups;               // of lanes in a block
};

/// What a range of tokens comes to, for each head: the largest score (times log2 e), the sum of 2^(score -
/// largest), and the values weighted so.
struct State {
  using Values = KernelBuilder::Values;
  Values largest, sums, values; // values: [head][part]
  Values flat() const {
    Values all(largest);
    all.append(sums);
    all.append(values);
    return all;
  }
  static State from(ArrayRef<Value> all, int64_t heads) {
    return {Values(all.take_front(heads)), Values(all.slice(heads, heads)),
            Values(all.drop_front(2 * heads))};
  }
};

class AttentionKernel {
public:
  using Values = KernelBuilder::Values;

  AttentionKernel(KernelBuilder &k, const AttentionSpec &spec, const Plan &plan, ArrayRef<Value> arguments)
      : k(k), spec(spec), cache(spec.cache), plan(plan), bytes(elementBytes(cache.element)),
        a(spec, arguments) {}

  void build() {
    int64_t blocks = spec.heads / plan.heads;
    row = k.div(k.block(), blocks);
    firstHead = k.mul(k.rem(k.block(), blocks), plan.heads);
    kvHead = k.div(firstHead, spec.heads / cache.kvHeads);
    channel = k.mul(k.rem(k.lane(), plan.lanes), plan.vector);
    group = k.div(k.thread(), plan.lanes);
    there = Attended(k, spec, a, row);
    position = there.positionOf(k, row);
    Value begin = there.beginOf(k, row), end = there.endOf(k, row);
    if (spec.split) {
      int64_t step = plan.groups * plan.tokens;
      Value split = k.block(mlir::gpu::Dimension::y);
      Value count = k.sub(end, begin);
      Value share = k.roundUp(k.div(k.sub(k.add(count, a.splits), 1), a.splits), step);
      begin = k.add(begin, k.mul(split, share));
      end = k.minimum(end, k.add(begin, share));
    }
    loadQueries();
    State state = overTokens(begin, end);
    mergeGroups(state);
    mergeSubgroups(state);
  }

private:
  /// Whether all lanes have channels in part `part` of `width` channels.
  bool isWhole(int64_t part, int64_t width) const { return (part + 1) * plan.lanes * plan.vector <= width; }
  Value channelOf(int64_t part) { return k.add(channel, part * plan.lanes * plan.vector); }
  VectorType vectorType() { return k.vec(plan.vector, k.f32); }

  /// The lane's channels of a row of `width`; zeros past its end.
  Value loadChannels(Element element, Value base, int64_t part, int64_t width, int64_t align) {
    Value at = channelOf(part), inside;
    if (!isWhole(part, width)) {
      inside = k.lessThan(at, width);
      at = k.select(inside, at, k.index(0));
    }
    Value v = k.loadFloats(element, k.at(base, k.mul(at, elementBytes(element))), plan.vector, align);
    if (plan.vector == 1)
      v = k.splat(v, 1);
    return inside ? k.orZero(inside, v) : v;
  }

  void loadQueries() {
    // What multiplies every score goes into the queries.
    double factor = double(spec.scale) * (spec.softcap > 0 ? 1 : log2e);
    Value start = k.mul(k.zext(row, k.i64), k.zext(a.ldq, k.i64));
    int64_t inBytes = elementBytes(spec.input);
    for (int64_t h = 0; h < plan.heads; ++h) {
      Value head = k.add(firstHead, h);
      Value base = k.at(a.q, k.mul(k.add(start, k.zext(k.mul(head, cache.headDim), k.i64)), inBytes));
      for (int64_t part = 0; part < plan.keyParts; ++part) {
        Value v = loadChannels(spec.input, base, part, cache.headDim,
                               alignmentOf(cache.headDim * inBytes, plan.vector * inBytes));
        queries.push_back(k.fmul(v, k.constant(vectorType(), factor)));
      }
      scoreRows.emplace_back(k, spec, a, row, head);
    }
  }

  State overTokens(Value begin, Value end) {
    State start;
    start.largest.assign(plan.heads, k.constant(k.f32, lowest));
    start.sums.assign(plan.heads, k.constant(k.f32, 0));
    start.values.assign(plan.heads * plan.valueParts, k.constant(vectorType(), 0));
    Value last = k.sub(end, 1);
    Values result =
        k.loop(begin, end, plan.groups * plan.tokens, start.flat(), [&](Value base, ArrayRef<Value> carried) {
          State state = State::from(carried, plan.heads);
          step(state, base, last);
          return state.flat();
        });
    return State::from(result, plan.heads);
  }

  /// A step of the whole block from token `base` on. Every lane takes part in the exchanges, also those whose
  /// token lies past the last one: they read the last token and give it no weight.
  void step(State &state, Value base, Value last) {
    Values tokens, valid, keys, values;
    int64_t align = there.keyAlign(plan.vector * bytes), valueAlign = there.valueAlign(plan.vector * bytes);
    for (int64_t t = 0; t < plan.tokens; ++t) {
      Value token = k.add(k.add(base, group), t * plan.groups);
      valid.push_back(k.atLeast(last, token));
      token = k.minimum(token, last);
      tokens.push_back(token);
      Attended::Run run = there.from(k, token, kvHead);
      Value key = there.key(k, run), value = there.value(k, run);
      for (int64_t part = 0; part < plan.keyParts; ++part)
        keys.push_back(loadChannels(cache.element, key, part, cache.headDim, align));
      for (int64_t part = 0; part < plan.valueParts; ++part)
        values.push_back(loadChannels(cache.element, value, part, cache.valueDim, valueAlign));
    }

    Values scores;
    for (int64_t t = 0; t < plan.tokens; ++t)
      for (int64_t h = 0; h < plan.heads; ++h) {
        Value sum;
        for (int64_t part = 0; part < plan.keyParts; ++part)
          for (int64_t e = 0; e < plan.vector; ++e) {
            Value x = k.element(queries[h * plan.keyParts + part], e);
            Value y = k.element(keys[t * plan.keyParts + part], e);
            sum = sum ? k.fma(x, y, sum) : k.fmul(x, y);
          }
        scores.push_back(sum);
      }
    scores = k.sumLanes(scores, plan.lanes);

    for (int64_t h = 0; h < plan.heads; ++h) {
      Value largest = state.largest[h];
      for (int64_t t = 0; t < plan.tokens; ++t) {
        Value &score = scores[t * plan.heads + h];
        score = scoreRows[h].finish(k, spec, score, position, tokens[t], valid[t]);
        largest = k.fmax(largest, score);
      }
      Value correction = k.exp2(k.fsub(state.largest[h], largest));
      state.largest[h] = largest;
      Value sum = k.fmul(state.sums[h], correction);
      Values weights;
      for (int64_t t = 0; t < plan.tokens; ++t) {
        weights.push_back(weightOf(k, scores[t * plan.heads + h], largest));
        sum = k.fadd(sum, weights.back());
      }
      state.sums[h] = sum;
      for (int64_t part = 0; part < plan.valueParts; ++part) {
        Value &acc = state.values[h * plan.valueParts + part];
        acc = k.fmul(acc, k.splat(correction, plan.vector));
        for (int64_t t = 0; t < plan.tokens; ++t)
          acc = k.fma(k.splat(weights[t], plan.vector), values[t * plan.valueParts + part], acc);
      }
    }
  }

  /// The token groups of a subgroup: those of lanes that hold the same channels.
  void mergeGroups(State &state) {
    for (int64_t offset = subgroupLanes / 2; offset >= plan.lanes; offset /= 2)
      for (int64_t h = 0; h < plan.heads; ++h) {
        Value other = k.shuffleXor(state.largest[h], offset), largest = k.fmax(state.largest[h], other);
        Value mine = k.exp2(k.fsub(state.largest[h], largest)), theirs = k.exp2(k.fsub(other, largest));
        state.largest[h] = largest;
        Value otherSum = k.shuffleXor(state.sums[h], offset);
        state.sums[h] = k.fma(state.sums[h], mine, k.fmul(otherSum, theirs));
        for (int64_t part = 0; part < plan.valueParts; ++part) {
          Value &acc = state.values[h * plan.valueParts + part];
          Values elements;
          for (int64_t e = 0; e < plan.vector; ++e) {
            Value x = k.element(acc, e);
            elements.push_back(k.fma(x, mine, k.fmul(k.shuffleXor(x, offset), theirs)));
          }
          acc = vector::FromElementsOp::create(k.b, k.loc, vectorType(), elements);
        }
      }
  }

  /// In shared memory, of each subgroup and head: largest score, sum, values.
  void mergeSubgroups(State &state) {
    int64_t entry = (2 + cache.valueDim) * 4, each = plan.heads * entry;
    Value mine = k.at(k.shared(), k.mul(k.subgroup(), each));
    for (int64_t h = 0; h < plan.heads; ++h) {
      k.ifThen(k.equal(k.lane(), 0), [&] {
        k.store(state.largest[h], k.at(mine, h * entry));
        k.store(state.sums[h], k.at(mine, h * entry + 4));
      });
      for (int64_t part = 0; part < plan.valueParts; ++part) {
        // One group of lanes stores.
        Value stores = k.lessThan(k.lane(), plan.lanes);
        if (!isWhole(part, cache.valueDim))
          stores = k.bitAnd(stores, k.lessThan(channelOf(part), cache.valueDim));
        k.ifThen(stores, [&] {
          Value to = k.at(k.at(mine, k.mul(channelOf(part), 4)), h * entry + 8);
          k.store(state.values[h * plan.valueParts + part], to, 4);
        });
      }
    }
    k.barrier();
    int64_t items = plan.heads * cache.valueDim;
    k.loop(k.thread(), k.index(items), k.index(plan.threads), [&](Value item) {
      Value h = k.div(item, cache.valueDim), c = k.rem(item, cache.valueDim);
      Value at = k.at(k.shared(), k.mul(h, entry)), head = k.add(firstHead, h);
      Value largest;
      Values all;
      for (int64_t s = 0; s < k.subgroups(); ++s) {
        all.push_back(k.load(k.f32, k.at(at, s * each)));
        largest = largest ? k.fmax(largest, all.back()) : all.back();
      }
      Value sink =
          a.sinks ? k.fmul(k.load(k.f32, k.at(a.sinks, k.mul(head, 4))), k.constant(k.f32, log2e)) : Value();
      if (sink)
        largest = k.fmax(largest, sink);
      Value sum = sink ? k.exp2(k.fsub(sink, largest)) : k.constant(k.f32, 0), value = k.constant(k.f32, 0);
      for (int64_t s = 0; s < k.subgroups(); ++s) {
        Value weight = k.exp2(k.fsub(all[s], largest));
        sum = k.fma(weight, k.load(k.f32, k.at(at, s * each + 4)), sum);
        Value part = k.load(k.f32, k.at(k.at(at, k.mul(c, 4)), s * each + 8));
        value = k.fma(weight, part, value);
      }
      if (spec.split)
        storePart(head, c, largest, sum, value);
      else
        a.store(k, spec, row, head, c, dividedBy(k, spec, value, sum));
    });
  }

  void storePart(Value head, Value c, Value largest, Value sum, Value value) {
    Value entry =
        k.add(k.mul(k.add(k.mul(row, spec.heads), head), a.splits), k.block(mlir::gpu::Dimension::y));
    Value to = k.atWide(a.out, entry, (2 + cache.valueDim) * 4);
    k.ifThen(k.equal(c, 0), [&] {
      k.store(largest, to);
      k.store(sum, k.at(to, 4));
    });
    k.store(value, k.at(k.at(to, k.mul(c, 4)), 8));
  }

  KernelBuilder &k;
  const AttentionSpec &spec;
  const CacheLayout &cache;
  const Plan &plan;
  const int64_t bytes;
  const AttentionArguments a;
  Attended there;
  Value row, firstHead, kvHead, channel, group, position;
  Values queries; // [head][part]
  SmallVector<ScoreRow> scoreRows;
};
} // namespace

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateAttention(mlir::gpu::GPUModuleOp module,
                                                     const AttentionSpec &spec) {
  if (spec.tile)
    return getOrCreateAttentionTile(module, spec);
  Plan plan(spec);
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = Plan::threads;
  shape.sharedBytes = Plan::threads / subgroupLanes * plan.heads * (2 + spec.cache.valueDim) * 4;
  // Rows in x, of which there may be any number.
  shape.grid = {getAffineDimExpr(0, context) * (spec.heads / plan.heads)};
  if (spec.split)
    shape.grid.push_back(getAffineDimExpr(3, context));
  return getOrCreateKernel(
      module, attentionName(spec), AttentionArguments::of(spec), shape,
      [&](KernelBuilder &k, ArrayRef<Value> a) { AttentionKernel(k, spec, plan, a).build(); });
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateAttentionMerge(mlir::gpu::GPUModuleOp module,
                                                          const AttentionSpec &spec) {
  int64_t width = spec.cache.valueDim;
  std::string name = ("attention_merge_" + Twine(spec.heads) + "x" + Twine(width) +
                      (spec.sinks ? "_sinks_" : "_") + nameOf(spec.output))
                         .str();
  SmallVector<Argument> arguments = {Argument::In};
  if (spec.sinks)
    arguments.push_back(Argument::Constant);
  arguments.append({Argument::Out, Argument::Size, Argument::Size, Argument::Size});
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = std::min<int64_t>(llvm::alignTo(width, subgroupLanes), 256);
  shape.grid = {getAffineConstantExpr(spec.heads, context), getAffineDimExpr(0, context)};
  return getOrCreateKernel(module, name, arguments, shape, [&](KernelBuilder &k, ArrayRef<Value> a) {
    size_t next = spec.sinks ? 2 : 1;
    Value parts = a[0], out = a[next], ldo = a[next + 2], splits = a[next + 3];
    Value head = k.block(), row = k.block(mlir::gpu::Dimension::y);
    Value first = k.mul(k.add(k.mul(row, spec.heads), head), splits);
    auto entry = [&](Value split) { return k.atWide(parts, k.add(first, split), (2 + width) * 4); };
    Value sink = spec.sinks ? k.fmul(k.load(k.f32, k.at(a[1], k.mul(head, 4))), k.constant(k.f32, log2e))
                            : k.constant(k.f32, lowest);
    Value largest = k.loop(k.index(0), splits, 1, {sink}, [&](Value split, ArrayRef<Value> carried) {
      return KernelBuilder::Values{k.fmax(carried[0], k.load(k.f32, entry(split)))};
    })[0];
    k.loop(k.thread(), k.index(width), k.index(shape.threads), [&](Value c) {
      Value start = spec.sinks ? k.exp2(k.fsub(sink, largest)) : k.constant(k.f32, 0);
      KernelBuilder::Values sums = k.loop(
          k.index(0), splits, 1, {start, k.constant(k.f32, 0)}, [&](Value split, ArrayRef<Value> carried) {
            Value at = entry(split), weight = k.exp2(k.fsub(k.load(k.f32, at), largest));
            return KernelBuilder::Values{
                k.fma(weight, k.load(k.f32, k.at(at, 4)), carried[0]),
                k.fma(weight, k.load(k.f32, k.at(k.at(at, k.mul(c, 4)), 8)), carried[1])};
          });
      storeAttention(k, spec, out, ldo, row, head, c, k.fdiv(sums[1], sums[0]));
    });
  });
}
