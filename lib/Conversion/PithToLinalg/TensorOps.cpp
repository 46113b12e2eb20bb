//===- TensorOps.cpp - shapes, products and reductions, plainly -----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "TensorBuilder.h"

using namespace mlir;
using namespace pith;

static int64_t rankOf(Value tensor) { return cast<RankedTensorType>(tensor.getType()).getRank(); }

/// Narrow floats are summed in f32.
static Type accumulatorType(TensorBuilder &t, Type element) {
  auto type = dyn_cast<FloatType>(element);
  return type && type.getWidth() < 32 ? t.f32 : element;
}

static Value lowerBroadcast(TensorBuilder &t, BroadcastOp op) {
  auto type = cast<RankedTensorType>(op.getResult().getType());
  return t.compute(t.dims(type, op.getDims()), type.getElementType(), op.getSource(),
                   t.broadcast(op.getSource(), type.getRank()), [](ValueRange in) { return in[0]; });
}

static Value lowerTranspose(TensorBuilder &t, TransposeOp op) {
  ArrayRef<int64_t> permutation = op.getPermutation();
  Dims from = t.dims(op.getSource()), to;
  SmallVector<int64_t> loops(permutation.size());
  for (auto [i, p] : llvm::enumerate(permutation)) {
    to.push_back(from[p]);
    loops[p] = i;
  }
  return t.compute(to, getElementTypeOrSelf(op.getSource().getType()), op.getSource(),
                   t.map(loops.size(), loops), [](ValueRange in) { return in[0]; });
}

static Value lowerIota(TensorBuilder &t, IotaOp op) {
  auto type = cast<RankedTensorType>(op.getResult().getType());
  return t.compute(t.dims(type, op.getDims()), type.getElementType(), {}, {},
                   [&](ValueRange) { return t.convert(t.loopIndex(op.getAxis()), type.getElementType()); });
}

static Value lowerMatmul(TensorBuilder &t, MatmulOp op) {
  Value lhs = op.getLhs(), rhs = op.getRhs();
  int64_t rank = std::max(rankOf(lhs), rankOf(rhs)), batch = rank - 2;
  Type element = getElementTypeOrSelf(op.getResult().getType()), sum = accumulatorType(t, element);
  Dims sizes;
  for (int64_t i = 0; i < batch; ++i)
    sizes.push_back(t.dim(rankOf(lhs) == rank ? lhs : rhs, i));
  sizes.push_back(t.dim(lhs, rankOf(lhs) - 2));
  sizes.push_back(t.dim(rhs, rankOf(rhs) - 1));

  // Loops: batch, m, k, n. With n innermost both rows are read as they lie.
  int64_t m = batch, k = batch + 1, n = batch + 2;
  auto operandMap = [&](Value operand, int64_t row, int64_t column) {
    SmallVector<int64_t> loops;
    if (rankOf(operand) == rank)
      for (int64_t i = 0; i < batch; ++i)
        loops.push_back(i);
    loops.append({row, column});
    return t.map(rank + 1, loops);
  };
  SmallVector<int64_t> out;
  for (int64_t i = 0; i < batch; ++i)
    out.push_back(i);
  out.append({m, n});
  Value result = t.generic(std::string(batch + 1, 'p') + "rp", {lhs, rhs}, t.filled(sizes, t.number(sum, 0)),
                           {operandMap(lhs, m, k), operandMap(rhs, k, n), t.map(rank + 1, out)},
                           [&](ValueRange in) -> SmallVector<Value> {
                             Value product = t.mul(t.convert(in[0], sum), t.convert(in[1], sum));
                             return {t.accumulate(in[2], product)};
                           })
                     .front();
  return t.cast(result, element);
}

