//===- Sample.cpp - from a row of logits to a token -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block takes a row. Nothing is sorted: what top-k and top-p keep are the elements not below one of them,
// in the order of falling logits and rising numbers. That element is found digit by digit: a logit's bits,
// made an integer of the same order, have eleven digits of three bits; a pass over the row sums what the
// elements weigh (1, or their probability) by the next digit. Sums are formed in a fixed order: the same row
// gives the same token.
//
//===----------------------------------------------------------------------===//
#include "Draw.h"
#include "KernelBuilder.h"
#include "RowKernel.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "pith/executable.h"
#include "llvm/ADT/Twine.h"
#include <cstddef>
#include <limits>

using namespace mlir;
using namespace pith::gpu;

namespace {
class SampleKernel {
public:
  using Values = KernelBuilder::Values;
  // Threads have registers for a pass's sums and several elements under way.
  static constexpr int64_t digitBits = 3, digits = 1 << digitBits, passes = 11, threads = 512;
  // Shared memory: sums of a pass, then sums of segments, then of subgroups, then the segment that is drawn
  // from.
  static constexpr int64_t segmentsOffset = threads / subgroupLanes * digits * 4,
                           groupsOffset = segmentsOffset + threads * 4,
                           drawnOffset = groupsOffset + threads / subgroupLanes * 4,
                           sharedBytes = drawnOffset + 8;

  SampleKernel(KernelBuilder &k, int64_t n, ArrayRef<Value> a)
      : k(k), n(n), wanted(k, a[0], a[1], n), out(k.atWide(a[2], k.block(), 4)) {}

  void build() {
    Value none = k.constant(k.f32, -std::numeric_limits<float>::infinity());
    largest = maxBlock(k, k.loop(k.thread(), k.index(n), threads, {none}, [&](Value i, ArrayRef<Value> m) {
      return Values{k.fmax(m[0], wanted.checked(i))};
    })[0]);
    k.ifThen(
        wanted.possible(largest), [&] { filterAndDraw(); },
        [&] { k.ifThen(k.equal(k.thread(), 0), [&] { k.store(wanted.reason(largest), out); }); });
  }

private:
  void filterAndDraw() {
    Value temperature = wanted.option(k.f32, offsetof(pith_exec_draw, temperature));
    Value topK = wanted.option(k.i32, offsetof(pith_exec_draw, top_k));
    Value topP = wanted.option(k.f32, offsetof(pith_exec_draw, top_p));
    minP = wanted.option(k.f32, offsetof(pith_exec_draw, min_p));
    Value one = k.constant(k.f32, 1);
    // Neither zero nor infinite, so that its products with 0 and with minus infinity are numbers.
    factor = k.fdiv(k.constant(k.f32, 1.44269504088896340736), temperature);
    factor = k.fmin(k.fmax(factor, k.constant(k.f32, 1.2e-38)), k.constant(k.f32, 3e38));
    // All: not below the smallest key with the largest number.
    Cut all = {k.index(0), k.index(n)};
    Cut cut = choose(k.bitAnd(k.lessThan(k.index(0), topK), k.lessThan(topK, n)), all, [&] {
      return select([&](const Element &) { return k.constant(k.i1, 1); },
                    [&](const Element &) { return one; }, k.toF32(topK));
    });
    cut = choose(compare(arith::CmpFPredicate::OLT, topP, one), cut, [&] {
      auto kept = [&](const Element &e) { return isKept(e, cut); };
      auto weight = [&](const Element &e) { return weightOf(e); };
      Value total = over({k.constant(k.f32, 0)}, [&](const Element &e, ArrayRef<Value> sums) {
        return Values{k.fadd(sums[0], k.orZero(kept(e), weight(e)))};
      })[0];
      return select(kept, weight, k.fmul(topP, total));
    });
    draw(cut);
  }

  struct Element {
    Value number, value, key;
  };
  /// Of what is kept the last element by falling keys and rising numbers.
  struct Cut {
    Value key, number;
  };

  Value compare(arith::CmpFPredicate predicate, Value a, Value b) {
    return arith::CmpFOp::create(k.b, k.loc, predicate, a, b);
  }
  Value above(Value a, Value b) { // unsigned
    return arith::CmpIOp::create(k.b, k.loc, arith::CmpIPredicate::ugt, a, b);
  }

  Element load(Value number) {
    // Plus zero: the negative zero is the other one's equal.
    Value value = k.fadd(k.load(k.f32, k.at(wanted.row, k.mul(number, 4))), k.constant(k.f32, 0));
    Value bits = k.bitcast(value, k.i32);
    Value sign = arith::ShRSIOp::create(k.b, k.loc, bits, k.index(31));
    Value key = arith::XOrIOp::create(k.b, k.loc, bits, k.bitOr(sign, int64_t(INT32_MIN)));
    return {number, value, key};
  }
  Value isKept(const Element &e, const Cut &cut) {
    Value tie = k.bitAnd(k.equal(e.key, cut.key), k.atLeast(cut.number, e.number));
    return k.bitOr(above(e.key, cut.key), tie);
  }
  /// The probability but for a factor; 1 for the largest.
  Value weightOf(const Element &e) { return k.exp2(k.fmul(k.fsub(e.value, largest), factor)); }

