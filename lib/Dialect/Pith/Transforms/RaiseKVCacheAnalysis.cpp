//===- RaiseKVCacheAnalysis.cpp - the sequence axis of an exported graph -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RaiseKVCacheAnalysis.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace pith;

std::nullopt_t SequenceAnalysis::fail(Operation *op, const Twine &reason) {
  culpritOp = op;
  why = reason.str();
  return std::nullopt;
}

std::nullopt_t SequenceAnalysis::failAs(const Evaluator &evaluator, Value value) {
  Operation *op = evaluator.culprit() ? evaluator.culprit() : value.getDefiningOp();
  return fail(op, evaluator.reason());
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

static std::string nameOf(func::FuncOp entry, BlockArgument argument) {
  auto name = entry.getArgAttrOfType<StringAttr>(argument.getArgNumber(), kNameAttr);
  return name ? name.getValue().lower() : "";
}

/// Argument sizes: a static one as it is, dynamic ones in order from `sizes`, the last repeated.
static Evaluator::Shape argumentShape(RankedTensorType type, ArrayRef<int64_t> sizes) {
  Evaluator::Shape shape(type.getShape());
  unsigned next = 0;
  for (int64_t &size : shape)
    if (ShapedType::isDynamic(size))
      size = sizes[std::min<size_t>(next++, sizes.size() - 1)];
  return shape;
}

/// The type with the sizes that its users know: a signature may leave even the channels open.
static RankedTensorType refinedType(BlockArgument argument) {
  auto type = cast<RankedTensorType>(argument.getType());
  Evaluator::Shape shape(type.getShape());
  auto merge = [&](Type other, int64_t except) {
    auto known = dyn_cast<RankedTensorType>(other);
    if (!known || known.getRank() != type.getRank())
      return;
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (d != except && ShapedType::isDynamic(shape[d]))
        shape[d] = known.getDimSize(d);
  };
  auto visit = [&](Value value, auto &visit) -> void {
    merge(value.getType(), -1);
    for (Operation *user : value.getUsers()) {
      if (isa<tensor::CastOp>(user))
        visit(user->getResult(0), visit);
      else if (auto concat = dyn_cast<tensor::ConcatOp>(user))
        for (Type other : concat->getOperandTypes())
          merge(other, concat.getDim());
      else if (auto update = dyn_cast<CacheUpdateOp>(user))
        merge(update.getUpdate().getType(), 2);
    }
  };
  visit(argument, visit);
  return type.clone(shape);
}

/// The length of the shortest constant table of which a part of dynamic size is taken (positions, a buffer
/// with a mask or biases): past its end the part would be shorter than asked for. 0 if there is none.
static int64_t shortestTable(func::FuncOp entry) {
  int64_t shortest = 0;
  entry.getBody().walk([&](tensor::ExtractSliceOp slice) {
    Operation *source = slice.getSource().getDefiningOp();
    while (
        isa_and_nonnull<tensor::ExtractSliceOp, ReshapeOp, BroadcastOp, TransposeOp, tensor::CastOp>(source))
      source = source->getOperand(0).getDefiningOp();
    if (!source || !(isa<LoadOp>(source) || source->hasTrait<OpTrait::ConstantLike>()))
      return;
    RankedTensorType from = slice.getSourceType();
    for (auto [d, size] : llvm::enumerate(slice.getMixedSizes()))
      if (isa<Value>(size) && !from.isDynamicDim(d) && from.getDimSize(d) > 1)
        shortest = shortest ? std::min(shortest, from.getDimSize(d)) : from.getDimSize(d);
  });
  return shortest;
}

/// What a cache passes through between the signature and its use, without a change of its rows.
static bool isView(Operation *op) {
  return isa<ReshapeOp, TransposeOp, tensor::CastOp, tensor::ExtractSliceOp, GatherOp, arith::ExtFOp,
             arith::TruncFOp>(op);
}

/// True if keys or values of an attention are `value` as it came, without new tokens behind it.
static bool isAttendedTo(Value value) {
  return llvm::any_of(value.getUses(), [](OpOperand &use) {
    Operation *user = use.getOwner();
    if (auto attention = dyn_cast<AttentionOp>(user))
      return use.get() == attention.getK() || use.get() == attention.getV();
    return isView(user) && isAttendedTo(user->getResult(0));
  });
}

/// The name of an argument's dimension, empty if it has none.
static StringRef dimName(func::FuncOp entry, BlockArgument argument, int64_t dim) {
  auto dims = entry.getArgAttrOfType<ArrayAttr>(argument.getArgNumber(), kDimsAttr);
  auto name =
      dims && dim < static_cast<int64_t>(dims.size()) ? dyn_cast<StringAttr>(dims[dim]) : StringAttr();
  return name ? name.getValue() : "";
}

/// True if `mask` says which positions of the encoder's output count: it is as long as that is.
bool SequenceAnalysis::isSourceMask(BlockArgument mask) {
  if (!sourceArgument)
    return false;
  int64_t last = cast<RankedTensorType>(mask.getType()).getRank() - 1;
  StringRef length = dimName(entry, sourceArgument, 1), own = last < 0 ? "" : dimName(entry, mask, last);
  int64_t lastOfTokens = cast<RankedTensorType>(tokenArgument.getType()).getRank() - 1;
  if (!length.empty() && !own.empty() && length != dimName(entry, tokenArgument, lastOfTokens))
    return length == own;
  std::string name = nameOf(entry, mask);
  return StringRef(name).contains("encoder") && !StringRef(name).contains("decoder");
}

LogicalResult SequenceAnalysis::initialize() {
  for (BlockArgument argument : entry.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type)
      continue;
    std::string name = nameOf(entry, argument);
    RankedTensorType refined = refinedType(argument);
    bool isFloat = isa<FloatType>(type.getElementType()), isUsed = !argument.use_empty();
    // Keys and values: [batch, heads, length, channels], some stacked: rank 4 or 5, batch and length dynamic.
    if (isFloat && isUsed && (type.getRank() == 4 || type.getRank() == 5) && refined.getNumDynamicDims() == 2)
      pastArguments.push_back(argument);
    // What an encoder has computed: [batch, positions, channels].
    if (isFloat && isUsed && type.getRank() == 3 && refined.isDynamicDim(1) && !refined.isDynamicDim(2) &&
        !sourceArgument)
      sourceArgument = argument;
    bool isToken = type.getElementType().isSignlessInteger() && !type.getElementType().isInteger(1) &&
                   (type.getRank() == 1 || type.getRank() == 2) && name.find("mask") == std::string::npos &&
                   name.find("position") == std::string::npos && name.find("type") == std::string::npos &&
                   type.isDynamicDim(type.getRank() - 1) && name.find("seqlens") == std::string::npos;
    if (isToken && (!tokenArgument || name == "input_ids"))
      tokenArgument = argument;
  }
  if (!tokenArgument) {
    fail(nullptr, "no input holds token ids of a dynamic number of tokens");
    return failure();
  }
  for (BlockArgument past : pastArguments)
    if (isAttendedTo(past)) {
      fail(nullptr, "the keys and values of cross-attention come in as '" + nameOf(entry, past) +
                        "': only a graph that computes them from the encoder's output can be stepped");
      return failure();
    }
  // Different enough that no constant, S or T is taken for another; the last is longer than what a short mask
  // shows.
  SmallVector<std::pair<int64_t, int64_t>> cases;
  if (hasPast())
    cases = {{1, 0}, {5, 0}, {1, 7}, {3, 4}, {2, 13}, {1, 300}};
  else
    cases = {{1, 0}, {2, 0}, {5, 0}, {9, 0}, {14, 0}, {70, 0}};
  constexpr int64_t sources[] = {3, 11, 6, 19, 8, 23};
  limit = shortestTable(entry);
  for (auto [i, lengths] : llvm::enumerate(cases))
    if (!limit || lengths.first + lengths.second <= limit)
      instances.push_back(makeInstance(lengths.first, lengths.second, sources[i], 1 << 16));
  return success();
}

