//===- AttentionTile.cpp - attention for many rows, on matrix units -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block has 128 own rows: the query heads of one kv head for neighbouring rows of the batch. It goes
// through the sequence's pages, a step of 64 or 32 tokens after the other: scores on the matrix unit, an
// online softmax in f32, and the scores' weights, rounded, as the operand of the product with the values,
// without leaving the registers. A page's values are on their way while its scores are formed, and the next
// step's keys while the values are summed: two barriers for a step.
//
// Rows of several sequences may meet in a block. It takes them one after the other; rows of others see no
// token meanwhile.
//
//===----------------------------------------------------------------------===//
#include "Attended.h"
#include "AttentionGroup.h"
#include "Tiles.h"
#include "pith/Codegen/GPU/TileOps.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;
using namespace pith::gpu;
using namespace pith;

namespace {
struct TilePlan {
  explicit TilePlan(const AttentionSpec &spec)
      : commonParts(spec.cache.element == spec.product ? 1 : spec.parts),
        tokens(std::max(spec.cache.headDim, spec.cache.valueDim) * elementBytes(spec.cache.element) >
                       (spec.warpGroups ? 256 : 128)
                   ? CacheLayout::pageTokens / 2
                   : CacheLayout::pageTokens),
        tokenTiles(tokens / commonRows), heads(llvm::PowerOf2Ceil(spec.heads / spec.cache.kvHeads)),
        rows(ownTotal / heads), keyGroups(llvm::divideCeil(spec.cache.headDim, productK)),
        valueTiles(llvm::divideCeil(spec.cache.valueDim, commonRows)),
        keyPitch(llvm::alignTo(keyGroups * productK * 2, 128)), valuePitch(valueTiles * commonRows * 2 + 16),
        keyPart(spec.warpGroups ? AttentionGroup::bytes(tokens, spec.cache.headDim) : tokens * keyPitch),
        valuePart(spec.warpGroups ? AttentionGroup::bytes(tokens, spec.cache.valueDim) : tokens * valuePitch),
        valueOffset(commonParts * keyPart), sharedBytes(valueOffset + commonParts * valuePart) {}
  static constexpr int64_t threads = teamThreads * teamCount, ownTotal = ownRows * teamCount;
  int64_t commonParts; // of keys and values
  int64_t tokens;      // of a step: a page, or half of one where queries and sums need the registers
  int64_t tokenTiles;  // of 16 tokens
  int64_t heads;       // of a kv head, up to a power of two
  int64_t rows;        // of the batch
  int64_t keyGroups;   // of 32 channels
  int64_t valueTiles;  // of 16 channels
  // Keys change places as a linear layer's activations do; values' rows are 16 bytes longer, so that what
  // neighbouring rows hold of a column lies in different banks.
  int64_t keyPitch, valuePitch;
  // Keys, part after part, then values.
  int64_t keyPart, valuePart, valueOffset, sharedBytes;
};

class AttentionTileKernel {
public:
  using Values = KernelBuilder::Values;

  AttentionTileKernel(KernelBuilder &k, const AttentionSpec &spec, const TilePlan &plan,
                      ArrayRef<Value> arguments)
      : k(k), spec(spec), cache(spec.cache), plan(plan), bytes(elementBytes(cache.element)),
        a(spec, arguments), group(k, spec, plan.tokens) {}

