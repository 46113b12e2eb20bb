//===- AttentionKernel.cpp - what all forms of attention share ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "AttentionKernel.h"
#include "PagedCache.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <limits>
#include <numeric>

using namespace mlir;
using namespace pith::gpu;

AttentionArguments::AttentionArguments(const AttentionSpec &spec, ArrayRef<Value> arguments) {
  const Value *next = arguments.begin();
  q = *next++;
  if (spec.tensors) {
    keys = *next++;
    values = *next++;
    mask = spec.mask != Mask::None ? *next++ : Value();
  } else {
    rowLanes = *next++;
    lanes = *next++;
    conditions = spec.condition ? *next++ : Value();
  }
  sinks = spec.sinks && !spec.split ? *next++ : Value();
  slopes = spec.alibi ? *next++ : Value();
  bias = spec.bias > 0 ? *next++ : Value();
  out = *next++;
  rows = *next++;
  ldq = *next++;
  ldo = spec.split ? Value() : *next++;
  if (!spec.tensors) {
    layer = *next++;
    splits = spec.split ? *next++ : Value();
    return;
  }
  for (Value *size : {&ldk, &ldv, &queries, &tokens})
    *size = *next++;
  if (mask)
    for (Value &step : maskSteps)
      step = *next++;
}

SmallVector<Argument> AttentionArguments::of(const AttentionSpec &spec) {
  bool masked = spec.tensors && spec.mask != Mask::None;
  SmallVector<Argument> arguments(3 + spec.condition + masked, Argument::In);
  arguments.append((spec.sinks && !spec.split) + spec.alibi + (spec.bias > 0), Argument::Constant);
  arguments.push_back(Argument::Out);
  arguments.append(spec.tensors ? 7 + 4 * masked : 4, Argument::Size);
  return arguments;
}

void pith::gpu::storeAttention(KernelBuilder &k, const AttentionSpec &spec, Value out, Value ldo, Value row,
                               Value head, Value channel, Value value) {
  Value column = k.add(k.mul(head, spec.cache.valueDim), channel);
  Value at = k.add(k.mul(k.zext(row, k.i64), k.zext(ldo, k.i64)), k.zext(column, k.i64));
  int64_t bytes = elementBytes(spec.output);
  k.storeFloats(spec.output, value, k.at(out, k.mul(at, bytes)), bytes);
}

void AttentionArguments::store(KernelBuilder &k, const AttentionSpec &spec, Value row, Value head,
                               Value channel, Value value) const {
  storeAttention(k, spec, out, ldo, row, head, channel, value);
}

