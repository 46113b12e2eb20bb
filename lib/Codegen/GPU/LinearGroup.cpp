//===- LinearGroup.cpp - linear layers for many rows, by wgmma ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bound: the products. A block computes 128 features of 128 or 256 rows (Tiles.h). One warp fetches stages of
// 64 k to shared memory by bulk copies: rows as pack_rows wrote them, weights as they are packed. Two warp
// groups multiply 64 features each: a lane decodes its share of the weights to registers, wgmma reads the
// rows from shared memory. While a stage is multiplied, the weights of the next one are decoded.
//
// Counts for f16, 256 rows, a stage, which the matrix units multiply in 1024 cycles: wgmma reads 2 x 32 KB of
// rows, the lanes 16 KB of weights, 48 KB arrive. That is 128 bytes a cycle, what shared memory delivers;
// int8 weights take 8 KB for 16, int4 4 KB. From the L2 a block takes 48 KB a stage: 12.9 GB for 8192^3 (17.2
// with 128 rows), which at 1.5 ms, 75 % of the units' peak, is 8.6 TB/s: the limit that clusters would lift
// next. A lane holds 128 sums and twice 16 words of weights, of 232 registers.
//
// Which k of its rows wgmma takes for the first does not matter as long as both operands agree. Formats of
// two numbers in a word are read by ldmatrix, 512 bytes in a row, and have their k in order. A lane of the
// others decodes an octet, 8 neighbouring k of a feature, for two steps of 16; pack_rows permutes the rows' k
// so (PackRowsSpec::octets).
//
// Precision: as in LinearTile.cpp, but where activations have one part of f16 and scales are of f16, a
// block's scale multiplies the weights, which rounds their products once more to f16. Elsewhere sums are kept
// for a stage or the block in it and multiplied in f32.
//
//===----------------------------------------------------------------------===//
#include "LinearKernel.h"
#include "StageRing.h"
#include "Tiles.h"
#include "WarpGroup.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "pith/Codegen/GPU/Machine.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;
using namespace pith::gpu;

namespace {
/// Scales of f16 are less than 2^15 and values less than 2^8 (Encoding.h): by this the scale is less where
/// both are multiplied in f16, and the row's factor more.
constexpr double scaleFactor = 256;

struct GroupPlan {
  explicit GroupPlan(const LinearSpec &spec)
      : panel(spec.layout), rows(spec.rowTile), x(PackRowsSpec::of(spec)), steps(x.stages()) {
    const Encoding &encoding = *panel.encoding;
    chunks = groupK / encoding.chunkElements();
    int64_t block = encoding.blockElements();
    if (encoding.sideBytes())
      blocks = panel.blocks > 1 && block < groupK ? std::min(groupK / block, panel.blocks) : 1;
    sideRow = LinearLayout::panelRows * encoding.sideBytes();
    int64_t last = panel.chunks * encoding.chunkElements() - (steps - 1) * groupK;
    lastK = std::min(last, groupK);
    scalesWeights = encoding.hasScale() && encoding.hasFactors() && spec.parts == 1 &&
                    spec.product == Element::F16 && !spec.layout.wideScales;
    scalesSums = encoding.hasScale() && !scalesWeights;
    partBytes = rows * WarpGroup::rowBytes;
    weightsOffset = spec.parts * partBytes;
    panelBytes = chunks * PanelShape::chunkStride;
    sideOffset = weightsOffset + panels * panelBytes;
    stageBytes = llvm::alignTo(sideOffset + panels * blocks * sideRow, 1024);
    sumsPitch = groupFeatures * 4 + 16;
    barriersOffset = std::max(spec.stages * stageBytes, rows * sumsPitch);
    sharedBytes = barriersOffset + spec.stages * StageRing::barrierBytes;
    weightParts = spec.parts == 1 ? 1 : weightPartsOf(spec);
  }
  static constexpr int64_t panels = groupFeatures / LinearLayout::panelRows, warps = 8,
                           threads = (1 + warps / 4) * WarpGroup::threads;

