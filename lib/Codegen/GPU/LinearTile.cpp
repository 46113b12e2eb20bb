//===- LinearTile.cpp - linear layers for many rows, on matrix units ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bound: the products, or for few rows the bytes of the weights. A block computes a tile of rows and features
// (Tiles.h). K goes by in stages: panels' chunks are copied to shared memory as they are, activations through
// registers, where they get the norm's scale and are rounded, or copied too where nothing is to be done.
// While a stage is multiplied, later ones are on their way. Weights are decoded when they come from shared
// memory to registers: a lane's octet is half a word to two chunks, whatever the format.
//
// In shared memory 16-byte units change places within 128 bytes (activations) or 256 (weights), so that
// lanes that read at the same time read different banks: the octets of neighbouring rows, the chunks of
// neighbouring features.
//
// Precision: activations are rounded to the product's element, or split into two or three parts whose sum is
// the f32 value; so are weights that the element does not hold. A block's scale multiplies the f32 sums over
// the block, never a weight.
//
//===----------------------------------------------------------------------===//
#include "LinearKernel.h"
#include "Tiles.h"
#include "pith/Codegen/GPU/Machine.h"
#include "pith/Codegen/GPU/TileOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::gpu;
using namespace pith;

namespace {
/// Where a stage's bytes stand, and the counts that follow from spec and tile.
struct TilePlan {
  explicit TilePlan(const LinearSpec &spec)
      : tile(*tileShapeOf(spec.rowTile)), panel(spec.layout),
        panels(tile.features / LinearLayout::panelRows) {
    const Encoding &encoding = *panel.encoding;
    chunks = tile.k / encoding.chunkElements();
    int64_t block = encoding.blockElements();
    if (encoding.sideBytes())
      blocks = panel.blocks > 1 && block < tile.k ? tile.k / block : 1;
    partBytes = tile.rows * tile.k * 2;
    weightsOffset = spec.parts * partBytes;
    sideOffset = weightsOffset + panels * chunks * PanelShape::chunkStride;
    stageBytes =
        llvm::alignTo(sideOffset + panels * blocks * LinearLayout::panelRows * encoding.sideBytes(), 128);
    steps = llvm::divideCeil(spec.layout.k, tile.k);
    sumsPitch = tile.features * 4 + 16;
    int64_t sums = tile.teamsOnK * tile.teamsOnRows * commonRows * sumsPitch;
    factorsOffset = std::max(spec.stages * stageBytes, sums);
    sharedBytes = factorsOffset + (spec.norm != Norm::None ? tile.rows * 4 : 0);
    weightParts = spec.parts == 1 ? 1 : weightPartsOf(spec);
  }
  static constexpr int64_t threads = teamThreads * teamCount;

  const TileShape &tile;
  PanelShape panel;
  int64_t panels;     // of a tile
  int64_t chunks;     // of a panel in a stage
  int64_t blocks = 0; // of a panel in a stage: with side data of their own
  int64_t partBytes, weightsOffset, sideOffset, stageBytes, steps, sumsPitch, factorsOffset, sharedBytes;
  int64_t weightParts;
};

class LinearTileKernel {
public:
  using Values = KernelBuilder::Values;

  LinearTileKernel(KernelBuilder &k, const LinearSpec &spec, const TilePlan &plan, ArrayRef<Value> arguments)
      : k(k), spec(spec), plan(plan), tile(plan.tile), encoding(*plan.panel.encoding),
        inputBytes(elementBytes(spec.input)), octets(tile.k / 8), xItems(tile.rows * octets / plan.threads),
        copiesX(spec.parts == 1 && spec.norm == Norm::None && spec.input == spec.product &&
                spec.layout.k % 8 == 0),
        a(spec, arguments) {}

