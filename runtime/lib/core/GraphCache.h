//===- GraphCache.h - recorded launches of steps ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_GRAPHCACHE_H
#define PITH_RUNTIME_CORE_GRAPHCACHE_H

#include "../device/Device.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace pith::runtime {

/// Everything that the launches of a step depend on, as numbers.
using StepShape = std::vector<uint32_t>;

/// The shapes that came last. One that comes for the second time is worth a recording: prompts seldom do,
/// decoding does at once.
class GraphCache {
public:
  struct Graph {
    StepShape shape;
    std::unique_ptr<device::Recording> recording; ///< null: seen, not recorded
    uint64_t used = 0;
  };
  /// The graph of this shape; null when it has not been seen.
  Graph *find(const StepShape &shape);
  /// Remembers a shape that has not been seen, in place of the one that was used least recently.
  void note(const StepShape &shape);
  /// To be called whenever memory that launches refer to has moved.
  void clear() { graphs.clear(); }

private:
  static constexpr size_t most = 48;
  std::vector<Graph> graphs;
  uint64_t clock = 0;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_GRAPHCACHE_H
