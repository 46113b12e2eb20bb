//===- ChannelMap.cpp -----------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "ChannelMap.h"
#include "Matchers.h"
#include "Views.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace pith;

/// Tags of interned nodes.
enum : int64_t { kLeaf, kThrough, kFunction, kProduct, kSum };

static int64_t key(const void *pointer) { return reinterpret_cast<int64_t>(pointer); }
static int64_t key(double number) {
  int64_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return bits;
}

static ArrayRef<int64_t> shapeOf(Value value) { return cast<RankedTensorType>(value.getType()).getShape(); }

/// The number of channels in the last dimensions; none if one is dynamic or there are too many for a head.
static std::optional<int64_t> channelCount(Value value, int64_t trailing) {
  int64_t count = 1;
  if (trailing > rankOf(value))
    return std::nullopt;
  for (int64_t size : shapeOf(value).take_back(trailing)) {
    if (ShapedType::isDynamic(size))
      return std::nullopt;
    count *= size;
  }
  return count <= 4096 ? std::optional(count) : std::nullopt;
}

int64_t ChannelMap::intern(std::vector<int64_t> node) {
  return nodes.try_emplace(std::move(node), nodes.size()).first->second;
}

/// Merges terms with the same x and expression, drops zeros, sorts.
static void normalizeSum(Sum &sum) {
  llvm::sort(sum, [](const Term &a, const Term &b) {
    return std::tie(a.x, a.expression) < std::tie(b.x, b.expression);
  });
  Sum merged;
  for (const Term &term : sum)
    if (!merged.empty() && merged.back().x == term.x && merged.back().expression == term.expression)
      merged.back().factor += term.factor;
    else
      merged.push_back(term);
  llvm::erase_if(merged, [](const Term &term) { return term.factor == 0.0; });
  sum = std::move(merged);
}

int64_t ChannelMap::expressionOf(const Sum &sum) {
  if (sum.size() == 1 && sum[0].factor == 1.0)
    return sum[0].expression;
  std::vector<int64_t> node{kSum};
  for (const Term &term : sum)
    node.insert(node.end(), {key(term.factor), term.expression});
  return intern(std::move(node));
}

static bool hasX(const Channels &channels) {
  return llvm::any_of(
      channels, [](const Sum &sum) { return llvm::any_of(sum, [](const Term &t) { return t.x >= 0; }); });
}

const Channels *ChannelMap::of(Value value, int64_t trailing) {
  auto it = cache.find({value, trailing});
  if (it == cache.end()) {
    std::optional<Channels> computed = compute(value, trailing);
    it = cache
             .try_emplace({value, trailing},
                          computed ? std::make_unique<Channels>(std::move(*computed)) : nullptr)
             .first;
    order.push_back({value, trailing});
  }
  return it->second.get();
}

std::optional<Channels> ChannelMap::leaf(Value value, int64_t trailing) {
  std::optional<int64_t> count = channelCount(value, trailing);
  if (!count)
    return std::nullopt;
  std::optional<SmallVector<int64_t>> columns = trailing == 1 ? equalColumns(value) : std::nullopt;
  Channels channels(*count);
  for (int64_t i = 0; i < *count; ++i)
    channels[i] = {Term{1.0, intern({kLeaf, key(value.getAsOpaquePointer()), columns ? (*columns)[i] : i}),
                        Term::kNone}};
  return channels;
}

/// For rows gathered from a constant table: for each column the first that equals it.
std::optional<SmallVector<int64_t>> ChannelMap::equalColumns(Value value) {
  SmallVector<float> data;
  int64_t columns = lastDim(value);
  if (auto gather = value.getDefiningOp<GatherOp>();
      gather && gather.getAxis() == 0 && rankOf(gather.getSource()) == 2) {
    auto elements = constantElements(gather.getSource());
    if (!elements)
      return std::nullopt;
    data = std::move(*elements);
  } else if (auto embedding = value.getDefiningOp<EmbeddingOp>(); embedding && !embedding.getKMajor()) {
    auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(embedding, embedding.getWeightAttr());
    if (!weight || weight.getTensorType().getNumElements() > (1 << 24) || failed(weight.decode(data)))
      return std::nullopt;
  } else if (auto elements = constantElements(value)) {
    data = std::move(*elements);
  } else {
    return std::nullopt;
  }
  int64_t rows = columns ? data.size() / columns : 0;
  SmallVector<int64_t> first;
  for (int64_t column = 0; column < columns; ++column) {
    int64_t same = 0;
    auto differs = [&](int64_t other) {
      for (int64_t row = 0; row < rows; ++row)
        if (data[row * columns + column] != data[row * columns + other])
          return true;
      return false;
    };
    while (same < column && differs(same))
      ++same;
    first.push_back(same);
  }
  return first;
}

/// What a view of whole rows does to expressions: an element of the view is not one of its source, but the
/// two halves of a table that went through the same view still are equal. x must not have moved to other
/// rows.
std::optional<Channels> ChannelMap::through(Operation *op, const Channels *source) {
  if (!source || hasX(*source))
    return std::nullopt;
  Channels channels = *source;
  for (Sum &sum : channels)
    for (Term &term : sum)
      if (term.expression != Term::kNone)
        term.expression = intern({kThrough, key(op), term.expression});
  return channels;
}