/// `source` reduced over `axes`, which stay with size 1.
static Value reduce(TensorBuilder &t, Value source, ArrayRef<int64_t> axes, Type type, Value neutral,
                    llvm::function_ref<Value(Value, Value)> combine) {
  Dims sizes = t.dims(source);
  // Kept dimensions are the outer loops.
  SmallVector<int64_t> loops(sizes.size()), out(sizes.size(), -1);
  std::string iterators;
  for (size_t i = 0; i < sizes.size(); ++i)
    if (!llvm::is_contained(axes, static_cast<int64_t>(i))) {
      loops[i] = out[i] = iterators.size();
      iterators += 'p';
    }
  for (size_t i = 0; i < sizes.size(); ++i)
    if (llvm::is_contained(axes, static_cast<int64_t>(i))) {
      loops[i] = iterators.size();
      iterators += 'r';
      sizes[i] = t.fixed(1);
    }
  int64_t rank = iterators.size();
  return t
      .generic(iterators, source, t.filled(sizes, neutral), {t.map(rank, loops), t.map(rank, out)},
               [&](ValueRange in) -> SmallVector<Value> { return {combine(in[1], t.convert(in[0], type))}; })
      .front();
}

static Value lowerReduce(TensorBuilder &t, ReduceOp op) {
  Type element = getElementTypeOrSelf(op.getResult().getType()), type = accumulatorType(t, element);
  Value source = op.getSource();
  ArrayRef<int64_t> axes = op.getAxes();
  switch (op.getKind()) {
  case ReduceKind::Sum:
  case ReduceKind::Mean: {
    Value sum = reduce(t, source, axes, type, t.number(type, 0),
                       [&](Value a, Value x) { return t.accumulate(a, x); });
    if (op.getKind() == ReduceKind::Mean) {
      Dims reduced;
      for (int64_t axis : axes)
        reduced.push_back(t.dim(source, axis));
      Value count = t.convert(t.size(t.product(reduced)), type);
      sum = t.elementwise(sum, type, [&](Value x) { return t.div(x, count); });
    }
    return t.cast(sum, element);
  }
  case ReduceKind::Max:
    return reduce(t, source, axes, element, t.lowest(element),
                  [&](Value a, Value x) { return t.maximum(a, x); });
  case ReduceKind::Min:
    return reduce(t, source, axes, element, t.highest(element),
                  [&](Value a, Value x) { return t.minimum(a, x); });
  case ReduceKind::Prod:
    return t.cast(
        reduce(t, source, axes, type, t.number(type, 1), [&](Value a, Value x) { return t.mul(a, x); }),
        element);
  }
  llvm_unreachable("every kind of reduction is handled");
}

Value pith::softmax(TensorBuilder &t, Value scores, int64_t axis, bool zerosIfHidden, Value sinks,
                    AffineMap sinkMap) {
  Type element = getElementTypeOrSelf(scores.getType());
  Type type = accumulatorType(t, element);
  Dims sizes = t.dims(scores);
  int64_t rank = sizes.size();
  Value lowest = t.lowest(type), zero = t.number(type, 0);
  Value highest = reduce(t, scores, axis, type, lowest, [&](Value a, Value x) { return t.maximum(a, x); });
  SmallVector<int64_t> rowLoops;
  for (int64_t i = 0; i < rank; ++i)
    rowLoops.push_back(i == axis ? -1 : i);
  AffineMap row = t.map(rank, rowLoops);
  Dims rowSizes = sizes;
  rowSizes[axis] = t.fixed(1);
  if (sinks)
    highest = t.compute(rowSizes, type, {highest, sinks}, {t.identity(rank), sinkMap},
                        [&](ValueRange in) { return t.maximum(in[0], t.convert(in[1], type)); });
  if (zerosIfHidden)
    highest = t.elementwise(highest, type, [&](Value m) {
      Value hidden = arith::CmpFOp::create(t.b, t.loc, arith::CmpFPredicate::OEQ, m, lowest);
      return t.select(hidden, zero, m);
    });
  Value powers =
      t.compute(sizes, type, {scores, highest}, {t.identity(rank), row}, [&](ValueRange in) -> Value {
        return math::ExpOp::create(t.b, t.loc, t.sub(t.convert(in[0], type), in[1]));
      });
  Value sum = reduce(t, powers, axis, type, zero, [&](Value a, Value x) { return t.accumulate(a, x); });
  if (sinks)
    sum = t.compute(rowSizes, type, {sum, sinks, highest}, {t.identity(rank), sinkMap, t.identity(rank)},
                    [&](ValueRange in) -> Value {
                      Value sink = t.sub(t.convert(in[1], type), in[2]);
                      return t.add(in[0], math::ExpOp::create(t.b, t.loc, sink));
                    });
  return t.compute(sizes, element, {powers, sum}, {t.identity(rank), row}, [&](ValueRange in) {
    Value quotient = t.div(in[0], in[1]);
    if (zerosIfHidden) {
      Value hidden = arith::CmpFOp::create(t.b, t.loc, arith::CmpFPredicate::OEQ, in[1], zero);
      quotient = t.select(hidden, zero, quotient);
    }
    return t.convert(quotient, element);
  });
}

