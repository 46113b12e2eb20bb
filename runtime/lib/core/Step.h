//===- Step.h - one transactional step --------------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A step prepares every lane's sequence (pages for the new tokens), runs the generated code in chunks of
// at most max_rows rows, and only then commits the tokens. The code writes to the cache behind each
// sequence's end only, so whatever happens before the commit leaves the sequences as they were.
//
// A chunk takes rows from the lanes in order, so the rows whose logits are wanted come out in the order
// of the result, and the code writes them to their place. Scored rows go through a scratch buffer: their
// logits are reduced to one number each and dropped.
//
// On a device the logits of wanted rows stay there, unless there are scores too or very many rows. What a
// chunk computes on the host with is waited for; else the next chunk is given to the device meanwhile.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_STEP_H
#define PITH_RUNTIME_CORE_STEP_H

#include "Session.h"
#include "Tap.h"

namespace pith::runtime {

class StepRun {
public:
  explicit StepRun(Session &owner) : session(owner), taps(owner.makeBuffer()), scratch(owner.makeBuffer()) {}
  Status run(const StepRequest &request, Result *result);
  uint64_t bytes() const { return scratch.size() + taps.bytes(); }
  void release() {
    scratch.release();
    taps.release();
  }

private:
  struct Lane {
    const LaneRequest *request;
    size_t past;   // tokens before the step
    size_t done;   // rows that chunks have taken
    size_t listed; // entries of the row list that chunks have taken
    size_t row;    // index of its next wanted row in the result
    size_t score;  // index of its next score in the result
    size_t tap;    // index of its first tap in the step
    size_t wanted() const;
    size_t scores() const { return request->score ? request->count - 1 : 0; }
  };
  /// A row whose logits the code computes.
  struct OutRow {
    const float *from;
    float *to;     // where the caller wants the logits; null: nowhere
    float *score;  // where the score goes; null: nowhere
    int32_t token; // scored token
  };

  Status check(const StepRequest &request);
  Status layOut(Result *result);
  Status runModule(size_t module, const StepRequest &request, Result *result);
  void gather(size_t module, size_t maxRows, Result *result);
  void gatherRow(Lane &lane, size_t index, Result *result);
  Status runChunk(size_t module, bool waits);
  static void reduce(void *self, uint32_t thread);

  Session &session;
  std::vector<Lane> lanes;
  size_t rowsTotal = 0, rowsDone = 0;
  uint64_t marks = 0;

  // The chunk.
  std::vector<int32_t> tokens, positions, outRowIndex;
  std::vector<pith_exec_lane> pieces;
  std::vector<pith_exec_lane> conditions; // one for each piece, where the module takes them
  std::vector<OutRow> outRows;
  std::vector<const float *> embeddingRows; // by row; empty when all are tokens
  TapRun taps;
  bool scoring = false;
  bool logitsOnDevice = false; // all of the step's
  size_t vocab = 0;
  Buffer scratch;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_STEP_H
