//===- AttentionGroup.cpp - attention's products by wgmma -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "AttentionGroup.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/Twine.h"

using namespace mlir;
using namespace pith;
using namespace pith::gpu;

constexpr int64_t blockChannels = WarpGroup::rowBytes / 2; // neighbours in a row of shared memory
constexpr int64_t tileRows = 16;                           // tokens or channels of 8 sums

Value AttentionGroup::place(Value token, Value octet) const {
  Value block = k.mul(k.div(octet, blockChannels / 8), tokens * WarpGroup::rowBytes);
  return k.add(block, WarpGroup::offset(k, token, k.rem(octet, blockChannels / 8)));
}

AttentionGroup::Values AttentionGroup::loadQueries(ArrayRef<Value> rows, double factor) const {
  // Sum 0 is that of the common row whose number the lane's first k is.
  Value first = k.place(tile::What::sum, 0).column;
  int64_t bytes = elementBytes(spec.input);
  Values words;
  for (int64_t channel = 0; channel < spec.cache.headDim; channel += 8)
    for (Value row : rows) {
      Value from = k.at(row, k.mul(k.add(first, channel), bytes));
      Value x = k.fmul(k.loadFloats(spec.input, from, 2, 2 * bytes), k.constant(k.vec(2, k.f32), factor));
      Value pair = k.split(x, spec.product, 1)[0];
      words.push_back(k.element(vector::BitCastOp::create(k.b, k.loc, k.vec(1, k.i32), pair), 0));
    }
  return words;
}

/// wgmma's sum of element `i` of tile `tile`.
static int64_t sumOf(int64_t tile, int64_t i) { return 4 * (2 * tile + i % 4 / 2) + 2 * (i / 4) + i % 2; }

static KernelBuilder::Values tilesOf(KernelBuilder &k, Value sums, int64_t tiles) {
  KernelBuilder::Values result;
  for (int64_t t = 0; t < tiles; ++t) {
    KernelBuilder::Values elements;
    for (int64_t i = 0; i < 8; ++i)
      elements.push_back(LLVM::ExtractValueOp::create(k.b, k.loc, sums, sumOf(t, i)));
    result.push_back(vector::FromElementsOp::create(k.b, k.loc, k.vec(8, k.f32), elements));
  }
  return result;
}

AttentionGroup::Values AttentionGroup::scores(ArrayRef<Value> queries, int64_t offset) {
  Values words = keys.begin(queries);
  Value sums = keys.zeros(), descriptor;
  constexpr int64_t stepsOfBlock = blockChannels / WarpGroup::stepK;
  for (int64_t step = 0; step < spec.cache.headDim / WarpGroup::stepK; ++step) {
    if (step % stepsOfBlock == 0)
      descriptor =
          keys.descriptor(k.shared(offset + step / stepsOfBlock * tokens * WarpGroup::rowBytes), tokens);
    ArrayRef<Value> own = ArrayRef(words).slice(step * WarpGroup::stepWords, WarpGroup::stepWords);
    sums = keys.multiply(own, keys.atStep(descriptor, step % stepsOfBlock), sums, step == 0);
  }
  keys.commit();
  return tilesOf(k, keys.finish(sums), tokens / tileRows);
}

void AttentionGroup::addValues(ArrayRef<Value> weights, int64_t offset, Values &sums) {
  Values own;
  for (Value tile : weights) {
    Value words = vector::BitCastOp::create(k.b, k.loc, k.vec(4, k.i32), tile);
    for (int64_t word : {0, 2, 1, 3}) // both rows, then both for the upper 8 tokens
      own.push_back(k.element(words, word));
  }
  own = values.begin(own);
  Value all = values.zeros();
  for (auto [t, tile] : llvm::enumerate(sums))
    for (int64_t i = 0; i < 8; ++i)
      all = LLVM::InsertValueOp::create(k.b, k.loc, all, k.element(tile, i), sumOf(int64_t(t), i));
  all = values.begin(all);
  Value descriptor = values.descriptor(k.shared(offset), tokens);
  for (int64_t t = 0; t < tokens / tileRows; ++t)
    all = values.multiply(ArrayRef(own).slice(t * WarpGroup::stepWords, WarpGroup::stepWords),
                          values.atStep(descriptor, t), all);
  values.commit();
  sums = tilesOf(k, values.finish(all), int64_t(sums.size()));
}

void AttentionGroup::publish(KernelBuilder &k) {
  auto space = NVVM::SharedSpaceAttr::get(k.b.getContext(), NVVM::SharedSpace::shared_cta);
  NVVM::FenceProxyOp::create(k.b, k.loc, NVVM::ProxyKind::async_shared, space);
}

llvm::Error pith::gpu::checkAttentionGroup(const AttentionSpec &spec) {
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  const CacheLayout &cache = spec.cache;
  if (cache.headDim % blockChannels != 0 || cache.valueDim % blockChannels != 0)
    return error("attention heads of " + llvm::Twine(cache.headDim) + " and " + llvm::Twine(cache.valueDim) +
                 " channels by warp groups; expected multiples of " + llvm::Twine(blockChannels));
  if (spec.parts != 1)
    return error("attention in " + llvm::Twine(spec.parts) + " parts by warp groups; expected 1");
  return llvm::Error::success();
}