  void build() {
    firstRow = k.mul(k.block(), tile.rows);
    firstPanel = k.mul(k.block(mlir::gpu::Dimension::y), plan.panels);
    Value team = k.div(k.thread(), teamThreads);
    teamFeature = k.mul(k.rem(team, tile.teamsOnFeatures), tile.features / tile.teamsOnFeatures);
    team = k.div(team, tile.teamsOnFeatures);
    teamRow = k.mul(k.rem(team, tile.teamsOnRows), tile.rows / tile.teamsOnRows);
    teamK = k.div(team, tile.teamsOnRows);
    place();

    int64_t ahead = spec.stages - 1;
    size_t normed = spec.norm != Norm::None ? xItems : 0, tiles = tile.ownTiles() * tile.commonTiles();
    Values squares(normed, k.constant(k.f32, 0));
    Flight flight;
    for (int64_t s = 0; s < ahead; ++s) {
      if (s > 0)
        arrive(flight, k.shared((s - 1) * plan.stageBytes), squares);
      flight = begin(k.index(s), k.shared(s * plan.stageBytes));
    }
    // Carried: the places of the stage to multiply and of the last one begun; what is on its way there; sums.
    Values carried = {k.index(0), k.index(ahead - 1)};
    carried.append(flight);
    carried.append(squares);
    carried.append(tiles, k.constant(k.vec(8, k.f32), 0));
    carried = k.loop(k.index(0), k.index(plan.steps), 1, carried, [&](Value i, ArrayRef<Value> state) {
      auto stageAt = [&](Value slot) { return k.at(k.shared(), k.mul(slot, plan.stageBytes)); };
      auto after = [&](Value slot) {
        Value next = k.add(slot, 1);
        return k.select(k.equal(next, spec.stages), k.index(0), next);
      };
      Values sums(state.take_back(tiles)), sq(state.drop_back(tiles).take_back(normed));
      arrive(state.slice(2, flight.size()), stageAt(state[1]), sq);
      tile::WaitOp::create(k.b, k.loc, uint32_t(ahead - 1));
      k.barrier();
      Values next = {after(state[0]), after(state[1])};
      next.append(begin(k.add(i, ahead), stageAt(next[1])));
      multiply(stageAt(state[0]), sums);
      next.append(sq);
      next.append(sums);
      return next;
    });
    tile::WaitOp::create(k.b, k.loc, 0u);
    squares.assign(carried.end() - tiles - normed, carried.end() - tiles);
    for (size_t i = 0; i < normed; ++i)
      storeFactor(i, squares[i]);
    store(ArrayRef<Value>(carried).take_back(tiles));
  }

private:
  //===--------------------------------------------------------------------===//
  // To shared memory
  //===--------------------------------------------------------------------===//

  /// What is on its way to a stage: the column of x (with a norm), x through registers, copies.
  using Flight = Values;
  struct Source {
    Value base;    // of chunk or block 0
    Value number;  // of the chunk or block within the stage
    Value to;      // offset in the stage
    Value present; // false: another thread copies it
  };

  Value swizzle(Value value, Value bits) { return arith::XOrIOp::create(k.b, k.loc, value, bits); }
  Value chunkBits(Value chunk) { return k.bitOr(k.shiftLeft(k.bitAnd(chunk, 1), 2), k.bitAnd(chunk, 2)); }
  /// Of octet `octet` of row `row` in a part of the activations.
  Value octetOffset(Value row, Value octet) { return k.octetOffset(row, octet, tile.k * 2); }

