//===- Mutate.h - ONNX models changed in their structure --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Bits flipped in a file mostly meet the reader of protobufs. These changes leave a well-formed model that
// means something else: nodes, operands, attributes, shapes, types and constants that do not fit together.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_IMPORT_MUTATE_H
#define PITH_TEST_UNIT_IMPORT_MUTATE_H

#include "Onnx.pb.h"
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pith::test {

class Mutator {
public:
  /// `choose` gives any number. `ops` are what nodes may become, "Op" or "domain:Op", beside the model's own.
  Mutator(std::function<uint64_t()> choose, std::vector<std::string> ops)
      : choose(std::move(choose)), ops(std::move(ops)) {}

  /// One change, somewhere: in the graph, a subgraph or a function.
  void mutate(onnx::proto::ModelProto &model);
  /// Copies something of another model into this one, its operands renamed.
  void cross(onnx::proto::ModelProto &model, const onnx::proto::ModelProto &other);

private:
  using Nodes = google::protobuf::RepeatedPtrField<onnx::proto::NodeProto>;
  /// The nodes of a graph, or of a function.
  struct Body {
    Nodes *nodes;
    onnx::proto::GraphProto *graph; ///< null in a function
    onnx::proto::FunctionProto *function;
  };

  int below(int limit) { return int(choose() % uint64_t(limit)); }
  bool oneIn(int number) { return below(number) == 0; }
  template <typename List>
  auto &any(List &list) {
    return list[below(int(list.size()))];
  }
  int64_t number();
  float real();
  std::string text();
  std::string attributeName();
  const std::string &anyName() { return any(names); }

  void collect(onnx::proto::GraphProto &graph, std::vector<Body> &bodies);
  Body anyBody(onnx::proto::ModelProto &model);
  void collectNames(const onnx::proto::ModelProto &model, const Body &body);

  void changeNodes(Nodes &nodes);
  void changeOperands(onnx::proto::NodeProto &node);
  void setOp(onnx::proto::NodeProto &node, const std::string &op);
  void addNode(Nodes &nodes);
  void changeAttributes(onnx::proto::NodeProto &node);
  void fill(onnx::proto::AttributeProto &attribute);
  void change(onnx::proto::AttributeProto &attribute);
  void change(onnx::proto::TensorProto &tensor);
  void changeData(onnx::proto::TensorProto &tensor);
  void changeExternal(onnx::proto::TensorProto &tensor);
  void change(onnx::proto::TypeProto &type, int depth);
  void change(onnx::proto::ValueInfoProto &value);
  void changeSignature(onnx::proto::GraphProto &graph);
  void changeSignature(onnx::proto::FunctionProto &function);
  void changeOpsets(google::protobuf::RepeatedPtrField<onnx::proto::OperatorSetIdProto> &sets);

  std::function<uint64_t()> choose;
  std::vector<std::string> ops, names;
};

} // namespace pith::test

#endif // PITH_TEST_UNIT_IMPORT_MUTATE_H
