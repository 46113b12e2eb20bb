//===- LinearTile.cpp - rows × panels of a linear layer in registers ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The loop over K of a few rows of activations against one or two panels of weights. Sums stay in registers
// from the first to the last line of a panel; a line of weights is loaded and expanded once and serves all
// rows.
//
//===----------------------------------------------------------------------===//
#include "LinearTile.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith::cpu;

/// How far ahead of the loads a stream is prefetched: far enough to cover the memory's latency at full rate
/// (half the distance gains half as much), and every line exactly once.
static constexpr int64_t prefetchBytes = 8192;

ActivationRow::ActivationRow(const PanelShape &shape, bool int8) : int8(int8) {
  if (int8) {
    scales = int64_t(llvm::alignTo(shape.paddedK(), 64));
    starts = scales + int64_t(llvm::alignTo(shape.blocks * 4, 64));
    bytes = starts + int64_t(llvm::alignTo(shape.blocks * 4, 64));
  } else {
    bytes = int64_t(llvm::alignTo(llvm::alignTo(shape.paddedK(), 16) * 4, 64));
  }
  // An odd number of lines: else the same column of all rows of a tile would fall into one set of the
  // first-level cache.
  if (bytes / 64 % 2 == 0)
    bytes += 64;
}

static bool signedDot(const Machine &machine, const PanelShape &shape) {
  return shape.format == WeightFormat::Int8 && !machine.vnni && !machine.avxVnni;
}

int64_t pith::cpu::storedZeroBias(const Machine &machine, const PanelShape &shape) {
  return signedDot(machine, shape) ? 128 : 0;
}

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

void LinearTile::touch(Value line) {
  if (tile.stream)
    k.prefetch(k.at(line, prefetchBytes));
}

/// sum[i] += codes[4i..4i+3] . x[4i..4i+3] for 16 lanes; codes unsigned, x signed bytes.
Value LinearTile::dot(Value sum, Value codes, Value x) {
  if (machine.vnni)
    return k.intrinsic("llvm.x86.avx512.vpdpbusd.512", sum.getType(), {sum, codes, x});
  VectorType ints = k.vec(8, k.i32), words = k.vec(16, k.i16), bytes = k.vec(32, k.i8);
  Value halves[2];
  for (int64_t half = 0; half < 2; ++half) {
    Value s = k.slice(sum, 8 * half, 8), c = k.slice(codes, 32 * half, 32), y = k.slice(x, 32 * half, 32);
    if (machine.avxVnni) {
      halves[half] = k.intrinsic("llvm.x86.avx512.vpdpbusd.256", ints, {s, c, y});
      continue;
    }
    if (signedDot(machine, shape)) {
      // |w| * (x with w's sign): |w| <= 128 and |x| <= 127, so that a pair's sum fits 16 bits.
      Value w = arith::XOrIOp::create(k.b, k.loc, c, k.constant(bytes, -128));
      y = k.intrinsic("llvm.x86.avx2.psign.b", bytes, {y, w});
      c = math::AbsIOp::create(k.b, k.loc, w);
    }
    Value pairs = k.intrinsic("llvm.x86.avx2.pmadd.ub.sw", words, {c, y});
    halves[half] = k.add(s, k.intrinsic("llvm.x86.avx2.pmadd.wd", ints, {pairs, k.constant(words, 1)}));
  }
  return k.concat(halves[0], halves[1]);
}

//===----------------------------------------------------------------------===//
// A line of weights as f32: one vector of 16 rows per input feature
//===----------------------------------------------------------------------===//