SequenceAnalysis::Instance SequenceAnalysis::makeInstance(int64_t tokens, int64_t past, int64_t source,
                                                          int64_t wholeLimit) {
  Instance instance{tokens, past, source, std::make_unique<Evaluator>(wholeLimit)};
  bindArguments(instance);
  return instance;
}

void SequenceAnalysis::bindArguments(Instance &instance) {
  Evaluator &evaluator = *instance.evaluator;
  int64_t s = instance.tokens, p = instance.past;
  for (BlockArgument argument : entry.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type)
      continue;
    std::string name = nameOf(entry, argument);
    auto has = [&](StringRef part) { return StringRef(name).contains(part); };
    bool isFloat = isa<FloatType>(type.getElementType());
    auto bindScalar = [&](int64_t value) {
      Element element;
      element.integer = value;
      evaluator.bind(argument, ConcreteTensor::filled(argumentShape(type, {1}), element));
    };
    if (argument == tokenArgument) {
      evaluator.bindShape(argument,
                          argumentShape(type, type.getNumDynamicDims() == 1 ? ArrayRef<int64_t>{s}
                                                                            : ArrayRef<int64_t>{1, s}));
    } else if (llvm::is_contained(pastArguments, argument)) {
      evaluator.bindShape(argument, argumentShape(refinedType(argument), {1, p}));
    } else if (argument == sourceArgument) {
      evaluator.bindShape(argument, argumentShape(refinedType(argument),
                                                  type.isDynamicDim(0) ? ArrayRef<int64_t>{1, instance.source}
                                                                       : ArrayRef<int64_t>{instance.source}));
    } else if (has("mask")) {
      int64_t length = isSourceMask(argument) ? instance.source : p + s;
      Element one;
      if (isFloat)
        one.real = 1.0;
      else
        one.integer = 1;
      evaluator.bind(argument, ConcreteTensor::filled(argumentShape(type, type.getNumDynamicDims() == 1
                                                                              ? ArrayRef<int64_t>{length}
                                                                              : ArrayRef<int64_t>{1, length}),
                                                      one));
    } else if (has("position") && type.getRank() > 0 && !isFloat) {
      Evaluator::Shape shape =
          argumentShape(type, type.getNumDynamicDims() == 1 ? ArrayRef<int64_t>{s} : ArrayRef<int64_t>{1, s});
      ConcreteTensor positions = ConcreteTensor::filled(shape, Element{});
      for (size_t i = 0; i < positions.elements.size(); ++i)
        positions.elements[i].integer = p + int64_t(i) % shape.back();
      evaluator.bind(argument, std::move(positions));
    } else if (!isFloat && has("total_sequence_length")) {
      bindScalar(p + s);
    } else if (!isFloat && has("seqlens")) {
      bindScalar(p + s - 1);
    } else if (!isFloat &&
               (has("past_sequence_length") || has("past_key_values_length") || has("past_length"))) {
      bindScalar(p);
    } else if (!isFloat && has("logits_to_keep")) {
      bindScalar(0); // 0: all
    } else if (type.getElementType().isInteger(1) && type.getRank() <= 1) {
      bindScalar(1); // a switch such as use_cache_branch
    }
  }
}