  Cut choose(Value condition, const Cut &otherwise, llvm::function_ref<Cut()> then) {
    Values cut = k.ifElse(
        condition, {k.i32, k.i32},
        [&] {
          Cut chosen = then();
          return Values{chosen.key, chosen.number};
        },
        [&] {
          return Values{otherwise.key, otherwise.number};
        });
    return {cut[0], cut[1]};
  }

  /// Sums over the row.
  Values over(Values start, llvm::function_ref<Values(const Element &, ArrayRef<Value>)> add) {
    Values sums = k.loop(k.thread(), k.index(n), threads, start,
                         [&](Value i, ArrayRef<Value> carried) { return add(load(i), carried); });
    k.barrier(); // those before have been read
    return k.sumBlock(sums);
  }

  struct Digits {
    Value key, above; // the key found; the sum over the keys above it
  };
  /// The largest key at which the sum over all keys not below it reaches `target`.
  Digits find(llvm::function_ref<Value(const Element &)> keyOf,
              llvm::function_ref<Value(const Element &)> weightOf, Value target) {
    Values found = k.loop(
        k.index(0), k.index(passes), 1, {k.index(0), k.index(0), k.constant(k.f32, 0)},
        [&](Value pass, ArrayRef<Value> state) {
          Value shift = k.sub(k.index((passes - 1) * digitBits), k.mul(pass, digitBits)), prefix = state[0],
                mask = state[1], sum = state[2];
          auto shifted = [&](Value v) { return arith::ShLIOp::create(k.b, k.loc, v, shift).getResult(); };
          Values bins =
              over(Values(digits, k.constant(k.f32, 0)), [&](const Element &e, ArrayRef<Value> sums) {
                // Few have the prefix behind the first passes: most subgroups skip the sums.
                Value key = keyOf(e);
                return k.ifElse(
                    k.equal(k.bitAnd(key, mask), prefix), SmallVector<Type>(digits, k.f32),
                    [&] {
                      Value weight = weightOf(e);
                      Value digit = k.bitAnd(arith::ShRUIOp::create(k.b, k.loc, key, shift), digits - 1);
                      Values next;
                      for (int64_t d = 0; d < digits; ++d)
                        next.push_back(k.fadd(sums[d], k.orZero(k.equal(digit, d), weight)));
                      return next;
                    },
                    [&] { return Values(sums); });
              });
          // From the largest digit on, the first at which the target is reached; or, since sums are rounded,
          // the last one that has something.
          Value digit = k.index(0), before = sum, done = k.constant(k.i1, 0);
          for (int64_t d = digits - 1; d >= 0; --d) {
            Value some = compare(arith::CmpFPredicate::OGT, bins[d], k.constant(k.f32, 0));
            Value take = k.select(done, k.constant(k.i1, 0), some), next = k.fadd(sum, bins[d]);
            digit = k.select(take, k.index(d), digit);
            before = k.select(take, sum, before);
            done = k.bitOr(done, k.bitAnd(take, compare(arith::CmpFPredicate::OGE, next, target)));
            sum = next;
          }
          return Values{k.bitOr(prefix, shifted(digit)), k.bitOr(mask, shifted(k.index(digits - 1))), before};
        });
    return {found[0], found[2]};
  }

  /// The shortest prefix, among the elements that `kept` keeps, whose weights reach the target.
  Cut select(llvm::function_ref<Value(const Element &)> kept,
             llvm::function_ref<Value(const Element &)> weight, Value target) {
    Value zero = k.constant(k.f32, 0), one = k.constant(k.f32, 1);
    Digits found = find([&](const Element &e) { return e.key; },
                        [&](const Element &e) { return k.orZero(kept(e), weight(e)); }, target);
    // Elements with this key: how many there are, and what they weigh together.
    auto isTie = [&](const Element &e) { return k.bitAnd(k.equal(e.key, found.key), kept(e)); };
    Values ties = over({zero, zero}, [&](const Element &e, ArrayRef<Value> sums) {
      Value tie = isTie(e);
      return Values{k.fadd(sums[0], k.orZero(tie, one)), k.fadd(sums[1], k.orZero(tie, weight(e)))};
    });
    // So many of them that the target is reached, the lowest numbers first.
    Value each = k.fdiv(ties[1], ties[0]), missing = k.fsub(target, found.above);
    Value enough = compare(arith::CmpFPredicate::OGE, k.fmul(each, k.fsub(ties[0], one)), missing);
    Cut all = {found.key, k.index(n)};
    return choose(enough, all, [&] {
      Value wanted = k.fmax(one, ceil(k.fdiv(missing, each)));
      auto falling = [&](const Element &e) { return k.sub(k.index(-1), e.number); };
      Digits last = find(
          falling, [&](const Element &e) { return k.orZero(isTie(e), one); }, wanted);
      return Cut{found.key, k.sub(k.index(-1), last.key)};
    });
  }
  Value ceil(Value v) {
    Value whole = k.toF32(k.fromF32(v, k.i32));
    return k.fadd(whole, k.orZero(compare(arith::CmpFPredicate::OLT, whole, v), k.constant(k.f32, 1)));
  }

