//===- RaiseKVCacheMasks.cpp - which masks are causal, and what they add -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Masks of causal attention are read row by row for several lengths: which keys a query sees, and by how much
// their scores are shifted against the query's own. Shifts may be linear in the distance (ALiBi), or any
// function of it that ends to change (T5's buckets). Masks of cross-attention must leave every position
// alike.
//
//===----------------------------------------------------------------------===//

#include "RaiseKVCacheAnalysis.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"
#include <cmath>

using namespace mlir;
using namespace pith;

/// Additive masks hide with -inf or a large negative number: exp underflows to 0 in f32 long before this.
static constexpr double kHidden = -1e4;

/// A mask operand of one case.
namespace {
struct MaskReader {
  const Evaluator::Node *node = nullptr; // null: no mask
  bool isFloat = false;

  int64_t heads() const { return node ? (*node->shape)[1] : 1; }
  /// True if each of the last two dimensions is 1 or that of the scores.
  bool covers(int64_t queries, int64_t keys) const {
    const Evaluator::Shape *shape = node ? &*node->shape : nullptr;
    return !shape || ((*shape)[0] == 1 && ((*shape)[2] == 1 || (*shape)[2] == queries) &&
                      ((*shape)[3] == 1 || (*shape)[3] == keys));
  }
  Element read(int64_t head, int64_t query, int64_t key) const {
    const Evaluator::Shape &shape = *node->shape;
    return node->read((head * shape[2] + (shape[2] == 1 ? 0 : query)) * shape[3] + (shape[3] == 1 ? 0 : key));
  }
};
} // namespace

static bool openMask(Evaluator &evaluator, AttentionOp attention, MaskReader &reader) {
  Value operand = attention.getMask();
  if (!operand)
    return true;
  reader.node = evaluator.evaluate(operand);
  reader.isFloat = isa<FloatType>(getElementTypeOrSelf(operand.getType()));
  return reader.node;
}

//===----------------------------------------------------------------------===//
// Causal masks
//===----------------------------------------------------------------------===//

/// Heads [firstHead, lastHead) have their score of a key `distance` tokens back shifted by `shift`.
bool SequenceAnalysis::noteShift(AttentionOp attention, MaskFacts &facts, int64_t firstHead, int64_t lastHead,
                                 int64_t distance, double shift) {
  for (int64_t head = firstHead; head < lastHead; ++head) {
    if (!facts.byDistance) {
      float &slope = facts.mask.slopes[head];
      if (distance > 0 && slope == 0)
        slope = static_cast<float>(shift / double(-distance));
      if (std::abs(shift - slope * double(-distance)) > 1e-3 * (1 + std::abs(shift))) {
        facts.notLinear = true;
        return fail(attention, "mask adds a bias that is not linear in the distance"), false;
      }
      continue;
    }
    std::vector<double> &seen = facts.shifts[head];
    if (int64_t(seen.size()) <= distance)
      seen.resize(distance + 1, NAN);
    if (std::isnan(seen[distance]))
      seen[distance] = shift;
    if (std::abs(seen[distance] - shift) > 1e-5 * (1 + std::abs(shift)))
      return fail(attention, "mask adds a bias that is no function of the distance"), false;
  }
  return true;
}

