//===- AttentionKernel.cpp - what all forms of attention share ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "AttentionKernel.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>

using namespace mlir;
using namespace pith::gpu;

AttentionArguments::AttentionArguments(const AttentionSpec &spec, ArrayRef<Value> arguments) {
  const Value *next = arguments.begin();
  q = *next++;
  rowLanes = *next++;
  lanes = *next++;
  sinks = spec.sinks && !spec.split ? *next++ : Value();
  slopes = spec.alibi ? *next++ : Value();
  out = *next++;
  rows = *next++;
  ldq = *next++;
  ldo = spec.split ? Value() : *next++;
  layer = *next++;
  splits = spec.split ? *next++ : Value();
}

SmallVector<Argument> AttentionArguments::of(const AttentionSpec &spec) {
  SmallVector<Argument> arguments(3, Argument::In);
  if (spec.sinks && !spec.split)
    arguments.push_back(Argument::Constant);
  if (spec.alibi)
    arguments.push_back(Argument::Constant);
  arguments.push_back(Argument::Out);
  arguments.append(4, Argument::Size);
  return arguments;
}

Value AttentionArguments::softcap(KernelBuilder &k, const AttentionSpec &spec, Value score) {
  if (spec.softcap <= 0)
    return score;
  Value capped = k.tanh(k.fmul(score, k.constant(k.f32, 1.0 / double(spec.softcap))));
  return k.fmul(capped, k.constant(k.f32, double(spec.softcap) * log2e));
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

std::string pith::gpu::attentionName(const AttentionSpec &spec) {
  std::string name;
  llvm::raw_string_ostream out(name);
  auto bits = [](float value) { return llvm::utohexstr(llvm::bit_cast<uint32_t>(value)); };
  out << "attention_" << nameOf(spec.cache) << "_h" << spec.heads << "_s" << bits(spec.scale);
  if (spec.softcap > 0)
    out << "_cap" << bits(spec.softcap);
  if (spec.window > 0)
    out << "_w" << spec.window;
  out << (spec.sinks && !spec.split ? "_sinks" : "") << (spec.alibi ? "_alibi" : "") << "_"
      << nameOf(spec.input);
  if (spec.split)
    out << "_split";
  else
    out << "_" << nameOf(spec.output);
  if (spec.tile)
    out << "_tile_" << nameOf(spec.product) << "x" << spec.parts;
  return name;
}

llvm::Error AttentionSpec::check() const {
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  if (heads % cache.kvHeads != 0)
    return error("attention of " + llvm::Twine(heads) + " heads over " + llvm::Twine(cache.kvHeads) +
                 " kv heads; expected a multiple");
  if (bias > 0 || condition)
    return error(condition ? "attention over sequences' conditions" : "attention with biases by distance");
  if (tile)
    return checkAttentionTile(*this);
  if (std::max(cache.headDim, cache.valueDim) > 512)
    return error("attention heads of " + llvm::Twine(std::max(cache.headDim, cache.valueDim)) +
                 " channels; at most 512 are supported");
  return llvm::Error::success();
}