  PanelShape panel;
  int64_t rows;
  PackRowsSpec x;
  int64_t steps;
  int64_t chunks;     // of a panel in a stage
  int64_t blocks = 0; // of a panel in a stage: with side data of their own
  int64_t sideRow;    // bytes of a block's side data
  int64_t lastK;      // k that the last stage has weights for
  bool scalesWeights, scalesSums;
  int64_t partBytes, weightsOffset, panelBytes, sideOffset, stageBytes, sumsPitch, barriersOffset,
      sharedBytes;
  int64_t weightParts;
};

class LinearGroupKernel {
public:
  using Values = KernelBuilder::Values;

  LinearGroupKernel(KernelBuilder &k, const LinearSpec &spec, const GroupPlan &plan,
                    ArrayRef<Value> arguments)
      : k(k), spec(spec), plan(plan), encoding(*plan.panel.encoding), a(spec, arguments),
        group(k, spec.product, plan.rows), ring(k, spec.stages, plan.stageBytes, plan.barriersOffset) {}

  void build() {
    place();
    ring.init(plan.warps);
    auto registers = [&](uint32_t count, NVVM::SetMaxRegisterAction action) {
      NVVM::SetMaxRegisterOp::create(k.b, k.loc, count, action);
    };
    k.ifThen(
        k.lessThan(k.thread(), WarpGroup::threads),
        [&] {
          registers(40, NVVM::SetMaxRegisterAction::decrease);
          k.ifThen(k.lessThan(k.thread(), subgroupLanes), [&] { produce(); });
        },
        [&] {
          registers(232, NVVM::SetMaxRegisterAction::increase);
          consume();
        });
  }

private:
  /// Blocks run in the order of their numbers. Those of 8 tiles of rows come together, so that what about 130
  /// blocks read at a time, 8 x 256 rows and 16 x 128 features, is little and shared in the L2.
  void place() {
    constexpr int64_t together = 8;
    int64_t featureTiles = llvm::divideCeil(spec.layout.panels(), plan.panels);
    Value block = k.block(), span = k.div(block, together * featureTiles),
          in = k.rem(block, together * featureTiles);
    Value firstTile = k.mul(span, together);
    Value count = k.minimum(k.sub(k.ceilDiv(a.rows, plan.rows), firstTile), together);
    firstRow = k.mul(k.add(firstTile, k.rem(in, count)), plan.rows);
    firstPanel = k.mul(k.div(in, count), plan.panels);
  }

  //===--------------------------------------------------------------------===//
  // The warp that fetches
  //===--------------------------------------------------------------------===//

  /// Each lane has a piece of every stage: 128 rows of a part, a panel's chunks or its side data.
  void produce() {
    constexpr int64_t pieceBytes = PackRowsSpec::tileRows * WarpGroup::rowBytes;
    int64_t pieces = plan.rows / PackRowsSpec::tileRows, images = spec.parts * pieces;
    Value lane = k.lane(), image = k.minimum(lane, images - 1);
    Value isImage = k.lessThan(lane, images), isChunk = k.lessThan(lane, images + plan.panels);
    Value part = k.rem(image, spec.parts), piece = k.div(image, spec.parts);
    // Past the last rows the last ones come again.
    Value lastTile = k.sub(k.ceilDiv(a.rows, PackRowsSpec::tileRows), 1);
    Value rowTile = k.minimum(k.add(k.div(firstRow, PackRowsSpec::tileRows), piece), lastTile);
    Value rows =
        k.at(k.atWide(a.x, rowTile, plan.x.rowBytes() * PackRowsSpec::tileRows), k.mul(part, pieceBytes));
    Value number = k.bitAnd(k.sub(lane, images), plan.panels - 1);
    Value panel =
        k.atWide(a.weights, k.minimum(k.add(firstPanel, number), spec.layout.panels() - 1), plan.panel.bytes);
    auto choose = [&](Value ofImage, Value ofChunk, Value ofSide) {
      return k.select(isImage, ofImage, k.select(isChunk, ofChunk, ofSide));
    };
    Value from = choose(rows, k.at(panel, plan.panel.chunksOffset), k.at(panel, plan.panel.sideOffset));
    int64_t sideBytes = plan.blocks * plan.sideRow;
    Value to = choose(k.add(k.mul(part, plan.partBytes), k.mul(piece, pieceBytes)),
                      k.add(k.mul(number, plan.panelBytes), plan.weightsOffset),
                      k.add(k.mul(number, sideBytes), plan.sideOffset));
    int64_t last = (plan.panel.chunks - (plan.steps - 1) * plan.chunks) * PanelShape::chunkStride;
    Value bytes = choose(k.index(pieceBytes), k.index(plan.panelBytes), k.index(sideBytes));
    Value lastBytes = choose(k.index(pieceBytes), k.index(last), k.index(sideBytes));
    int64_t fixed = images * pieceBytes + plan.panels * sideBytes;
    Value busy = k.lessThan(lane, images + plan.panels * (sideBytes ? 2 : 1)), first = k.equal(lane, 0);

    StageRing::Place start = ring.first();
    k.loop(k.index(0), k.index(plan.steps), 1, {start.slot, start.phase},
           [&](Value step, ArrayRef<Value> at) -> Values {
             StageRing::Place place{at[0], at[1]};
             ring.waitEmpty(place);
             Value isLast = k.equal(step, plan.steps - 1);
             k.ifThen(first, [&] {
               ring.expect(place, k.select(isLast, k.index(fixed + plan.panels * last),
                                           k.index(fixed + plan.panels * plan.panelBytes)));
             });
             k.ifThen(busy, [&] {
               Value offset = choose(k.mul(step, spec.parts * pieceBytes), k.mul(step, plan.panelBytes),
                                     k.mul(firstBlock(step), plan.sideRow));
               ring.copy(place, k.at(from, offset), k.at(ring.stage(place), to),
                         k.select(isLast, lastBytes, bytes));
             });
             StageRing::Place next = ring.after(place);
             return {next.slot, next.phase};
           });
  }

