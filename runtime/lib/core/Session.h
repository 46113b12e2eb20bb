//===- Session.h - modules at work ------------------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_SESSION_H
#define PITH_RUNTIME_CORE_SESSION_H

#include "../cpu/Team.h"
#include "Buffer.h"
#include "Module.h"
#include "PagePool.h"
#include "Result.h"
#include "Sequence.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace pith::runtime {

/// One lane of a step, its options checked to be ones that the runtime can do.
struct LaneRequest {
  Sequence *sequence = nullptr;
  size_t module = 0; ///< index in the session
  const int32_t *tokens = nullptr;
  size_t count = 0;
  pith_rows rows = PITH_ROWS_NONE;
  const uint32_t *rowList = nullptr;
  size_t rowCount = 0;
  bool score = false;
  const float *embeddings = nullptr; ///< in place of tokens, which are null then
  const pith_tap *const *taps = nullptr;
  size_t tapCount = 0;
  bool readOnly = false; ///< the sequence stays as it is
};

struct StepRequest {
  std::vector<LaneRequest> lanes;
  uint32_t chunkRows = 0;
  int (*progress)(void *context, size_t done, size_t total) = nullptr;
  void *progressContext = nullptr;
};

/// How an entry is run on a device. Where more follows it may go on until `finish`, which must be called.
struct EntryUse {
  bool logitsOnDevice = false, moreFollows = false;
};

class DataRun;
class DeviceSession;
class StepRun;

/// All functions but `cancel` are called with `mutex` held.
class Session {
public:
  static Status create(std::vector<std::shared_ptr<const Module>> modules,
                       const pith_session_options &options, std::shared_ptr<Session> &session);

  std::mutex mutex;
  std::vector<std::shared_ptr<const Module>> modules;
  std::unique_ptr<DeviceSession> device; ///< null: the CPU; outlives the pages
  PagePool pool;
  std::shared_ptr<Team> team;
  size_t sequences = 0;
  pith_stats stats{};
  std::string explanation;
  bool deterministic = false;
  StepRequest request; ///< the C face's, kept for its memory

  /// The index of a module in this session; null stands for its only one with entries of that kind.
  Status findModule(const Module *module, pith_entry_kind kind, size_t &index) const;
  /// Pages of conditions are of kinds of their own, behind those of the modules.
  uint32_t conditionKind(size_t module) const { return uint32_t(modules.size() + module); }

  Status step(const StepRequest &request, Result *result);
  Status invoke(size_t module, size_t entry, const std::vector<pith_tensor> &inputs, Result &result);
  Status score(Sequence &sequence, size_t module, size_t from, size_t to, float *logprobs);
  Status catchUp(Sequence &sequence, size_t module, const int32_t *tokens, size_t count);
  /// Conditions the empty sequence on rows of the width that the module's entry takes.
  Status condition(Sequence &sequence, size_t module, const float *rows, size_t count);
  void trim();
  uint64_t workspaceBytes() const;
  /// "cpu", "cuda:0: NVIDIA H200, sm_90"
  std::string deviceName() const;
  /// What the device says of its memory; zeros where there is none.
  void deviceMemory(uint64_t &free, uint64_t &total) const;
  /// Memory of the host that results come to.
  Buffer makeBuffer() const;
  /// Gives a result its memory.
  void equip(Result &result) const;
  /// Brings rows of a result to the host.
  Status bring(Result &result, const uint32_t *rows, size_t count);
  /// A page where the host can read it: the page itself, or `copy`.
  Status readPage(const Page &page, uint64_t bytes, Buffer &copy, const uint8_t *&data);
  /// Where the host can write what is to go to the page: the page itself, or `copy`. `writePage` brings it
  /// there.
  Status pageToWrite(void *page, uint64_t bytes, Buffer &copy, void *&data);
  Status writePage(void *page, uint64_t bytes, const void *data);
  void cancel() noexcept;
  ~Session();

private:
  explicit Session(uint64_t pageLimit);

  /// The time in which `cancel` works; counts it, and remembers why it failed.
  class Call;
  friend class StepRun;
  bool cancelled() const { return state.load(std::memory_order_relaxed) == Cancelled; }
  Status runCondition(Condition &target, size_t module, const float *rows, size_t count);
  Status runInvoke(size_t module, size_t entry, const std::vector<pith_tensor> &inputs, Result &result);
  /// Runs an entry of kind STEP or CONDITION, whose data are on the host but for the pages (and the logits,
  /// if so).
  Status runEntry(size_t module, size_t entry, pith_exec_context &context, EntryUse use = {});
  Status finish();
  /// Asks the code for its workspace and runs it on the team.
  Status prepareCode(const pith_exec_entry &code, pith_exec_context &context, int64_t *outputDims,
                     DataRun *data = nullptr);
  Status runCode(const pith_exec_entry &code, const pith_exec_context &context, DataRun *data = nullptr);

  enum State { Idle, Running, Cancelled };
  std::atomic<int> state{Idle};
  Buffer workspace;
  Buffer inputCopies; // inputs that the caller has not aligned
  std::vector<int32_t> conditionPositions;
  std::unique_ptr<StepRun> stepRun; // kept for its memory
  Result scoreResult;
};

} // namespace pith::runtime

struct pith_session {
  std::shared_ptr<pith::runtime::Session> session;
};

/// Made and destroyed with the session's lock held.
struct pith_sequence {
  std::shared_ptr<pith::runtime::Session> session;
  size_t module = 0;
  pith::runtime::Sequence sequence;

  pith_sequence(std::shared_ptr<pith::runtime::Session> owner, size_t moduleIndex, const char *salt = nullptr)
      : session(std::move(owner)), module(moduleIndex),
        sequence(session->pool, uint32_t(module), session->conditionKind(module),
                 session->modules[module]->manifest().state.pageTokens) {
    const uint32_t pageTokens = session->modules[module]->manifest().state.pageTokens;
    // A text whose keys and values depend on a condition is no beginning of another one's.
    if (!session->modules[module]->conditionEntry())
      sequence.join(session->pool.prefixes.open(uint32_t(module), pageTokens, salt ? salt : ""));
    ++session->sequences;
  }
  pith_sequence(const pith_sequence &other, size_t at)
      : session(other.session), module(other.module), sequence(other.sequence, at) {
    if (pith::runtime::PrefixRoot *texts = other.sequence.texts())
      sequence.join(texts);
    ++session->sequences;
  }
  ~pith_sequence() { --session->sequences; }
};

#endif // PITH_RUNTIME_CORE_SESSION_H