static Value lookThroughView(Value value) {
  Operation *op = value.getDefiningOp();
  return op && isView(op) ? op->getOperand(0) : Value();
}

BlockArgument SequenceAnalysis::pastSource(Value value) const {
  while (Value source = lookThroughView(value))
    value = source;
  auto argument = dyn_cast<BlockArgument>(value);
  return argument && llvm::is_contained(pastArguments, argument) ? argument : BlockArgument();
}

//===----------------------------------------------------------------------===//
// Dimensions
//===----------------------------------------------------------------------===//

std::optional<SmallVector<SequenceDim>> SequenceAnalysis::dims(Value value) {
  auto found = dimsOf.find(value);
  if (found != dimsOf.end())
    return found->second;
  SmallVector<Evaluator::Shape> shapes;
  for (Instance &instance : instances) {
    const Evaluator::Shape *shape = instance.evaluator->shape(value);
    if (!shape)
      return failAs(*instance.evaluator, value);
    shapes.push_back(*shape);
  }
  SmallVector<SequenceDim> result(shapes.front().size());
  for (auto [d, dim] : llvm::enumerate(result)) {
    // The factor that one size is of another, the same in every instance.
    auto multiple = [&, d = d](auto sizeOf) -> int64_t {
      int64_t factor = 0;
      for (auto [shape, instance] : llvm::zip(shapes, instances)) {
        int64_t unit = sizeOf(instance);
        if (shape[d] % unit || shape[d] == 0 || (factor && shape[d] / unit != factor))
          return 0;
        factor = shape[d] / unit;
      }
      return factor;
    };
    int64_t size = shapes.front()[d];
    if (llvm::all_of(shapes, [&, d = d](const Evaluator::Shape &shape) { return shape[d] == size; }))
      dim = {SequenceDim::Constant, size};
    else if (int64_t factor = multiple([](Instance &i) { return i.tokens; }))
      dim = {SequenceDim::NewTokens, factor};
    else if (int64_t factor = multiple([](Instance &i) { return i.tokens + i.past; }))
      dim = {SequenceDim::AllTokens, factor};
    else if (int64_t factor = multiple([](Instance &i) { return i.source; }))
      dim = {SequenceDim::Source, factor};
  }
  return dimsOf[value] = std::move(result);
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

std::optional<int64_t> SequenceAnalysis::positionOffset(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  std::optional<SmallVector<SequenceDim>> shape;
  if (type && type.getElementType().isIntOrIndex())
    shape = dims(value);
  if (!shape)
    return std::nullopt;
  std::optional<size_t> axis;
  for (auto [d, dim] : llvm::enumerate(*shape)) {
    if (dim.kind == SequenceDim::Constant)
      continue;
    if (dim.kind == SequenceDim::Other || dim.factor != 1 || axis)
      return std::nullopt;
    axis = d;
  }
  if (!axis)
    return std::nullopt;
  bool fromPast = (*shape)[*axis].kind == SequenceDim::NewTokens;
  std::optional<int64_t> offset;
  for (Instance &instance : instances) {
    const Evaluator::Node *node = instance.evaluator->evaluate(value);
    if (!node)
      return failAs(*instance.evaluator, value);
    int64_t inner = 1;
    for (size_t d = *axis + 1; d < node->shape->size(); ++d)
      inner *= (*node->shape)[d];
    for (int64_t i = 0, e = node->count(); i < e; ++i) {
      int64_t row = i / inner % (*node->shape)[*axis];
      int64_t found = node->read(i).integer - row - (fromPast ? instance.past : 0);
      if (offset && *offset != found)
        return std::nullopt;
      offset = found;
    }
  }
  return offset;
}

TypedAttr SequenceAnalysis::constant(Value value) {
  constexpr int64_t kMaxElements = 4096;
  Type element = getElementTypeOrSelf(value.getType());
  const Evaluator::Node *first = nullptr;
  for (Instance &instance : instances) {
    const Evaluator::Node *node = instance.evaluator->evaluate(value);
    if (!node) {
      failAs(*instance.evaluator, value);
      return {};
    }
    bool same = !first || *first->shape == *node->shape;
    for (int64_t i = 0, e = node->count(); first && same && i < e; ++i)
      same = node->read(i).integer == first->read(i).integer;
    if (!same || node->count() > kMaxElements) {
      fail(value.getDefiningOp(), same ? "integer tensor is too large to be a constant of the step"
                                       : "depends on the number of tokens");
      return {};
    }
    if (!first)
      first = node;
  }
  if (!isa<RankedTensorType>(value.getType()))
    return IntegerAttr::get(element, first->read(0).integer);
  SmallVector<Attribute> elements;
  for (int64_t i = 0, e = first->count(); i < e; ++i)
    elements.push_back(IntegerAttr::get(element, first->read(i).integer));
  return DenseElementsAttr::get(RankedTensorType::get(*first->shape, element), elements);
}

bool SequenceAnalysis::isAlways(Value value, int64_t perNew, int64_t perPast) {
  for (Instance &instance : instances) {
    const Evaluator::Node *node = instance.evaluator->evaluate(value);
    if (!node) {
      failAs(*instance.evaluator, value);
      return false;
    }
    for (int64_t i = 0, e = node->count(); i < e; ++i)
      if (node->read(i).integer != perNew * instance.tokens + perPast * instance.past)
        return fail(value.getDefiningOp(), "is not the number of earlier tokens"), false;
  }
  return true;
}
