//===- Rope.cpp - rotary position embedding -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A thread takes one pair of channels, or one channel that does not rotate: both are read before either is
// written, so out may be x.
//
//===----------------------------------------------------------------------===//
#include "Rotate.h"
#include "llvm/ADT/Twine.h"

using namespace mlir;
using namespace pith::gpu;

void RotatedHead::emit(KernelBuilder &k, Element input, Value x, Value cosines, Value sines, Value unit,
                       llvm::function_ref<void(Value, Value)> store) const {
  auto load = [&](Value channel) {
    return k.loadFloats(input, k.at(x, k.mul(channel, elementBytes(input))), 1, 0);
  };
  auto rotate = [&] {
    Value first = interleaved ? k.mul(unit, 2) : unit, second = k.add(first, interleaved ? 1 : pairs());
    Value x1 = load(first), x2 = load(second);
    Value c = k.load(k.f32, k.at(cosines, k.mul(unit, 4))), s = k.load(k.f32, k.at(sines, k.mul(unit, 4)));
    store(first, k.fsub(k.fmul(x1, c), k.fmul(x2, s)));
    store(second, k.fma(x2, c, k.fmul(x1, s)));
  };
  auto copy = [&] {
    Value channel = k.add(unit, pairs());
    store(channel, load(channel));
  };
  if (rotaryDim == headDim)
    rotate();
  else if (rotaryDim == 0)
    copy();
  else
    k.ifThen(k.lessThan(unit, pairs()), rotate, copy);
}

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateRope(mlir::gpu::GPUModuleOp module, const RopeSpec &spec) {
  std::string name =
      ("rope_" + Twine(spec.heads) + "x" + Twine(spec.headDim) + "_r" + Twine(spec.rotaryDim) +
       (spec.interleaved ? "_interleaved_" : "_") + nameOf(spec.input) + "_" + nameOf(spec.output))
          .str();
  RotatedHead head{spec.headDim, spec.rotaryDim, spec.interleaved};
  int64_t items = spec.heads * head.units();
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = 128;
  shape.grid = {getAffineConstantExpr(llvm::divideCeil(items, shape.threads), context),
                getAffineDimExpr(0, context)};
  SmallVector<Argument> arguments = {Argument::In,   Argument::In,   Argument::In,  Argument::Out,
                                     Argument::Size, Argument::Size, Argument::Size};
  return getOrCreateKernel(module, name, arguments, shape, [&](KernelBuilder &k, ArrayRef<Value> a) {
    Value x = a[0], cosines = a[1], sines = a[2], out = a[3], ldx = a[5], ldo = a[6];
    Value row = k.block(mlir::gpu::Dimension::y);
    Value item = k.add(k.mul(k.block(), k.threads), k.thread());
    k.ifThen(k.lessThan(item, items), [&] {
      Value first = k.mul(k.div(item, head.units()), spec.headDim);
      auto place = [&](Value base, Value stride, Element element) {
        Value start = k.add(k.mul(k.zext(row, k.i64), k.zext(stride, k.i64)), k.zext(first, k.i64));
        return k.at(base, k.mul(start, elementBytes(element)));
      };
      Value to = place(out, ldo, spec.output);
      head.emit(k, spec.input, place(x, ldx, spec.input), k.atWide(cosines, row, head.pairs() * 4),
                k.atWide(sines, row, head.pairs() * 4), k.rem(item, head.units()),
                [&](Value channel, Value value) {
                  int64_t bytes = elementBytes(spec.output);
                  k.storeFloats(spec.output, value, k.at(to, k.mul(channel, bytes)), bytes);
                });
    });
  });
}
