//===- Rope.cpp - rotary position embedding -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Threads share rows × heads, so that one row of a decode step is split by heads. Every pair is read before
// it is written: out may be x.
//
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

using namespace mlir;
using namespace pith::cpu;

namespace {

class RopeKernel {
public:
  RopeKernel(KernelBuilder &k, const RopeSpec &spec, int64_t lanes) : k(k), spec(spec), lanes(lanes) {
    pairs = spec.rotaryDim / 2;
    whole = pairs / lanes * lanes;
    if (whole != pairs)
      tail = k.firstLanes(lanes, k.index(pairs - whole));
  }

  void head(Value x, Value cosines, Value sines, Value out) {
    for (int64_t i = 0; i < pairs; i += lanes) {
      Value c = load(k.at(cosines, i * 4), i), s = load(k.at(sines, i * 4), i);
      if (spec.interleaved)
        rotateInterleaved(x, out, i, c, s);
      else
        rotateSplit(x, out, i, c, s);
    }
    copy(x, out, spec.rotaryDim, spec.headDim - spec.rotaryDim);
  }

private:
  Value load(Value address, int64_t pair) {
    VectorType type = k.vec(lanes, k.f32);
    return pair < whole ? k.load(type, address) : k.maskedLoad(type, address, tail);
  }
  void store(Value value, Value address, int64_t pair) {
    if (pair < whole)
      k.store(value, address);
    else
      k.maskedStore(value, address, tail);
  }
  Value rotatedFirst(Value x1, Value x2, Value c, Value s) { return k.fsub(k.fmul(x1, c), k.fmul(x2, s)); }
  Value rotatedSecond(Value x1, Value x2, Value c, Value s) { return k.fma(x2, c, k.fmul(x1, s)); }

  void rotateSplit(Value x, Value out, int64_t i, Value c, Value s) {
    Value x1 = load(k.at(x, i * 4), i), x2 = load(k.at(x, (i + pairs) * 4), i);
    store(rotatedFirst(x1, x2, c, s), k.at(out, i * 4), i);
    store(rotatedSecond(x1, x2, c, s), k.at(out, (i + pairs) * 4), i);
  }

  void rotateInterleaved(Value x, Value out, int64_t i, Value c, Value s) {
    // 2 * lanes values as two registers, each with its own mask at the end.
    int64_t values = 2 * std::min(lanes, pairs - i);
    VectorType type = k.vec(lanes, k.f32);
    auto masked = [&](int64_t first) { return k.firstLanes(lanes, k.index(values - first)); };
    auto loadHalf = [&](int64_t first) {
      Value address = k.at(x, (2 * i + first) * 4);
      return values - first >= lanes ? k.load(type, address) : k.maskedLoad(type, address, masked(first));
    };
    Value low = loadHalf(0), high = loadHalf(lanes);
    SmallVector<int64_t> even, odd, mixedLow, mixedHigh;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      even.push_back(2 * lane);
      odd.push_back(2 * lane + 1);
      (lane < lanes / 2 ? mixedLow : mixedHigh).append({lane, lanes + lane});
    }
    Value x1 = vector::ShuffleOp::create(k.b, k.loc, low, high, even);
    Value x2 = vector::ShuffleOp::create(k.b, k.loc, low, high, odd);
    Value y1 = rotatedFirst(x1, x2, c, s), y2 = rotatedSecond(x1, x2, c, s);
    auto storeHalf = [&](int64_t first, ArrayRef<int64_t> order) {
      Value value = vector::ShuffleOp::create(k.b, k.loc, y1, y2, order);
      Value address = k.at(out, (2 * i + first) * 4);
      if (values - first >= lanes)
        k.store(value, address);
      else
        k.maskedStore(value, address, masked(first));
    };
    storeHalf(0, mixedLow);
    if (values > lanes)
      storeHalf(lanes, mixedHigh);
  }

  void copy(Value x, Value out, int64_t first, int64_t count) {
    VectorType type = k.vec(lanes, k.f32);
    for (int64_t i = 0; i < count; i += lanes) {
      Value from = k.at(x, (first + i) * 4), to = k.at(out, (first + i) * 4);
      if (count - i >= lanes) {
        k.store(k.load(type, from), to);
        continue;
      }
      Value mask = k.firstLanes(lanes, k.index(count - i));
      k.maskedStore(k.maskedLoad(type, from, mask), to, mask);
    }
  }

  KernelBuilder &k;
  const RopeSpec &spec;
  int64_t lanes, pairs, whole;
  Value tail;
};

} // namespace

func::FuncOp pith::cpu::getOrCreateRope(ModuleOp module, const Machine &machine, const RopeSpec &spec) {
  std::string name = ("rope_" + Twine(spec.heads) + "x" + Twine(spec.headDim) + "_r" + Twine(spec.rotaryDim) +
                      (spec.interleaved ? "_interleaved" : ""))
                         .str();
  return getOrCreateKernel(module, name, 4, 3, [&](KernelBuilder &k, ArrayRef<Value> arguments) {
    Value context = arguments[0], thread = arguments[1];
    Value x = arguments[2], cosines = arguments[3], sines = arguments[4], out = arguments[5];
    Value rows = arguments[6], ldx = arguments[7], ldo = arguments[8];
    RopeKernel kernel(k, spec, machine.vectorBytes / 4);
    auto [begin, end] = k.share(context, thread, k.mul(rows, spec.heads));
    k.loop(begin, end, 1, [&](Value item) {
      Value row = k.div(item, spec.heads), headBytes = k.mul(k.rem(item, spec.heads), spec.headDim * 4);
      Value table = k.mul(row, spec.rotaryDim / 2 * 4);
      kernel.head(k.at(x, k.add(k.mul(k.mul(row, ldx), 4), headBytes)), k.at(cosines, table),
                  k.at(sines, table), k.at(out, k.add(k.mul(k.mul(row, ldo), 4), headBytes)));
    });
  });
}
