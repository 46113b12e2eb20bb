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
    while (isa_and_nonnull<tensor::ExtractSliceOp, ReshapeOp, BroadcastOp, TransposeOp, tensor::CastOp>(source))
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

LogicalResult SequenceAnalysis::initialize() {
  for (BlockArgument argument : entry.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type)
      continue;
    std::string name = nameOf(entry, argument);
    // Keys and values: [batch, heads, length, channels], some stacked: rank 4 or 5, batch and length dynamic.
    if (isa<FloatType>(type.getElementType()) && (type.getRank() == 4 || type.getRank() == 5) &&
        refinedType(argument).getNumDynamicDims() == 2)
      pastArguments.push_back(argument);
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
  // Different enough that no constant, S or T is taken for another; the last is longer than what a short mask
  // shows.
  SmallVector<std::pair<int64_t, int64_t>> cases;
  if (hasPast())
    cases = {{1, 0}, {5, 0}, {1, 7}, {3, 4}, {2, 13}, {1, 300}};
  else
    cases = {{1, 0}, {2, 0}, {5, 0}, {9, 0}, {14, 0}, {70, 0}};
  limit = shortestTable(entry);
  for (auto [tokens, past] : cases)
    if (!limit || tokens + past <= limit)
      instances.push_back(makeInstance(tokens, past, 1 << 16));
  return success();
}

