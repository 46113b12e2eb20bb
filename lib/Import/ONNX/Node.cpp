//===- Node.cpp - one node of an ONNX graph, as handlers see it -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

StringRef Node::domain() const {
  StringRef domain = proto.domain();
  return domain == "ai.onnx" ? "" : domain;
}

std::string Node::label() const {
  std::string text = proto.name().empty() ? "#" + std::to_string(number) : "'" + proto.name() + "'";
  if (caller && caller->callsFunction)
    text += " in function " + caller->op().str() + " called by node " + caller->label();
  else if (caller)
    text += " in a subgraph of node " + caller->label();
  return text;
}

Location Node::location() const {
  MLIRContext *context = im.context;
  std::string name = proto.name().empty() ? proto.op_type() + "#" + std::to_string(number) : proto.name();
  Location here = NameLoc::get(StringAttr::get(context, name));
  return caller ? CallSiteLoc::get(here, caller->location()) : here;
}

InFlightDiagnostic Node::error() {
  failed = true;
  std::string what = domain().empty() ? op().str() : (domain() + "." + op()).str();
  InFlightDiagnostic diagnostic = im.error(location());
  diagnostic << "node " << label() << " (" << what << ", opset " << opset << "): ";
  return diagnostic;
}

bool Node::wants(size_t i) const {
  return i < results.size() && !proto.output(i).empty() && (caller || im.isUsed(proto.output(i)));
}

bool Node::arity(size_t required, size_t most) {
  if (inputs.size() > most) {
    error() << "has " << inputs.size() << " inputs, expected at most " << most;
    return false;
  }
  for (size_t i = 0; i < required; ++i)
    if (!in(i)) {
      error() << "input " << i << " is missing";
      return false;
    }
  return true;
}

bool Node::needFloat(size_t i) {
  if (!in(i) || isFloat(in(i)->type))
    return true;
  error() << "input " << i << " must have float elements, found " << describe(im, in(i));
  return false;
}

/// Indices, axes and sizes: the format has them as i32 or i64.
bool Node::needInteger(size_t i) {
  if (!in(i) || in(i)->type == Int32 || in(i)->type == Int64)
    return true;
  error() << "input " << i << " must have i32 or i64 elements, found " << describe(im, in(i));
  return false;
}

