//===- Tap.cpp - hidden states that an application wants to see -----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Without taps this is the test of a pointer. Threads share the wanted rows.
//
//===----------------------------------------------------------------------===//
#include "NormRow.h"
#include "pith/executable.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace pith::cpu;

func::FuncOp pith::cpu::getOrCreateTap(ModuleOp module, const Machine &machine, const NormSpec &spec) {
  static const char *const kinds[] = {"copy", "rms", "layer"};
  std::string name = ("tap_" + Twine(kinds[int(spec.kind)]) + "_" + Twine(spec.k) + "_e" +
                      Twine::utohexstr(llvm::bit_cast<uint32_t>(spec.epsilon)) + (spec.bias ? "_bias" : ""))
                         .str();
  bool scaled = spec.kind != Norm::None;
  return getOrCreateKernel(
      module, name, 1 + scaled + spec.bias, 2, [&](KernelBuilder &k, ArrayRef<Value> arguments) {
        Value context = arguments[0], thread = arguments[1], x = arguments[2];
        Value scale = scaled ? arguments[3] : Value(), bias = spec.bias ? arguments[3 + scaled] : Value();
        Value slot = arguments.drop_back().back(), stride = arguments.back();
        Value taps = k.laterPointer(context, offsetof(pith_exec_context, taps));
        k.ifThen(k.isNull(taps), [] {}, [&] {
          Value tap = k.at(taps, k.mul(slot, int64_t(sizeof(pith_exec_tap))));
          auto field = [&](Type type, size_t offset) { return k.load(type, k.at(tap, int64_t(offset))); };
          Value wanted = field(k.ptr, offsetof(pith_exec_tap, row_index));
          Value out = field(k.ptr, offsetof(pith_exec_tap, out));
          Value count = k.zext(field(k.i32, offsetof(pith_exec_tap, rows)), k.i64);
          NormRow row(k, spec, machine.vectorBytes / 4);
          auto [begin, end] = k.share(context, thread, count);
          k.loop(begin, end, 1, [&](Value i) {
            Value from = k.zext(k.load(k.i32, k.at(wanted, k.mul(i, 4))), k.i64);
            row.build(k.at(x, k.mul(k.mul(from, stride), 4)), scale, bias, k.at(out, k.mul(i, spec.k * 4)));
          });
        });
      });
}