/// Tensors may be columns of one projection, with keys and values behind one another.
int64_t pith::gpu::alignOfHeads(const AttentionSpec &spec, Element element, int64_t width, int64_t wanted) {
  int64_t step = spec.tensors ? std::gcd(spec.cache.headDim, spec.cache.valueDim) : width;
  return alignmentOf(step * elementBytes(element), wanted);
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

static Value isAbove(KernelBuilder &k, Value x, double bound) {
  return arith::CmpFOp::create(k.b, k.loc, arith::CmpFPredicate::OGT, x, k.constant(k.f32, bound));
}

Value pith::gpu::weightOf(KernelBuilder &k, Value score, Value largest) {
  return k.orZero(isAbove(k, score, lowest), k.exp2(k.fsub(score, largest)));
}

Value pith::gpu::dividedBy(KernelBuilder &k, const AttentionSpec &spec, Value value, Value sum) {
  Value quotient = k.fdiv(value, sum);
  return spec.tensors ? k.orZero(isAbove(k, sum, 0), quotient) : quotient;
}

ScoreRow::ScoreRow(KernelBuilder &k, const AttentionSpec &spec, const AttentionArguments &a, Value row,
                   Value head) {
  if (a.slopes)
    slope = k.fmul(k.load(k.f32, k.at(a.slopes, k.mul(head, 4))), k.constant(k.f32, log2e));
  if (a.bias)
    bias = k.at(a.bias, k.mul(head, biasStride(spec.bias) * 4));
  if (a.mask) {
    Value at;
    Value places[] = {k.div(row, a.queries), head, k.rem(row, a.queries)};
    for (auto [place, step] : llvm::zip(places, a.maskSteps)) {
      Value elements = k.mul(k.zext(place, k.i64), k.zext(step, k.i64));
      at = at ? k.add(at, elements) : elements;
    }
    mask = k.at(a.mask, k.mul(at, spec.mask == Mask::Keep ? 1 : 4));
    maskStep = a.maskSteps[3];
    maskLast = k.sub(a.tokens, 1);
  }
}

Value ScoreRow::finish(KernelBuilder &k, const AttentionSpec &spec, Value score, Value position, Value token,
                       Value seen) const {
  if (spec.softcap > 0) {
    Value capped = k.tanh(k.fmul(score, k.constant(k.f32, 1.0 / double(spec.softcap))));
    score = k.fmul(capped, k.constant(k.f32, double(spec.softcap) * log2e));
  }
  if (slope)
    score = k.fma(slope, k.toF32(k.sub(token, position)), score);
  if (bias) {
    // Tokens that the row does not see have some distance's, too.
    Value distance = k.maximum(k.minimum(k.sub(position, token), spec.bias - 1), 0);
    Value at = k.sub(k.index(biasFront + spec.bias - 1), distance);
    score = k.fma(k.load(k.f32, k.at(bias, k.mul(at, 4))), k.constant(k.f32, log2e), score);
  }
  if (mask) {
    Value at = k.mul(k.minimum(token, maskLast), maskStep);
    if (spec.mask == Mask::Keep) {
      Value kept = k.load(k.i8, k.at(mask, at));
      seen = k.bitAnd(seen, k.lessThan(k.index(0), k.zext(kept, k.i32)));
    } else {
      // Only infinity hides: where all that a row sees is very low, it counts all the same.
      Value added = k.load(k.f32, k.at(mask, k.mul(at, 4)));
      seen = k.bitAnd(seen, isAbove(k, added, -std::numeric_limits<double>::infinity()));
      score = k.fmax(k.fma(added, k.constant(k.f32, log2e), score), k.constant(k.f32, lowest / 2));
    }
  }
  return k.select(seen, score, k.constant(k.f32, lowest));
}

//===----------------------------------------------------------------------===//
// Specifications
//===----------------------------------------------------------------------===//

std::string pith::gpu::attentionName(const AttentionSpec &spec) {
  std::string name;
  llvm::raw_string_ostream out(name);
  auto bits = [](float value) { return llvm::utohexstr(llvm::bit_cast<uint32_t>(value)); };
  out << "attention_" << nameOf(spec.cache) << "_h" << spec.heads << "_s" << bits(spec.scale);
  if (spec.softcap > 0)
    out << "_cap" << bits(spec.softcap);
  if (spec.window > 0)
    out << "_w" << spec.window;
  out << (spec.sinks && !spec.split ? "_sinks" : "") << (spec.alibi ? "_alibi" : "");
  if (spec.bias > 0)
    out << "_bias" << spec.bias;
  out << (spec.condition ? "_condition" : "");
  if (spec.tensors)
    out << (spec.causal ? "_tensors_causal" : "_tensors")
        << (spec.mask == Mask::Add    ? "_mask"
            : spec.mask == Mask::Keep ? "_keep"
                                      : "");
  out << "_" << nameOf(spec.input);
  if (spec.split)
    out << "_split";
  else
    out << "_" << nameOf(spec.output);
  if (spec.tile)
    out << (spec.warpGroups ? "_wg_" : "_tile_") << nameOf(spec.product) << "x" << spec.parts;
  return name;
}

llvm::Error AttentionSpec::check() const {
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  if (heads % cache.kvHeads != 0)
    return error("attention of " + llvm::Twine(heads) + " heads over " + llvm::Twine(cache.kvHeads) +
                 " kv heads; expected a multiple");
  if (condition && (window > 0 || alibi || bias > 0))
    return error("attention over sequences' conditions with a window, slopes or biases by distance");
  if (tensors && (condition || alibi || bias > 0 || split))
    return error("attention over tensors with slopes or biases by distance, or split");
  if (tile)
    return checkAttentionTile(*this);
  if (std::max(cache.headDim, cache.valueDim) > 512)
    return error("attention heads of " + llvm::Twine(std::max(cache.headDim, cache.valueDim)) +
                 " channels; at most 512 are supported");
  return llvm::Error::success();
}
