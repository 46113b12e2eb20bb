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
      if (scope.count(output) || !producers.try_emplace(output, i).second)
        report(i) << "its output '" << output << "' is already defined";
    }

  SmallVector<int> waiting(nodes.size(), 0);
  std::vector<SmallVector<int, 2>> consumers(nodes.size());
  for (int i = 0; i < nodes.size(); ++i)
    for (const std::string &input : nodes[i].input()) {
      if (input.empty() || scope.count(input))
        continue;
      auto producer = producers.find(input);
      if (producer == producers.end()) {
        report(i) << "its input '" << input << "' is not defined anywhere";
        continue;
      }
      consumers[producer->second].push_back(i);
      ++waiting[i];
    }

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
    for (const std::string &input : nodes[i].input())
      if (auto producer = producers.find(input); producer != producers.end() && waiting[producer->second])
        return producer->second;
    return i;
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