  /// The first block whose side data a stage has: the last stage's may begin before its own.
  Value firstBlock(Value step) {
    if (!plan.blocks)
      return k.index(0);
    return k.minimum(k.div(k.mul(step, groupK), encoding.blockElements()), plan.panel.blocks - plan.blocks);
  }

  //===--------------------------------------------------------------------===//
  // The groups that multiply
  //===--------------------------------------------------------------------===//

  /// At a stage whose weights are in registers: [step of 16 k][part][4 words].
  struct State {
    StageRing::Place place;
    Value step; // the stage's number
    Values own;
    Value sums;
  };

  /// Steps of 16 k of the last stage or of the others.
  int64_t stepsOf(bool last) const {
    int64_t each = plan.x.octets ? 32 : 16;
    return llvm::divideCeil(last ? plan.lastK : groupK, each) * (each / 16);
  }

  void consume() {
    warp = k.sub(k.subgroup(), 4);
    bool tail = plan.lastK < groupK;
    int64_t moves = plan.steps - 1; // from a stage to the next
    State state;
    state.place = ring.first();
    state.step = k.index(0);
    state.sums = group.zeros();
    ring.waitFull(state.place);
    state.own = load(state.place, state.step, moves == 0);
    // Two moves in a round, so that each has registers of its own for the weights.
    if (moves > 0) {
      int64_t whole = moves - 1 - (tail && moves > 1);
      state = advance(state, /*first=*/true, tail && moves == 1);
      if (whole % 2)
        state = advance(state, false, false);
      if (whole / 2) {
        Values carried = {state.place.slot, state.place.phase, state.step};
        carried.append(state.own);
        carried.push_back(state.sums);
        auto unpack = [&](ArrayRef<Value> values) {
          return State{{values[0], values[1]}, values[2], Values(values.slice(3).drop_back()), values.back()};
        };
        carried = k.loop(k.index(0), k.index(whole / 2), 1, carried, [&](Value, ArrayRef<Value> values) {
          State s = advance(advance(unpack(values), false, false), false, false);
          Values next = {s.place.slot, s.place.phase, s.step};
          next.append(s.own);
          next.push_back(s.sums);
          return next;
        });
        state = unpack(carried);
      }
      if (tail && moves > 1)
        state = advance(state, false, true);
    }
    Value sums = multiply(state, tail, nullptr);
    if (!plan.scalesSums) {
      group.commit();
      sums = group.finish(sums);
    }
    store(sums);
  }