bool Node::sameType(ArrayRef<size_t> which) {
  Val *first = nullptr;
  for (size_t i : which) {
    if (!in(i))
      continue;
    if (first && in(i)->type != first->type) {
      error() << "inputs must have one element type, found " << describe(im, first) << " and "
              << describe(im, in(i));
      return false;
    }
    if (!first)
      first = in(i);
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

const proto::AttributeProto *Node::attribute(StringRef name) {
  for (const proto::AttributeProto &attribute : proto.attribute()) {
    if (attribute.name() != name)
      continue;
    if (attribute.ref_attr_name().empty())
      return &attribute;
    // Inside a function: the attribute of the call, or the function's default, which the call looks up too.
    Node *call = caller;
    while (call && !call->callsFunction)
      call = call->caller;
    return call ? call->attribute(attribute.ref_attr_name()) : nullptr;
  }
  if (const proto::FunctionProto *function = im.findFunction(domain(), op(), proto.overload()))
    for (const proto::AttributeProto &attribute : function->attribute_proto())
      if (attribute.name() == name)
        return &attribute;
  return nullptr;
}

/// AttributeProto.AttributeType.
enum { kFloat = 1, kInt = 2, kString = 3, kInts = 7 };

/// Files older than IR version 2 have no type there; then the fields say it.
static bool isKind(const proto::AttributeProto &attribute, int kind, bool present) {
  return attribute.type() == kind || (attribute.type() == 0 && present);
}

const proto::GraphProto *Node::graph(StringRef name) {
  const proto::AttributeProto *found = attribute(name);
  if (found && found->has_g())
    return &found->g();
  error() << "attribute '" << name << "' must be a graph";
  return nullptr;
}

int64_t Node::getInt(StringRef name, int64_t otherwise) {
  const proto::AttributeProto *found = attribute(name);
  if (!found)
    return otherwise;
  if (isKind(*found, kInt, found->has_i()))
    return found->i();
  error() << "attribute '" << name << "' must be an integer";
  return otherwise;
}

int64_t Node::getSmallInt(StringRef name, int64_t otherwise) {
  constexpr int64_t kMost = 1 << 24;
  int64_t value = getInt(name, otherwise);
  if (value >= -kMost && value <= kMost)
    return value;
  error() << "attribute '" << name << "' is out of range, found " << value;
  return otherwise;
}

float Node::getFloat(StringRef name, float otherwise) {
  const proto::AttributeProto *found = attribute(name);
  if (!found)
    return otherwise;
  if (isKind(*found, kFloat, found->has_f()))
    return found->f();
  error() << "attribute '" << name << "' must be a float";
  return otherwise;
}

std::string Node::getString(StringRef name, StringRef otherwise) {
  const proto::AttributeProto *found = attribute(name);
  if (!found)
    return otherwise.str();
  if (isKind(*found, kString, found->has_s()))
    return found->s();
  error() << "attribute '" << name << "' must be a string";
  return otherwise.str();
}

std::optional<SmallVector<int64_t>> Node::getInts(StringRef name) {
  const proto::AttributeProto *found = attribute(name);
  if (!found)
    return std::nullopt;
  if (isKind(*found, kInts, found->ints_size()))
    return SmallVector<int64_t>(found->ints().begin(), found->ints().end());
  error() << "attribute '" << name << "' must be a list of integers";
  return std::nullopt;
}

std::optional<int64_t> Node::axis(int64_t value, int64_t rank) {
  int64_t result = value < 0 ? value + rank : value;
  if (result >= 0 && result < rank)
    return result;
  error() << "axis " << value << " is outside rank " << rank;
  return std::nullopt;
}

std::optional<SmallVector<int64_t>> Node::constantList(StringRef name, size_t input, bool &present) {
  present = false;
  if (Val *val = in(input)) {
    present = true;
    if (std::optional<SmallVector<int64_t>> values = im.constants(val))
      return values;
    error() << "input " << input << " (" << name << ") must be a constant, found " << describe(im, val);
    return std::nullopt;
  }
  std::optional<SmallVector<int64_t>> values = getInts(name);
  present = values.has_value();
  return values ? values : std::optional(SmallVector<int64_t>());
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

std::optional<Shape> Node::broadcastShapes(ArrayRef<ArrayRef<Expr>> shapes) {
  size_t rank = 0;
  for (ArrayRef<Expr> shape : shapes)
    rank = std::max(rank, shape.size());
  Shape result(rank, Expr(1));
  for (ArrayRef<Expr> shape : shapes)
    for (size_t i = 0; i < shape.size(); ++i) {
      Expr &size = result[rank - shape.size() + i];
      Expr mine = im.symbols.normalize(shape[i]);
      if (mine == size || mine.isConstant(1))
        continue;
      if (size.isConstant(1)) {
        size = mine;
        continue;
      }
      // Two sizes that are not statically 1 must be equal: the model says so by broadcasting them.
      if (!im.symbols.assumeEqual(size, mine)) {
        InFlightDiagnostic diagnostic = error();
        diagnostic << "shapes do not broadcast:";
        for (auto [k, s] : llvm::enumerate(shapes))
          diagnostic << (k ? " and " : " ") << im.symbols.print(s);
        return std::nullopt;
      }
      size = im.symbols.normalize(size);
    }
  for (Expr &size : result)
    size = im.symbols.normalize(size);
  return result;
}

std::string pith::onnx::describe(const Importer &im, const Val *val) {
  if (!val)
    return "absent";
  if (val->broken)
    return "unknown";
  if (val->items)
    return "a sequence of " + std::to_string(val->items->size()) + " tensors";
  if (val->absent)
    return "an optional without a value";
  return elementName(val->type) + im.symbols.print(val->shape);
}
