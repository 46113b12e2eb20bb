//===- DeviceStep.cpp - one chunk of a step on a device -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DeviceSession.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pith::runtime {
namespace {

uint64_t pagesOf(const pith_exec_lane *lanes, uint32_t count) {
  uint64_t pages = 0;
  for (uint32_t i = 0; lanes && i < count; ++i)
    pages += lanes[i].page_count;
  return pages;
}

/// An embedding row's bytes, with its neighbour's beginning aligned.
uint64_t embeddingBytes(const Entry &entry) {
  return (uint64_t(entry.embeddingRow) * sizeof(float) + 63) & ~UINT64_C(63);
}

} // namespace

/// Offsets in the block. Those up to `pages` depend on the step's shape only.
struct DeviceSession::Layout {
  uint64_t end = 0; // before what is placed by it
  uint64_t lanes, conditions, tokens, positions, rowLanes, outRows, tapRows, embeddingTable, conditionRows;
  uint64_t pages, conditionPages, embeddings;

  Layout(const Entry &entry, const pith_exec_context &host, uint64_t tapRowCount, uint64_t embeddingCount,
         uint64_t conditionWidth)
      : lanes(place(host.lanes, sizeof(pith_exec_lane))),
        conditions(place(host.conditions ? host.lanes : 0, sizeof(pith_exec_lane))),
        tokens(place(host.tokens ? host.rows : 0, sizeof(int32_t))),
        positions(place(host.rows, sizeof(int32_t))), rowLanes(place(host.rows, sizeof(int32_t))),
        outRows(place(host.out_rows, sizeof(int32_t))), tapRows(place(tapRowCount, sizeof(int32_t))),
        embeddingTable(place(host.embedding_rows ? host.rows : 0, sizeof(void *))),
        conditionRows(place(host.condition_rows ? host.rows : 0, conditionWidth * sizeof(float))),
        pages(place(pagesOf(host.lane, host.lanes), sizeof(void *))),
        conditionPages(place(pagesOf(host.conditions, host.lanes), sizeof(void *))),
        embeddings(place(embeddingCount, embeddingBytes(entry))) {}

private:
  uint64_t place(uint64_t count, uint64_t bytes) {
    const uint64_t at = (end + 63) & ~UINT64_C(63);
    end = at + count * bytes;
    return at;
  }
};

Status DeviceSession::reserveBlock(uint64_t bytes) {
  constexpr uint64_t least = 1 << 16; // so that texts grow for a while before the block moves
  PITH_TRY(stream->await(turn));
  PITH_TRY(reserve(block, std::max(bytes, least), "a step's inputs"));
  return staging[turn].reserve(std::max(bytes, least), "a step's inputs");
}

/// Puts all that the step reads into the block, and the places that it has on the device into `context`.
Status DeviceSession::pack(const Entry &entry, const pith_exec_context &host, pith_exec_context &context,
                           uint64_t &bytes) {
  uint64_t tapRowCount = 0, embeddingCount = 0;
  for (uint32_t i = 0; host.taps && i < entry.taps.count; ++i)
    tapRowCount += host.taps[i].rows;
  for (uint32_t i = 0; host.embedding_rows && i < host.rows; ++i)
    embeddingCount += host.embedding_rows[i] != nullptr;
  const uint64_t conditionWidth = host.condition_rows ? uint64_t(entry.inputs[0].sizes[1]) : 0;
  const Layout at(entry, host, tapRowCount, embeddingCount, conditionWidth);
  bytes = at.end;
  PITH_TRY(reserveBlock(bytes));

  uint8_t *const to = staging[turn].data(), *const there = block.data();
  const auto put = [&](uint64_t offset, const auto *from, uint64_t count) {
    if (!from)
      return static_cast<decltype(from)>(nullptr);
    if (count)
      std::memcpy(to + offset, from, count * sizeof *from);
    return reinterpret_cast<decltype(from)>(there + offset);
  };
  context.tokens = put(at.tokens, host.tokens, host.rows);
  context.positions = put(at.positions, host.positions, host.rows);
  context.out_row_index = put(at.outRows, host.out_row_index, host.out_rows);
  context.condition_rows = put(at.conditionRows, host.condition_rows, host.rows * conditionWidth);
  const auto putLanes = [&](uint64_t offset, uint64_t pages, const pith_exec_lane *lanes) {
    for (uint32_t i = 0; lanes && i < host.lanes; ++i) {
      pith_exec_lane lane = lanes[i];
      lane.pages = put(pages, lane.pages, lane.page_count);
      pages += lane.page_count * sizeof(void *);
      put(offset + i * sizeof lane, &lane, 1);
    }
    return lanes ? reinterpret_cast<const pith_exec_lane *>(there + offset) : nullptr;
  };
  context.lane = putLanes(at.lanes, at.pages, host.lane);
  context.conditions = putLanes(at.conditions, at.conditionPages, host.conditions);
  auto *rowLanes = reinterpret_cast<int32_t *>(to + at.rowLanes);
  for (uint32_t i = 0; i < host.lanes; ++i)
    std::fill_n(rowLanes + host.lane[i].first_row, host.lane[i].rows, int32_t(i));
  context.row_lanes = reinterpret_cast<const int32_t *>(there + at.rowLanes);

  if (host.embedding_rows) {
    uint64_t next = at.embeddings;
    for (uint32_t i = 0; i < host.rows; ++i) {
      const float *row = put(next, host.embedding_rows[i], entry.embeddingRow);
      put(at.embeddingTable + i * sizeof row, &row, 1);
      next += row ? embeddingBytes(entry) : 0;
    }
    context.embedding_rows = reinterpret_cast<const float *const *>(there + at.embeddingTable);
  }
  if (host.taps) {
    taps.assign(host.taps, host.taps + entry.taps.count);
    uint64_t next = at.tapRows;
    for (pith_exec_tap &tap : taps) {
      tap.row_index = put(next, tap.row_index, tap.rows);
      next += tap.rows * sizeof *tap.row_index;
    }
    context.taps = taps.data();
  }
  return {};
}

