//===- Evaluator.cpp - concrete evaluation of tensor code --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The order of work: an explicit stack instead of recursion, since exported graphs are thousands of
// operations deep; shapes; and which operands a result needs.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace pith;

//===----------------------------------------------------------------------===//
// Tensors and nodes
//===----------------------------------------------------------------------===//

static int64_t numElements(ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

ConcreteTensor ConcreteTensor::integers(ArrayRef<int64_t> shape, ArrayRef<int64_t> values) {
  ConcreteTensor tensor{SmallVector<int64_t>(shape), {}};
  for (int64_t value : values) {
    Element element;
    element.integer = value;
    tensor.elements.push_back(element);
  }
  return tensor;
}

ConcreteTensor ConcreteTensor::filled(ArrayRef<int64_t> shape, Element value) {
  return {SmallVector<int64_t>(shape), std::vector<Element>(numElements(shape), value)};
}

int64_t Evaluator::Node::count() const { return numElements(*shape); }

Evaluator::Node &Evaluator::node(Value value) {
  std::unique_ptr<Node> &slot = nodes[value];
  if (!slot)
    slot = std::make_unique<Node>();
  return *slot;
}

void Evaluator::bind(Value value, ConcreteTensor tensor) {
  Node &bound = node(value);
  bound.shape = std::move(tensor.shape);
  bound.elements = std::move(tensor.elements);
  bound.read = [&bound](int64_t i) { return bound.elements[i]; };
}

void Evaluator::bindShape(Value value, ArrayRef<int64_t> shape) { node(value).shape = Shape(shape); }

bool Evaluator::fail(Operation *op, const Twine &why) {
  failedOp = op;
  failure = why.str();
  return false;
}

//===----------------------------------------------------------------------===//
// Queries
//===----------------------------------------------------------------------===//

const Evaluator::Shape *Evaluator::shape(Value value) {
  return run(value, false) ? &*node(value).shape : nullptr;
}

const Evaluator::Node *Evaluator::evaluate(Value value) { return run(value, true) ? &node(value) : nullptr; }

std::optional<int64_t> Evaluator::scalar(Value value) {
  const Node *found = evaluate(value);
  if (!found || found->count() != 1 || isa<FloatType>(getElementTypeOrSelf(value.getType())))
    return std::nullopt;
  return found->read(0).integer;
}

bool Evaluator::run(Value root, bool rootData) {
  SmallVector<std::pair<Value, bool>> stack{{root, rootData}};
  auto done = [&](Value value, bool data) {
    Node &found = node(value);
    return data ? bool(found.read) && found.shape : found.shape.has_value();
  };
  while (!stack.empty()) {
    auto [value, data] = stack.back();
    if (done(value, data)) {
      stack.pop_back();
      continue;
    }
    auto type = dyn_cast<RankedTensorType>(value.getType());
    auto result = dyn_cast<OpResult>(value);
    if (!result) {
      auto argument = cast<BlockArgument>(value);
      auto func = dyn_cast_or_null<FunctionOpInterface>(argument.getOwner()->getParentOp());
      StringAttr name =
          func ? func.getArgAttrOfType<StringAttr>(argument.getArgNumber(), kNameAttr) : StringAttr();
      return fail(nullptr, Twine("depends on the input '") +
                               (name ? name.getValue().str() : std::to_string(argument.getArgNumber())) +
                               "'");
    }
    Operation *op = result.getOwner();
    if (op->getNumResults() != 1 || op->getNumRegions() != 0)
      return fail(op, "cannot evaluate " + op->getName().getStringRef());
    Node &target = node(value);
    if (!target.shape && (!type || type.hasStaticShape()))
      target.shape = type ? Shape(type.getShape()) : Shape();
    // What is missing: for a shape, the operands' shapes and the scalars; for data, the data (a size needs
    // none).
    size_t before = stack.size();
    bool needsShape = !target.shape;
    for (Value operand : op->getOperands()) {
      bool isTensor = isa<RankedTensorType>(operand.getType());
      bool needsData = needsShape ? !isTensor : !(isTensor && isa<tensor::DimOp>(op));
      if (!done(operand, needsData))
        stack.push_back({operand, needsData});
    }
    if (stack.size() != before)
      continue;
    if (needsShape ? !computeShape(result, target) : !computeData(result, target))
      return false;
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

bool Evaluator::computeShape(OpResult value, Node &result) {
  Operation *op = value.getOwner();
  auto type = cast<RankedTensorType>(value.getType());
  Shape shape(type.getShape());
  auto input = [&](unsigned i) -> const Shape & { return *node(op->getOperand(i)).shape; };
  auto fill = [&](ValueRange sizes) {
    unsigned next = 0;
    for (int64_t &size : shape)
      if (ShapedType::isDynamic(size))
        size = node(sizes[next++]).read(0).integer;
    return true;
  };
  // Token-major operations: the tokens are x's, the channels are static.
  auto tokensOf = [&](const Shape &x) {
    if (x.size() != shape.size() && x.size() + 1 != shape.size()) // ids of an embedding have no channels
      return false;
    for (auto [size, from] : llvm::zip(shape, x))
      if (ShapedType::isDynamic(size))
        size = from;
    return true;
  };
  bool known =
      llvm::TypeSwitch<Operation *, bool>(op)
          .Case<ReshapeOp, BroadcastOp, IotaOp, CacheUpdateOp>(
              [&](auto shaped) { return fill(shaped.getDims()); })
          .Case<tensor::EmptyOp, tensor::SplatOp>(
              [&](auto shaped) { return fill(shaped->getOperands().take_back(type.getNumDynamicDims())); })
          .Case<TransposeOp>([&](TransposeOp transpose) {
            for (auto [i, from] : llvm::enumerate(transpose.getPermutation()))
              shape[i] = input(0)[from];
            return true;
          })
          .Case<MatmulOp>([&](MatmulOp) {
            shape.assign(input(0).begin(), input(0).end());
            shape.back() = input(1).back();
            return true;
          })
          .Case<ReduceOp>([&](ReduceOp reduce) {
            shape.assign(input(0).begin(), input(0).end());
            for (int64_t axis : reduce.getAxes())
              shape[axis] = 1;
            return true;
          })
          .Case<GatherOp>([&](GatherOp gather) {
            int64_t axis = gather.getAxis();
            shape.assign(input(0).begin(), input(0).begin() + axis);
            llvm::append_range(shape, input(1));
            shape.append(input(0).begin() + axis + 1, input(0).end());
            return true;
          })
          .Case<GatherNDOp>([&](GatherNDOp gather) {
            shape.assign(input(1).begin(), input(1).end() - 1);
            shape.append(input(0).begin() + gather.getBatchDims() + input(1).back(), input(0).end());
            return true;
          })
          .Case<tensor::ConcatOp>([&](tensor::ConcatOp concat) {
            int64_t dim = concat.getDim();
            shape.assign(input(0).begin(), input(0).end());
            for (unsigned i = 1; i < op->getNumOperands(); ++i)
              shape[dim] += input(i)[dim];
            return true;
          })
          .Case<tensor::ExtractSliceOp>([&](tensor::ExtractSliceOp slice) {
            Shape sizes;
            for (OpFoldResult size : slice.getMixedSizes()) {
              std::optional<int64_t> constant = getConstantIntValue(size);
              sizes.push_back(constant ? *constant : node(cast<Value>(size)).read(0).integer);
            }
            llvm::SmallBitVector dropped = slice.getDroppedDims();
            shape.clear();
            for (auto [i, size] : llvm::enumerate(sizes))
              if (!dropped.test(i))
                shape.push_back(size);
            return true;
          })
          .Case<tensor::CastOp, ScatterNDOp, CumSumOp, SoftmaxOp>([&](auto) {
            shape = input(0);
            return true;
          })
          .Case<tensor::InsertSliceOp>([&](auto) {
            shape = input(1);
            return true;
          })
          .Case<LinearOp, EmbeddingOp, RMSNormOp, LayerNormOp, RopeOp, ActivationOp, GLUOp, AttentionOp>(
              [&](auto) { return tokensOf(input(0)); })
          .Default([&](Operation *) {
            if (!OpTrait::hasElementwiseMappableTraits(op))
              return false;
            for (unsigned i = 0; i < op->getNumOperands(); ++i)
              if (isa<RankedTensorType>(op->getOperand(i).getType()) && !input(i).empty()) {
                shape = input(i);
                return true;
              }
            return false;
          });
  if (!known || shape.size() != size_t(type.getRank()))
    return fail(op, "cannot compute the shape of " + op->getName().getStringRef());
  for (int64_t size : shape)
    if (size < 0)
      return fail(op, "shape of " + op->getName().getStringRef() + " comes out negative");
  result.shape = std::move(shape);
  return true;
}

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

bool Evaluator::computeData(OpResult value, Node &result) {
  Operation *op = value.getOwner();
  SmallVector<Node *> operands;
  for (Value operand : op->getOperands())
    operands.push_back(&node(operand));
  Reader read;
  if (OpTrait::hasElementwiseMappableTraits(op))
    read = readElementwise(op, operands);
  if (!read)
    read = readTensorOp(op, operands, *result.shape);
  if (!read)
    return fail(op, "cannot evaluate " + op->getName().getStringRef());
  int64_t count = result.count();
  // Tables are there already.
  if (count > wholeLimit || isa<LoadOp>(op) || op->hasTrait<OpTrait::ConstantLike>()) {
    result.read = std::move(read);
    return true;
  }
  result.elements.resize(count);
  for (int64_t i = 0; i < count; ++i)
    result.elements[i] = read(i);
  result.read = [&result](int64_t i) { return result.elements[i]; };
  return true;
}