  void build() {
    firstRow = k.mul(k.block(), plan.rows);
    kvHead = k.block(mlir::gpu::Dimension::y);
    Value team = k.mul(k.div(k.thread(), teamThreads), ownRows);
    for (int64_t s = 0; s < 2; ++s) {
      own.push_back(ownOf(k.add(team, k.place(tile::What::sum, 4 * s).row)));
      scoreRows.emplace_back(k, spec, a, k.minimum(own[s].row, k.sub(a.rows, 1)), own[s].head);
    }
    for (int64_t q = 0; q < 2; ++q) {
      TilePlace place = k.place(tile::What::common, q);
      keyRows.push_back(k.mul(place.row, plan.keyPitch));
      keyOctets.push_back(octetPlace(place.row, place.column));
    }
    loadQueries(team);
    Value end = k.minimum(k.add(firstRow, plan.rows), a.rows);
    auto loop = scf::WhileOp::create(
        k.b, k.loc, TypeRange{k.i32}, ValueRange{firstRow},
        [&](OpBuilder &, Location loc, ValueRange state) {
          scf::ConditionOp::create(k.b, loc, k.lessThan(state[0], end), state);
        },
        [&](OpBuilder &, Location loc, ValueRange state) {
          scf::YieldOp::create(k.b, loc, ValueRange{sequence(state[0], end)});
        });
    (void)loop;
  }

private:
  /// Octet `octet` of row `row` stands in this place: as KernelBuilder::octetOffset has it.
  Value octetPlace(Value row, Value octet) {
    return k.div(k.sub(k.octetOffset(row, octet, plan.keyPitch), k.mul(row, plan.keyPitch)), 16);
  }

  /// An own row: what it is of the batch. Heads past the last one repeat it.
  struct Own {
    Value row, head, present;
  };
  Own ownOf(Value own) {
    int64_t group = spec.heads / cache.kvHeads;
    Value row = k.add(firstRow, k.div(own, plan.heads)), head = k.rem(own, plan.heads);
    Value present = k.bitAnd(k.lessThan(row, a.rows), k.lessThan(head, group));
    return {row, k.add(k.mul(kvHead, group), k.minimum(head, group - 1)), present};
  }