  /// Multiplies a stage, all but the end of it, and loads the next one's weights.
  State advance(State state, bool first, bool toTail) {
    State next;
    auto load = [&] {
      next.place = ring.after(state.place);
      next.step = k.add(state.step, 1);
      ring.waitFull(next.place);
      next.own = this->load(next.place, next.step, toTail);
    };
    next.sums = multiply(state, false, load);
    if (plan.scalesSums) {
      release(state.place);
      return next;
    }
    group.commit();
    if (!first) { // of the stage before, nothing is under way any more
      group.wait(1);
      release(ring.before(state.place));
    }
    load();
    return next;
  }

  void release(StageRing::Place place) {
    k.ifThen(k.equal(k.lane(), 0), [&] { ring.release(place); });
  }

  /// The sums with the stage's products. Those of blocks with scales are complete, and `between` is done
  /// while the last ones are under way.
  Value multiply(const State &state, bool tail, llvm::function_ref<void()> between) {
    Values own = group.begin(state.own);
    int64_t steps = stepsOf(tail && plan.lastK < groupK);
    Value common = group.descriptor(ring.stage(state.place));
    if (!plan.scalesSums)
      return products(own, common, steps, state.sums, false);
    Value part = products(own, common, steps, state.sums, /*fresh=*/true), sums = state.sums;
    group.commit();
    if (between)
      between();
    // All lanes read the scales before one of them releases the stage.
    Value scales[2];
    for (int64_t r = 0; r < 2; ++r)
      scales[r] = encoding.scale(k, loadSide(state.place, state.step, 0, r));
    part = group.finish(part);
    for (int64_t i = 0; i < plan.rows / 2; ++i) {
      Value sum = k.fma(LLVM::ExtractValueOp::create(k.b, k.loc, part, i), scales[i / 2 % 2],
                        LLVM::ExtractValueOp::create(k.b, k.loc, sums, i));
      sums = LLVM::InsertValueOp::create(k.b, k.loc, sums, sum, i);
    }
    return sums;
  }

  /// All products of parts that matter, the smallest first.
  Value products(ArrayRef<Value> own, Value common, int64_t count, Value sums, bool fresh) {
    for (auto [w, x] : partPairs(spec.parts, plan.weightParts))
      for (int64_t step = 0; step < count; ++step) {
        Value rows = group.atStep(k.add(common, x * plan.partBytes / 16), step);
        sums = group.multiply(
            own.slice((step * plan.weightParts + w) * WarpGroup::stepWords, WarpGroup::stepWords), rows, sums,
            fresh);
        fresh = false;
      }
    return sums;
  }

  //===--------------------------------------------------------------------===//
  // Weights to registers
  //===--------------------------------------------------------------------===//

  Values load(StageRing::Place place, Value step, bool last) {
    Value weights = k.at(ring.stage(place), k.add(k.mul(warp, plan.panelBytes), plan.weightsOffset));
    int64_t steps = stepsOf(last);
    Values words(steps * plan.weightParts * WarpGroup::stepWords);
    auto put = [&](int64_t s, int64_t word, Value pair) { // two numbers
      bool whole = plan.weightParts == 1;
      Values parts = whole ? Values{pair} : k.split(pair, spec.product, plan.weightParts);
      for (int64_t p = 0; p < plan.weightParts; ++p)
        words[(s * plan.weightParts + p) * WarpGroup::stepWords + word] = k.bitcast(parts[p], k.i32);
    };
    Element element = plan.weightParts == 1 ? spec.product : Element::F32;
    if (!plan.x.octets) {
      for (int64_t s = 0; s < steps; ++s) {
        Value bits = loadMatrices(k.at(weights, k.add(k.mul(k.lane(), 16), s * 2 * PanelShape::chunkStride)));
        for (int64_t w = 0; w < WarpGroup::stepWords; ++w)
          put(s, w, encoding.decode(k, LLVM::ExtractValueOp::create(k.b, k.loc, bits, w), {}, element));
      }
      return words;
    }
    for (int64_t s = 0; s < steps; s += 2)
      for (int64_t r = 0; r < 2; ++r) {
        Value octet = loadOctet(weights, place, step, s, r, last ? plan.lastK : groupK, element);
        for (int64_t pair = 0; pair < 4; ++pair)
          put(s + pair / 2, r + pair % 2 * 2, k.slice(octet, pair * 2, 2));
      }
    return words;
  }