  /// What stays the same from stage to stage.
  void place() {
    xOctet = k.rem(k.thread(), octets);
    Value xRow = k.div(k.thread(), octets), last = k.sub(a.rows, 1);
    for (int64_t i = 0; i < xItems; ++i) {
      Value row = k.add(xRow, i * (plan.threads / octets));
      xRows.push_back(k.atWide(a.x, k.minimum(k.add(firstRow, row), last), spec.layout.k * inputBytes));
      xTo.push_back(octetOffset(row, xOctet));
    }
    // Units of 16 bytes: [panel][chunk][feature].
    Value lastPanel = k.index(spec.layout.panels() - 1);
    auto panelOf = [&](Value panel) {
      return k.atWide(a.weights, k.minimum(k.add(firstPanel, panel), lastPanel), plan.panel.bytes);
    };
    sources(plan.panels * plan.chunks * 16, [&](Value unit) {
      Value feature = k.bitAnd(unit, 15), row = k.shiftRight(unit, 4);
      Value chunk = k.rem(row, plan.chunks), panel = k.div(row, plan.chunks);
      Value base = k.at(k.at(panelOf(panel), k.mul(feature, 16)), plan.panel.chunksOffset);
      Value to =
          k.add(k.mul(k.add(k.mul(row, 16), swizzle(feature, chunkBits(chunk))), 16), plan.weightsOffset);
      return Source{base, chunk, to, Value()};
    });
    chunkSources = chunkOrSide.size();
    // [panel][block][bytes of 16 features' side data].
    int64_t pieces = encoding.sideBytes();
    if (pieces)
      sources(plan.panels * plan.blocks * pieces, [&](Value unit) {
        Value piece = k.rem(unit, pieces), row = k.div(unit, pieces);
        Value block = k.rem(row, plan.blocks), panel = k.div(row, plan.blocks);
        Value base = k.at(k.at(panelOf(panel), k.mul(piece, 16)), plan.panel.sideOffset);
        return Source{base, block, k.add(k.mul(unit, 16), plan.sideOffset), Value()};
      });
  }

  void sources(int64_t units, llvm::function_ref<Source(Value)> sourceOf) {
    for (int64_t first = 0; first < units; first += plan.threads) {
      Value unit = k.add(k.thread(), first), present = k.constant(k.i1, 1);
      if (first + plan.threads > units) {
        present = k.lessThan(unit, units);
        unit = k.minimum(unit, units - 1);
      }
      chunkOrSide.push_back(sourceOf(unit));
      chunkOrSide.back().present = present;
    }
  }

  Flight begin(Value step, Value stage) {
    Value column = k.add(k.mul(step, tile.k), k.mul(xOctet, 8)),
          inColumns = k.lessThan(column, spec.layout.k);
    Value at = k.select(inColumns, column, k.index(0));
    Flight flight;
    if (a.normScale)
      flight.push_back(at);
    if (!copiesX)
      for (Value row : xRows)
        flight.push_back(loadOctet(row, column, at, inColumns));
    auto copy = [&](Value from, Value offset, Value inside, Value present) {
      flight.push_back(
          tile::CopyOp::create(k.b, k.loc, k.vec(4, k.i32), from, k.at(stage, offset), inside, present));
    };
    for (auto [number, source] : llvm::enumerate(chunkOrSide)) {
      bool isChunk = number < chunkSources;
      Value index, inside = k.constant(k.i1, 1);
      int64_t count = isChunk ? plan.panel.chunks : plan.panel.blocks;
      if (isChunk)
        index = k.add(k.mul(step, plan.chunks), source.number);
      else
        index = k.add(k.div(k.mul(step, tile.k), encoding.blockElements()), source.number);
      if (isChunk)
        inside = k.lessThan(index, count);
      index = k.minimum(index, count - 1);
      Value from = k.at(source.base, k.mul(index, isChunk ? PanelShape::chunkStride
                                                          : LinearLayout::panelRows * encoding.sideBytes()));
      copy(from, source.to, inside, source.present);
    }
    if (copiesX)
      for (auto [row, to] : llvm::zip(xRows, xTo))
        copy(k.at(row, k.mul(at, inputBytes)), to, inColumns, k.constant(k.i1, 1));
    tile::CommitOp::create(k.b, k.loc);
    return flight;
  }

