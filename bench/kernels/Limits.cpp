//===- Limits.cpp - what memory and arithmetic give -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Limits.h"
#include "../../lib/Codegen/CPU/KernelBuilder.h"
#include <algorithm>
#include <cstring>
#include <limits>
#include <sys/mman.h>

using namespace pith;
using namespace pith::cpu;
using namespace pith::test;

bench::Memory::Memory(size_t bytes) : bytes((bytes + (2 << 20) - 1) >> 21 << 21) {
  base = static_cast<uint8_t *>(std::aligned_alloc(2 << 20, this->bytes));
  madvise(base, this->bytes, MADV_HUGEPAGE);
  std::memset(base, 0, this->bytes);
}
bench::Memory::~Memory() { std::free(base); }

double bench::bestSeconds(int repetitions, const std::function<void()> &call) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    auto start = std::chrono::steady_clock::now();
    call();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

static constexpr int64_t fmaChains = 12, fmaIterations = 500000;

void bench::addLimitKernels(KernelHarness &harness) {
  int64_t lanes = harness.machine.vectorBytes / 4;
  getOrCreateKernel(*harness.module, "limit_read", 2, 1, [&](KernelBuilder &k, llvm::ArrayRef<mlir::Value> arguments) {
    constexpr int64_t block = 4096, ahead = 8192;
    mlir::VectorType type = k.vec(lanes, k.i32);
    auto share = k.share(arguments[0], arguments[1], k.div(arguments[4], block));
    KernelBuilder::Values sums(4, k.constant(type, 0));
    sums = k.loop(k.mul(share.begin, block), k.mul(share.end, block), 256, sums,
                  [&](mlir::Value offset, llvm::ArrayRef<mlir::Value> carried) {
                    KernelBuilder::Values next(carried);
                    mlir::Value address = k.at(arguments[2], offset);
                    for (int64_t i = 0; i < 256; i += 64)
                      k.prefetch(k.at(address, i + ahead));
                    for (int64_t i = 0; i < 256 / (lanes * 4); ++i)
                      next[i % 4] = k.add(next[i % 4], k.load(type, k.at(address, i * lanes * 4)));
                    return next;
                  });
    // Stored, so that the loads are not optimized away.
    mlir::Value own = k.mul(k.zext(arguments[1], k.i64), 64);
    k.store(k.reduceAdd(k.add(k.add(sums[0], sums[1]), k.add(sums[2], sums[3]))), k.at(arguments[3], own));
  });
  getOrCreateKernel(*harness.module, "limit_fma", 1, 1, [&](KernelBuilder &k, llvm::ArrayRef<mlir::Value> arguments) {
    mlir::VectorType type = k.vec(lanes, k.f32);
    mlir::Value own = k.at(arguments[2], k.mul(k.zext(arguments[1], k.i64), 64));
    mlir::Value x = k.splat(k.load(k.f32, own), lanes);
    KernelBuilder::Values sums(fmaChains, x);
    sums = k.loop(k.index(0), arguments[3], 1, sums, [&](mlir::Value, llvm::ArrayRef<mlir::Value> carried) {
      KernelBuilder::Values next;
      for (mlir::Value sum : carried)
        next.push_back(k.fma(sum, x, x));
      return next;
    });
    mlir::Value total = sums[0];
    for (mlir::Value sum : llvm::ArrayRef(sums).drop_front())
      total = k.fadd(total, sum);
    k.store(k.reduceAdd(total), own);
  });
}

double bench::readRate(KernelHarness &harness, Team &team, const Memory &memory) {
  Buffer<uint8_t> sink(64 * team.context.threads);
  int64_t bytes = int64_t(memory.size()) & ~int64_t(4095);
  return double(bytes) / bestSeconds(9, [&] { harness.call(team, "limit_read", memory.data(), sink.data(), bytes); });
}

double bench::fmaRate(KernelHarness &harness, Team &team) {
  Buffer<float> sink(16 * team.context.threads);
  double seconds = bestSeconds(15, [&] { harness.call(team, "limit_fma", sink.data(), fmaIterations); });
  return double(fmaIterations) * fmaChains * (harness.machine.vectorBytes / 4) * team.context.threads / seconds;
}
