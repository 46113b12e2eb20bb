//===- Sequences.cpp - sequences and optionals, resolved at import -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A sequence is a list of tensors at import, an optional is the value that it has. So their lengths and positions must
// be constants; no code is emitted for them.
//
//===----------------------------------------------------------------------===//

#include "Loops.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// The items of an input; reports an input that is no sequence.
static const SmallVector<Val *> *itemsOf(Node &node, size_t input) {
  if (node.in(input) && node.in(input)->items)
    return &*node.in(input)->items;
  node.error() << "input " << input << " must be a sequence, found " << describe(node.im, node.in(input));
  return nullptr;
}

/// A position in a sequence, or behind its end; negative ones count from the end.
static std::optional<size_t> positionIn(Node &node, size_t input, size_t length, bool mayEnd) {
  std::optional<SmallVector<int64_t>> known = node.im.constants(node.in(input));
  if (!known || known->size() != 1) {
    node.error() << "a position in a sequence must be constant, found " << describe(node.im, node.in(input));
    return std::nullopt;
  }
  int64_t position = known->front() < 0 ? known->front() + int64_t(length) : known->front();
  if (position < 0 || position >= int64_t(length) + mayEnd) {
    node.error() << "position " << known->front() << " is outside a sequence of " << length << " tensors";
    return std::nullopt;
  }
  return position;
}

static bool needTensors(Node &node, ArrayRef<Val *> values) {
  for (Val *val : values)
    if (!val || !val->isTensor()) {
      node.error() << "expected tensors, found " << describe(node.im, val);
      return false;
    }
  return true;
}

static LogicalResult sequenceEmpty(Node &node) { return node.done(node.im.makeSequence({})); }

static LogicalResult sequenceConstruct(Node &node) {
  if (!needTensors(node, node.inputs))
    return failure();
  return node.done(node.im.makeSequence(node.inputs));
}

static LogicalResult sequenceAt(Node &node) {
  const SmallVector<Val *> *items = itemsOf(node, 0);
  if (!items || !node.arity(2, 2))
    return failure();
  std::optional<size_t> position = positionIn(node, 1, items->size(), false);
  return position ? node.done((*items)[*position]) : failure();
}

static LogicalResult sequenceInsert(Node &node) {
  const SmallVector<Val *> *items = itemsOf(node, 0);
  if (!items || !node.arity(2, 3) || !needTensors(node, node.in(1)))
    return failure();
  std::optional<size_t> position = items->size();
  if (node.in(2))
    position = positionIn(node, 2, items->size(), true);
  if (!position)
    return failure();
  SmallVector<Val *> result(*items);
  result.insert(result.begin() + *position, node.in(1));
  return node.done(node.im.makeSequence(std::move(result)));
}

static LogicalResult sequenceErase(Node &node) {
  const SmallVector<Val *> *items = itemsOf(node, 0);
  if (!items)
    return failure();
  if (items->empty())
    return node.fail("the sequence is empty");
  std::optional<size_t> position = items->size() - 1;
  if (node.in(1))
    position = positionIn(node, 1, items->size(), false);
  if (!position)
    return failure();
  SmallVector<Val *> result(*items);
  result.erase(result.begin() + *position);
  return node.done(node.im.makeSequence(std::move(result)));
}

static LogicalResult sequenceLength(Node &node) {
  const SmallVector<Val *> *items = itemsOf(node, 0);
  return items ? node.done(node.im.makeContents(Int64, {}, {int64_t(items->size())})) : failure();
}

static LogicalResult concatFromSequence(Node &node) {
  Importer &im = node.im;
  const SmallVector<Val *> *items = itemsOf(node, 0);
  if (!items)
    return failure();
  if (items->empty())
    return node.fail("the sequence is empty");
  bool fresh = node.getInt("new_axis", 0);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), items->front()->rank() + fresh);
  if (!axis)
    return failure();
  SmallVector<Tensor> parts;
  for (Val *item : *items) {
    if (item->type != items->front()->type || item->rank() != items->front()->rank())
      return node.fail("the tensors have different types: " + describe(im, items->front()) + " and " + describe(im, item));
    for (int64_t d = 0; d < item->rank(); ++d)
      if ((fresh || d != *axis) && !im.symbols.assumeEqual(item->shape[d], items->front()->shape[d]))
        return node.fail("the tensors have different sizes: " + describe(im, items->front()) + " and " +
                         describe(im, item));
    Tensor part = im.tensor(item);
    if (fresh) {
      Shape shape = part.shape;
      shape.insert(shape.begin() + *axis, Expr(1));
      part = im.reshape(part, shape);
    }
    parts.push_back(part);
  }
  return node.done(im.make(items->front()->type, im.concat(parts, *axis)));
}