std::optional<Channels> ChannelMap::compute(Value value, int64_t trailing) {
  std::optional<int64_t> count = channelCount(value, trailing);
  if (!count)
    return std::nullopt;
  if (value == x) {
    Channels channels(*count);
    for (int64_t i = 0; i < *count; ++i)
      channels[i] = {Term{1.0, Term::kNone, i}};
    return channels;
  }
  if (auto scalar = scalarConstant(value))
    return Channels(*count, Sum{Term{*scalar, Term::kNone, Term::kNone}});
  Operation *op = value.getDefiningOp();
  std::optional<Channels> channels;
  if (!op)
    return leaf(value, trailing);
  if (isViewOp(op))
    channels = computeView(op, trailing);
  else if (isa<tensor::ExtractSliceOp>(op))
    channels = computeSlice(op, trailing);
  else if (isa<tensor::ConcatOp>(op))
    channels = computeConcat(op, trailing);
  else if (OpTrait::hasElementwiseMappableTraits(op))
    channels = computeElementwise(op, trailing);
  // What is not understood is an element of its own; if x hides in it, the match fails for want of x.
  return channels ? channels : leaf(value, trailing);
}

std::optional<Channels> ChannelMap::computeView(Operation *op, int64_t trailing) {
  Value source = op->getOperand(0), result = op->getResult(0);
  int64_t lead = rankOf(result) - trailing;
  if (isa<tensor::CastOp>(op)) {
    const Channels *channels = of(source, trailing);
    return channels ? std::optional(*channels) : std::nullopt;
  }
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    for (int64_t dim = lead; dim < rankOf(result); ++dim)
      if (transpose.getPermutation()[dim] != dim)
        return std::nullopt;
    return through(op, of(source, trailing));
  }
  SmallVector<Extent> from = sizes.shape(source), to = sizes.shape(result);
  if (isa<BroadcastOp>(op)) {
    int64_t have = std::min<int64_t>(trailing, from.size());
    const Channels *channels = of(source, have);
    if (!channels || hasX(*channels))
      return std::nullopt;
    // Element i of the result's last dimensions, in row-major order, is this element of the source's.
    int64_t count = *channelCount(result, trailing);
    Channels spread(count);
    for (int64_t i = 0; i < count; ++i) {
      int64_t rest = i, index = 0, stride = 1;
      for (int64_t dim = 1; dim <= have; ++dim) {
        int64_t size = shapeOf(result)[rankOf(result) - dim], sourceSize = shapeOf(source)[from.size() - dim];
        index += (sourceSize == 1 ? 0 : rest % size) * stride;
        rest /= size;
        stride *= sourceSize;
      }
      spread[i] = (*channels)[index];
    }
    return through(op, &spread);
  }
  // A reshape of the last dimensions alone keeps every row's elements in order.
  if (lead <= static_cast<int64_t>(from.size()) && std::equal(to.begin(), to.begin() + lead, from.begin())) {
    const Channels *channels = of(source, from.size() - lead);
    return channels ? std::optional(*channels) : std::nullopt;
  }
  // One of the others alone keeps the channels.
  if (trailing <= static_cast<int64_t>(from.size()) &&
      std::equal(to.end() - trailing, to.end(), from.end() - trailing))
    return through(op, of(source, trailing));
  return std::nullopt;
}

std::optional<Channels> ChannelMap::computeSlice(Operation *op, int64_t trailing) {
  auto slice = cast<tensor::ExtractSliceOp>(op);
  Value source = slice.getSource(), result = slice.getResult();
  int64_t rank = rankOf(result), lead = rank - trailing;
  if (rankOf(source) != rank)
    return std::nullopt;
  for (int64_t dim = 0; dim < lead; ++dim)
    if (!isConstantIntValue(slice.getMixedOffsets()[dim], 0) ||
        !isConstantIntValue(slice.getMixedStrides()[dim], 1) ||
        sizes.of(source, dim) != sizes.of(result, dim))
      return std::nullopt;
  const Channels *channels = of(source, trailing);
  std::optional<int64_t> count = channelCount(result, trailing);
  if (!channels || !count)
    return std::nullopt;
  Channels taken(*count);
  for (int64_t i = 0; i < *count; ++i) {
    int64_t rest = i, index = 0, stride = 1;
    for (int64_t dim = rank - 1; dim >= lead; --dim) {
      auto offset = getConstantIntValue(slice.getMixedOffsets()[dim]),
           step = getConstantIntValue(slice.getMixedStrides()[dim]);
      if (!offset || !step)
        return std::nullopt;
      index += (*offset + rest % shapeOf(result)[dim] * *step) * stride;
      rest /= shapeOf(result)[dim];
      stride *= shapeOf(source)[dim];
    }
    taken[i] = (*channels)[index];
  }
  return taken;
}