  //===--------------------------------------------------------------------===//
  // Drawing
  //===--------------------------------------------------------------------===//

  /// A thread has a segment of the row: neighbouring numbers.
  void draw(const Cut &cut) {
    int64_t length = (n + threads - 1) / threads;
    Value zero = k.constant(k.f32, 0), uniform = wanted.option(k.f32, offsetof(pith_exec_draw, uniform));
    auto weight = [&](const Element &e) {
      Value w = weightOf(e);
      return k.orZero(k.bitAnd(isKept(e, cut), compare(arith::CmpFPredicate::OGE, w, minP)), w);
    };
    Value begin = k.minimum(k.mul(k.thread(), length), n), end = k.minimum(k.add(begin, length), n);
    Value sum = k.loop(begin, end, 1, {zero}, [&](Value i, ArrayRef<Value> carried) {
      return Values{k.fadd(carried[0], weight(load(i)))};
    })[0];
    k.store(sum, k.at(k.shared(segmentsOffset), k.mul(k.thread(), 4)));
    Value group = k.sumLanes({sum})[0];
    k.ifThen(k.equal(k.lane(), 0),
             [&] { k.store(group, k.at(k.shared(groupsOffset), k.mul(k.subgroup(), 4))); });
    k.barrier();
    k.ifThen(k.equal(k.thread(), 0), [&] {
      int64_t groups = threads / subgroupLanes;
      auto at = [&](int64_t offset) {
        return [this, offset](Value i) { return k.load(k.f32, k.at(k.shared(offset), k.mul(i, 4))); };
      };
      Value total = k.loop(k.index(0), k.index(groups), 1, {zero}, [&](Value i, ArrayRef<Value> carried) {
        return Values{k.fadd(carried[0], at(groupsOffset)(i))};
      })[0];
      Passed inGroups = pass(k.index(0), k.index(groups), zero, k.fmul(uniform, total), at(groupsOffset));
      Value first = k.mul(inGroups.index, subgroupLanes);
      Passed segment = pass(first, k.add(first, subgroupLanes), inGroups.before, k.fmul(uniform, total),
                            at(segmentsOffset));
      Value start = k.mul(segment.index, length);
      Passed token = pass(start, k.minimum(k.add(start, length), n), segment.before, k.fmul(uniform, total),
                          [&](Value i) { return weight(load(i)); });
      k.store(token.index, out);
    });
  }

  struct Passed {
    Value index, before;
  };
  /// The first index at which the sum passes `target`, and the sum before it; where rounding keeps it below,
  /// the last one that has something.
  Passed pass(Value from, Value to, Value sum, Value target, llvm::function_ref<Value(Value)> weightAt) {
    Values found =
        k.loop(from, to, 1, {from, sum, sum, k.constant(k.i1, 0)}, [&](Value i, ArrayRef<Value> state) {
          Value weight = weightAt(i), next = k.fadd(state[2], weight), done = state[3];
          Value some = compare(arith::CmpFPredicate::OGT, weight, k.constant(k.f32, 0));
          Value take = k.select(done, k.constant(k.i1, 0), some);
          Value passes = k.bitAnd(take, compare(arith::CmpFPredicate::OGT, next, target));
          return Values{k.select(take, i, state[0]), k.select(take, state[2], state[1]), next,
                        k.bitOr(done, passes)};
        });
    return {found[0], found[1]};
  }

  KernelBuilder &k;
  const int64_t n;
  Draw wanted;
  Value out, minP, factor, largest;
};
} // namespace

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateSample(mlir::gpu::GPUModuleOp module, int64_t n) {
  KernelShape shape;
  shape.threads = SampleKernel::threads;
  shape.sharedBytes = SampleKernel::sharedBytes;
  shape.grid = {getAffineDimExpr(0, module.getContext())};
  SmallVector<Argument> arguments = {Argument::In, Argument::In, Argument::Out, Argument::Size};
  return getOrCreateKernel(module, ("sample_" + Twine(n)).str(), arguments, shape,
                           [&](KernelBuilder &k, ArrayRef<Value> a) { SampleKernel(k, n, a).build(); });
}