static LogicalResult splitToSequence(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2) || !needTensors(node, node.in(0)))
    return failure();
  Val *source = node.in(0);
  std::optional<int64_t> axis = node.axis(node.getInt("axis", 0), source->rank());
  if (!axis)
    return failure();
  SmallVector<Expr> sizes;
  std::optional<int64_t> length = im.symbols.normalize(source->shape[*axis]).constant();
  bool squeeze = !node.in(1) && !node.getInt("keepdims", 1);
  const Shape *given = node.in(1) ? im.contents(node.in(1)) : nullptr;
  if (node.in(1) && node.in(1)->rank() == 1 && given) {
    sizes = *given;
  } else {
    std::optional<int64_t> piece = 1;
    if (node.in(1))
      piece = given && given->size() == 1 ? im.symbols.normalize(given->front()).constant() : std::nullopt;
    constexpr int64_t most = 4096;
    if (!length || !piece || *piece < 1 || *length / *piece > most)
      return node.fail("the number of pieces must be constant and at most " + Twine(most) + "; dimension " + Twine(*axis) +
                       " of " + describe(im, source) + " is cut by " +
                       (node.in(1) ? describe(im, node.in(1)) : std::string("1")));
    for (int64_t at = 0; at < *length; at += *piece)
      sizes.push_back(std::min(*piece, *length - at));
  }
  Expr total = 0;
  for (const Expr &size : sizes)
    total = im.symbols.add(total, size);
  if (!im.symbols.assumeEqual(total, source->shape[*axis]))
    return node.fail("pieces of " + im.symbols.print(total) + " together do not fit dimension " + Twine(*axis) + " of " +
                     describe(im, source));
  Tensor x = im.tensor(source);
  SmallVector<Val *> items;
  Expr at = 0;
  for (const Expr &size : sizes) {
    Tensor piece = im.sliceDim(x, *axis, at, size);
    if (squeeze) {
      Shape shape = piece.shape;
      shape.erase(shape.begin() + *axis);
      piece = im.reshape(piece, shape);
    }
    items.push_back(im.make(source->type, piece));
    at = im.symbols.add(at, size);
  }
  return node.done(im.makeSequence(std::move(items)));
}

static LogicalResult sequenceMap(Node &node) {
  Importer &im = node.im;
  const proto::GraphProto *body = node.graph("body");
  const SmallVector<Val *> *first = itemsOf(node, 0);
  if (!body || !first)
    return failure();
  std::vector<SmallVector<Val *>> results(body->output_size());
  for (size_t i = 0; i < first->size(); ++i) {
    SmallVector<Val *> arguments, out;
    for (Val *input : node.inputs) {
      if (input && input->items && input->items->size() != first->size())
        return node.fail("its sequences have different lengths, " + Twine(first->size()) + " and " +
                         Twine(input->items->size()));
      arguments.push_back(input && input->items ? (*input->items)[i] : input);
    }
    if (!im.importGraph(node, *body, arguments, out))
      return failure();
    for (auto [list, val] : llvm::zip_equal(results, out))
      list.push_back(val);
  }
  for (auto [i, list] : llvm::enumerate(results))
    node.set(i, im.makeSequence(std::move(list)));
  return success();
}

static LogicalResult optional(Node &node) {
  return node.done(node.in(0) ? node.in(0) : node.im.makeAbsent());
}

static LogicalResult optionalHasElement(Node &node) {
  bool has = node.in(0) && !node.in(0)->absent;
  return node.done(node.im.makeContents(Bool, {}, {has}));
}

static LogicalResult optionalGetElement(Node &node) {
  if (!node.in(0) || node.in(0)->absent)
    return node.fail("the optional has no value");
  return node.done(node.in(0));
}

void pith::onnx::addSequenceOps(OpTable &table) {
  table.addForSequences("SequenceEmpty", sequenceEmpty);
  table.addForSequences("SequenceConstruct", sequenceConstruct);
  table.addForSequences("SequenceAt", sequenceAt);
  table.addForSequences("SequenceInsert", sequenceInsert);
  table.addForSequences("SequenceErase", sequenceErase);
  table.addForSequences("SequenceLength", sequenceLength);
  table.addForSequences("ConcatFromSequence", concatFromSequence);
  table.addForSequences("SplitToSequence", splitToSequence);
  table.addForSequences("SequenceMap", sequenceMap);
  table.addForSequences("Optional", optional);
  table.addForSequences("OptionalHasElement", optionalHasElement);
  table.addForSequences("OptionalGetElement", optionalGetElement);
}
