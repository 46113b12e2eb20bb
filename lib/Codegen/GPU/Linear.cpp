//===- Linear.cpp - linear layers for few rows ----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bound: the bytes of the weights. A block computes some panels' features and its subgroups share K: in every
// step a lane reads `steps` chunks of each panel, 16 bytes each, all in flight before the first is needed.
// Lane l reads feature l % 16, so that a subgroup reads 512 bytes in a row. Of x every lane of a
// half-subgroup needs the same elements: loads from the first-level cache that serve 16 lanes at once, and
// serve all panels. Each lane sums its own feature; the end adds up the two halves of a subgroup by an
// exchange and the subgroups through shared memory, in a fixed order.
//
// An RMS norm in front is linear up to one factor per row: x is multiplied by the norm's scale where it is
// read, and the sum by the factor at the end.
//
//===----------------------------------------------------------------------===//
#include "LinearKernel.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::gpu;

namespace {
/// The tile of a block. Chosen from the shape alone, for chips of 80 to 300 multiprocessors.
struct Plan {
  Plan(const LinearSpec &spec, const PanelShape &shape) : rows(spec.rowTile) {
    int64_t all = spec.layout.panels();
    // More panels share what is read of x, as long as a large chip still gets two blocks for each
    // multiprocessor.
    panels = spec.layout.glu ? 2 : 1;
    while (panels * 2 <= 4 && panels * 2 * rows <= 8 && all / (panels * 2) >= 512)
      panels *= 2;
    // Four loads in flight for each lane; fewer where sums of many rows need the registers.
    steps = std::max<int64_t>(1, 4 / (panels * (rows > 2 ? 2 : 1)));
    int64_t pairs = shape.chunks / 2;
    while (steps > 1 && pairs < 4 * steps)
      steps /= 2;
    int64_t subgroups = std::clamp<int64_t>(llvm::PowerOf2Ceil(llvm::divideCeil(pairs, steps)), 1, 8);
    threads = subgroups * subgroupLanes;
  }
  int64_t panels; // of a block
  int64_t rows;
  int64_t steps; // pairs of chunks that a subgroup takes at once
  int64_t threads;
};

class LinearKernel {
public:
  using Values = KernelBuilder::Values;

  LinearKernel(KernelBuilder &k, const LinearSpec &spec, const PanelShape &shape, const Plan &plan,
               ArrayRef<Value> arguments)
      : k(k), spec(spec), shape(shape), encoding(*shape.encoding), plan(plan),
        elements(encoding.chunkElements()), wordElements(encoding.wordElements()),
        inputBytes(elementBytes(spec.input)), a(spec, arguments) {}

  void build() {
    firstRow = k.mul(k.block(mlir::gpu::Dimension::y), plan.rows);
    Value last = k.sub(a.rows, 1);
    for (int64_t r = 0; r < plan.rows; ++r)
      rowsOfX.push_back(k.atWide(a.x, k.minimum(k.add(firstRow, r), last), spec.layout.k * inputBytes));
    firstPanel = k.mul(k.block(), plan.panels);
    // Blocks past the last panel read it again and store nothing.
    Value lastPanel = k.index(spec.layout.panels() - 1);
    for (int64_t p = 0; p < plan.panels; ++p)
      panels.push_back(k.atWide(a.weights, k.minimum(k.add(firstPanel, p), lastPanel), shape.bytes));
    feature = k.bitAnd(k.lane(), 15);
    half = k.shiftRight(k.lane(), 4);

    Values sums(plan.panels * plan.rows, k.constant(k.f32, 0));
    sums = tail(whole(sums));
    store(sums);
  }

private:
  //===--------------------------------------------------------------------===//
  // Sums
  //===--------------------------------------------------------------------===//

  /// Steps in which every subgroup has as much to do and no chunk passes the end of K.
  Values whole(Values sums) {
    int64_t stepChunks = 2 * plan.steps * k.subgroups(), steps = shape.fullChunks / stepChunks;
    done = steps * stepChunks;
    if (steps == 0)
      return sums;
    Value first = k.add(k.mul(k.subgroup(), 2 * plan.steps), half);
    return k.loop(k.index(0), k.index(done), stepChunks, sums, [&](Value i, ArrayRef<Value> carried) {
      Values chunks;
      for (int64_t s = 0; s < plan.steps; ++s)
        chunks.push_back(k.add(k.add(i, first), 2 * s));
      return addChunks(chunks, Value(), carried);
    });
  }

  /// What is left: one pair of chunks a subgroup and step.
  Values tail(Values sums) {
    if (done == shape.chunks)
      return sums;
    Value first = k.add(k.mul(k.subgroup(), 2), done);
    return k.loop(first, k.index(shape.chunks), 2 * k.subgroups(), sums,
                  [&](Value i, ArrayRef<Value> carried) {
                    Value chunk = k.add(i, half);
                    return addChunks({chunk}, k.lessThan(chunk, shape.fullChunks), carried);
                  });
  }

