//===- Mutate.h - ONNX models changed in their structure --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bits flipped in a file mostly meet the reader of protobufs. These changes leave a well-formed model that means
// something else: nodes, operands, attributes, shapes, types and constants that do not fit together.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_IMPORT_MUTATE_H
#define PITH_TEST_UNIT_IMPORT_MUTATE_H

#include "Onnx.pb.h"
#include <functional>
#include <string>
#include <vector>

namespace pith::test {

class Mutator {
public:
  /// `choose` gives any number.
  explicit Mutator(std::function<uint64_t()> choose) : choose(std::move(choose)) {}

  void mutate(onnx::proto::ModelProto &model) {
    onnx::proto::GraphProto &graph = *model.mutable_graph();
    collectNames(graph);
    if (below(12) == 0 && model.opset_import_size())
      model.mutable_opset_import(below(model.opset_import_size()))->set_version(int64_t(below(30)));
    else if (below(8) == 0 && graph.initializer_size())
      change(*graph.mutable_initializer(below(graph.initializer_size())));
    else if (below(6) == 0 && graph.input_size())
      change(*graph.mutable_input(below(graph.input_size())));
    else if (below(10) == 0 && graph.output_size())
      change(*graph.mutable_output(below(graph.output_size())));
    else if (graph.node_size())
      changeNodes(graph);
  }

private:
  int below(int limit) { return int(choose() % uint64_t(limit)); }
  int64_t number() {
    static const int64_t numbers[] = {0, 1, -1, 2, 3, -2, 4, 7, 8, 64, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN};
    return numbers[below(sizeof numbers / sizeof numbers[0])];
  }

  void collectNames(const onnx::proto::GraphProto &graph) {
    names = {"", "absent"};
    for (const auto &value : graph.input())
      names.push_back(value.name());
    for (const auto &value : graph.initializer())
      names.push_back(value.name());
    for (const auto &node : graph.node())
      names.insert(names.end(), node.output().begin(), node.output().end());
  }
  const std::string &anyName() { return names[size_t(below(int(names.size())))]; }

  void changeNodes(onnx::proto::GraphProto &graph) {
    const int at = below(graph.node_size());
    onnx::proto::NodeProto &node = *graph.mutable_node(at);
    switch (below(9)) {
    case 0: // gone
      graph.mutable_node()->DeleteSubrange(at, 1);
      break;
    case 1: // twice
      *graph.add_node() = node;
      break;
    case 2: // another place
      graph.mutable_node()->SwapElements(at, below(graph.node_size()));
      break;
    case 3: // another operator
      node.set_op_type(graph.node(below(graph.node_size())).op_type());
      break;
    case 4: // more or fewer operands
      if (node.input_size() && below(2))
        node.mutable_input()->RemoveLast();
      else
        node.add_input(anyName());
      break;
    case 5: // fewer or more results
      if (node.output_size() && below(2))
        node.mutable_output()->RemoveLast();
      else
        node.add_output(below(2) ? "fresh" : anyName());
      break;
    case 6:
    case 7:
      if (node.input_size())
        node.set_input(below(node.input_size()), anyName());
      break;
    default:
      changeAttributes(node);
    }
  }

  void changeAttributes(onnx::proto::NodeProto &node) {
    if (!node.attribute_size() || below(6) == 0) {
      static const char *const common[] = {"axis", "axes", "perm", "to", "keepdims", "num_heads", "alpha", "value"};
      onnx::proto::AttributeProto &added = *node.add_attribute();
      added.set_name(common[below(8)]);
      added.set_type(2); // INT
      added.set_i(number());
      return;
    }
    const int at = below(node.attribute_size());
    onnx::proto::AttributeProto &attribute = *node.mutable_attribute(at);
    if (below(5) == 0)
      return node.mutable_attribute()->DeleteSubrange(at, 1);
    if (below(8) == 0)
      return attribute.set_type(below(15));
    if (attribute.has_t())
      return change(*attribute.mutable_t());
    if (attribute.ints_size() && below(3))
      return attribute.set_ints(below(attribute.ints_size()), number());
    if (attribute.ints_size() || attribute.type() == 7) // INTS
      return attribute.add_ints(number());
    if (attribute.has_f())
      return attribute.set_f(float(number()));
    if (attribute.has_s())
      return attribute.set_s(below(2) ? "" : anyName());
    attribute.set_i(number());
  }

  void change(onnx::proto::TensorProto &tensor) {
    switch (below(5)) {
    case 0:
      tensor.set_data_type(below(26));
      break;
    case 1:
      tensor.add_dims(number());
      break;
    case 2:
      if (tensor.dims_size())
        tensor.mutable_dims()->RemoveLast();
      break;
    case 3:
      if (tensor.dims_size())
        tensor.set_dims(below(tensor.dims_size()), number());
      break;
    default:
      changeData(tensor);
    }
  }

  void changeData(onnx::proto::TensorProto &tensor) {
    if (tensor.int64_data_size())
      tensor.set_int64_data(below(tensor.int64_data_size()), number());
    else if (tensor.int32_data_size())
      tensor.set_int32_data(below(tensor.int32_data_size()), int32_t(number()));
    else if (std::string &raw = *tensor.mutable_raw_data(); raw.size() >= 8 && raw.size() % 8 == 0 && below(2)) {
      const int64_t value = number();
      raw.replace(size_t(below(int(raw.size() / 8))) * 8, 8, reinterpret_cast<const char *>(&value), 8);
    } else if (!raw.empty() && below(2)) {
      raw.pop_back();
    } else {
      raw.append(8, char(below(256)));
    }
  }

  void change(onnx::proto::ValueInfoProto &value) {
    if (below(8) == 0)
      return value.set_name(anyName());
    onnx::proto::TypeProto::Tensor &type = *value.mutable_type()->mutable_tensor_type();
    if (below(4) == 0)
      return type.set_elem_type(below(26));
    onnx::proto::TensorShapeProto &shape = *type.mutable_shape();
    if (!shape.dim_size() || below(4) == 0) {
      shape.add_dim()->set_dim_value(number());
    } else if (below(4) == 0) {
      shape.mutable_dim()->RemoveLast();
    } else {
      onnx::proto::TensorShapeProto::Dimension &dim = *shape.mutable_dim(below(shape.dim_size()));
      dim.Clear();
      below(2) ? dim.set_dim_value(number()) : dim.set_dim_param(below(2) ? "batch" : "n + 1");
    }
  }

  std::function<uint64_t()> choose;
  std::vector<std::string> names;
};

} // namespace pith::test

#endif // PITH_TEST_UNIT_IMPORT_MUTATE_H