  /// 8 channels from channel `at` of a row of `width` as f32, zeros past its end and where not inside. Octets
  /// are aligned to `align`.
  Value loadOctet(Element element, Value row, Value at, int64_t width, int64_t align, Value inside) {
    int64_t each = elementBytes(element);
    auto valid = [&](Value channel) {
      Value within = k.lessThan(channel, width);
      return inside ? k.bitAnd(inside, within) : within;
    };
    if (width % 8 == 0) {
      Value within = valid(at);
      at = k.select(within, at, k.index(0));
      return k.orZero(within, k.loadFloats(element, k.at(row, k.mul(at, each)), 8, align));
    }
    Values values;
    for (int64_t e = 0; e < 8; ++e) {
      Value channel = k.add(at, e), within = valid(channel);
      channel = k.select(within, channel, k.index(0));
      values.push_back(k.orZero(within, k.loadFloats(element, k.at(row, k.mul(channel, each)), 1, 0)));
    }
    return vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), values);
  }

  Value queriesOf(const Own &own) {
    Value at = k.minimum(own.row, k.sub(a.rows, 1));
    Value start =
        k.add(k.mul(k.zext(at, k.i64), k.zext(a.ldq, k.i64)), k.zext(k.mul(own.head, cache.headDim), k.i64));
    return k.at(a.q, k.mul(start, elementBytes(spec.input)));
  }

  /// Straight to registers: [group][part][share].
  void loadQueries(Value team) {
    // What multiplies every score goes into the queries.
    double factor = double(spec.scale) * (spec.softcap > 0 ? 1 : log2e);
    if (spec.warpGroups) {
      Values rows;
      for (const Own &o : own)
        rows.push_back(queriesOf(o));
      queries = group.loadQueries(rows, factor);
      return;
    }
    int64_t align = alignOfHeads(spec, spec.input, cache.headDim, 16);
    queries.resize(plan.keyGroups * spec.parts * 2);
    for (int64_t s = 0; s < 2; ++s) {
      TilePlace place = k.place(tile::What::own, s);
      Value base = queriesOf(ownOf(k.add(team, place.row)));
      for (int64_t g = 0; g < plan.keyGroups; ++g) {
        Value channel = k.add(k.mul(place.column, 8), g * productK);
        Value x = k.fmul(loadOctet(spec.input, base, channel, cache.headDim, align, Value()),
                         k.constant(k.vec(8, k.f32), factor));
        Values parts = k.split(x, spec.product, spec.parts);
        for (int64_t p = 0; p < spec.parts; ++p)
          queries[(g * spec.parts + p) * 2 + s] = parts[p];
      }
    }
  }

  //===--------------------------------------------------------------------===//
  // Pages to shared memory
  //===--------------------------------------------------------------------===//

  struct Side {
    bool keys;
    int64_t width, octets, offset, part;
  };
  Side keySide() const { return {true, cache.headDim, plan.keyGroups * 4, 0, plan.keyPart}; }
  Side valueSide() const {
    return {false, cache.valueDim, plan.valueTiles * 2, plan.valueOffset, plan.valuePart};
  }
  int64_t alignOf(const Side &side) const { return side.keys ? there.keyAlign(16) : there.valueAlign(16); }
  /// Whether memory has octets as the products take them.
  bool copies(const Side &side) const {
    return cache.element == spec.product && side.width % 8 == 0 && alignOf(side) == 16;
  }

  struct Unit {
    Value token, octet, to, present;
  };
  SmallVector<Unit> units(const Side &side) {
    SmallVector<Unit> all;
    int64_t count = plan.tokens * side.octets;
    for (int64_t first = 0; first < count; first += plan.threads) {
      Value unit = k.add(k.thread(), first), present = k.constant(k.i1, 1);
      if (first + plan.threads > count) {
        present = k.lessThan(unit, count);
        unit = k.minimum(unit, count - 1);
      }
      Value token = k.div(unit, side.octets), octet = k.rem(unit, side.octets);
      Value to = spec.warpGroups ? group.place(token, octet)
                 : side.keys     ? k.octetOffset(token, octet, plan.keyPitch)
                                 : k.add(k.mul(token, plan.valuePitch), k.mul(octet, 16));
      all.push_back({token, octet, k.add(to, side.offset), present});
    }
    return all;
  }

  /// What is on its way of a page's keys or values. Tokens from `end` on are zeros: nobody wrote them.
  Values begin(const Side &side, Value page, Value end) {
    Value token = k.mul(page, plan.tokens);
    // Behind the last page: the last one again, and nothing of it.
    Attended::Run run = there.from(k, token, kvHead, end);
    Values flight;
    for (const Unit &unit : units(side)) {
      Value inside = k.lessThan(k.add(token, unit.token), end);
      Value row = side.keys ? there.key(k, run, unit.token) : there.value(k, run, unit.token);
      Value channel = k.mul(unit.octet, 8);
      if (!copies(side)) {
        flight.push_back(loadOctet(cache.element, row, channel, side.width, alignOf(side), inside));
        continue;
      }
      Value within = k.lessThan(channel, side.width);
      channel = k.select(within, channel, k.index(0));
      flight.push_back(tile::CopyOp::create(k.b, k.loc, k.vec(4, k.i32), k.at(row, k.mul(channel, bytes)),
                                            k.at(k.shared(), unit.to), k.bitAnd(inside, within),
                                            unit.present));
    }
    tile::CommitOp::create(k.b, k.loc);
    return flight;
  }

  void arrive(const Side &side, ArrayRef<Value> flight) {
    for (auto [unit, value] : llvm::zip(units(side), flight)) {
      Value to = k.at(k.shared(), unit.to);
      if (copies(side)) {
        tile::ArriveOp::create(k.b, k.loc, value, to, unit.present);
        continue;
      }
      Values parts = k.split(value, spec.product, plan.commonParts);
      k.ifThen(unit.present, [&] {
        for (auto [p, part] : llvm::enumerate(parts))
          k.store(part, k.at(to, int64_t(p) * side.part), 16);
      });
    }
    tile::WaitOp::create(k.b, k.loc, 0u);
    if (spec.warpGroups)
      AttentionGroup::publish(k);
    k.barrier();
  }

  //===--------------------------------------------------------------------===//
  // One sequence
  //===--------------------------------------------------------------------===//

  /// The rows from `row` on that belong to its sequence; the row behind them.
  Value sequence(Value row, Value blockEnd) {
    there = Attended(k, spec, a, row);
    Value endRow = k.minimum(blockEnd, k.add(there.firstRow, there.rows));
    Value first = there.beginOf(k, row), end = k.maximum(there.endOf(k, k.sub(endRow, 1)), 0);
    // Of own rows; rows of other sequences see nothing.
    positions.clear();
    ends.clear();
    valid.clear();
    for (const Own &o : own) {
      valid.push_back(k.bitAnd(o.present, k.bitAnd(k.atLeast(o.row, row), k.lessThan(o.row, endRow))));
      positions.push_back(there.positionOf(k, o.row));
      ends.push_back(k.select(valid.back(), there.endOf(k, o.row), k.index(0)));
    }

    Value page = k.div(first, plan.tokens), pageEnd = k.ceilDiv(end, plan.tokens);
    Values carried = begin(keySide(), page, end);
    size_t flights = carried.size();
    carried.append(2, k.constant(k.f32, lowest));
    carried.append(2, k.constant(k.f32, 0));
    carried.append(plan.valueTiles, k.constant(k.vec(8, k.f32), 0));
    carried = k.loop(page, pageEnd, 1, carried, [&](Value i, ArrayRef<Value> state) {
      arrive(keySide(), state.take_front(flights));
      Values valueFlight = begin(valueSide(), i, end);
      State now(state.drop_front(flights));
      Values weights = scores(i, now);
      arrive(valueSide(), valueFlight);
      Values next = begin(keySide(), k.add(i, 1), end);
      addValues(weights, now.sums);
      next.append(now.flat());
      return next;
    });
    tile::WaitOp::create(k.b, k.loc, 0u);
    store(State(ArrayRef<Value>(carried).drop_front(flights)));
    return endRow;
  }

  /// Of the two own rows whose sums this lane has: the largest score, what this lane has of the sum of
  /// weights, the weighted values.
  struct State {
    explicit State(ArrayRef<Value> all)
        : largest(all.take_front(2)), weights(all.slice(2, 2)), sums(all.drop_front(4)) {}
    Values flat() const {
      Values all(largest);
      all.append(weights);
      all.append(sums);
      return all;
    }
    Values largest, weights, sums;
  };

  Value both(Value first, Value second) {
    return vector::FromElementsOp::create(
        k.b, k.loc, k.vec(8, k.f32), ValueRange{first, first, first, first, second, second, second, second});
  }

  /// Of 16 tokens.
  Value tileScores(int64_t t) {
    Value sum = k.constant(k.vec(8, k.f32), 0);
    for (int64_t g = 0; g < plan.keyGroups; ++g) {
      // The products of small parts first.
      for (int64_t c = plan.commonParts - 1; c >= 0; --c) {
        Value common[2];
        for (int64_t q = 0; q < 2; ++q) {
          // Rows 16 apart have their octets in the same places, and octets 8 apart are 128 bytes apart: so
          // few addresses serve all loads.
          Value low = arith::XOrIOp::create(k.b, k.loc, keyOctets[q], k.index(g % 2 * 4));
          Value offset = k.add(keyRows[q], k.mul(low, 16));
          int64_t fixed = c * plan.keyPart + t * commonRows * plan.keyPitch + g / 2 * 128;
          common[q] = k.load(k.vec(8, k.typeOf(spec.product)), k.at(k.at(k.shared(), offset), fixed), 16);
        }
        for (int64_t p = lastPart(c); p >= 0; --p) {
          const Value *o = &queries[(g * spec.parts + p) * 2];
          sum = tile::ProductOp::create(k.b, k.loc, sum.getType(), o[0], o[1], common[0], common[1], sum);
        }
      }
    }
    return sum;
  }

  /// The page's weights, [tile of 16 tokens][part]; what was summed is corrected to the new largest scores.
  Values scores(Value page, State &state) {
    SmallVector<Values> all; // [tile][element]
    Values largest(state.largest);
    Value firstToken = k.mul(page, plan.tokens);
    Values groupScores = spec.warpGroups ? group.scores(queries, 0) : Values();
    for (int64_t t = 0; t < plan.tokenTiles; ++t) {
      Value sum = spec.warpGroups ? groupScores[t] : tileScores(t);
      all.emplace_back();
      for (int64_t i = 0; i < 8; ++i) {
        int64_t slot = i / 4;
        Value token = k.add(k.add(firstToken, k.place(tile::What::sum, i).column), t * commonRows);
        Value seen = k.lessThan(token, ends[slot]);
        if (spec.window > 0)
          seen = k.bitAnd(seen, k.lessThan(k.sub(positions[slot], spec.window), token));
        Value score = scoreRows[slot].finish(k, spec, k.element(sum, i), positions[slot], token, seen);
        largest[slot] = k.fmax(largest[slot], score);
        all.back().push_back(score);
      }
    }
    auto reduced = tile::ReduceOp::create(k.b, k.loc, k.f32, k.f32, tile::How::max, largest[0], largest[1]);
    Value now[] = {reduced.getAllFirst(), reduced.getAllSecond()}, corrections[2];
    for (int64_t s = 0; s < 2; ++s) {
      corrections[s] = k.exp2(k.fsub(state.largest[s], now[s]));
      state.largest[s] = now[s];
      state.weights[s] = k.fmul(state.weights[s], corrections[s]);
    }
    Value correction = both(corrections[0], corrections[1]);
    for (Value &sum : state.sums)
      sum = k.fmul(sum, correction);
    Values weights;
    for (Values &tile : all) {
      for (int64_t i = 0; i < 8; ++i) {
        tile[i] = weightOf(k, tile[i], now[i / 4]);
        state.weights[i / 4] = k.fadd(state.weights[i / 4], tile[i]);
      }
      weights.append(k.split(vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), tile), spec.product,
                             spec.parts));
    }
    return weights;
  }

  void addValues(ArrayRef<Value> weights, Values &sums) {
    if (spec.warpGroups)
      return group.addValues(weights, plan.valueOffset, sums);
    Type octet = k.vec(8, k.typeOf(spec.product));
    for (int64_t t = 0; t < plan.tokenTiles; ++t)
      for (int64_t d = 0; d < plan.valueTiles; ++d)
        for (int64_t c = plan.commonParts - 1; c >= 0; --c) {
          Value at = k.shared(plan.valueOffset + c * plan.valuePart + t * commonRows * plan.valuePitch +
                              d * commonRows * 2);
          Value common = tile::ColumnsOp::create(k.b, k.loc, octet, at, uint64_t(plan.valuePitch));
          for (int64_t p = lastPart(c); p >= 0; --p)
            sums[d] = tile::ChainOp::create(k.b, k.loc, sums[d].getType(), weights[t * spec.parts + p],
                                            common, sums[d]);
        }
  }
  /// Of queries or weights, that counts beside part `common` of keys or values.
  int64_t lastPart(int64_t common) const { return spec.parts - 1 - common; }

  void store(State state) {
    auto total =
        tile::ReduceOp::create(k.b, k.loc, k.f32, k.f32, tile::How::add, state.weights[0], state.weights[1]);
    Value weights[] = {total.getAllFirst(), total.getAllSecond()}, factors[2];
    for (int64_t s = 0; s < 2; ++s) {
      Value numerator = k.constant(k.f32, 1);
      if (a.sinks) {
        Value sink = k.fmul(k.load(k.f32, k.at(a.sinks, k.mul(own[s].head, 4))), k.constant(k.f32, log2e));
        Value largest = k.fmax(state.largest[s], sink);
        numerator = k.exp2(k.fsub(state.largest[s], largest));
        weights[s] = k.fma(weights[s], numerator, k.exp2(k.fsub(sink, largest)));
      }
      factors[s] = dividedBy(k, spec, numerator, weights[s]);
    }
    for (int64_t s = 0; s < 2; ++s)
      k.ifThen(valid[s], [&] {
        int64_t each = elementBytes(spec.output);
        for (int64_t i = 4 * s; i < 4 * s + 4; ++i) {
          // One address for all channels 16 apart.
          Value channel = k.place(tile::What::sum, i).column;
          Value column = k.add(k.mul(own[s].head, cache.valueDim), channel);
          Value at = k.add(k.mul(k.zext(own[s].row, k.i64), k.zext(a.ldo, k.i64)), k.zext(column, k.i64));
          Value to = k.at(a.out, k.mul(at, each));
          for (int64_t d = 0; d < plan.valueTiles; ++d) {
            Value value = k.fmul(k.element(state.sums[d], i), factors[s]);
            auto put = [&] { k.storeFloats(spec.output, value, k.at(to, d * commonRows * each), each); };
            if ((d + 1) * commonRows <= cache.valueDim)
              put();
            else
              k.ifThen(k.lessThan(channel, cache.valueDim - d * commonRows), put);
          }
        }
      });
  }

  KernelBuilder &k;
  const AttentionSpec &spec;
  const CacheLayout &cache;
  const TilePlan &plan;
  const int64_t bytes;
  const AttentionArguments a;
  AttentionGroup group;
  Attended there;
  Value firstRow, kvHead;
  SmallVector<Own> own; // of the sums that this lane has
  SmallVector<ScoreRow> scoreRows;
  Values queries, positions, ends, valid, keyRows, keyOctets;
};
} // namespace

