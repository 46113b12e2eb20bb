//===- Mutate.cpp - ONNX models changed in their structure ------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Mutate.h"

using namespace pith::onnx::proto;
using pith::test::Mutator;

/// AttributeProto.AttributeType.
enum { kFloat = 1, kInt = 2, kString = 3, kTensor = 4, kGraph = 5, kFloats = 6, kInts = 7, kStrings = 8 };

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

template <typename Function>
static void eachGraph(NodeProto &node, Function f) {
  for (AttributeProto &attribute : *node.mutable_attribute()) {
    if (attribute.has_g())
      f(*attribute.mutable_g());
    for (GraphProto &graph : *attribute.mutable_graphs())
      f(graph);
  }
}

void Mutator::collect(GraphProto &graph, std::vector<Body> &bodies) {
  bodies.push_back({graph.mutable_node(), &graph, nullptr});
  for (NodeProto &node : *graph.mutable_node())
    eachGraph(node, [&](GraphProto &inner) { collect(inner, bodies); });
}

Mutator::Body Mutator::anyBody(ModelProto &model) {
  std::vector<Body> bodies;
  collect(*model.mutable_graph(), bodies);
  for (FunctionProto &function : *model.mutable_functions()) {
    bodies.push_back({function.mutable_node(), nullptr, &function});
    for (NodeProto &node : *function.mutable_node())
      eachGraph(node, [&](GraphProto &inner) { collect(inner, bodies); });
  }
  return bodies[size_t(oneIn(3) ? 0 : below(int(bodies.size())))];
}

/// Of the graph and of the body: mostly what may be used there.
void Mutator::collectNames(const ModelProto &model, const Body &body) {
  names = {"", "absent"};
  auto addNodes = [&](const Nodes &nodes) {
    for (const NodeProto &node : nodes)
      names.insert(names.end(), node.output().begin(), node.output().end());
  };
  auto addGraph = [&](const GraphProto &graph) {
    for (const ValueInfoProto &value : graph.input())
      names.push_back(value.name());
    for (const TensorProto &value : graph.initializer())
      names.push_back(value.name());
    addNodes(graph.node());
  };
  if (body.function) {
    names.insert(names.end(), body.function->input().begin(), body.function->input().end());
    addNodes(*body.nodes);
    return;
  }
  addGraph(model.graph());
  if (body.graph != &model.graph())
    addGraph(*body.graph);
}

void Mutator::mutate(ModelProto &model) {
  const Body body = anyBody(model);
  collectNames(model, body);
  if (oneIn(24)) {
    changeOpsets(body.function ? *body.function->mutable_opset_import() : *model.mutable_opset_import());
  } else if (body.function) {
    if (oneIn(6) || body.nodes->empty())
      changeSignature(*body.function);
    else
      changeNodes(*body.nodes);
  } else if (oneIn(6) && body.graph->initializer_size()) {
    change(any(*body.graph->mutable_initializer()));
  } else if (oneIn(6) && body.graph->input_size()) {
    change(any(*body.graph->mutable_input()));
  } else if (oneIn(10) && body.graph->output_size()) {
    change(any(*body.graph->mutable_output()));
  } else if (oneIn(12)) {
    changeSignature(*body.graph);
  } else {
    changeNodes(*body.nodes);
  }
}

