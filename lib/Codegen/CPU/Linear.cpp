//===- Linear.cpp - linear layers over packed weights ---------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One kernel, two regimes. Few rows (decode): every thread streams its own contiguous range of panels once,
// with the sums of all rows in registers; the memory decides the time. Many rows (prefill): work is cut into
// (panels × rows) tiles; a thread walks the rows under one group of panels, which stays in its second-level
// cache.
//
// Before that the rows are prepared (LinearPrologue.cpp): normalized, quantized, or at least copied to rows
// whose distance suits the cache. After it each row of a tile passes the epilogue: bias, activation, gate,
// residual.
//
// Tiles of all sizes form a row's sums in one order, so that a row's results do not depend on the others; the
// deterministic mode (pith_exec_context.flags) takes them for few rows, too.
//
//===----------------------------------------------------------------------===//
#include "LinearPrologue.h"
#include "pith/executable.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace pith::cpu;

namespace {
/// Up to this many rows the weights' bytes decide the time, not the arithmetic.
constexpr int64_t streamRows = 4;

/// How many rows and panels of sums the registers hold.
struct Tile {
  int64_t rows, panels;
};

Tile chooseTile(const Machine &machine, const PanelShape &shape, bool int8) {
  if (machine.vectorBytes == 64) {
    // 32 registers. Floats: 12 x 2 sums, 2 weights, 1 activation. Int4/Int8 exactly: 10 x 2 sums, 2 packed
    // lines, 2 scales, 2 zeros, the table, 2 weights, 1 activation. Int8 activations: 6 x 2 sums in f32 and 6
    // x 2 in int32, 4 weights, 1 activation.
    return int8 ? Tile{6, 2} : shape.integers ? Tile{10, 2} : Tile{12, 2};
  }
  // 16 registers, a panel takes two. The same counts: 12 + 2 + 1; 8 + 2 + 2 + 2 + 1; 4 + 4 + 4 + 1.
  return int8 ? Tile{2, 1} : shape.integers ? Tile{4, 1} : Tile{6, 1};
}

class LinearKernel {
public:
  LinearKernel(KernelBuilder &k, const Machine &machine, const LinearSpec &spec, ArrayRef<Value> arguments)
      : k(k), spec(spec), layout(spec.layout), shape(layout),
        row(shape, spec.int8Activations && shape.integers), tile(chooseTile(machine, shape, row.int8)),
        sums(k, machine, shape, row), machine(machine) {
    const Value *next = arguments.begin();
    context = *next++;
    thread = *next++;
    x = *next++;
    weights = *next++;
    out = *next++;
    scratch = *next++;
    normScale = spec.norm != Norm::None ? *next++ : Value();
    normBias = spec.normBias ? *next++ : Value();
    bias = spec.bias ? *next++ : Value();
    residual = spec.residual ? *next++ : Value();
    rows = *next++;
  }

  void build();
  int64_t rowBytes() const { return row.bytes; }
  int64_t tileRows() const { return tile.rows; }

private:
  /// Panels whose results meet in one epilogue: with glu always gate and up.
  int64_t groupPanels() const { return layout.glu ? 2 : together; }
  int64_t groups() const { return (panelCount(layout) + groupPanels() - 1) / groupPanels(); }
  int64_t outColumns() const { return layout.glu ? layout.n / 2 : layout.n; }
  bool directRows() const { return !row.int8 && spec.norm == Norm::None && layout.k % shape.lineK == 0; }
  void prepareRows();
  void buildStream();
  void buildTiles();
  void computeTile(int64_t tileRows, Value prepared, int64_t preparedBytes, Value group, Value firstRow,
                   Value rowCount);
  void finishRow(Value sums, Value group, Value rowIndex);
  Value loadOut(Value base, Value column, Value mask);

  KernelBuilder &k;
  const LinearSpec &spec;
  const LinearLayout &layout;
  PanelShape shape;
  ActivationRow row;
  Tile tile;
  LinearTile sums;
  const Machine &machine;
  bool stream = false;  // the regime being built
  LinearTile::Order order = {1, true};
  int64_t together = 1; // panels whose sums are in registers at the same time
  Value context, thread, x, weights, out, scratch, normScale, normBias, bias, residual, rows;
  Value sumBuffer, ownRow;
};
} // namespace

//===----------------------------------------------------------------------===//
// Epilogue
//===----------------------------------------------------------------------===//

Value LinearKernel::loadOut(Value base, Value column, Value mask) {
  Value address = k.at(base, k.mul(column, 4));
  VectorType type = k.vec(16, k.f32);
  return mask ? k.maskedLoad(type, address, mask) : k.load(type, address);
}

