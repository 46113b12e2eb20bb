//===- GraphOrder.cpp - puts a graph's nodes in order -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include <queue>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

static void findReferences(const proto::NodeProto &node, llvm::function_ref<void(StringRef)> found);

/// The names that a subgraph takes from around it.
static void findCaptures(const proto::GraphProto &graph, llvm::function_ref<void(StringRef)> found) {
  llvm::StringSet<> own;
  for (const proto::ValueInfoProto &input : graph.input())
    own.insert(input.name());
  for (const proto::TensorProto &tensor : graph.initializer())
    own.insert(tensor.name());
  for (const proto::NodeProto &node : graph.node())
    for (const std::string &output : node.output())
      own.insert(output);
  auto capture = [&](StringRef name) {
    if (!own.contains(name))
      found(name);
  };
  for (const proto::NodeProto &node : graph.node())
    findReferences(node, capture);
  for (const proto::ValueInfoProto &output : graph.output())
    capture(output.name());
}

/// The names that a node needs: its inputs, and what its subgraphs take from around them.
static void findReferences(const proto::NodeProto &node, llvm::function_ref<void(StringRef)> found) {
  for (const std::string &input : node.input())
    if (!input.empty())
      found(input);
  for (const proto::AttributeProto &attribute : node.attribute()) {
    if (attribute.has_g())
      findCaptures(attribute.g(), found);
    for (const proto::GraphProto &graph : attribute.graphs())
      findCaptures(graph, found);
  }
}

void Importer::noteUses(const proto::GraphProto &graph) {
  for (const proto::NodeProto &node : graph.node())
    findReferences(node, [&](StringRef name) { uses.insert(name); });
  for (const proto::ValueInfoProto &output : graph.output())
    uses.insert(output.name());
}

/// The order in which the nodes can run: that of the file where it is right, as the format demands. Reports inputs that
/// nothing defines, values defined twice, and cycles; the nodes concerned come last, so that their other problems are
/// reported too.
bool Importer::orderNodes(const Nodes &nodes, const Scope &scope, Node *caller, SmallVectorImpl<int> &order) {
  bool good = true;
  auto where = [&](int i) { return Node(*this, nodes[i], i, 0, caller); };
  auto report = [&](int i) {
    good = false;
    Node node = where(i);
    InFlightDiagnostic diagnostic = error(node.location());
    diagnostic << "node " << node.label() << " (" << node.op() << "): ";
    return diagnostic;
  };

  llvm::StringMap<int> producers;
  for (int i = 0; i < nodes.size(); ++i)
    for (const std::string &output : nodes[i].output()) {
      if (output.empty())
        continue;
      if (scope.defines(output) || !producers.try_emplace(output, i).second)
        report(i) << "its output '" << output << "' is already defined";
    }

  SmallVector<int> waiting(nodes.size(), 0);
  std::vector<SmallVector<int, 2>> consumers(nodes.size());
  for (int i = 0; i < nodes.size(); ++i)
    findReferences(nodes[i], [&](StringRef input) {
      auto producer = producers.find(input);
      if (producer == producers.end()) {
        if (!scope.knows(input))
          report(i) << "its input '" << input << "' is not defined anywhere";
        return;
      }
      consumers[producer->second].push_back(i);
      ++waiting[i];
    });

  std::priority_queue<int, std::vector<int>, std::greater<int>> ready;
  for (int i = 0; i < nodes.size(); ++i)
    if (!waiting[i])
      ready.push(i);
  while (!ready.empty()) {
    int i = ready.top();
    ready.pop();
    order.push_back(i);
    for (int consumer : consumers[i])
      if (--waiting[consumer] == 0)
        ready.push(consumer);
  }
  if (int(order.size()) == nodes.size())
    return good;

  // Follow unfinished producers from any unfinished node until one comes back: that is a cycle.
  SmallVector<bool> seen(nodes.size());
  int at = 0;
  while (!waiting[at])
    ++at;
  auto before = [&](int i) {
    int before = i;
    findReferences(nodes[i], [&](StringRef input) {
      if (auto producer = producers.find(input); producer != producers.end() && waiting[producer->second])
        before = producer->second;
    });
    return before;
  };
  while (!seen[at]) {
    seen[at] = true;
    at = before(at);
  }
  SmallVector<int> cycle;
  for (int i = at; cycle.empty() || i != at; i = before(i))
    cycle.push_back(i);
  std::reverse(cycle.begin(), cycle.end());
  {
    InFlightDiagnostic diagnostic = report(cycle.front());
    diagnostic << "the graph has a cycle: ";
    for (auto [k, i] : llvm::enumerate(cycle)) {
      if (k == 8 && cycle.size() > 9) {
        diagnostic << "... (" << cycle.size() - 8 << " more) -> ";
        break;
      }
      diagnostic << where(i).label() << " -> ";
    }
    diagnostic << where(cycle.front()).label();
  }
  for (int i = 0; i < nodes.size(); ++i)
    if (waiting[i])
      order.push_back(i);
  return false;
}
