//===- GraphCache.cpp - recorded launches of steps ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "GraphCache.h"

#include <algorithm>

namespace pith::runtime {

GraphCache::Graph *GraphCache::find(const StepShape &shape) {
  for (Graph &graph : graphs)
    if (graph.shape == shape) {
      graph.used = ++clock;
      return &graph;
    }
  return nullptr;
}

void GraphCache::note(const StepShape &shape) {
  Graph made;
  made.shape = shape;
  made.used = ++clock;
  if (graphs.size() < most) {
    graphs.push_back(std::move(made));
    return;
  }
  const auto older = [](const Graph &left, const Graph &right) { return left.used < right.used; };
  *std::min_element(graphs.begin(), graphs.end(), older) = std::move(made);
}

} // namespace pith::runtime