SequenceAnalysis::Instance SequenceAnalysis::makeInstance(int64_t tokens, int64_t past, int64_t wholeLimit) {
  Instance instance{tokens, past, std::make_unique<Evaluator>(wholeLimit)};
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
    } else if (has("mask")) {
      Element one;
      if (isFloat)
        one.real = 1.0;
      else
        one.integer = 1;
      evaluator.bind(argument, ConcreteTensor::filled(argumentShape(type, type.getNumDynamicDims() == 1
                                                                              ? ArrayRef<int64_t>{p + s}
                                                                              : ArrayRef<int64_t>{1, p + s}),
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

/// What a cache passes through between the signature and its use, without a change of its rows.
static Value lookThroughView(Value value) {
  Operation *op = value.getDefiningOp();
  if (isa_and_nonnull<ReshapeOp, TransposeOp, tensor::CastOp, tensor::ExtractSliceOp, GatherOp, arith::ExtFOp,
                      arith::TruncFOp>(op))
    return op->getOperand(0);
  return {};
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
    if (!dim.isSequence() || dim.factor != 1 || axis)
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

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

/// Additive masks hide with -inf or a large negative number: exp underflows to 0 in f32 long before this.
static constexpr double kHidden = -1e4;

/// For each given query, the keys it sees; false, with a reason, unless these are the last ones up to its own
/// position. Adds slopes to `mask` where the kept scores are shifted by slope * (key - position).
bool SequenceAnalysis::readMaskRows(Instance &instance, AttentionOp attention, ArrayRef<int64_t> queries,
                                    CausalMask &mask, SmallVectorImpl<MaskRow> &rows) {
  int64_t s = instance.tokens, t = instance.tokens + instance.past, window = attention.getWindow();
  const Evaluator::Node *node = nullptr;
  bool isFloat = false;
  if (Value operand = attention.getMask()) {
    node = instance.evaluator->evaluate(operand);
    if (!node)
      return failAs(*instance.evaluator, operand), false;
    isFloat = isa<FloatType>(getElementTypeOrSelf(operand.getType()));
  }
  int64_t heads = node ? (*node->shape)[1] : 1;
  auto read = [&](int64_t head, int64_t query, int64_t key) {
    const Evaluator::Shape &shape = *node->shape;
    int64_t at = (head * shape[2] + (shape[2] == 1 ? 0 : query)) * shape[3] + (shape[3] == 1 ? 0 : key);
    return node->read(at);
  };
  if (node && ((*node->shape)[0] != 1 || ((*node->shape)[2] != 1 && (*node->shape)[2] != s) ||
               ((*node->shape)[3] != 1 && (*node->shape)[3] != t)))
    return fail(attention, "mask does not cover queries and keys"), false;
  for (int64_t head = 0; head < heads; ++head)
    for (int64_t query : queries) {
      int64_t p = instance.past + query, kept = 0;
      double own = isFloat ? read(head, query, p).real : 0.0;
      if (isFloat && !(own > kHidden))
        return fail(attention, "mask hides a token from itself"), false;
      for (int64_t key = 0; key < t; ++key) {
        bool visible =
            (!attention.getCausal() || key <= query + t - s) && (window <= 0 || key > query + t - s - window);
        double shift = 0;
        if (node && isFloat)
          shift = read(head, query, key).real - own;
        else if (node)
          visible &= read(head, query, key).integer != 0;
        visible &= !(shift <= kHidden);
        if (!visible)
          continue;
        ++kept;
        if (key > p)
          return fail(attention, "attention is not causal: token " + Twine(p) + " sees token " + Twine(key)),
                 false;
        if (shift == 0 && mask.slopes.empty())
          continue;
        if (mask.slopes.empty())
          mask.slopes.assign(attention.getHeads(), 0.0f);
        for (int64_t h = heads == 1 ? 0 : head, e = heads == 1 ? attention.getHeads() : head + 1; h < e;
             ++h) {
          if (key < p && mask.slopes[h] == 0)
            mask.slopes[h] = static_cast<float>(shift / double(key - p));
          if (std::abs(shift - mask.slopes[h] * double(key - p)) > 1e-3 * (1 + std::abs(shift)))
            return fail(attention, "mask adds a bias that is not linear in the distance"), false;
        }
      }
      // Keys are kept from the newest on, without gaps.
      for (int64_t key = p; key > p - kept; --key) {
        bool visible = !(window > 0 && key <= p - window);
        if (node && isFloat)
          visible &= read(head, query, key).real - own > kHidden;
        else if (node)
          visible &= read(head, query, key).integer != 0;
        if (!visible)
          return fail(attention, "mask hides token " + Twine(key) + " from token " + Twine(p)), false;
      }
      rows.push_back({p, kept});
    }
  return true;
}

/// Integers (also as floats) that occur in the code behind a value: a window's length is among them.
SmallVector<int64_t> SequenceAnalysis::constantsBehind(Value value) {
  llvm::SetVector<Operation *> seen;
  llvm::SetVector<int64_t> constants;
  auto visit = [&](Value from) {
    if (Operation *op = from.getDefiningOp())
      seen.insert(op);
  };
  visit(value);
  for (size_t i = 0; i < seen.size(); ++i) {
    Attribute attribute;
    if (matchPattern(seen[i], m_Constant(&attribute))) {
      if (auto elements = dyn_cast<DenseElementsAttr>(attribute); elements && elements.isSplat())
        attribute = elements.getSplatValue<Attribute>();
      if (auto integer = dyn_cast<IntegerAttr>(attribute))
        constants.insert(std::abs(integer.getValue().getSExtValue()));
      else if (auto real = dyn_cast<FloatAttr>(attribute); real && std::abs(real.getValueAsDouble()) < 1e9)
        constants.insert(static_cast<int64_t>(std::abs(real.getValueAsDouble())));
    }
    if (!isa<tensor::DimOp>(seen[i]))
      llvm::for_each(seen[i]->getOperands(), visit);
  }
  return constants.takeVector();
}

std::optional<CausalMask> SequenceAnalysis::causalMask(AttentionOp attention) {
  // The keys must be all tokens of the sequence, the queries the new ones.
  for (Instance &instance : instances) {
    const Evaluator::Shape *q = instance.evaluator->shape(attention.getQ());
    const Evaluator::Shape *k = q ? instance.evaluator->shape(attention.getK()) : nullptr;
    if (!k)
      return failAs(*instance.evaluator, attention.getResult());
    if (q->size() != 3 || k->size() != 3 || (*q)[1] != instance.tokens ||
        (*k)[1] != instance.tokens + instance.past)
      return fail(attention, "keys are not all tokens of the sequence");
  }
  CausalMask mask;
  SmallVector<MaskRow> rows;
  auto readAll = [&] {
    return llvm::all_of(instances, [&](Instance &instance) {
      auto queries = llvm::to_vector(llvm::seq<int64_t>(0, instance.tokens));
      return readMaskRows(instance, attention, queries, mask, rows);
    });
  };
  // Slopes found on the way must hold for what was read before, too.
  if (!readAll() || (!mask.slopes.empty() && !readAll()))
    return std::nullopt;
  // A window longer than these cases shows only just beyond its length.
  SmallVector<int64_t> lengths;
  if (attention.getWindow() > 0)
    lengths.push_back(attention.getWindow());
  if (attention.getMask())
    for (int64_t length : constantsBehind(attention.getMask()))
      if (length > 64 && length < (hasPast() ? 1 << 20 : 1 << 17))
        lengths.push_back(length);
  auto probe = [&](int64_t length, ArrayRef<int64_t> queries) {
    int64_t tokens = hasPast() ? queries.size() : length;
    Instance instance = makeInstance(tokens, length - tokens, hasPast() ? 1 << 22 : 1 << 18);
    return readMaskRows(instance, attention, queries, mask, rows);
  };
  for (int64_t length : lengths)
    if (!limit || length + 2 <= limit)
      if (!probe(length + 2, hasPast() ? ArrayRef<int64_t>{0, 1}
                                       : ArrayRef<int64_t>{0, length - 1, length, length + 1}))
        return std::nullopt;
  // A table is right up to its end.
  if (limit && attention.getMask())
    if (!probe(limit, hasPast() ? ArrayRef<int64_t>{0} : ArrayRef<int64_t>{0, limit / 2, limit - 1}))
      return std::nullopt;
  for (const MaskRow &row : rows)
    if (row.kept <= row.position)
      mask.window = mask.window ? std::min(mask.window, row.kept) : row.kept;
  for (const MaskRow &row : rows)
    if (row.kept != std::min(row.position + 1, mask.window ? mask.window : row.position + 1))
      return fail(attention, "token " + Twine(row.position) + " sees " + Twine(row.kept) +
                                 " tokens: neither all earlier ones nor a fixed window");
  if (llvm::all_of(mask.slopes, [](float slope) { return slope == 0; }))
    mask.slopes.clear();
  return mask;
}