  /// 8 elements of x as f32, zeros past the end of K.
  Value loadOctet(Value row, Value column, Value at, Value inside) {
    if (spec.layout.k % 8 == 0)
      return k.orZero(inside, k.loadFloats(spec.input, k.at(row, k.mul(at, inputBytes)), 8,
                                           alignmentOf(spec.layout.k * inputBytes, 16)));
    Values values;
    for (int64_t e = 0; e < 8; ++e) {
      Value c = k.add(column, e), within = k.lessThan(c, spec.layout.k);
      c = k.select(within, c, k.index(0));
      values.push_back(k.orZero(within, k.loadFloats(spec.input, k.at(row, k.mul(c, inputBytes)), 1, 0)));
    }
    return vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), values);
  }

  void arrive(ArrayRef<Value> flight, Value stage, Values &squares) {
    auto next = [&] {
      Value value = flight.front();
      flight = flight.drop_front();
      return value;
    };
    Value scale = a.normScale ? loadScale(next()) : Value();
    for (int64_t i = 0; i < xItems && !copiesX; ++i) {
      Value x = next();
      if (scale) {
        squares[i] = k.fadd(squares[i], k.reduceAdd(k.fmul(x, x)));
        x = k.fmul(x, scale);
      }
      Values parts = k.split(x, spec.product, spec.parts);
      for (int64_t p = 0; p < spec.parts; ++p)
        k.store(parts[p], k.at(k.at(stage, xTo[i]), p * plan.partBytes), 16);
    }
    auto end = [&](Value offset, Value present) {
      tile::ArriveOp::create(k.b, k.loc, next(), k.at(stage, offset), present);
    };
    for (const Source &source : chunkOrSide)
      end(source.to, source.present);
    for (Value to : xTo)
      if (copiesX)
        end(to, k.constant(k.i1, 1));
  }

  /// What stands past K is multiplied by zeros.
  Value loadScale(Value at) {
    if (spec.layout.k % 8 == 0)
      return k.loadFloats(Element::F32, k.at(a.normScale, k.mul(at, 4)), 8, 16);
    Values values;
    for (int64_t e = 0; e < 8; ++e) {
      Value c = k.minimum(k.add(at, e), spec.layout.k - 1);
      values.push_back(k.load(k.f32, k.at(a.normScale, k.mul(c, 4))));
    }
    return vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), values);
  }

  //===--------------------------------------------------------------------===//
  // Products
  //===--------------------------------------------------------------------===//

  /// sums[own tile][common tile].
  void multiply(Value stage, Values &sums) {
    int64_t groups = tile.groups();
    bool hasScales = encoding.hasScale();
    int64_t together = 1;
    if (hasScales)
      together = std::min(groups, plan.blocks > 1 ? encoding.blockElements() / productK : groups);
    for (int64_t first = 0; first < groups; first += together) {
      // Own operands and scales of all tiles: [own tile][group][part][share].
      SmallVector<Values> own, scales;
      for (int64_t t = 0; t < tile.ownTiles(); ++t) {
        own.emplace_back();
        for (int64_t g = first; g < first + together; ++g)
          own.back().append(loadOwn(stage, t, g));
        if (hasScales)
          scales.push_back(loadScales(stage, t, first));
      }
      for (int64_t c = 0; c < tile.commonTiles(); ++c) {
        Values common;
        for (int64_t g = first; g < first + together; ++g)
          common.append(loadCommon(stage, c, g));
        for (int64_t t = 0; t < tile.ownTiles(); ++t) {
          Value &sum = sums[t * tile.commonTiles() + c];
          Value part = hasScales ? k.constant(k.vec(8, k.f32), 0) : sum;
          part = products(own[t], common, together, part);
          sum = hasScales ? k.fma(part, scales[t][0], sum) : part;
        }
      }
    }
  }

  Value products(ArrayRef<Value> own, ArrayRef<Value> common, int64_t groups, Value sum) {
    for (auto [w, x] : partPairs(spec.parts, plan.weightParts))
      for (int64_t g = 0; g < groups; ++g) {
        const Value *o = &own[(g * plan.weightParts + w) * 2], *c = &common[(g * spec.parts + x) * 2];
        sum = tile::ProductOp::create(k.b, k.loc, sum.getType(), o[0], o[1], c[0], c[1], sum);
      }
    return sum;
  }

  /// The team's first octet of a stage is its first k / 8.
  Value teamOctet(int64_t group) { return k.add(k.mul(teamK, tile.groups() * 4), group * 4); }

  Values loadCommon(Value stage, int64_t commonTile, int64_t group) {
    Values shares(spec.parts * 2);
    for (int64_t q = 0; q < 2; ++q) {
      TilePlace place = k.place(tile::What::common, q);
      Value row = k.add(k.add(teamRow, commonTile * commonRows), place.row);
      Value offset = octetOffset(row, k.add(teamOctet(group), place.column));
      for (int64_t p = 0; p < spec.parts; ++p)
        shares[p * 2 + q] =
            k.load(k.vec(8, k.typeOf(spec.product)), k.at(k.at(stage, offset), p * plan.partBytes), 16);
    }
    return shares;
  }

  struct Feature {
    Value panel, feature;
  };
  Feature featureOf(int64_t ownTile, Value row) {
    Value feature = k.add(k.add(teamFeature, ownTile * ownRows), row);
    return {k.shiftRight(feature, 4), k.bitAnd(feature, 15)};
  }

  /// [part][share].
  Values loadOwn(Value stage, int64_t ownTile, int64_t group) {
    Values shares(plan.weightParts * 2);
    int64_t elements = encoding.chunkElements(), wordElements = encoding.wordElements();
    for (int64_t s = 0; s < 2; ++s) {
      TilePlace place = k.place(tile::What::own, s);
      Feature f = featureOf(ownTile, place.row);
      Value octet = k.add(teamOctet(group), place.column);
      // The words of the octet: a part of a chunk, or two chunks.
      int64_t words = 8 / wordElements, each = std::min(words, Encoding::chunkWords);
      Values side = loadSide(stage, f, group);
      bool rounds = plan.weightParts == 1;
      Value all;
      for (int64_t w = 0; w < words; w += each) {
        Value first = k.add(k.mul(octet, 8), w * wordElements); // element of the stage
        Value chunk = k.div(first, elements);
        Value unit =
            k.add(k.mul(k.add(k.mul(f.panel, plan.chunks), chunk), 16), swizzle(f.feature, chunkBits(chunk)));
        Value offset = k.add(k.mul(unit, 16), k.mul(k.div(k.rem(first, elements), wordElements), 4));
        Value bits = k.load(k.vec(each, k.i32), k.at(k.at(stage, offset), plan.weightsOffset), each * 4);
        for (int64_t i = 0; i < each; ++i) {
          Value part = encoding.decode(k, k.element(bits, i), side, rounds ? spec.product : Element::F32);
          all = all ? k.concat(all, part) : part;
        }
      }
      Values parts = rounds ? Values{all} : k.split(all, spec.product, plan.weightParts);
      for (int64_t p = 0; p < plan.weightParts; ++p)
        shares[p * 2 + s] = parts[p];
    }
    return shares;
  }

  Values loadSide(Value stage, Feature f, int64_t group) {
    if (!encoding.sideBytes())
      return {};
    Value block = k.index(0);
    if (plan.blocks > 1)
      block = k.div(k.mul(teamOctet(group), 8), encoding.blockElements());
    Value entry = k.add(k.mul(k.add(k.mul(f.panel, plan.blocks), block), LinearLayout::panelRows), f.feature);
    return encoding.loadSide(k, k.at(k.at(stage, k.mul(entry, encoding.sideBytes())), plan.sideOffset));
  }

  /// The scales of a block as a factor of sums: sums 0 to 3 have one own row, and 4 to 7.
  Values loadScales(Value stage, int64_t ownTile, int64_t group) {
    Values each;
    for (int64_t s = 0; s < 2; ++s) {
      Feature f = featureOf(ownTile, k.place(tile::What::sum, 4 * s).row);
      each.append(4, encoding.scale(k, loadSide(stage, f, group)));
    }
    return {vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), each)};
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  void storeFactor(int64_t item, Value squares) {
    Value sum = k.sumLanes({squares}, octets)[0];
    Value row = k.add(k.div(k.thread(), octets), item * (plan.threads / octets));
    k.ifThen(k.equal(xOctet, 0), [&] {
      k.store(rowFactor(k, spec.layout.k, spec.normEpsilon, sum),
              k.at(k.shared(plan.factorsOffset), k.mul(row, 4)));
    });
  }

  /// Through shared memory, 16 rows of each team at a time: [team on K][row][feature].
  void store(ArrayRef<Value> sums) {
    int64_t rows = tile.teamsOnRows * commonRows, slice = rows * plan.sumsPitch;
    int64_t halves = spec.layout.glu ? 2 : 1, features = tile.features / halves,
            columns = spec.layout.n / halves;
    Value teamRows = k.div(teamRow, tile.commonTiles());
    for (int64_t c = 0; c < tile.commonTiles(); ++c) {
      k.barrier();
      for (int64_t t = 0; t < tile.ownTiles(); ++t)
        for (int64_t i = 0; i < 8; ++i) {
          TilePlace place = k.place(tile::What::sum, i);
          Value feature = k.add(k.add(teamFeature, t * ownRows), place.row);
          Value row = k.add(k.add(k.mul(teamK, rows), teamRows), place.column);
          k.store(k.element(sums[t * tile.commonTiles() + c], i),
                  k.at(k.shared(), k.add(k.mul(row, plan.sumsPitch), k.mul(feature, 4))));
        }
      k.barrier();
      k.loop(k.thread(), k.index(rows * features), k.index(plan.threads), [&](Value item) {
        Value f = k.rem(item, features), r = k.div(item, features);
        // Row r of this round is row r % 16 of round c of team r / 16.
        Value inTile = k.add(k.add(k.mul(k.div(r, commonRows), tile.rows / tile.teamsOnRows), c * commonRows),
                             k.rem(r, commonRows));
        Value row = k.add(firstRow, inTile);
        Value n = k.add(k.mul(k.div(firstPanel, halves), LinearLayout::panelRows), f);
        k.ifThen(k.bitAnd(k.lessThan(row, a.rows), k.lessThan(n, columns)), [&] {
          auto total = [&](Value panel) {
            Value feature = k.add(k.mul(panel, LinearLayout::panelRows), k.rem(f, LinearLayout::panelRows));
            Value at = k.at(k.shared(), k.add(k.mul(r, plan.sumsPitch), k.mul(feature, 4))), sum;
            for (int64_t s = 0; s < tile.teamsOnK; ++s) {
              Value part = k.load(k.f32, k.at(at, s * slice));
              sum = sum ? k.fadd(sum, part) : part;
            }
            if (encoding.hasFactors()) {
              Value base = k.atWide(a.weights, k.add(firstPanel, panel), plan.panel.bytes);
              sum = k.fmul(sum, k.load(k.f32, k.at(base, k.mul(k.rem(f, LinearLayout::panelRows), 4))));
            }
            if (a.normScale)
              sum = k.fmul(sum, k.load(k.f32, k.at(k.shared(plan.factorsOffset), k.mul(inTile, 4))));
            return sum;
          };
          Value panel = k.mul(k.div(f, LinearLayout::panelRows), halves);
          a.store(k, spec, row, n, total(panel), [&] { return total(k.add(panel, 1)); });
        });
      });
    }
  }

  KernelBuilder &k;
  const LinearSpec &spec;
  const TilePlan &plan;
  const TileShape &tile;
  const Encoding &encoding;
  const int64_t inputBytes, octets, xItems;
  const bool copiesX;
  const LinearArguments a;
  size_t chunkSources = 0; // those in front are of chunks
  SmallVector<Source> chunkOrSide;
  Value firstRow, firstPanel, teamFeature, teamRow, teamK, xOctet;
  Values xRows, xTo;
};
} // namespace

