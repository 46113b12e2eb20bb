//===- Shadow.cpp - what happened to each byte of shared memory ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Shadow.h"

#include <algorithm>

namespace pith::runtime::emulator {

void Shadow::begin(uint32_t bytes, uint32_t threadsPerWarp) {
  warpShift = threadsPerWarp == 64 ? 6 : 5;
  size = bytes;
  if (writers.size() < bytes)
    for (std::vector<uint32_t> *stamps : {&writers, &readers, &otherReaders})
      stamps->resize(bytes, 0);
  if (clock > limit / 2) {
    for (std::vector<uint32_t> *stamps : {&writers, &readers, &otherReaders})
      std::fill(stamps->begin(), stamps->end(), 0);
    clock = 1;
  }
  // What a block left pending is nothing to the next.
  for (uint32_t i = 0; i < bytes; ++i)
    writers[i] = writers[i] == pending ? 0 : writers[i];
  start = ++clock;
}

uint32_t Shadow::tick() { return ++clock; }

void Shadow::rebase() {
  // Which bytes were written stays known; who did it is long seen by all.
  for (uint32_t i = 0; i < size; ++i)
    if (writers[i] != pending)
      writers[i] = writers[i] >> agentBits >= start ? 2u << agentBits | Nobody : 0;
  std::fill(readers.begin(), readers.end(), 0);
  std::fill(otherReaders.begin(), otherReaders.end(), 0);
  start = 2;
  clock = 3;
}

Finding Shadow::read(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view) {
  const uint32_t mine = stamp(agent), group = groupOf(agent);
  uint32_t checked = 0;
  for (uint32_t i = offset; i < offset + bytes; ++i) {
    const uint32_t writer = writers[i];
    if (writer != checked) {
      if (writer == pending)
        return {Finding::Pending, i, 0};
      if (writer >> agentBits < start)
        return {Finding::Uninitialized, i, 0};
      if (!ordered(writer, agent, view))
        return {Finding::RaceWithWrite, i, writer & agentMask};
      checked = writer;
    } else if (!checked) {
      return {Finding::Uninitialized, i, 0};
    }
    if (groupOf(readers[i] & agentMask) != group)
      otherReaders[i] = readers[i];
    readers[i] = mine;
  }
  return {};
}

Finding Shadow::checkWrite(uint32_t byte, uint32_t agent, const View &view) const {
  if (writers[byte] == pending)
    return {Finding::Pending, byte, 0};
  if (!ordered(writers[byte], agent, view))
    return {Finding::RaceWithWrite, byte, writers[byte] & agentMask};
  for (const uint32_t reader : {readers[byte], otherReaders[byte]})
    if (!ordered(reader, agent, view))
      return {Finding::RaceWithRead, byte, reader & agentMask};
  return {};
}

Finding Shadow::write(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view) {
  const uint32_t mine = stamp(agent);
  for (uint32_t i = offset; i < offset + bytes; ++i) {
    if (const Finding finding = checkWrite(i, agent, view); finding.kind != Finding::Fine)
      return finding;
    writers[i] = mine;
  }
  return {};
}

Finding Shadow::atomic(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view) {
  for (uint32_t i = offset; i < offset + bytes; ++i) {
    if (writers[i] != pending && writers[i] >> agentBits < start)
      return {Finding::Uninitialized, i, 0};
    const bool afterAtomic = writers[i] != pending && (writers[i] & agentMask) == AtomicUnit;
    if (!afterAtomic)
      if (const Finding finding = checkWrite(i, agent, view); finding.kind != Finding::Fine)
        return finding;
    writers[i] = stamp(AtomicUnit);
  }
  return {};
}

Finding Shadow::markPending(uint32_t offset, uint32_t bytes, uint32_t agent, const View &view) {
  for (uint32_t i = offset; i < offset + bytes; ++i) {
    if (const Finding finding = checkWrite(i, agent, view); finding.kind != Finding::Fine)
      return finding;
    writers[i] = pending;
  }
  return {};
}

void Shadow::landed(uint32_t offset, uint32_t bytes, uint32_t agent) {
  std::fill_n(writers.begin() + offset, bytes, stamp(agent));
}

} // namespace pith::runtime::emulator
