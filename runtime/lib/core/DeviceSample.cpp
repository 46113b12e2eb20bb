//===- DeviceSample.cpp - tokens drawn on a device ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DeviceSession.h"

#include <cstring>

namespace pith::runtime {

/// Draws go up in one copy, tokens come down in one; both lie in the block that steps use too.
Status DeviceSession::sample(size_t module, const pith_exec_entry &code, const float *logits, bool greedy,
                             const std::vector<pith_exec_draw> &draws, std::vector<int32_t> &tokens) {
  const uint64_t drawBytes = draws.size() * sizeof(pith_exec_draw);
  const uint64_t tokensAt = (drawBytes + 63) & ~UINT64_C(63), tokenBytes = draws.size() * sizeof(int32_t);
  tokens.resize(draws.size());
  PITH_TRY(reserveBlock(tokensAt + tokenBytes));
  std::memcpy(staging[turn].data(), draws.data(), drawBytes);
  pith_exec_context context{};
  context.struct_size = sizeof context;
  context.flags = greedy ? uint32_t(PITH_EXEC_GREEDY) : 0;
  context.weights = weights(module);
  context.out_rows = uint32_t(draws.size());
  context.logits = const_cast<float *>(logits); // which the entry only reads
  context.draws = reinterpret_cast<const pith_exec_draw *>(block.data());
  context.drawn = reinterpret_cast<int32_t *>(block.data() + tokensAt);
  const uint64_t place = uintptr_t(logits);
  shape.assign(
      {uint32_t(module), code.kind, context.out_rows, context.flags, uint32_t(place), uint32_t(place >> 32)});
  underWay = true;
  Status status = runLaunches(module, code, context, drawBytes);
  if (status.ok())
    status = stream->download(staging[turn].data() + tokensAt, context.drawn, tokenBytes);
  Status waited = finish();
  PITH_TRY(status);
  PITH_TRY(waited);
  std::memcpy(tokens.data(), staging[turn].data() + tokensAt, tokenBytes);
  return {};
}

Status DeviceSession::uploadRows(const std::vector<const float *> &rows, uint32_t vocab,
                                 const float *&logits) {
  const uint64_t bytes = uint64_t(vocab) * sizeof(float);
  PITH_TRY(reserve(outputs, rows.size() * bytes, "logits to draw from"));
  underWay = true;
  for (size_t i = 0; i < rows.size(); ++i)
    PITH_TRY(stream->upload(outputs.data() + i * bytes, rows[i], bytes));
  logits = reinterpret_cast<const float *>(outputs.data());
  return {};
}

} // namespace pith::runtime