/// Memory for logits and hidden states, one behind the other.
Status DeviceSession::placeOutputs(const Entry &entry, const pith_exec_context &host,
                                   pith_exec_context &context, bool logitsOnDevice) {
  const uint64_t floats = logitsOnDevice ? 0 : uint64_t(host.out_rows) * entry.vocab;
  const uint64_t logits = (floats * sizeof(float) + 63) & ~UINT64_C(63);
  const uint64_t hidden = uint64_t(entry.taps.hidden) * sizeof(float);
  uint64_t end = logits;
  for (uint32_t i = 0; host.taps && i < entry.taps.count; ++i)
    end += host.taps[i].rows * hidden;
  PITH_TRY(reserve(outputs, end, "a step's outputs"));
  if (!logitsOnDevice)
    context.logits = host.out_rows ? reinterpret_cast<float *>(outputs.data()) : nullptr;
  uint8_t *next = outputs.data() + logits;
  for (uint32_t i = 0; host.taps && i < entry.taps.count; ++i) {
    taps[i].out = reinterpret_cast<float *>(next);
    next += taps[i].rows * hidden;
  }
  return {};
}

Status DeviceSession::fetchOutputs(const Entry &entry, const pith_exec_context &host,
                                   const pith_exec_context &context, bool logitsOnDevice) {
  if (host.out_rows && !logitsOnDevice)
    PITH_TRY(
        stream->download(host.logits, context.logits, uint64_t(host.out_rows) * entry.vocab * sizeof(float)));
  // Neighbours on both sides come together.
  const uint64_t hidden = entry.taps.hidden;
  for (uint32_t i = 0; host.taps && i < entry.taps.count;) {
    const uint32_t first = i;
    uint64_t rows = 0;
    for (;
         i < entry.taps.count && (!taps[i].rows || host.taps[i].out == host.taps[first].out + rows * hidden);
         ++i)
      rows += taps[i].rows;
    if (rows)
      PITH_TRY(stream->download(host.taps[first].out, taps[first].out, rows * hidden * sizeof(float)));
  }
  return {};
}

/// Repeats what the shape's launches were, or lets the code make them. `bytes` of the block are in use.
Status DeviceSession::runLaunches(size_t module, const pith_exec_entry &code, pith_exec_context &context,
                                  uint64_t bytes) {
  const GraphCache::Graph *known = graphs.find(shape);
  if (known && known->recording) {
    PITH_TRY(stream->send(block.data(), staging[turn].data(), bytes));
    return stream->replay(*known->recording);
  }
  DeviceRun run(*stream, *modules[module]->kernels);
  run.attach(context);
  int64_t needed = 0;
  PITH_TRY(run.prepare(code, context, nullptr, needed));
  if (needed < 0)
    return failure(PITH_ERROR_EXECUTION, "entry \"%s\": the step leads to a size that is beyond any memory",
                   code.name);
  PITH_TRY(reserveWorkspace(uint64_t(needed), context.workspace));
  PITH_TRY(stream->send(block.data(), staging[turn].data(), bytes));
  GraphCache::Graph *seen = graphs.find(shape); // unless memory has moved
  if (!seen) {
    run.enter(code, context, 0);
    PITH_TRY(run.status());
    graphs.note(shape);
    return {};
  }
  std::unique_ptr<device::Recording> recording;
  PITH_TRY(stream->beginRecording());
  run.enter(code, context, 0);
  const Status ended = stream->endRecording(recording);
  PITH_TRY(run.status());
  PITH_TRY(ended);
  seen->recording = std::move(recording);
  return stream->replay(*seen->recording);
}

Status DeviceSession::finish() { return std::exchange(underWay, false) ? stream->synchronize() : Status(); }

Status DeviceSession::step(size_t module, const Entry &entry, const pith_exec_entry &code,
                           const pith_exec_context &host, bool logitsOnDevice, bool moreFollows) {
  pith_exec_context context = host;
  context.weights = weights(module);
  underWay = true;
  uint64_t bytes = 0;
  PITH_TRY(pack(entry, host, context, bytes));
  PITH_TRY(placeOutputs(entry, host, context, logitsOnDevice));
  const uint64_t place = logitsOnDevice ? uintptr_t(context.logits) : 0; // elsewhere it stays as it is
  shape.assign({uint32_t(module), code.kind, host.rows, host.lanes, host.out_rows, host.flags,
                uint32_t(host.embedding_rows != nullptr), uint32_t(place), uint32_t(place >> 32)});
  for (uint32_t i = 0; host.taps && i < entry.taps.count; ++i)
    shape.push_back(host.taps[i].rows);
  Status status = runLaunches(module, code, context, bytes);
  const bool hostReads = host.taps || (host.out_rows && !logitsOnDevice);
  if (status.ok() && moreFollows && !hostReads)
    status = stream->mark(std::exchange(turn, turn ^ 1));
  else if (status.ok())
    status = fetchOutputs(entry, host, context, logitsOnDevice);
  if (status.ok() && moreFollows && !hostReads)
    return {};
  // After an error too: nothing that has been started may outlive the call.
  Status waited = finish();
  return status.ok() ? waited : status;
}

} // namespace pith::runtime