/// For each given query, the keys it sees; false, with a reason, unless these are the last ones up to its own
/// position. Notes how the kept scores are shifted.
bool SequenceAnalysis::readMaskRows(Instance &instance, AttentionOp attention, ArrayRef<int64_t> queries,
                                    MaskFacts &facts) {
  int64_t s = instance.tokens, t = instance.tokens + instance.past, window = attention.getWindow(),
          allHeads = attention.getHeads();
  MaskReader mask;
  if (!openMask(*instance.evaluator, attention, mask))
    return failAs(*instance.evaluator, attention.getMask()), false;
  if (!mask.covers(s, t))
    return fail(attention, "mask does not cover queries and keys"), false;
  for (int64_t head = 0, heads = mask.heads(); head < heads; ++head)
    for (int64_t query : queries) {
      int64_t p = instance.past + query, kept = 0;
      double own = mask.isFloat ? mask.read(head, query, p).real : 0.0;
      if (mask.isFloat && !(own > kHidden))
        return fail(attention, "mask hides a token from itself"), false;
      if (own != 0 && attention.getSinks())
        return fail(attention, "mask shifts scores beside a sink"), false;
      for (int64_t key = 0; key < t; ++key) {
        bool visible =
            (!attention.getCausal() || key <= query + t - s) && (window <= 0 || key > query + t - s - window);
        double shift = 0;
        if (mask.isFloat)
          shift = mask.read(head, query, key).real - own;
        else if (mask.node)
          visible &= mask.read(head, query, key).integer != 0;
        visible &= !(shift <= kHidden);
        if (!visible)
          continue;
        ++kept;
        if (key > p)
          return fail(attention, "attention is not causal: token " + Twine(p) + " sees token " + Twine(key)),
                 false;
        if (shift == 0 && facts.mask.slopes.empty() && !facts.byDistance)
          continue;
        if (facts.mask.slopes.empty() && !facts.byDistance)
          facts.mask.slopes.assign(allHeads, 0.0f);
        if (!noteShift(attention, facts, heads == 1 ? 0 : head, heads == 1 ? allHeads : head + 1, p - key,
                       shift))
          return false;
      }
      // Keys are kept from the newest on, without gaps.
      for (int64_t key = p; key > p - kept; --key) {
        bool visible = !(window > 0 && key <= p - window);
        if (mask.isFloat)
          visible &= mask.read(head, query, key).real - own > kHidden;
        else if (mask.node)
          visible &= mask.read(head, query, key).integer != 0;
        if (!visible)
          return fail(attention, "mask hides token " + Twine(key) + " from token " + Twine(p)), false;
      }
      facts.rows.push_back({p, kept});
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

/// One long case, read for a few queries.
bool SequenceAnalysis::probeMask(int64_t length, AttentionOp attention, ArrayRef<int64_t> queries,
                                 MaskFacts &facts) {
  int64_t tokens = hasPast() ? queries.size() : length;
  Instance instance = makeInstance(tokens, length - tokens, 5, hasPast() ? 1 << 22 : 1 << 18);
  return readMaskRows(instance, attention, queries, facts);
}

bool SequenceAnalysis::readCausalMask(AttentionOp attention, MaskFacts &facts) {
  auto readAll = [&] {
    return llvm::all_of(instances, [&](Instance &instance) {
      auto queries = llvm::to_vector(llvm::seq<int64_t>(0, instance.tokens));
      return readMaskRows(instance, attention, queries, facts);
    });
  };
  CausalMask &mask = facts.mask;
  // Slopes found on the way must hold for what was read before, too.
  if (!readAll() || (!mask.slopes.empty() && !readAll()))
    return false;
  // A window longer than these cases shows only just beyond its length.
  SmallVector<int64_t> lengths;
  if (attention.getWindow() > 0)
    lengths.push_back(attention.getWindow());
  if (attention.getMask())
    for (int64_t length : constantsBehind(attention.getMask()))
      if (length > 64 && length < (hasPast() ? 1 << 20 : 1 << 17))
        lengths.push_back(length);
  for (int64_t length : lengths)
    if (!limit || length + 2 <= limit)
      if (!probeMask(length + 2, attention,
                     hasPast() ? ArrayRef<int64_t>{0, 1}
                               : ArrayRef<int64_t>{0, length - 1, length, length + 1},
                     facts))
        return false;
  // A table is right up to its end.
  if (limit && attention.getMask())
    if (!probeMask(limit, attention,
                   hasPast() ? ArrayRef<int64_t>{0} : ArrayRef<int64_t>{0, limit / 2, limit - 1}, facts))
      return false;
  for (const MaskRow &row : facts.rows)
    if (row.kept <= row.position)
      mask.window = mask.window ? std::min(mask.window, row.kept) : row.kept;
  for (const MaskRow &row : facts.rows)
    if (row.kept != std::min(row.position + 1, mask.window ? mask.window : row.position + 1))
      return fail(attention, "token " + Twine(row.position) + " sees " + Twine(row.kept) +
                                 " tokens: neither all earlier ones nor a fixed window"),
             false;
  if (llvm::all_of(mask.slopes, [](float slope) { return slope == 0; }))
    mask.slopes.clear();
  return true;
}

/// Looks far enough back to see where the bias ends to change, and makes it a table.
bool SequenceAnalysis::closeBias(AttentionOp attention, MaskFacts &facts) {
  // The shorter one is for masks that must be computed as a whole.
  bool probed = false;
  for (int64_t length : {2048, 512}) {
    if (limit)
      length = std::min(length, limit);
    MaskFacts farther = facts;
    probed = probeMask(length, attention, {hasPast() ? 0 : length - 1}, farther);
    if (!probed)
      continue;
    facts = std::move(farther);
    break;
  }
  if (!probed)
    return false;
  int64_t seen = facts.shifts.front().size(), distances = seen;
  for (const std::vector<double> &shifts : facts.shifts)
    if (int64_t(shifts.size()) != seen || llvm::any_of(shifts, [](double x) { return std::isnan(x); }))
      return fail(attention, "mask adds a bias to some heads or distances only"), false;
  auto lasts = [&](int64_t distance) {
    return llvm::all_of(facts.shifts, [&](const std::vector<double> &shifts) {
      return std::abs(shifts[distance] - shifts.back()) <= 1e-6 * (1 + std::abs(shifts.back()));
    });
  };
  while (distances > 1 && lasts(distances - 2))
    --distances;
  bool isAll = (limit && seen >= limit) || (facts.mask.window && seen >= facts.mask.window);
  if (!isAll && distances > seen / 2)
    return fail(attention, "mask adds a bias that still changes " + Twine(distances) + " tokens away"), false;
  for (const std::vector<double> &shifts : facts.shifts)
    facts.mask.bias.insert(facts.mask.bias.end(), shifts.begin(), shifts.begin() + distances);
  return true;
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
  auto key = std::make_tuple(attention.getMask() ? attention.getMask().getAsOpaquePointer() : nullptr,
                             attention.getCausal(), int64_t(attention.getWindow()),
                             attention.getSinks() ? -1 : int64_t(attention.getHeads()));
  auto found = masksOf.find(key);
  if (found != masksOf.end() && !attention.getSinks())
    return found->second;
  MaskFacts facts;
  if (!readCausalMask(attention, facts)) {
    if (!facts.notLinear || attention.getSinks())
      return std::nullopt;
    facts = MaskFacts();
    facts.byDistance = true;
    facts.shifts.resize(attention.getHeads());
    if (!readCausalMask(attention, facts) || !closeBias(attention, facts))
      return std::nullopt;
  }
  return masksOf[key] = facts.mask;
}

//===----------------------------------------------------------------------===//
// Cross-attention
//===----------------------------------------------------------------------===//

bool SequenceAnalysis::isCross(AttentionOp attention) {
  if (!sourceArgument)
    return false;
  std::optional<SmallVector<SequenceDim>> keys = dims(attention.getK());
  return keys && keys->size() == 3 && (*keys)[1].kind == SequenceDim::Source;
}

bool SequenceAnalysis::seesWholeSource(AttentionOp attention) {
  if (attention.getCausal() || attention.getWindow() > 0)
    return fail(attention, "a token does not see all of the encoder's positions"), false;
  for (Instance &instance : instances) {
    MaskReader mask;
    if (!openMask(*instance.evaluator, attention, mask))
      return failAs(*instance.evaluator, attention.getMask()), false;
    if (!mask.covers(instance.tokens, instance.source))
      return fail(attention, "mask does not cover queries and keys"), false;
    for (int64_t head = 0; mask.node && head < mask.heads(); ++head)
      for (int64_t query = 0; query < instance.tokens; ++query)
        for (int64_t key = 0; key < instance.source; ++key) {
          Element here = mask.read(head, query, key), first = mask.read(head, query, 0);
          bool alike = mask.isFloat ? here.real == first.real && here.real > kHidden : here.integer != 0;
          if (!alike || (mask.isFloat && here.real != 0 && attention.getSinks()))
            return fail(attention, "mask treats the encoder's positions differently"), false;
        }
  }
  return true;
}