llvm::Error pith::gpu::checkAttentionTile(const AttentionSpec &spec) {
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  const CacheLayout &cache = spec.cache;
  if (spec.split)
    return error("attention on matrix units that is split over the tokens");
  if (spec.heads / cache.kvHeads > TilePlan::ownTotal)
    return error("attention of " + llvm::Twine(spec.heads / cache.kvHeads) +
                 " heads of one kv head on matrix units; at most " + llvm::Twine(TilePlan::ownTotal) +
                 " are supported");
  if (std::max(cache.headDim, cache.valueDim) > 128)
    return error("attention heads of " + llvm::Twine(std::max(cache.headDim, cache.valueDim)) +
                 " channels on matrix units; at most 128 are supported");
  if (spec.product == Element::F32 || (cache.element != Element::F32 && cache.element != spec.product))
    return error("attention with products of " + nameOf(spec.product) + " over a cache of " +
                 nameOf(cache.element));
  int64_t most = spec.product == Element::F16 ? 2 : 3;
  if (spec.warpGroups)
    if (llvm::Error none = checkAttentionGroup(spec))
      return none;
  if (spec.parts < 1 || spec.parts > most)
    return error("attention in " + llvm::Twine(spec.parts) + " parts over a cache of " +
                 nameOf(cache.element) + "; expected 1 to " + llvm::Twine(most));
  return llvm::Error::success();
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateAttentionTile(mlir::gpu::GPUModuleOp module,
                                                         const AttentionSpec &spec) {
  TilePlan plan(spec);
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = TilePlan::threads;
  shape.sharedBytes = plan.sharedBytes;
  shape.oneBlock = true;
  shape.warpGroups = spec.warpGroups;
  shape.grid = {getAffineDimExpr(0, context).ceilDiv(plan.rows),
                getAffineConstantExpr(spec.cache.kvHeads, context)};
  return getOrCreateKernel(
      module, attentionName(spec), AttentionArguments::of(spec), shape,
      [&](KernelBuilder &k, ArrayRef<Value> a) { AttentionTileKernel(k, spec, plan, a).build(); });
}
