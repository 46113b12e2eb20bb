//===- OpList.cpp - which ops a model uses -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Import/ONNX/Import.h"

#include "Model.h"
#include <map>

using namespace pith::onnx;

namespace {

using Nodes = google::protobuf::RepeatedPtrField<proto::NodeProto>;

/// Counts by domain and name.
class Counter {
public:
  void add(const Nodes &nodes) {
    for (const proto::NodeProto &node : nodes) {
      ++counts[{node.domain() == "ai.onnx" ? "" : node.domain(), node.op_type()}];
      for (const proto::AttributeProto &attribute : node.attribute()) {
        if (attribute.has_g())
          add(attribute.g().node());
        for (const proto::GraphProto &graph : attribute.graphs())
          add(graph.node());
      }
    }
  }
  std::map<std::pair<std::string, std::string>, unsigned> counts;
};

} // namespace

std::vector<OpUse> pith::onnx::listOps(mlir::MLIRContext *context, llvm::StringRef path, std::string &error) {
  std::unique_ptr<Model> model = Model::read(context, path, error);
  if (!model)
    return {};
  std::map<std::string, int64_t> versions;
  for (const proto::OperatorSetIdProto &set : model->proto().opset_import())
    versions[set.domain() == "ai.onnx" ? "" : set.domain()] = set.version();
  Counter counter;
  counter.add(model->proto().graph().node());
  for (const proto::FunctionProto &function : model->proto().functions())
    counter.add(function.node());
  std::vector<OpUse> uses;
  for (const auto &[name, count] : counter.counts) {
    auto version = versions.find(name.first);
    uses.push_back({name.first, name.second, version == versions.end() ? 1 : version->second, count});
  }
  return uses;
}