std::optional<Channels> ChannelMap::computeConcat(Operation *op, int64_t trailing) {
  auto concat = cast<tensor::ConcatOp>(op);
  Value result = concat.getResult();
  int64_t lead = rankOf(result) - trailing, axis = concat.getDim();
  if (axis < lead)
    return std::nullopt;
  int64_t outer = 1;
  for (int64_t dim = lead; dim < axis; ++dim)
    outer *= shapeOf(result)[dim];
  Channels joined;
  for (int64_t block = 0; block < outer; ++block)
    for (Value input : concat.getInputs()) {
      const Channels *channels = of(input, trailing);
      if (!channels)
        return std::nullopt;
      int64_t run = channels->size() / outer;
      joined.insert(joined.end(), channels->begin() + block * run, channels->begin() + (block + 1) * run);
    }
  return joined;
}

std::optional<Channels> ChannelMap::computeElementwise(Operation *op, int64_t trailing) {
  SmallVector<const Channels *> inputs;
  for (Value operand : op->getOperands()) {
    if (!isa<RankedTensorType>(operand.getType()))
      return std::nullopt;
    const Channels *channels = of(operand, trailing);
    if (!channels)
      return std::nullopt;
    inputs.push_back(channels);
  }
  if (inputs.empty())
    return std::nullopt;
  Channels result(inputs[0]->size());
  bool linear = isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::NegFOp, arith::DivFOp>(op);
  for (size_t i = 0; i < result.size(); ++i) {
    Sum &sum = result[i];
    if (isa<arith::AddFOp, arith::SubFOp, arith::NegFOp>(op)) {
      bool negateFirst = isa<arith::NegFOp>(op), negateSecond = isa<arith::SubFOp>(op);
      for (Term term : (*inputs[0])[i])
        sum.push_back({negateFirst ? -term.factor : term.factor, term.expression, term.x});
      if (inputs.size() > 1)
        for (Term term : (*inputs[1])[i])
          sum.push_back({negateSecond ? -term.factor : term.factor, term.expression, term.x});
    } else if (isa<arith::MulFOp>(op)) {
      for (const Term &a : (*inputs[0])[i])
        for (const Term &b : (*inputs[1])[i]) {
          if (a.x >= 0 && b.x >= 0)
            return std::nullopt;
          Term product{a.factor * b.factor, a.expression == Term::kNone ? b.expression : a.expression,
                       std::max(a.x, b.x)};
          if (a.expression != Term::kNone && b.expression != Term::kNone)
            product.expression = intern(
                {kProduct, std::min(a.expression, b.expression), std::max(a.expression, b.expression)});
          sum.push_back(product);
        }
    } else if (const Sum *divisor = isa<arith::DivFOp>(op) ? &(*inputs[1])[i] : nullptr;
               divisor && divisor->size() == 1 && (*divisor)[0].x < 0 && (*divisor)[0].expression < 0) {
      for (Term term : (*inputs[0])[i])
        sum.push_back({term.factor / (*divisor)[0].factor, term.expression, term.x});
    } else {
      std::vector<int64_t> node{kFunction, key(op->getName().getAsOpaquePointer()),
                                key(op->getPropertiesAsAttribute()
                                        ? op->getPropertiesAsAttribute().getAsOpaquePointer()
                                        : nullptr)};
      for (const Channels *channels : inputs) {
        if (llvm::any_of((*channels)[i], [](const Term &term) { return term.x >= 0; }))
          return std::nullopt;
        node.push_back(expressionOf((*channels)[i]));
      }
      sum.push_back({1.0, intern(std::move(node)), Term::kNone});
    }
    if (linear)
      normalizeSum(sum);
  }
  return result;
}

std::optional<ChannelMap::Table> ChannelMap::find(ArrayRef<Term> wanted) {
  for (const Key &entry : order) {
    const Channels *channels = cache.find(entry)->second.get();
    if (!channels || hasX(*channels) || channels->size() < wanted.size())
      continue;
    auto term = [&](int64_t channel) {
      return (*channels)[channel].size() == 1 ? &(*channels)[channel][0] : nullptr;
    };
    int64_t count = channels->size(), last = wanted.size() - 1;
    // Of two pairs repeated in place (a a b b), columns 1 and 2 would do as well as 0 and 2, but only the latter
    // are one of each pair.
    for (int64_t stride = last ? 2 : 1; stride >= 1; --stride)
      for (int64_t first = 0; first + last * stride < count; ++first) {
        const Term *head = term(first);
        if (!head || head->expression != wanted[0].expression || head->expression == Term::kNone)
          continue;
        double ratio = wanted[0].factor / head->factor;
        bool same = true;
        for (int64_t k = 0; k <= last && same; ++k) {
          const Term *found = term(first + k * stride);
          same = found && found->expression == wanted[k].expression &&
                 std::abs(wanted[k].factor - ratio * found->factor) <= 1e-6 * std::abs(wanted[k].factor);
        }
        if (same)
          return Table{entry.first, entry.second, first, stride, ratio};
      }
  }
  return std::nullopt;
}