  /// Four times 8 x 8 numbers of 16 bits: two chunks of all features.
  Value loadMatrices(Value address) {
    MLIRContext *context = k.b.getContext();
    auto type = LLVM::LLVMStructType::getLiteral(context, SmallVector<Type>(4, k.i32));
    return NVVM::LdMatrixOp::create(k.b, k.loc, type, address, 4u, NVVM::MMALayout::row,
                                    NVVM::LdStMatrixShapeAttr::get(context, 8, 8),
                                    NVVM::LdStMatrixEltType::B16);
  }

  Value featureOf(int64_t half) { return k.add(k.div(k.lane(), 4), half * 8); }

  /// Octet lane % 4 of the 32 k from step `s` on, of feature lane / 4 or the eighth behind it.
  Value loadOctet(Value weights, StageRing::Place place, Value step, int64_t s, int64_t half, int64_t within,
                  Element element) {
    int64_t elements = encoding.chunkElements(), wordElements = encoding.wordElements();
    int64_t octets = std::min<int64_t>(4, (within - s * WarpGroup::stepK) / 8); // that there are
    int64_t words = 8 / wordElements, each = std::min(words, Encoding::chunkWords);
    Value number = k.rem(k.lane(), 4), present;
    if (octets < 4) {
      present = k.lessThan(number, octets);
      number = k.minimum(number, octets - 1);
    }
    Values side = loadSide(place, step, s * WarpGroup::stepK, half);
    Value all;
    for (int64_t w = 0; w < words; w += each) {
      Value first = k.add(k.mul(number, 8), s * WarpGroup::stepK + w * wordElements); // element of the stage
      Value unit = k.add(k.mul(k.div(first, elements), LinearLayout::panelRows), featureOf(half));
      Value offset = k.add(k.mul(unit, 16), k.mul(k.div(k.rem(first, elements), wordElements), 4));
      Value bits = k.load(k.vec(each, k.i32), k.at(weights, offset), each * 4);
      for (int64_t i = 0; i < each; ++i) {
        Value part = encoding.decode(k, k.element(bits, i), side, element);
        all = all ? k.concat(all, part) : part;
      }
    }
    if (plan.scalesWeights) {
      Value scale = k.fmul(encoding.scale(k, side), k.constant(k.f32, 1.0 / scaleFactor));
      all = k.fmul(all, k.splat(k.fromF32(scale, k.f16), 8));
    }
    return present ? k.orZero(present, all) : all;
  }