  /// Adds chunks of all panels times rows of x. `inside` (null: always): the chunk lies within K.
  Values addChunks(ArrayRef<Value> chunks, Value inside, ArrayRef<Value> sums) {
    Values result(sums);
    // The order matters: first all loads of weights, then x, a word at a time.
    SmallVector<Values> bits(chunks.size());
    for (auto [c, chunk] : llvm::enumerate(chunks)) {
      Value offset = k.add(k.mul(chunk, PanelShape::chunkStride), k.mul(feature, Encoding::chunkBytes));
      for (Value panel : panels)
        bits[c].push_back(k.loadChunk(k.at(k.at(panel, offset), shape.chunksOffset)));
    }
    // Words that share side data.
    int64_t words = Encoding::chunkWords;
    if (encoding.sideBytes())
      words = std::min(words, encoding.blockElements() / wordElements);
    for (int64_t first = 0; first < Encoding::chunkWords; first += words)
      for (auto [c, chunk] : llvm::enumerate(chunks)) {
        Value start = k.add(k.mul(chunk, elements), first * wordElements);
        SmallVector<Values> side;
        for (Value panel : panels)
          side.push_back(loadSide(panel, start, inside));
        Values parts(result.size());
        for (int64_t word = 0; word < words; ++word) {
          Values columns = loadX(k.add(start, word * wordElements), inside);
          for (int64_t p = 0; p < plan.panels; ++p) {
            Value w = encoding.decode(k, k.element(bits[c][p], first + word), side[p], Element::F32);
            for (int64_t e = 0; e < wordElements; ++e)
              for (int64_t r = 0; r < plan.rows; ++r) {
                Value &part = parts[p * plan.rows + r];
                Value a = k.element(columns[r], e), b = k.element(w, e);
                part = part ? k.fma(a, b, part) : k.fmul(a, b);
              }
          }
        }
        for (int64_t i = 0; i < int64_t(result.size()); ++i) {
          Value scale = encoding.scale(k, side[i / plan.rows]);
          result[i] = scale ? k.fma(parts[i], scale, result[i]) : k.fadd(result[i], parts[i]);
        }
      }
    return result;
  }

  /// The side data of the block that begins at or before input feature `start`.
  Values loadSide(Value panel, Value start, Value inside) {
    if (!encoding.sideBytes())
      return {};
    // Chunks of padding have no block of their own.
    Value block = k.minimum(k.div(start, encoding.blockElements()), shape.blocks - 1);
    Value entry = k.add(k.mul(block, LinearLayout::panelRows), feature);
    return encoding.loadSide(k, k.at(k.at(panel, k.mul(entry, encoding.sideBytes())), shape.sideOffset));
  }

  /// A word's elements of every row, normalized but for the row's factor: vector<wordElements x f32>. What
  /// lies past the end of K is zero, whatever stands there: it meets weights that are zero.
  Values loadX(Value start, Value inside) {
    Values columns;
    bool elementwise = inside && spec.layout.k % elements != 0;
    int64_t align = alignmentOf(spec.layout.k * inputBytes, wordElements * inputBytes);
    Value at = inside && !elementwise ? k.select(inside, start, k.index(0)) : start;
    Value scale = a.normScale && !elementwise ? k.loadFloats(Element::F32, k.at(a.normScale, k.mul(at, 4)),
                                                             wordElements, alignmentOf(16, wordElements * 4))
                                              : Value();
    for (Value row : rowsOfX) {
      Value column;
      if (elementwise) {
        column = loadElements(row, start);
      } else {
        column = k.loadFloats(spec.input, k.at(row, k.mul(at, inputBytes)), wordElements, align);
        if (wordElements == 1)
          column = k.splat(column, 1);
        if (scale)
          column = k.fmul(column, wordElements == 1 ? k.splat(scale, 1) : scale);
        if (inside)
          column = k.orZero(inside, column);
      }
      columns.push_back(column);
    }
    return columns;
  }

  /// For the last, partial chunk: one element at a time.
  Value loadElements(Value row, Value start) {
    Values values;
    for (int64_t e = 0; e < wordElements; ++e) {
      Value column = k.add(start, e), inside = k.lessThan(column, spec.layout.k);
      column = k.select(inside, column, k.index(0));
      Value v = k.loadFloats(spec.input, k.at(row, k.mul(column, inputBytes)), 1, 0);
      if (a.normScale)
        v = k.fmul(v, k.loadFloats(Element::F32, k.at(a.normScale, k.mul(column, 4)), 1, 0));
      values.push_back(k.orZero(inside, v));
    }
    return vector::FromElementsOp::create(k.b, k.loc, k.vec(wordElements, k.f32), values);
  }