LinearTile::Values LinearTile::expandHalves(Value line) {
  if (shape.format == WeightFormat::F16)
    return {k.toF32(k.load(k.vec(16, k.f16), line, 32)),
            k.toF32(k.load(k.vec(16, k.f16), k.at(line, 32), 32))};
  VectorType words = k.vec(16, k.i32), floats = k.vec(16, k.f32);
  Value pairs = k.load(words, line, 64);
  Value low = arith::ShLIOp::create(k.b, k.loc, pairs, k.constant(words, 16));
  Value high = arith::AndIOp::create(k.b, k.loc, pairs, k.constant(words, int32_t(0xffff0000)));
  return {k.bitcast(low, floats), k.bitcast(high, floats)};
}

/// Without zero points: code - zero; with them: code.
LinearTile::Values LinearTile::expandCodes(Value line) {
  VectorType words = k.vec(16, k.i32), floats = k.vec(16, k.f32);
  bool nibbles = shape.format == WeightFormat::Int4;
  double zero = shape.zeroPoints ? 0 : double(shape.defaultZero);
  Value word = k.load(words, line, 64);
  Value table;
  if (nibbles && machine.vectorBytes == 64) {
    // vpermps looks at the low four bits of an index only: no mask, no conversion, no subtraction.
    SmallVector<float> entries;
    for (int code = 0; code < 16; ++code)
      entries.push_back(float(code - zero));
    table = arith::ConstantOp::create(k.b, k.loc, DenseElementsAttr::get(floats, ArrayRef<float>(entries)));
  }
  Values weights;
  for (int64_t j = 0; j < shape.lineK; ++j) {
    int64_t shift = 8 * (j % 4) + (j >= 4 ? 4 : 0);
    Value code =
        shift ? Value(arith::ShRUIOp::create(k.b, k.loc, word, k.constant(words, double(shift)))) : word;
    if (table) {
      weights.push_back(k.intrinsic("llvm.x86.avx512.permvar.sf.512", floats, {table, code}));
      continue;
    }
    code = arith::AndIOp::create(k.b, k.loc, code, k.constant(words, nibbles ? 15 : 255));
    weights.push_back(k.toF32(zero == 0 ? code : k.sub(code, int64_t(zero))));
  }
  return weights;
}