void Mutator::cross(ModelProto &model, const ModelProto &other) {
  ModelProto copy = other;
  const Body from = anyBody(copy), to = anyBody(model);
  collectNames(model, to);
  if (oneIn(8) && copy.functions_size()) {
    *model.add_functions() = any(*copy.mutable_functions());
  } else if (oneIn(4) && from.graph && to.graph && from.graph->initializer_size()) {
    *to.graph->add_initializer() = any(*from.graph->mutable_initializer());
  } else if (oneIn(4) && from.graph && to.graph && from.graph->input_size()) {
    *to.graph->add_input() = any(*from.graph->mutable_input());
  } else if (from.nodes->size() && to.nodes->size() && oneIn(2)) {
    // The attributes and the op, on operands of this model.
    const NodeProto &source = any(*from.nodes);
    NodeProto &node = any(*to.nodes);
    node.set_op_type(source.op_type());
    node.set_domain(source.domain());
    *node.mutable_attribute() = source.attribute();
    while (node.input_size() < source.input_size())
      node.add_input(anyName());
  } else if (from.nodes->size()) {
    NodeProto node = any(*from.nodes);
    for (std::string &input : *node.mutable_input())
      if (!input.empty())
        input = anyName();
    *to.nodes->Add() = node;
    if (to.graph && node.output_size() && oneIn(2))
      to.graph->add_output()->set_name(node.output(0));
  }
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

void Mutator::setOp(NodeProto &node, const std::string &op) {
  const size_t colon = op.find(':');
  node.set_domain(colon == std::string::npos ? "" : op.substr(0, colon));
  node.set_op_type(colon == std::string::npos ? op : op.substr(colon + 1));
}

/// A new node on what there is; some later node may use it.
void Mutator::addNode(Nodes &nodes) {
  NodeProto &added = *nodes.Add();
  setOp(added, any(ops));
  for (int i = 1 + below(4); i > 0; --i)
    added.add_input(anyName());
  added.add_output("fresh" + std::to_string(below(64)));
  if (nodes.size() < 2)
    return;
  NodeProto &user = nodes[below(nodes.size() - 1)];
  if (user.input_size())
    user.set_input(below(user.input_size()), added.output(0));
}

void Mutator::changeNodes(Nodes &nodes) {
  if (nodes.empty() || oneIn(16))
    return addNode(nodes);
  const int at = below(nodes.size());
  NodeProto &node = nodes[at];
  switch (below(16)) {
  case 0: // gone
    return nodes.DeleteSubrange(at, 1);
  case 1: { // twice
    const NodeProto copy = node;
    *nodes.Add() = copy;
    return;
  }
  case 2: // another place
    return nodes.SwapElements(at, below(nodes.size()));
  case 3: { // another operator
    if (oneIn(3))
      return setOp(node, any(ops));
    const NodeProto &like = any(nodes);
    node.set_domain(like.domain());
    return node.set_op_type(like.op_type());
  }
  case 4:
    if (oneIn(8))
      return node.set_name(text());
    return setOp(node, any(ops));
  case 5:
  case 6:
  case 7:
  case 8:
  case 9:
    return changeOperands(node);
  default:
    changeAttributes(node);
  }
}

void Mutator::changeOperands(NodeProto &node) {
  switch (below(6)) {
  case 0: // more or fewer operands
    if (node.input_size() && oneIn(2))
      return node.mutable_input()->RemoveLast();
    return node.add_input(anyName());
  case 1: // fewer or more results
    if (node.output_size() && oneIn(2))
      return node.mutable_output()->RemoveLast();
    return node.add_output(oneIn(2) ? "fresh" : anyName());
  case 2:
    if (node.input_size())
      node.mutable_input()->SwapElements(below(node.input_size()), below(node.input_size()));
    return;
  default:
    if (node.input_size())
      node.set_input(below(node.input_size()), anyName());
  }
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

/// A value of any kind.
void Mutator::fill(AttributeProto &attribute) {
  attribute.set_type(1 + below(8));
  switch (attribute.type()) {
  case kFloat:
    return attribute.set_f(real());
  case kString:
    return attribute.set_s(text());
  case kTensor: {
    TensorProto &tensor = *attribute.mutable_t();
    tensor.set_data_type(1 + below(13));
    for (int i = below(3); i > 0; --i)
      tensor.add_dims(1 + below(4));
    return void(tensor.mutable_raw_data()->assign(size_t(below(65)), char(below(4))));
  }
  case kFloats:
    for (int i = below(5); i > 0; --i)
      attribute.add_floats(real());
    return;
  case kInts:
    for (int i = below(5); i > 0; --i)
      attribute.add_ints(number());
    return;
  case kStrings:
    for (int i = below(3); i > 0; --i)
      attribute.add_strings(text());
    return;
  default:
    attribute.set_type(kInt);
    attribute.set_i(number());
  }
}

void Mutator::changeAttributes(NodeProto &node) {
  if (!node.attribute_size() || oneIn(6)) {
    AttributeProto &added = *node.add_attribute();
    added.set_name(attributeName());
    return fill(added);
  }
  const int at = below(node.attribute_size());
  if (oneIn(6))
    return node.mutable_attribute()->DeleteSubrange(at, 1);
  change((*node.mutable_attribute())[at]);
}

void Mutator::change(AttributeProto &attribute) {
  if (oneIn(16))
    return fill(attribute);
  if (oneIn(16))
    return attribute.set_type(below(15));
  if (oneIn(32))
    return attribute.set_ref_attr_name(attributeName());
  if (attribute.has_t())
    return change(*attribute.mutable_t());
  if (attribute.has_g())
    return changeSignature(*attribute.mutable_g());
  if (attribute.ints_size() && oneIn(6))
    return attribute.mutable_ints()->RemoveLast();
  if (attribute.ints_size() && !oneIn(4))
    return attribute.set_ints(below(attribute.ints_size()), number());
  if (attribute.ints_size() || attribute.type() == kInts)
    return attribute.add_ints(number());
  if (attribute.floats_size() && oneIn(3))
    return attribute.mutable_floats()->RemoveLast();
  if (attribute.floats_size() || attribute.type() == kFloats)
    return attribute.add_floats(real());
  if (attribute.strings_size() && !oneIn(3))
    return attribute.set_strings(below(attribute.strings_size()), text());
  if (attribute.strings_size() || attribute.type() == kStrings)
    return attribute.add_strings(text());
  if (attribute.has_f())
    return attribute.set_f(real());
  if (attribute.has_s())
    return attribute.set_s(text());
  attribute.set_i(number());
}

//===----------------------------------------------------------------------===//
// Inputs, outputs and versions
//===----------------------------------------------------------------------===//

void Mutator::changeSignature(GraphProto &graph) {
  switch (below(6)) {
  case 0:
    return graph.add_output()->set_name(anyName());
  case 1:
    if (graph.output_size() > 1)
      graph.mutable_output()->RemoveLast();
    return;
  case 2: {
    ValueInfoProto &input = *graph.add_input();
    input.set_name(oneIn(2) ? "fresh" : anyName());
    return change(*input.mutable_type(), 0);
  }
  case 3:
    if (graph.input_size())
      graph.mutable_input()->RemoveLast();
    return;
  case 4:
    if (graph.output_size())
      any(*graph.mutable_output()).set_name(anyName());
    return;
  default:
    if (graph.input_size() > 1)
      graph.mutable_input()->SwapElements(0, below(graph.input_size()));
  }
}

void Mutator::changeSignature(FunctionProto &function) {
  switch (below(5)) {
  case 0:
    return function.add_output(anyName());
  case 1:
    return function.add_input(anyName());
  case 2:
    if (function.input_size())
      function.mutable_input()->RemoveLast();
    return;
  case 3:
    if (function.output_size())
      function.mutable_output()->RemoveLast();
    return;
  default: {
    AttributeProto &added = *function.add_attribute_proto();
    added.set_name(attributeName());
    fill(added);
  }
  }
}

void Mutator::changeOpsets(google::protobuf::RepeatedPtrField<OperatorSetIdProto> &sets) {
  if (sets.empty() || oneIn(8)) {
    OperatorSetIdProto &added = *sets.Add();
    added.set_domain(oneIn(2) ? "com.microsoft" : "");
    return added.set_version(int64_t(below(30)));
  }
  any(sets).set_version(oneIn(8) ? number() : int64_t(1 + below(28)));
}
