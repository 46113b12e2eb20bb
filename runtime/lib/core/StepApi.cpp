//===- StepApi.cpp - the C face of step and invoke --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"
#include "Tap.h"

using namespace pith::runtime;

namespace {

/// What a lane asks for that its module cannot do.
Status checkFeatures(const pith_lane &lane, const Module &module, size_t index) {
  const struct {
    bool wanted;
    pith_capability capability;
    const char *name;
  } features[] = {{lane.embeddings != nullptr, PITH_CAN_EMBEDDING_ROWS, "embeddings"},
                  {lane.adapter != nullptr, PITH_CAN_ADAPT, "adapter"},
                  {lane.gate != nullptr, PITH_CAN_GATE, "gate"},
                  {lane.tap_count > 0, PITH_CAN_TAP, "taps"},
                  {lane.kv_mode == PITH_KV_WRITE_FOR_LANE, PITH_CAN_KV_MODES, "kv_mode"}};
  for (const auto &feature : features) {
    const char *reason = "";
    if (feature.wanted && !module.supports(feature.capability, &reason))
      return failure(PITH_ERROR_UNSUPPORTED, "lane %zu: %s: %s", index, feature.name, reason);
  }
  if (lane.flags & ~uint32_t(PITH_LANE_SCORE))
    return failure(PITH_ERROR_UNSUPPORTED, "lane %zu: flags 0x%x are not known", index, lane.flags);
  if (lane.kv_mode > PITH_KV_WRITE_FOR_LANE)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: kv_mode is %u, expected 0 to %d", index, lane.kv_mode,
                   PITH_KV_WRITE_FOR_LANE);
  return {};
}

Status checkInputs(const pith_lane &lane, const Module &module, size_t index) {
  if (lane.rows > PITH_ROWS_LIST)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: rows is %u, expected 0 to %d", index, lane.rows,
                   PITH_ROWS_LIST);
  if (lane.token_count && !lane.tokens && !lane.embeddings)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: tokens is null", index);
  if (lane.tokens && lane.embeddings)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: both tokens and embeddings are given, expected one of them",
                   index);
  if (lane.embeddings && (lane.flags & PITH_LANE_SCORE))
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: embedding rows are no tokens that could be scored", index);
  if (lane.rows == PITH_ROWS_LIST && lane.row_count && !lane.row_list)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: row_list is null", index);
  if (lane.tap_count && !lane.taps)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: taps is null", index);
  for (size_t i = 0; i < lane.tap_count; ++i) {
    if (!lane.taps[i])
      return failure(PITH_ERROR_ARGUMENT, "lane %zu: taps[%zu] is null", index, i);
    if (lane.taps[i]->module.get() != &module)
      return failure(PITH_ERROR_ARGUMENT, "lane %zu: taps[%zu] is of another module", index, i);
  }
  return {};
}

Status readLane(const Session &session, const pith_lane &lane, size_t index, LaneRequest &request) {
  if (!lane.sequence)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: sequence is null", index);
  if (lane.sequence->session.get() != &session)
    return failure(PITH_ERROR_ARGUMENT, "lane %zu: its sequence belongs to another session", index);
  const Module &module = *session.modules[lane.sequence->module];
  PITH_TRY(checkFeatures(lane, module, index));
  PITH_TRY(checkInputs(lane, module, index));
  request.sequence = &lane.sequence->sequence;
  request.module = lane.sequence->module;
  request.tokens = lane.tokens;
  request.count = lane.token_count;
  request.rows = lane.rows;
  request.rowList = lane.row_list;
  request.rowCount = lane.row_count;
  request.score = lane.flags & PITH_LANE_SCORE;
  request.embeddings = lane.embeddings;
  request.taps = lane.taps;
  request.tapCount = lane.tap_count;
  request.readOnly = lane.kv_mode == PITH_KV_READ_ONLY;
  return {};
}

Status readLanes(const Session &session, const pith_lane *lanes, size_t count, StepRequest &request) {
  request.lanes.resize(count);
  const size_t stride = count ? lanes->struct_size : 0;
  for (size_t i = 0; i < count; ++i) {
    const auto *bytes = reinterpret_cast<const unsigned char *>(lanes) + i * stride;
    pith_lane lane;
    PITH_TRY(readStruct(reinterpret_cast<const pith_lane *>(bytes), "lane", lane, stride));
    PITH_TRY(readLane(session, lane, i, request.lanes[i]));
  }
  return {};
}

} // namespace

extern "C" {

pith_status pith_step(pith_session *handle, const pith_lane *lanes, size_t lane_count,
                      const pith_step_options *options, pith_result *result, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(handle);
    if (lane_count)
      PITH_REQUIRE(lanes);
    pith_step_options value;
    PITH_TRY(readStruct(options, "options", value));
    Session &session = *handle->session;
    const std::lock_guard<std::mutex> lock(session.mutex);
    if (result)
      result->result.clear();
    StepRequest &request = session.request;
    PITH_TRY(readLanes(session, lanes, lane_count, request));
    request.chunkRows = value.chunk_rows;
    request.progress = value.progress;
    request.progressContext = value.progress_context;
    return session.step(request, result ? &result->result : nullptr);
  });
}

pith_status pith_invoke(pith_session *handle, pith_module *module, const char *entry,
                        const pith_tensor *inputs, size_t input_count, pith_result *result,
                        pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(handle);
    PITH_REQUIRE(result);
    if (input_count)
      PITH_REQUIRE(inputs);
    Session &session = *handle->session;
    const std::lock_guard<std::mutex> lock(session.mutex);
    result->result.clear();
    size_t moduleIndex = 0, entryIndex = 0;
    PITH_TRY(session.findModule(module ? module->module.get() : nullptr, PITH_ENTRY_INVOKE, moduleIndex));
    const Module &found = *session.modules[moduleIndex];
    const std::vector<Entry> &entries = found.manifest().entries;
    if (entry) {
      PITH_TRY(found.findEntry(entry, entryIndex));
      if (entries[entryIndex].kind != PITH_ENTRY_INVOKE)
        return failure(PITH_ERROR_ARGUMENT, "entry %s is for pith_step, not for pith_invoke",
                       quoteName(entry).c_str());
    } else {
      size_t count = 0;
      for (size_t i = 0; i < entries.size(); ++i)
        if (entries[i].kind == PITH_ENTRY_INVOKE && count++ == 0)
          entryIndex = i;
      if (count > 1)
        return failure(PITH_ERROR_ARGUMENT, "entry is null, but the module has %zu entries to invoke", count);
    }
    std::vector<pith_tensor> tensors(input_count);
    const size_t stride = input_count ? inputs->struct_size : 0;
    for (size_t i = 0; i < input_count; ++i) {
      const auto *bytes = reinterpret_cast<const unsigned char *>(inputs) + i * stride;
      PITH_TRY(readStruct(reinterpret_cast<const pith_tensor *>(bytes), "input", tensors[i], stride));
    }
    return session.invoke(moduleIndex, entryIndex, tensors, result->result);
  });
}

} // extern "C"