llvm::Error pith::gpu::checkLinearTile(const LinearSpec &spec) {
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  const TileShape *tile = tileShapeOf(spec.rowTile);
  if (spec.warpGroups ? !llvm::is_contained(groupRows, spec.rowTile) : !tile)
    return error("a tile of " + llvm::Twine(spec.rowTile) + " rows; expected " +
                 (spec.warpGroups ? "128 or 256 for warp groups" : "1, 2, 4, 8, 16, 32, 64 or 128"));
  int64_t stageK = spec.warpGroups ? groupK : tile->k;
  if (spec.product == Element::F32)
    return error("products of f32 on matrix units; expected f16 or bf16");
  int64_t most = spec.product == Element::F16 ? 2 : 3;
  if (spec.parts < 1 || spec.parts > most)
    return error("activations in " + llvm::Twine(spec.parts) + " parts of " + nameOf(spec.product) +
                 "; expected 1 to " + llvm::Twine(most));
  if (spec.stages < 2 || spec.stages > 8)
    return error("a tile of " + llvm::Twine(spec.stages) + " stages; expected 2 to 8");
  if (spec.layout.format == WeightFormat::BF16 && spec.product == Element::F16)
    return error("bf16 weights in products of f16");
  std::unique_ptr<Encoding> encoding = Encoding::create(spec.layout);
  int64_t block = encoding->blockElements();
  if (encoding->sideBytes() && block < spec.layout.k && block % stageK != 0 &&
      (stageK % block != 0 || block % productK != 0))
    return error("blocks of " + llvm::Twine(block) +
                 " input features on matrix units; expected a multiple of " + llvm::Twine(stageK) +
                 ", or a part of it that is a multiple of " + llvm::Twine(productK));
  return spec.warpGroups ? checkLinearGroup(spec) : llvm::Error::success();
}

