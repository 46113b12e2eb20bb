//===- ChooseAttention.cpp - attention to kernel launches -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EntryManifest.h"
#include "KernelChooser.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "pith/Conversion/KernelSpec.h"
#include <algorithm>

using namespace mlir;
using namespace pith;

StateOp KernelChooser::stateOf(Value cache) {
  while (auto append = cache.getDefiningOp<KVAppendOp>())
    cache = append.getCache();
  auto op = cache.getDefiningOp<CacheOp>();
  return op ? symbols.lookup<StateOp>(op.getState()) : StateOp();
}

bool KernelChooser::chooseAppend(KVAppendOp op) {
  StateOp state = stateOf(op.getCache());
  if (!state || !isF32(op.getK()) || !isF32(op.getV()))
    return stay(op, "its keys and values are not f32, or its state is not declared");
  OpBuilder b(op);
  TensorBuilder t(b, op.getLoc());
  Call call;
  call.in(rows2D(t, op.getK()));
  call.in(rows2D(t, op.getV()));
  launch(t, toAttribute(module.getContext(), getCacheLayout(module, state)), call);
  return true;
}

/// The bias by distance as the kernel reads it (biasStride in Kernels.h).
static Value layOutBias(TensorBuilder &t, DenseFPElementsAttr bias) {
  auto type = cast<RankedTensorType>(bias.getType());
  int64_t heads = type.getDimSize(0), distances = type.getDimSize(1), stride = cpu::biasStride(distances);
  SmallVector<float> given, laidOut(heads * stride, 0.0f);
  for (const APFloat &value : bias.getValues<APFloat>())
    given.push_back(value.convertToFloat());
  for (int64_t head = 0; head < heads; ++head)
    for (int64_t i = 0; i < cpu::biasFront + distances; ++i) {
      int64_t distance = std::min(cpu::biasFront + distances - 1 - i, distances - 1);
      laidOut[head * stride + i] = given[head * distances + distance];
    }
  auto attribute = DenseElementsAttr::get(type.clone({heads, stride}), ArrayRef<float>(laidOut));
  return arith::ConstantOp::create(t.b, t.loc, attribute);
}

bool KernelChooser::chooseCacheAttention(CacheAttentionOp op) {
  StateOp state = stateOf(op.getCache());
  if (!state || !isF32(op.getQ()))
    return stay(op, "its queries are not f32, or its state is not declared");
  if (state.getCondition() != op.getCondition())
    return stay(op, "its state is one of the condition, or it is to be, but not both");
  DenseFPElementsAttr bias;
  if (op.getBias() && !matchPattern(op.getBias(), m_Constant(&bias)))
    return stay(op, "its bias is no constant");
  OpBuilder b(op);
  TensorBuilder t(b, op.getLoc());
  cpu::AttentionSpec spec;
  spec.cache = getCacheLayout(module, state);
  spec.heads = op.getHeads();
  spec.scale = op.getScale().convertToFloat();
  spec.softcap = op.getSoftcap().convertToFloat();
  spec.window = op.getWindow();
  spec.sinks = bool(op.getSinks());
  spec.alibi = bool(op.getAlibi());
  spec.bias = bias ? cast<RankedTensorType>(bias.getType()).getDimSize(1) : 0;
  spec.condition = op.getCondition();
  if (std::string why = family.lacks(spec); !why.empty())
    return stay(op, why);
  Call call;
  Value q = rows2D(t, op.getQ());
  call.in(q);
  call.out(t.empty({t.dim(q, 0), t.fixed(spec.heads * spec.cache.valueDim)}, t.f32));
  scratch(t, call, family.scratch(spec), t.dim(q, 0));
  for (Value vector : {op.getSinks(), op.getAlibi()})
    if (vector)
      call.in(vector);
  if (bias)
    call.in(layOutBias(t, bias));
  Value result = launch(t, toAttribute(module.getContext(), spec), call)[0];
  op.getResult().replaceAllUsesWith(t.as(
      t.reshape(result, {t.dim(q, 0), t.fixed(spec.heads * spec.cache.valueDim)}), op.getResult().getType()));
  op.erase();
  return true;
}

/// Elements of a mask from one index of each dimension to the next, as index values; 0 where all have the
/// same.
static SmallVector<Value> maskSteps(TensorBuilder &t, Value mask) {
  Dims sizes = t.dims(mask);
  SmallVector<Value> steps(4);
  for (int64_t i = 0; i < 4; ++i) {
    Value size = t.size(sizes[i]), step = t.size(t.product(ArrayRef(sizes).drop_front(i + 1)));
    steps[i] = t.select(t.lessThan(size, t.idx(2)), t.idx(0), step);
  }
  return steps;
}

bool KernelChooser::chooseAttention(AttentionOp op) {
  for (Value x : {op.getQ(), op.getK(), op.getV(), op.getResult()})
    if (!isF32(x) || cast<RankedTensorType>(x.getType()).getRank() != 3)
      return stay(op, "its operands are not f32 of three dimensions");
  auto channels = [](Value x) { return cast<RankedTensorType>(x.getType()).getShape().back(); };
  for (Value x : {op.getQ(), op.getK(), op.getV()})
    if (ShapedType::isDynamic(channels(x)))
      return stay(op, "the number of channels is not known");
  cpu::AttentionSpec spec;
  spec.tensors = true;
  spec.heads = op.getHeads();
  spec.cache.kvHeads = op.getKvHeads();
  spec.cache.headDim = channels(op.getQ()) / spec.heads;
  spec.cache.valueDim = channels(op.getV()) / spec.cache.kvHeads;
  spec.scale = op.getScale().convertToFloat();
  spec.softcap = op.getSoftcap().convertToFloat();
  spec.window = std::max<int64_t>(op.getWindow(), 0);
  spec.causal = op.getCausal();
  spec.sinks = bool(op.getSinks());
  Value mask = op.getMask();
  if (mask)
    spec.mask = getElementTypeOrSelf(mask.getType()).isInteger(1) ? kernels::Mask::Keep : kernels::Mask::Add;
  if (std::string why = family.lacks(spec); !why.empty())
    return stay(op, why);
  OpBuilder b(op);
  TensorBuilder t(b, op.getLoc());
  Call call;
  Value q = rows2D(t, op.getQ());
  Dims shape = t.dims(op.getQ());
  call.in(q);
  shape.back() = t.fixed(spec.heads * spec.cache.valueDim);
  call.out(t.empty({t.dim(q, 0), shape.back()}, t.f32));
  call.in(rows2D(t, op.getK()));
  call.in(rows2D(t, op.getV()));
  if (mask)
    call.in(spec.mask == kernels::Mask::Add && !isF32(mask) ? t.cast(mask, t.f32) : mask);
  if (Value sinks = op.getSinks())
    call.in(isF32(sinks) ? sinks : t.cast(sinks, t.f32));
  call.sizes = {t.size(t.product(ArrayRef(shape).drop_back())), t.size(shape[1]),
                t.size(t.dim(op.getK(), 1))};
  if (mask)
    call.sizes.append(maskSteps(t, mask));
  Value result = launch(t, toAttribute(module.getContext(), spec), call)[0];
  op.getResult().replaceAllUsesWith(t.as(t.reshape(result, shape), op.getResult().getType()));
  op.erase();
  return true;
}