/// The pieces one behind the other, each written straight into the result.
static Value lowerConcat(TensorBuilder &t, tensor::ConcatOp op) {
  auto type = cast<RankedTensorType>(op.getResult().getType());
  int64_t axis = op.getDim();
  Dims sizes = t.dims(op.getInputs().front());
  OpFoldResult length = t.fixed(0);
  SmallVector<OpFoldResult> starts;
  for (Value input : op.getInputs()) {
    starts.push_back(length);
    length = t.sum(length, t.dim(input, axis));
    // Any input may know a size that the first does not.
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (OpFoldResult d = t.dim(input, i); !getConstantIntValue(sizes[i]) && getConstantIntValue(d))
        sizes[i] = d;
  }
  sizes[axis] = length;
  Value result = t.empty(sizes, type.getElementType());
  SmallVector<OpFoldResult> ones(type.getRank(), t.fixed(1));
  for (auto [input, start] : llvm::zip_equal(op.getInputs(), starts)) {
    SmallVector<OpFoldResult> offsets(type.getRank(), t.fixed(0));
    offsets[axis] = start;
    Dims piece = sizes;
    piece[axis] = t.dim(input, axis);
    Value source =
        t.as(input, tensor::ExtractSliceOp::inferResultType(cast<RankedTensorType>(result.getType()), piece));
    result = tensor::InsertSliceOp::create(t.b, t.loc, source, result, offsets, piece, ones);
  }
  return result;
}

static Value lowerReshape(TensorBuilder &t, ReshapeOp op) {
  return t.reshape(op.getSource(), t.dims(op.getResult().getType(), op.getDims()));
}

/// Elementwise arithmetic on tensors: the scalar op in a loop over the result.
static Value lowerElementwise(TensorBuilder &t, Operation *op) {
  SmallVector<Value> tensors;
  for (Value operand : op->getOperands())
    if (isa<RankedTensorType>(operand.getType()))
      tensors.push_back(operand);
  if (tensors.empty())
    return {};
  Type element = getElementTypeOrSelf(op->getResult(0).getType());
  return t.elementwise(tensors, element, [&](ValueRange scalars) {
    SmallVector<Value> operands;
    unsigned next = 0;
    for (Value operand : op->getOperands())
      operands.push_back(isa<RankedTensorType>(operand.getType()) ? scalars[next++] : operand);
    OperationState state(t.loc, op->getName(), operands, element, op->getAttrs());
    return t.b.create(state)->getResult(0);
  });
}

FailureOr<Value> pith::lowerTensorOp(TensorBuilder &t, Operation *op) {
  Value result;
  if (auto reshape = dyn_cast<ReshapeOp>(op))
    result = lowerReshape(t, reshape);
  else if (auto broadcast = dyn_cast<BroadcastOp>(op))
    result = lowerBroadcast(t, broadcast);
  else if (auto transpose = dyn_cast<TransposeOp>(op))
    result = lowerTranspose(t, transpose);
  else if (auto iota = dyn_cast<IotaOp>(op))
    result = lowerIota(t, iota);
  else if (auto matmul = dyn_cast<MatmulOp>(op))
    result = lowerMatmul(t, matmul);
  else if (auto reduceOp = dyn_cast<ReduceOp>(op))
    result = lowerReduce(t, reduceOp);
  else if (auto softmaxOp = dyn_cast<SoftmaxOp>(op))
    result = softmax(t, softmaxOp.getSource(), softmaxOp.getAxis(), /*zerosIfHidden=*/false, {}, {});
  else if (auto concat = dyn_cast<tensor::ConcatOp>(op))
    result = lowerConcat(t, concat);
  else if (OpTrait::hasElementwiseMappableTraits(op) && op->getNumResults() == 1)
    result = lowerElementwise(t, op);
  return result;
}