LinearTile::Values LinearTile::expand(Value line) {
  switch (shape.format) {
  case WeightFormat::F32:
    return {k.load(k.vec(16, k.f32), line, 64)};
  case WeightFormat::F16:
  case WeightFormat::BF16:
    return expandHalves(line);
  case WeightFormat::Int8:
  case WeightFormat::Int4:
    return expandCodes(line);
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

/// Calls `step` for each line; several lines per iteration, the rest behind the loop.
LinearTile::Values LinearTile::overLines(int64_t lines, ArrayRef<Value> addresses, Value x, Values sums,
                                         Step step) {
  int64_t xLine = shape.lineK * (row.int8 ? 1 : 4);
  int64_t unroll = tile.rows * tile.panels == 1 ? 8 : std::max<int64_t>(1, 8 / shape.lineK);
  auto steps = [&](ArrayRef<Value> base, Value xBase, int64_t first, int64_t count, Values &sums) {
    for (int64_t i = first; i < first + count; ++i) {
      Values line;
      for (Value address : base)
        line.push_back(k.at(address, i * PanelShape::lineBytes));
      for (Value address : line)
        touch(address);
      step(line, k.at(xBase, i * xLine), i, sums);
    }
  };
  // Few instructions stand inline, without a loop.
  int64_t operations = lines * shape.lineK / (row.int8 ? 4 : 1) * tile.rows * tile.panels;
  int64_t looped = lines <= 8 && operations <= 256 ? 0 : lines / unroll * unroll;
  if (looped)
    sums = k.loop(k.index(0), k.index(looped), unroll, sums, [&](Value i, ArrayRef<Value> carried) {
      Values base, next(carried.begin(), carried.end());
      Value offset = k.mul(i, PanelShape::lineBytes);
      for (Value address : addresses)
        base.push_back(k.at(address, offset));
      steps(base, k.at(x, k.mul(i, xLine)), 0, unroll, next);
      return next;
    });
  steps(addresses, x, looped, lines - looped, sums);
  return sums;
}

/// The 16 rows' scales of one block.
Value LinearTile::scalesAt(Value address) {
  return k.toF32(k.load(k.vec(16, shape.scaleBytes == 4 ? k.f32 : k.f16), address, 16 * shape.scaleBytes));
}

/// Block `b` of K, counted from the group at `groups` and the activations that belong to it.
LinearTile::Block LinearTile::blockAt(int64_t b, ArrayRef<Value> groups, Value x, Value xScales,
                                      Value xStarts) {
  Block block;
  block.lines = shape.blockLines;
  for (Value group : groups) {
    block.scales.push_back(k.at(group, b * PanelShape::rows * shape.scaleBytes));
    block.zeros.push_back(k.at(group, shape.zerosOffset + b * PanelShape::rows));
    block.lineAddresses.push_back(
        k.at(group, shape.headerBytes + b * shape.blockLines * PanelShape::lineBytes));
  }
  block.x = k.at(x, b * shape.block * (row.int8 ? 1 : 4));
  block.xScales = k.at(xScales, b * 4);
  block.xStarts = k.at(xStarts, b * 4);
  return block;
}

LinearTile::Values LinearTile::overBlocks(ArrayRef<Value> panels, Value x, Values sums,
                                          llvm::function_ref<Values(const Block &, Values)> body) {
  int64_t xGroup = shape.groupBlocks * shape.block * (row.int8 ? 1 : 4);
  Value xScales = k.at(x, row.scales), xStarts = k.at(x, row.starts);
  for (Value panel : panels)
    touch(panel); // the line of factors
  auto groupSums = [&](ArrayRef<Value> groups, Value x, Value xScales, Value xStarts, int64_t firstBlock,
                       int64_t blocks, Values sums) {
    for (Value group : groups)
      for (int64_t line = 0; line < shape.headerBytes; line += PanelShape::lineBytes)
        touch(k.at(group, line));
    for (int64_t b = 0; b < blocks; ++b) {
      Block block = blockAt(b, groups, x, xScales, xStarts);
      block.lines = shape.linesOf(firstBlock + b);
      sums = body(block, sums);
    }
    return sums;
  };
  auto groupsAt = [&](Value offset) {
    Values groups;
    for (Value panel : panels)
      groups.push_back(k.at(k.at(panel, offset), PanelShape::lineBytes));
    return groups;
  };
  int64_t fullBlocks = shape.lines / shape.blockLines, groups = fullBlocks / shape.groupBlocks;
  if (groups > 0)
    sums = k.loop(k.index(0), k.index(groups), 1, sums, [&](Value g, ArrayRef<Value> carried) {
      Value scaleOffset = k.mul(g, shape.groupBlocks * 4);
      return groupSums(groupsAt(k.mul(g, shape.groupBytes)), k.at(x, k.mul(g, xGroup)),
                       k.at(xScales, scaleOffset), k.at(xStarts, scaleOffset), 0, shape.groupBlocks,
                       Values(carried.begin(), carried.end()));
    });
  int64_t done = groups * shape.groupBlocks;
  if (done < shape.blocks)
    sums = groupSums(groupsAt(k.index(groups * shape.groupBytes)), k.at(x, groups * xGroup),
                     k.at(xScales, done * 4), k.at(xStarts, done * 4), done, shape.blocks - done, sums);
  return sums;
}

//===----------------------------------------------------------------------===//
// Sums in f32
//===----------------------------------------------------------------------===//

/// sums += weights * x for one line. Sums stand chain by chain; a line's input features take turns in the
/// chains.
void LinearTile::multiplyLine(ArrayRef<Values> weights, Value x, int64_t index, int64_t chains,
                              Values &sums) {
  for (int64_t j = 0; j < shape.lineK; ++j) {
    int64_t chain = (index * shape.lineK + j) % chains;
    for (int64_t r = 0; r < tile.rows; ++r) {
      Value broadcast = k.splat(k.load(k.f32, k.at(x, r * tile.rowBytes + j * 4)), 16);
      for (int64_t p = 0; p < tile.panels; ++p) {
        Value &sum = sums[(chain * tile.rows + r) * tile.panels + p];
        sum = k.fma(weights[p][j], broadcast, sum);
      }
    }
  }
}

LinearTile::Order LinearTile::Order::fastest(int64_t rows, int64_t panels) {
  int64_t sums = rows * panels;
  return {sums == 1 ? 4 : sums <= 4 ? 2 : 1, /*scaleWeights=*/rows > 2};
}

static KernelBuilder::Values zeros(KernelBuilder &k, int64_t count, Type element) {
  return KernelBuilder::Values(count, k.constant(k.vec(16, element), 0));
}

/// Adds the chains up.
static KernelBuilder::Values joined(KernelBuilder &k, KernelBuilder::Values sums, int64_t chains) {
  int64_t count = int64_t(sums.size()) / chains;
  bool floats = isa<FloatType>(getElementTypeOrSelf(sums[0].getType()));
  for (int64_t step = chains / 2; step > 0; step /= 2)
    for (int64_t i = 0; i < step * count; ++i)
      sums[i] = floats ? k.fadd(sums[i], sums[i + step * count]) : k.add(sums[i], sums[i + step * count]);
  sums.resize(count);
  return sums;
}

LinearTile::Values LinearTile::floatSums(ArrayRef<Value> panels, Value x) {
  int64_t count = tile.rows * tile.panels, chains = tile.order.chains;
  Values sums = overLines(shape.lines, panels, x, zeros(k, count * chains, k.f32),
                          [&](ArrayRef<Value> lines, Value x, int64_t index, Values &sums) {
                            SmallVector<Values> weights;
                            for (Value line : lines)
                              weights.push_back(expand(line));
                            multiplyLine(weights, x, index, chains, sums);
                          });
  return joined(k, sums, chains);
}

/// One block of integer weights, exactly: (code - zero) in f32. For many rows the weights are scaled once,
/// for few rows the block's sums are.
LinearTile::Values LinearTile::exactBlock(const Block &block, Values sums) {
  int64_t count = tile.rows * tile.panels, chains = tile.order.chains;
  bool scaleWeights = tile.order.scaleWeights;
  Values scales, zeroPoints;
  for (int64_t p = 0; p < tile.panels; ++p) {
    scales.push_back(scalesAt(block.scales[p]));
    if (shape.zeroPoints)
      zeroPoints.push_back(k.toF32(k.zext(k.load(k.vec(16, k.i8), block.zeros[p], 16), k.vec(16, k.i32))));
  }
  Values blockSums = scaleWeights ? sums : zeros(k, count * chains, k.f32);
  blockSums = overLines(block.lines, block.lineAddresses, block.x, blockSums,
                        [&](ArrayRef<Value> lines, Value x, int64_t index, Values &sums) {
                          SmallVector<Values> weights;
                          for (int64_t p = 0; p < tile.panels; ++p) {
                            weights.push_back(expand(lines[p]));
                            for (Value &weight : weights.back()) {
                              if (shape.zeroPoints)
                                weight = k.fsub(weight, zeroPoints[p]);
                              if (scaleWeights)
                                weight = k.fmul(weight, scales[p]);
                            }
                          }
                          multiplyLine(weights, x, index, scaleWeights ? 1 : chains, sums);
                        });
  if (scaleWeights)
    return blockSums;
  blockSums = joined(k, blockSums, chains);
  for (int64_t i = 0; i < count; ++i)
    sums[i] = k.fma(blockSums[i], scales[i % tile.panels], sums[i]);
  return sums;
}

//===----------------------------------------------------------------------===//
// Sums in int32 within a block
//===----------------------------------------------------------------------===//

LinearTile::Values LinearTile::int8Block(const Block &block, Values sums) {
  int64_t count = tile.rows * tile.panels, chains = count <= 4 ? 2 : 1;
  VectorType words = k.vec(16, k.i32), bytes = k.vec(64, k.i8), shorts = k.vec(32, k.i16);
  bool nibbles = shape.format == WeightFormat::Int4;

  Values dots = zeros(k, count * chains, k.i32);
  for (int64_t r = 0; r < tile.rows; ++r) {
    Value start = k.splat(k.load(k.i32, k.at(block.xStarts, r * tile.rowBytes)), 16);
    for (int64_t p = 0; p < tile.panels; ++p) {
      Value &sum = dots[r * tile.panels + p];
      sum = start;
      if (!shape.zeroPoints)
        continue;
      Value zero = k.zext(k.load(k.vec(16, k.i8), block.zeros[p], 16), words);
      if (int64_t bias = storedZeroBias(machine, shape))
        zero = k.sub(zero, bias);
      sum = k.mul(zero, start);
    }
  }

  auto dotLine = [&](ArrayRef<Value> lines, Value x, int64_t index, Values &dots) {
    // The codes of four input features per 32 bits, for each panel; two such vectors in a line of nibbles.
    SmallVector<Values> codes(nibbles ? 2 : 1);
    for (Value line : lines) {
      Value packed = k.load(bytes, line, 64);
      if (!nibbles) {
        codes[0].push_back(packed);
        continue;
      }
      Value high = arith::ShRUIOp::create(k.b, k.loc, k.bitcast(packed, shorts), k.constant(shorts, 4));
      Value mask = k.constant(bytes, 15);
      codes[0].push_back(arith::AndIOp::create(k.b, k.loc, packed, mask));
      codes[1].push_back(arith::AndIOp::create(k.b, k.loc, k.bitcast(high, bytes), mask));
    }
    for (int64_t half = 0; half < int64_t(codes.size()); ++half) {
      int64_t chain = (index * int64_t(codes.size()) + half) % chains;
      for (int64_t r = 0; r < tile.rows; ++r) {
        Value four = k.load(k.i32, k.at(x, r * tile.rowBytes + half * 4));
        Value broadcast = k.bitcast(k.splat(four, 16), bytes);
        for (int64_t p = 0; p < tile.panels; ++p) {
          Value &sum = dots[(chain * tile.rows + r) * tile.panels + p];
          sum = dot(sum, codes[half][p], broadcast);
        }
      }
    }
  };
  dots = joined(k, overLines(block.lines, block.lineAddresses, block.x, dots, dotLine), chains);

  Values scales;
  for (int64_t p = 0; p < tile.panels; ++p)
    scales.push_back(scalesAt(block.scales[p]));
  for (int64_t r = 0; r < tile.rows; ++r) {
    Value rowScale = k.splat(k.load(k.f32, k.at(block.xScales, r * tile.rowBytes)), 16);
    for (int64_t p = 0; p < tile.panels; ++p) {
      int64_t i = r * tile.panels + p;
      sums[i] = k.fma(k.fmul(k.toF32(dots[i]), rowScale), scales[p], sums[i]);
    }
  }
  return sums;
}

LinearTile::Values LinearTile::sums(int64_t rows, ArrayRef<Value> panels, Value x, int64_t rowBytes,
                                    bool stream, Order order) {
  tile = {rows, int64_t(panels.size()), rowBytes, stream, order};
  if (!shape.integers)
    return floatSums(panels, x);
  Values sums =
      overBlocks(panels, x, zeros(k, rows * tile.panels, k.f32), [&](const Block &block, Values sums) {
        return row.int8 ? int8Block(block, sums) : exactBlock(block, sums);
      });
  for (int64_t i = 0; i < int64_t(sums.size()); ++i)
    sums[i] = k.fmul(sums[i], k.load(k.vec(16, k.f32), panels[i % tile.panels], 64));
  return sums;
}
