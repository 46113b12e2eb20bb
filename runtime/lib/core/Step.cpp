//===- Step.cpp - one transactional step ----------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Step.h"

namespace pith::runtime {
namespace {

/// Scratch logits of scored rows stay below this, unless a single row is larger.
constexpr size_t maxScratchBytes = size_t(64) << 20;

/// The sequences that a step has prepared; they roll back unless the step commits.
class Transaction {
public:
  explicit Transaction(const std::vector<LaneRequest> &requests) : lanes(requests) {}
  Status prepareAll() {
    for (; prepared < lanes.size(); ++prepared)
      if (const Status status = lanes[prepared].sequence->prepare(lanes[prepared].count); !status.ok())
        return failure(status.code(), "lane %zu: %s", prepared, status.message().c_str());
    return {};
  }
  void commit() noexcept {
    for (const LaneRequest &lane : lanes)
      if (lane.readOnly)
        lane.sequence->rollBack();
      else
        lane.sequence->commit(lane.tokens, lane.count);
    prepared = 0;
  }
  ~Transaction() {
    while (prepared > 0)
      lanes[--prepared].sequence->rollBack();
  }

private:
  const std::vector<LaneRequest> &lanes;
  size_t prepared = 0;
};

} // namespace

size_t StepRun::Lane::wanted() const {
  switch (request->rows) {
  case PITH_ROWS_LAST:
    return 1;
  case PITH_ROWS_ALL:
    return request->count;
  case PITH_ROWS_LIST:
    return request->rowCount;
  default:
    return 0;
  }
}

Status StepRun::check(const StepRequest &request) {
  ++marks;
  for (size_t i = 0; i < request.lanes.size(); ++i) {
    const LaneRequest &lane = request.lanes[i];
    const Module &module = *session.modules[lane.module];
    const uint32_t vocabulary = module.stepEntry()->vocab;
    const uint64_t limit = module.manifest().state.positions ? module.manifest().state.positions : INT32_MAX;
    const size_t past = lane.sequence->length();
    if (lane.sequence->stepMark == marks)
      return failure(PITH_ERROR_ARGUMENT, "lane %zu: its sequence has an earlier lane in this step", i);
    lane.sequence->stepMark = marks;
    if (!lane.count)
      return failure(PITH_ERROR_ARGUMENT, "lane %zu: no tokens, expected at least one", i);
    if (module.conditionEntry() && !lane.sequence->condition.rows())
      return failure(
          PITH_ERROR_ARGUMENT,
          "lane %zu: its sequence has no condition, which the model needs (pith_sequence_condition)", i);
    if (lane.count > limit || past > limit - lane.count)
      return failure(PITH_ERROR_LIMIT,
                     "lane %zu: %zu tokens after %zu exceed the %llu positions that the model has", i,
                     lane.count, past, (unsigned long long)limit);
    for (size_t j = 0; lane.tokens && j < lane.count; ++j)
      if (lane.tokens[j] < 0 || uint32_t(lane.tokens[j]) >= vocabulary)
        return failure(PITH_ERROR_ARGUMENT, "lane %zu: token %zu is %d, expected 0 to %u", i, j,
                       lane.tokens[j], vocabulary - 1);
    for (size_t j = 0; lane.rows == PITH_ROWS_LIST && j < lane.rowCount; ++j)
      if (lane.rowList[j] >= lane.count || (j && lane.rowList[j] <= lane.rowList[j - 1]))
        return failure(PITH_ERROR_ARGUMENT,
                       "lane %zu: row_list[%zu] is %u, expected ascending rows below %zu", i, j,
                       lane.rowList[j], lane.count);
  }
  return {};
}

/// Gives every wanted row and score its place in the result.
Status StepRun::layOut(Result *result) {
  size_t rows = 0, scores = 0, floats = 0, tapCount = 0;
  for (Lane &lane : lanes) {
    lane.row = rows;
    lane.score = scores;
    lane.tap = tapCount;
    tapCount += lane.request->tapCount;
    rows += lane.wanted();
    scores += lane.scores();
    floats += lane.wanted() * size_t(session.modules[lane.request->module]->stepEntry()->vocab);
  }
  if (!result) {
    if (rows || scores || tapCount)
      return failure(PITH_ERROR_ARGUMENT,
                     "result is null, but the lanes want %zu rows, %zu scores and %zu taps", rows, scores,
                     tapCount);
    return {};
  }
  logitsOnDevice = session.device && floats && !scores && floats * sizeof(float) <= Result::maxDeviceBytes;
  PITH_TRY(
      (logitsOnDevice ? result->deviceLogits : result->logits).reserve(floats * sizeof(float), "logits"));
  result->floats = floats;
  result->onDevice = logitsOnDevice;
  result->rows.resize(rows);
  result->scores.resize(scores);
  result->lanes.resize(lanes.size());
  // Module by module, the order in which the rows are computed.
  size_t next = 0;
  for (size_t module = 0; module < session.modules.size(); ++module)
    for (size_t i = 0; i < lanes.size(); ++i) {
      const Lane &lane = lanes[i];
      if (lane.request->module != module)
        continue;
      const uint32_t width = session.modules[module]->stepEntry()->vocab;
      result->lanes[i] = {lane.row,      lane.wanted(), lane.score,
                          lane.scores(), lane.tap,      lane.request->tapCount};
      for (size_t j = 0; j < lane.wanted(); ++j, next += width) {
        const size_t row = lane.request->rows == PITH_ROWS_LIST  ? lane.request->rowList[j]
                           : lane.request->rows == PITH_ROWS_ALL ? j
                                                                 : lane.request->count - 1;
        result->rows[lane.row + j] = {next, width, uint32_t(module), lane.past + row + 1, !logitsOnDevice};
      }
    }
  return {};
}

Status StepRun::run(const StepRequest &request, Result *result) {
  PITH_TRY(check(request));
  lanes.clear();
  rowsTotal = rowsDone = 0;
  for (const LaneRequest &lane : request.lanes) {
    lanes.push_back({&lane, lane.sequence->length(), 0, 0, 0, 0, 0});
    rowsTotal += lane.count;
  }
  PITH_TRY(layOut(result));
  taps.begin(request.lanes, result);
  Transaction transaction(request.lanes);
  PITH_TRY(transaction.prepareAll());
  Status status;
  for (size_t module = 0; status.ok() && module < session.modules.size(); ++module)
    status = runModule(module, request, result);
  Status waited = session.finish(); // after an error too: nothing may write to pages that are given back
  PITH_TRY(status);
  PITH_TRY(waited);
  taps.end();
  transaction.commit();
  return {};
}

Status StepRun::runModule(size_t module, const StepRequest &request, Result *result) {
  const Entry *entry = session.modules[module]->stepEntry();
  if (!entry)
    return {};
  vocab = entry->vocab;
  size_t maxRows = entry->maxRows;
  if (request.chunkRows)
    maxRows = std::min<size_t>(maxRows, request.chunkRows);
  bool scored = false;
  for (const Lane &lane : lanes)
    scored |= lane.request->score && lane.request->module == module;
  if (scored)
    maxRows = std::min(maxRows, std::max<size_t>(1, maxScratchBytes / (vocab * sizeof(float))));
  for (;;) {
    gather(module, maxRows, result);
    if (tokens.empty())
      return {};
    if (session.cancelled())
      return failure(PITH_ERROR_CANCELLED, "cancelled after %zu of %zu rows", rowsDone, rowsTotal);
    PITH_TRY(runChunk(module, request.progress || rowsDone + tokens.size() == rowsTotal));
    rowsDone += tokens.size();
    if (request.progress && request.progress(request.progressContext, rowsDone, rowsTotal) != 0)
      return failure(PITH_ERROR_CANCELLED, "cancelled by the progress callback after %zu of %zu rows",
                     rowsDone, rowsTotal);
  }
}

/// Fills the next chunk; no tokens when there is none.
void StepRun::gather(size_t module, size_t maxRows, Result *result) {
  tokens.clear();
  positions.clear();
  pieces.clear();
  conditions.clear();
  outRowIndex.clear();
  outRows.clear();
  embeddingRows.clear();
  taps.clearChunk();
  scoring = false;
  for (Lane &lane : lanes) {
    const LaneRequest &request = *lane.request;
    if (request.module != module || lane.done == request.count)
      continue;
    const size_t count = std::min(request.count - lane.done, maxRows - tokens.size());
    if (!count)
      return;
    const Sequence &sequence = *request.sequence;
    pieces.push_back({uint32_t(tokens.size()), uint32_t(count), uint32_t(lane.past + lane.done),
                      uint32_t(sequence.pageCount()), sequence.pageTable()});
    if (session.modules[module]->conditionEntry())
      conditions.push_back({0, 0, uint32_t(sequence.condition.rows()),
                            uint32_t(sequence.condition.pageCount()), sequence.condition.pageTable()});
    for (size_t i = 0; i < count; ++i, ++lane.done)
      gatherRow(lane, lane.done, result);
  }
}

void StepRun::gatherRow(Lane &lane, size_t index, Result *result) {
  const LaneRequest &request = *lane.request;
  bool wanted =
      request.rows == PITH_ROWS_ALL || (request.rows == PITH_ROWS_LAST && index + 1 == request.count);
  if (request.rows == PITH_ROWS_LIST && lane.listed < request.rowCount &&
      request.rowList[lane.listed] == index) {
    ++lane.listed;
    wanted = true;
  }
  const bool scored = request.score && index + 1 < request.count;
  if (wanted || scored) {
    outRowIndex.push_back(int32_t(tokens.size()));
    OutRow row = {nullptr, nullptr, nullptr, 0};
    if (wanted) {
      const Result::Row &place = result->rows[lane.row++];
      row.to = logitsOnDevice ? result->deviceRow(place) : result->hostRow(place);
    }
    if (scored) {
      row.score = &result->scores[lane.score++];
      row.token = request.tokens[index + 1];
      scoring = true;
    }
    outRows.push_back(row);
  }
  if (request.tapCount)
    taps.want(lane.tap, request, index, int32_t(tokens.size()));
  if (request.embeddings) {
    const size_t width = session.modules[request.module]->stepEntry()->embeddingRow;
    embeddingRows.resize(tokens.size()); // null for tokens
    embeddingRows.push_back(request.embeddings + index * width);
  }
  tokens.push_back(request.tokens ? request.tokens[index] : 0);
  positions.push_back(int32_t(lane.past + index));
}

Status StepRun::runChunk(size_t index, bool waits) {
  const Module &module = *session.modules[index];
  pith_exec_context context{};
  context.weights = module.weights();
  context.rows = uint32_t(tokens.size());
  context.lanes = uint32_t(pieces.size());
  context.out_rows = uint32_t(outRows.size());
  context.tokens = tokens.data();
  context.positions = positions.data();
  context.lane = pieces.data();
  context.conditions = conditions.empty() ? nullptr : conditions.data();
  context.out_row_index = outRowIndex.data();
  if (scoring) {
    PITH_TRY(scratch.reserve(outRows.size() * vocab * sizeof(float), "scored rows"));
    context.logits = reinterpret_cast<float *>(scratch.data());
  } else if (!outRows.empty()) {
    context.logits = outRows.front().to; // the others follow it
  }
  if (!embeddingRows.empty()) {
    embeddingRows.resize(tokens.size());
    context.embedding_rows = embeddingRows.data();
  }
  PITH_TRY(taps.bind(module.stepEntry()->taps, context));
  EntryUse use;
  use.logitsOnDevice = logitsOnDevice;
  use.moreFollows = !waits;
  PITH_TRY(session.runEntry(index, size_t(module.manifest().stepEntry), context, use));
  session.stats.rows += tokens.size();
  taps.reduce();
  if (!scoring)
    return {};
  for (size_t i = 0; i < outRows.size(); ++i)
    outRows[i].from = context.logits + i * vocab;
  if (!session.team->run(reduce, this))
    return failure(PITH_ERROR_EXECUTION, "the application's executor refused to run");
  return {};
}

void StepRun::reduce(void *pointer, uint32_t thread) {
  StepRun &self = *static_cast<StepRun *>(pointer);
  for (size_t i = thread; i < self.outRows.size(); i += self.session.team->threads()) {
    const OutRow &row = self.outRows[i];
    if (row.to)
      std::memcpy(row.to, row.from, self.vocab * sizeof(float));
    if (row.score)
      *row.score = float(double(row.from[row.token]) - examineRow(row.from, self.vocab).logSum);
  }
}

} // namespace pith::runtime