  /// Of the block that `from`, a k of the stage, belongs to.
  Values loadSide(StageRing::Place place, Value step, int64_t from, int64_t half) {
    if (!plan.blocks)
      return {};
    Value block = k.index(0);
    if (plan.blocks > 1) {
      block = k.index(from / encoding.blockElements());
      // Where the last stage's side data begins before its own.
      Value before = k.sub(k.div(k.mul(step, groupK), encoding.blockElements()), firstBlock(step));
      if (plan.panel.blocks % plan.blocks != 0)
        block = k.minimum(k.add(block, before), plan.blocks - 1);
    }
    Value entry =
        k.add(k.mul(k.add(k.mul(warp, plan.blocks), block), LinearLayout::panelRows), featureOf(half));
    return encoding.loadSide(
        k, k.at(ring.stage(place), k.add(k.mul(entry, encoding.sideBytes()), plan.sideOffset)));
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  /// Of the threads that multiply.
  void barrier() {
    NVVM::BarrierOp::create(k.b, k.loc, Type(), k.index(1), k.index(plan.warps * subgroupLanes),
                            NVVM::BarrierReductionAttr(), Value());
  }

  /// Through shared memory, [row][feature]. A thread has one feature of all rows that it stores.
  void store(Value sums) {
    barrier(); // the stages are free
    Value lane = k.lane();
    Value corner = k.at(k.shared(), k.add(k.mul(k.mul(k.rem(lane, 4), 2), plan.sumsPitch),
                                          k.mul(k.add(k.mul(warp, 16), k.div(lane, 4)), 4)));
    for (int64_t i = 0; i < plan.rows / 2; ++i)
      k.store(LLVM::ExtractValueOp::create(k.b, k.loc, sums, i),
              k.at(corner, (i / 4 * 8 + i % 2) * plan.sumsPitch + i / 2 % 2 * 8 * 4));
    barrier();
    int64_t halves = spec.layout.glu ? 2 : 1, features = groupFeatures / halves,
            columns = spec.layout.n / halves;
    Value thread = k.sub(k.thread(), WarpGroup::threads), f = k.rem(thread, features);
    Value n = k.add(k.mul(k.div(firstPanel, halves), LinearLayout::panelRows), f);
    Value inPanel = k.rem(f, LinearLayout::panelRows),
          panel = k.mul(k.div(f, LinearLayout::panelRows), halves);
    k.ifThen(k.lessThan(n, columns), [&] {
      Values at, factors;
      for (int64_t h = 0; h < halves; ++h) {
        Value p = k.add(panel, h);
        at.push_back(k.mul(k.add(k.mul(p, LinearLayout::panelRows), inPanel), 4));
        if (!encoding.hasFactors())
          continue;
        Value base = k.atWide(a.weights, k.add(firstPanel, p), plan.panel.bytes);
        Value factor = k.load(k.f32, k.at(base, k.mul(inPanel, 4)));
        factors.push_back(plan.scalesWeights ? k.fmul(factor, k.constant(k.f32, scaleFactor)) : factor);
      }
      Value end = k.minimum(k.sub(a.rows, firstRow), plan.rows);
      k.loop(k.div(thread, features), end, k.index(plan.warps * subgroupLanes / features), [&](Value r) {
        Value row = k.at(k.shared(), k.mul(r, plan.sumsPitch));
        auto total = [&](int64_t h) {
          Value sum = k.load(k.f32, k.at(row, at[h]));
          return factors.empty() ? sum : k.fmul(sum, factors[h]);
        };
        a.store(k, spec, k.add(firstRow, r), n, total(0), [&] { return total(1); });
      });
    });
  }

  KernelBuilder &k;
  const LinearSpec &spec;
  const GroupPlan &plan;
  const Encoding &encoding;
  const LinearArguments a;
  WarpGroup group;
  StageRing ring;
  Value firstRow, firstPanel, warp;
};
} // namespace

llvm::Error pith::gpu::checkLinearGroup(const LinearSpec &spec) {
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  if (spec.norm != Norm::None)
    return error("a norm in front of warp groups; expected one in front of the packed rows");
  GroupPlan plan(spec);
  if (plan.weightParts > 2) // more words of weights than registers for them
    return error("weights in 3 parts with warp groups");
  if (plan.scalesSums && plan.blocks > 1) // sums of a block, beside the others, would spill
    return error("blocks of " + llvm::Twine(plan.panel.encoding->blockElements()) +
                 " input features whose scales multiply sums, with warp groups; expected a multiple of " +
                 llvm::Twine(groupK));
  if (spec.rowTile == 256 && (spec.parts > 1 || plan.scalesSums))
    return error("a tile of 256 rows in parts, or whose sums have scales; expected 128 for warp groups");
  return llvm::Error::success();
}

int64_t pith::gpu::groupStages(const LinearSpec &spec, int64_t sharedBytes) {
  GroupPlan plan(spec);
  return std::clamp<int64_t>(sharedBytes / (plan.stageBytes + StageRing::barrierBytes), 2, groupMaxStages);
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateLinearGroup(mlir::gpu::GPUModuleOp module,
                                                       const LinearSpec &spec) {
  GroupPlan plan(spec);
  KernelShape shape;
  shape.threads = GroupPlan::threads;
  shape.warpGroups = true;
  shape.sharedBytes = plan.sharedBytes;
  shape.grid = {getAffineDimExpr(0, module.getContext()).ceilDiv(plan.rows) *
                llvm::divideCeil(spec.layout.panels(), plan.panels)};
  return getOrCreateKernel(
      module, linearName(spec), LinearArguments::of(spec), shape,
      [&](KernelBuilder &k, ArrayRef<Value> a) { LinearGroupKernel(k, spec, plan, a).build(); });
}