  /// The norm's factor of each row. After the products: their weights are on the way sooner.
  Values rowFactors() {
    int64_t vector = alignmentOf(spec.layout.k * inputBytes, 16) / inputBytes;
    Value start = k.mul(k.thread(), vector);
    Values squares = k.loop(start, k.index(spec.layout.k), vector * plan.threads,
                            Values(plan.rows, k.constant(k.f32, 0)), [&](Value i, ArrayRef<Value> carried) {
                              Values next;
                              for (auto [row, sum] : llvm::zip(rowsOfX, carried)) {
                                Value v = k.loadFloats(spec.input, k.at(row, k.mul(i, inputBytes)), vector,
                                                       vector * inputBytes);
                                v = k.fmul(v, v);
                                next.push_back(k.fadd(sum, vector == 1 ? v : k.reduceAdd(v)));
                              }
                              return next;
                            });
    squares = k.sumBlock(squares, plan.panels * plan.rows * 64 * k.subgroups());
    for (Value &square : squares)
      square = rowFactor(k, spec.layout.k, spec.normEpsilon, square);
    return squares;
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  void store(Values sums) {
    sums = k.sumLanes(sums, 32, 16);
    int64_t each = plan.panels * plan.rows * 64; // bytes of a subgroup's sums: [panel][row][feature]
    k.ifThen(k.equal(half, 0), [&] {
      Value mine = k.at(k.shared(), k.add(k.mul(k.subgroup(), each), k.mul(feature, 4)));
      for (auto [i, sum] : llvm::enumerate(sums))
        k.store(sum, k.at(mine, int64_t(i) * 64));
    });
    Values factors;
    if (spec.norm != Norm::None)
      factors = rowFactors();
    k.barrier();
    bool glu = spec.layout.glu;
    int64_t items = plan.panels / (glu ? 2 : 1) * plan.rows * 16;
    for (int64_t first = 0; first < items; first += plan.threads) {
      Value item = k.add(k.thread(), first);
      auto body = [&] { storeItem(item, each, factors); };
      if (first + plan.threads <= items)
        body();
      else
        k.ifThen(k.lessThan(item, items), body);
    }
  }

  /// One output: item = ((panel or pair of panels) * rows + row) * 16 + feature.
  void storeItem(Value item, int64_t each, ArrayRef<Value> factors) {
    bool glu = spec.layout.glu;
    Value f = k.bitAnd(item, 15), r = k.rem(k.shiftRight(item, 4), plan.rows),
          p = k.div(item, 16 * plan.rows);
    int64_t parts = glu ? 2 : 1, columns = spec.layout.n / parts;
    Value n = k.add(k.mul(k.add(k.div(firstPanel, parts), p), 16), f);
    Value row = k.add(firstRow, r);
    k.ifThen(k.bitAnd(k.lessThan(n, columns), k.lessThan(row, a.rows)), [&] {
      a.store(k, spec, row, n, total(k.mul(p, parts), r, f, each, factors),
              [&] { return total(k.add(k.mul(p, 2), 1), r, f, each, factors); });
    });
  }

  /// The sum of the block's panel number `p`.
  Value total(Value p, Value r, Value f, int64_t each, ArrayRef<Value> factors) {
    Value at = k.add(k.mul(k.add(k.mul(p, plan.rows), r), 64), k.mul(f, 4));
    Value sum;
    for (int64_t s = 0; s < k.subgroups(); ++s) {
      Value part = k.load(k.f32, k.at(k.at(k.shared(), at), s * each));
      sum = sum ? k.fadd(sum, part) : part;
    }
    if (encoding.hasFactors()) {
      Value panel = k.atWide(a.weights, k.add(firstPanel, p), shape.bytes);
      sum = k.fmul(sum, k.load(k.f32, k.at(panel, k.mul(f, 4))));
    }
    if (!factors.empty()) {
      Value factor = factors[0];
      for (int64_t i = 1; i < plan.rows; ++i)
        factor = k.select(k.equal(r, i), factors[i], factor);
      sum = k.fmul(sum, factor);
    }
    return sum;
  }

  KernelBuilder &k;
  const LinearSpec &spec;
  const PanelShape &shape;
  const Encoding &encoding;
  const Plan &plan;
  const int64_t elements, wordElements, inputBytes;
  int64_t done = 0; // chunks that the whole steps have taken
  const LinearArguments a;
  Value firstRow, firstPanel, feature, half;
  Values rowsOfX, panels;
};
} // namespace

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateLinear(mlir::gpu::GPUModuleOp module, const LinearSpec &spec) {
  if (spec.onMatrixUnit())
    return getOrCreateLinearTile(module, spec);
  PanelShape panel(spec.layout);
  Plan plan(spec, panel);
  KernelShape shape;
  shape.threads = plan.threads;
  int64_t subgroups = plan.threads / subgroupLanes;
  shape.sharedBytes = subgroups * plan.rows * (plan.panels * 64 + (spec.norm != Norm::None ? 4 : 0));
  MLIRContext *context = module.getContext();
  shape.grid = {getAffineConstantExpr(llvm::divideCeil(spec.layout.panels(), plan.panels), context),
                getAffineDimExpr(0, context).ceilDiv(plan.rows)};
  return getOrCreateKernel(
      module, linearName(spec), LinearArguments::of(spec), shape,
      [&](KernelBuilder &k, ArrayRef<Value> a) { LinearKernel(k, spec, panel, plan, a).build(); });
}