/// One row of sums (of the group's panels, one after the other at `sums`) to the output.
void LinearKernel::finishRow(Value sums, Value group, Value rowIndex) {
  int64_t outPanels = layout.glu ? 1 : groupPanels();
  bool masked = outColumns() % (16 * outPanels) != 0;
  Value rowStart = k.mul(rowIndex, outColumns() * 4);
  VectorType type = k.vec(16, k.f32);
  for (int64_t p = 0; p < outPanels; ++p) {
    Value column = k.mul(k.add(k.mul(group, outPanels), p), 16);
    Value mask = masked ? k.firstLanes(16, k.sub(k.index(outColumns()), column)) : Value();
    Value value = k.load(type, k.at(sums, p * 64), 64);
    if (bias)
      value = k.fadd(value, loadOut(bias, column, mask));
    value = k.activation(spec.activation, value);
    if (layout.glu) {
      Value up = k.load(type, k.at(sums, 64), 64);
      if (bias)
        up = k.fadd(up, loadOut(k.at(bias, outColumns() * 4), column, mask));
      value = k.fmul(value, up);
    }
    if (residual)
      value = k.fadd(value, loadOut(k.at(residual, rowStart), column, mask));
    Value address = k.at(k.at(out, rowStart), k.mul(column, 4));
    if (mask)
      k.maskedStore(value, address, mask);
    else
      k.store(value, address);
  }
}

/// A tile's sums go to a small buffer, from which a loop finishes row by row: the epilogue's code stands once
/// per tile size, and rows beyond the last one are left out.
void LinearKernel::computeTile(int64_t tileRows, Value prepared, int64_t preparedBytes, Value group,
                               Value firstRow, Value rowCount) {
  int64_t panels = groupPanels();
  int64_t panelBytes = shape.bytes();
  // The last group may lack a panel: it reads its first one twice, and the second's results are not stored.
  bool incomplete = panelCount(layout) % panels != 0;
  SmallVector<Value> addresses;
  for (int64_t p = 0; p < panels; ++p) {
    Value panel = k.add(k.mul(group, panels), p);
    if (incomplete)
      panel = k.minimum(panel, panelCount(layout) - 1);
    addresses.push_back(k.at(weights, k.mul(panel, panelBytes)));
  }
  for (int64_t first = 0; first < panels; first += together) {
    auto results = sums.sums(tileRows, ArrayRef<Value>(addresses).slice(first, together), prepared,
                             preparedBytes, stream, order);
    for (int64_t r = 0; r < tileRows; ++r)
      for (int64_t p = 0; p < together; ++p)
        k.store(results[r * together + p], k.at(sumBuffer, (r * panels + first + p) * 64), 64);
  }
  k.loop(k.index(0), rowCount, 1,
         [&](Value r) { finishRow(k.at(sumBuffer, k.mul(r, panels * 64)), group, k.add(firstRow, r)); });
}

//===----------------------------------------------------------------------===//
// Regimes
//===----------------------------------------------------------------------===//

/// Fills the scratch rows, shared by the team, and waits for all.
void LinearKernel::prepareRows() {
  LinearPrologue prologue(k, machine, spec, shape, row, normScale, normBias);
  auto range = k.share(context, thread, rows);
  k.loop(range.begin, range.end, 1, [&](Value r) {
    prologue.prepare(k.at(x, k.mul(r, layout.k * 4)), k.at(scratch, k.mul(r, row.bytes)));
  });
  k.barrier(context, thread);
}

void LinearKernel::buildStream() {
  stream = true;
  auto overGroups = [&](int64_t count, Value prepared, int64_t preparedBytes) {
    // One panel after the other is one stream of memory. From three rows on the loads of activations count as
    // well; two panels halve them. (Integers: unpacking keeps the load ports free, and one panel was measured
    // to be faster.)
    together = count > 2 && !shape.integers ? tile.panels : 1;
    order = LinearTile::Order::fastest(count, together);
    auto range = k.share(context, thread, k.index(groups()));
    k.loop(range.begin, range.end, 1, [&](Value group) {
      computeTile(count, prepared, preparedBytes, group, k.index(0), k.index(count));
    });
  };
  // One row: every thread prepares it for itself, which is sooner done than a barrier.
  k.ifThen(
      k.equal(rows, 1),
      [&] {
        if (directRows())
          return overGroups(1, x, layout.k * 4);
        LinearPrologue(k, machine, spec, shape, row, normScale, normBias).prepare(x, ownRow);
        overGroups(1, ownRow, row.bytes);
      },
      [&] {
        if (!directRows())
          prepareRows();
        for (int64_t count = 2; count <= streamRows; ++count)
          k.ifThen(k.equal(rows, count), [&] {
            overGroups(count, directRows() ? x : scratch, directRows() ? layout.k * 4 : row.bytes);
          });
      });
}