int64_t pith::gpu::weightPartsOf(const LinearSpec &spec) {
  if (spec.layout.format == WeightFormat::F32)
    return spec.parts;
  return spec.layout.format == WeightFormat::F16 && spec.product == Element::BF16 ? 2 : 1;
}

/// Of those not in the sum, the largest is the product of the second half of both.
SmallVector<std::pair<int64_t, int64_t>> pith::gpu::partPairs(int64_t parts, int64_t weightParts) {
  SmallVector<std::pair<int64_t, int64_t>> pairs;
  for (int64_t order = std::max(parts, weightParts) - 1; order >= 0; --order)
    for (int64_t w = 0; w < weightParts; ++w)
      if (int64_t x = order - w; x >= 0 && x < parts)
        pairs.push_back({w, x});
  return pairs;
}

int64_t LinearSpec::stagesFor(ArrayRef<Machine> machines) const {
  int64_t stages = 8;
  if (warpGroups) { // which have a multiprocessor to themselves
    for (const Machine &machine : machines)
      stages = std::min(stages, groupStages(*this, machine.sharedBytes));
    return stages;
  }
  int64_t stage = TilePlan(*this).stageBytes;
  for (const Machine &machine : machines) {
    const ChipTiles *chip =
        llvm::find_if(chipTiles, [&](const ChipTiles &c) { return c.chip == machine.chip; });
    stages = std::min(stages, std::clamp<int64_t>(chip->stageBytes / stage, 2, chip->stages));
  }
  return stages;
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateLinearTile(mlir::gpu::GPUModuleOp module, const LinearSpec &spec) {
  if (spec.warpGroups)
    return getOrCreateLinearGroup(module, spec);
  TilePlan plan(spec);
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = TilePlan::threads;
  shape.sharedBytes = plan.sharedBytes;
  // Blocks that run at the same time share weights: those of all rows come first.
  shape.grid = {getAffineDimExpr(0, context).ceilDiv(plan.tile.rows),
                getAffineConstantExpr(llvm::divideCeil(spec.layout.panels(), plan.panels), context)};
  return getOrCreateKernel(
      module, linearName(spec), LinearArguments::of(spec), shape,
      [&](KernelBuilder &k, ArrayRef<Value> a) { LinearTileKernel(k, spec, plan, a).build(); });
}
