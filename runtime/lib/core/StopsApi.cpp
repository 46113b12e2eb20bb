//===- StopsApi.cpp - finding stop strings in a stream of bytes -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Aho and Corasick's automaton with all transitions filled in: a state is the longest beginning of any
// string that the stream ends with, so its depth is the number of bytes that may still become a match.
//
//===----------------------------------------------------------------------------------===//
#include "Status.h"

#include <array>
#include <deque>
#include <memory>
#include <vector>

using namespace pith::runtime;

struct pith_stops {
  struct Node {
    std::array<uint32_t, 256> next{};
    uint32_t depth = 0;
    uint32_t fallback = 0;
    int64_t string = -1; // the longest string that ends here
  };
  std::vector<Node> nodes;
  std::vector<size_t> sizes;
};

namespace {

constexpr size_t maxStopBytes = 65536;

void addString(pith_stops &stops, const char *bytes, size_t size, size_t index) {
  uint32_t state = 0;
  for (size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (!stops.nodes[state].next[byte]) {
      stops.nodes[state].next[byte] = uint32_t(stops.nodes.size());
      stops.nodes.emplace_back();
      stops.nodes.back().depth = stops.nodes[state].depth + 1;
    }
    state = stops.nodes[state].next[byte];
  }
  if (stops.nodes[state].string < 0)
    stops.nodes[state].string = int64_t(index);
}

/// Breadth first: a node's fallback is less deep, so its transitions are complete by then.
void fillTransitions(pith_stops &stops) {
  std::deque<uint32_t> queue{0};
  while (!queue.empty()) {
    const uint32_t state = queue.front();
    queue.pop_front();
    pith_stops::Node &node = stops.nodes[state];
    const pith_stops::Node &fallback = stops.nodes[node.fallback];
    if (node.string < 0)
      node.string = fallback.string;
    for (size_t byte = 0; byte < node.next.size(); ++byte) {
      const uint32_t shorter = state ? fallback.next[byte] : 0;
      const uint32_t child = node.next[byte];
      if (!child) {
        node.next[byte] = shorter;
        continue;
      }
      stops.nodes[child].fallback = shorter;
      queue.push_back(child);
    }
  }
}

} // namespace

extern "C" {

pith_status pith_stops_new(const char *const *strings, const size_t *sizes, size_t count, pith_stops **stops,
                           pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(stops);
    if (count) {
      PITH_REQUIRE(strings);
      PITH_REQUIRE(sizes);
    }
    auto made = std::make_unique<pith_stops>();
    made->nodes.emplace_back();
    size_t total = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!strings[i] || !sizes[i])
        return failure(PITH_ERROR_ARGUMENT, "stop string %zu is empty", i);
      if (sizes[i] > maxStopBytes - total)
        return failure(PITH_ERROR_ARGUMENT, "stop strings have more than %zu bytes together", maxStopBytes);
      total += sizes[i];
      addString(*made, strings[i], sizes[i], i);
      made->sizes.push_back(sizes[i]);
    }
    fillTransitions(*made);
    *stops = made.release();
    return {};
  });
}

void pith_stops_free(pith_stops *stops) { delete stops; }

int pith_stops_feed(const pith_stops *stops, uint32_t *state, const char *bytes, size_t size,
                    pith_stop_match *match, size_t *held) {
  if (held)
    *held = 0;
  if (!stops || !state || (size && !bytes) || *state >= stops->nodes.size())
    return 0;
  uint32_t now = *state;
  for (size_t i = 0; i < size; ++i) {
    now = stops->nodes[now].next[static_cast<unsigned char>(bytes[i])];
    const int64_t string = stops->nodes[now].string;
    if (string < 0)
      continue;
    *state = 0;
    if (match) {
      pith_stop_match value = PITH_INIT(pith_stop_match);
      value.string = uint32_t(string);
      value.end = i + 1;
      value.length = stops->sizes[size_t(string)];
      (void)writeStruct(value, "match", match);
    }
    return 1;
  }
  *state = now;
  if (held)
    *held = stops->nodes[now].depth;
  return 0;
}

} // extern "C"