void LinearKernel::buildTiles() {
  stream = false;
  together = tile.panels;
  order = LinearTile::Order::fastest(tile.rows, tile.panels); // of the rows that do not fill a tile, too
  prepareRows();
  // Tiles of one group after the other, cut into equal shares: a thread may begin and end in the middle of a
  // group.
  Value tilesPerGroup = k.ceilDiv(rows, tile.rows);
  auto range = k.share(context, thread, k.mul(tilesPerGroup, groups()));
  Value firstGroup = k.div(range.begin, tilesPerGroup);
  Value endGroup = k.div(k.add(range.end, k.sub(tilesPerGroup, 1)), tilesPerGroup);
  k.loop(firstGroup, endGroup, 1, [&](Value group) {
    Value groupBegin = k.mul(group, tilesPerGroup);
    Value firstTile = k.maximum(k.sub(range.begin, groupBegin), 0);
    Value endTile = k.minimum(k.sub(range.end, groupBegin), tilesPerGroup);
    Value firstRow = k.mul(firstTile, tile.rows), endRow = k.minimum(k.mul(endTile, tile.rows), rows);
    Value wholeEnd = k.add(firstRow, k.mul(k.div(k.sub(endRow, firstRow), tile.rows), tile.rows));
    auto at = [&](Value row0) { return k.at(scratch, k.mul(row0, row.bytes)); };
    k.loop(firstRow, wholeEnd, tile.rows,
           [&](Value r) { computeTile(tile.rows, at(r), row.bytes, group, r, k.index(tile.rows)); });
    // The rows that do not fill a tile, in the smallest tile that holds them.
    Value left = k.sub(endRow, wholeEnd);
    int64_t step = (tile.rows + 2) / 3;
    for (int64_t size = step; size - step < tile.rows - 1; size += step) {
      Value fits = arith::AndIOp::create(k.b, k.loc, k.lessThan(k.index(size - step), left),
                                         k.lessThan(left, size + 1));
      k.ifThen(fits, [&] {
        computeTile(std::min(size, tile.rows), at(wholeEnd), row.bytes, group, wholeEnd, left);
      });
    }
  });
}

void LinearKernel::build() {
  int64_t panels = std::max<int64_t>(tile.panels, 2);
  sumBuffer = k.stackBuffer(std::max(tile.rows, streamRows) * panels * 64);
  if (!directRows())
    ownRow = k.stackBuffer(row.bytes);
  // The regimes add up in different orders, except in int32.
  Value few = k.lessThan(rows, streamRows + 1);
  if (!row.int8) {
    Value flags = k.load(k.i32, k.at(context, int64_t(offsetof(pith_exec_context, flags))));
    Value deterministic =
        arith::AndIOp::create(k.b, k.loc, flags, k.constant(k.i32, double(PITH_EXEC_DETERMINISTIC)));
    few = arith::AndIOp::create(k.b, k.loc, few, k.equal(deterministic, 0));
  }
  k.ifThen(few, [&] { buildStream(); }, [&] { buildTiles(); });
}

//===----------------------------------------------------------------------===//
// Interface
//===----------------------------------------------------------------------===//

LinearSpec::Scratch pith::cpu::linearScratch(const Machine &machine, const LinearSpec &spec) {
  PanelShape shape(spec.layout);
  ActivationRow row(shape, spec.int8Activations && shape.integers);
  // The last tile may read rows beyond the last one; what stands there does not matter.
  return {row.bytes, row.bytes * chooseTile(machine, shape, row.int8).rows};
}

static std::string kernelName(const LinearSpec &spec) {
  static const char *const formats[] = {"f32", "f16", "bf16", "int8", "int4"};
  static const char *const norms[] = {"", "_rms", "_layer"};
  static const char *const activations[] = {"", "_relu", "_silu", "_gelu", "_gelutanh", "_quickgelu"};
  const LinearLayout &layout = spec.layout;
  std::string name;
  llvm::raw_string_ostream out(name);
  out << "linear_" << formats[int(layout.format)] << "_" << layout.n << "x" << layout.k;
  if (layout.block)
    out << "_block" << layout.block;
  out << (layout.zeroPoints ? "_zeros" : "") << (layout.wideScales ? "_wide" : "") << norms[int(spec.norm)];
  if (spec.norm != Norm::None)
    out << "_" << llvm::utohexstr(llvm::bit_cast<uint32_t>(spec.normEpsilon), /*LowerCase=*/true);
  out << (spec.normBias ? "_normbias" : "") << (spec.bias ? "_bias" : "") << activations[int(spec.activation)]
      << (layout.glu ? "_glu" : "") << (spec.residual ? "_residual" : "")
      << (spec.int8Activations ? "_balanced" : "");
  return name;
}

func::FuncOp pith::cpu::getOrCreateLinear(ModuleOp module, const Machine &machine, const LinearSpec &spec) {
  unsigned pointers = 4 + (spec.norm != Norm::None) + spec.normBias + spec.bias + spec.residual;
  return getOrCreateKernel(module, kernelName(spec), pointers, 1,
                           [&](KernelBuilder &k, ArrayRef<Value> arguments) {
                             LinearKernel(k, machine, spec, arguments).build();
                           });
}
