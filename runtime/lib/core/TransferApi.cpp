//===- TransferApi.cpp - sequences to and from streams --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// header | tokens, padded to 8 bytes | pages that hold them, whole | pages of the condition | checksum of all
// before it
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"

#include <algorithm>

using namespace pith::runtime;

namespace {

constexpr char stateMagic[8] = {'P', 'I', 'T', 'H', 'S', 'T', 'A', 'T'};
/// Version 1 has no condition.
constexpr uint32_t stateVersion = 2;

struct StateHeader {
  char magic[8];
  uint32_t version;
  uint32_t headerSize;
  uint64_t model; ///< Module::identity: layout and values of a cache mean something to the same file only
  uint64_t tokens;
  uint32_t pageTokens;
  uint32_t conditionRows; ///< 0 in version 1
  uint64_t pageBytes;
};

/// The stream, with a checksum over what went through. Every piece but the last is a multiple of 8 bytes.
class Writer {
public:
  Writer(pith_write_callback callback, void *userContext) : write(callback), context(userContext) {}
  Status put(const void *data, size_t size) {
    checksum = pith_file_checksum(checksum, data, size);
    if (write(context, data, size) != 0)
      return failure(PITH_ERROR_EXECUTION, "the application's writer failed");
    return {};
  }
  uint64_t checksum = PITH_FILE_CHECKSUM_SEED;

private:
  pith_write_callback write;
  void *context;
};

class Reader {
public:
  Reader(pith_read_callback callback, void *userContext) : read(callback), context(userContext) {}
  Status get(void *data, size_t size) {
    if (read(context, data, size) != 0)
      return failure(PITH_ERROR_EXECUTION, "the application's reader failed (or the stream ended early)");
    checksum = pith_file_checksum(checksum, data, size);
    return {};
  }
  uint64_t checksum = PITH_FILE_CHECKSUM_SEED;

private:
  pith_read_callback read;
  void *context;
};

StateHeader makeHeader(const Module &module, uint64_t tokens) {
  StateHeader header{};
  std::memcpy(header.magic, stateMagic, sizeof stateMagic);
  header.version = stateVersion;
  header.headerSize = sizeof header;
  header.model = module.identity();
  header.tokens = tokens;
  header.pageTokens = module.manifest().state.pageTokens;
  header.pageBytes = module.manifest().state.pageBytes;
  return header;
}

Status checkHeader(const StateHeader &header, const StateHeader &expected, uint64_t positions) {
  if (std::memcmp(header.magic, stateMagic, sizeof stateMagic) != 0)
    return failure(PITH_ERROR_FORMAT, "the stream is no exported sequence");
  if (header.version < 1 || header.version > stateVersion || header.headerSize != sizeof header)
    return failure(PITH_ERROR_VERSION,
                   "an exported sequence of version %u, this runtime reads versions 1 to %u", header.version,
                   stateVersion);
  if (header.model != expected.model || header.pageTokens != expected.pageTokens ||
      header.pageBytes != expected.pageBytes)
    return failure(PITH_ERROR_MISMATCH,
                   "the sequence was exported by another model (%016llx, this one is %016llx)",
                   (unsigned long long)header.model, (unsigned long long)expected.model);
  if (header.tokens > positions)
    return failure(PITH_ERROR_FORMAT, "an exported sequence of %llu tokens, the model has %llu positions",
                   (unsigned long long)header.tokens, (unsigned long long)positions);
  return {};
}

Status exportSequence(const pith_sequence &from, size_t upto, pith_write_callback write, void *context) {
  const Module &module = *from.session->modules[from.module];
  const Condition &condition = from.sequence.condition;
  StateHeader header = makeHeader(module, upto);
  header.conditionRows = uint32_t(condition.rows());
  Writer writer(write, context);
  PITH_TRY(writer.put(&header, sizeof header));
  const std::vector<int32_t> &log = from.sequence.tokens();
  std::vector<int32_t> tokens(log.begin(), log.begin() + upto);
  tokens.resize((upto + 1) / 2 * 2); // to a multiple of 8 bytes
  if (!tokens.empty())
    PITH_TRY(writer.put(tokens.data(), tokens.size() * sizeof tokens[0]));
  Buffer copy = from.session->makeBuffer();
  const auto putPage = [&](const Page &page, uint64_t bytes) -> Status {
    const uint8_t *data = nullptr;
    PITH_TRY(from.session->readPage(page, bytes, copy, data));
    return writer.put(data, bytes);
  };
  for (size_t i = 0; i * header.pageTokens < upto; ++i)
    PITH_TRY(putPage(from.sequence.page(i), header.pageBytes));
  for (size_t i = 0; i < condition.pageCount(); ++i)
    PITH_TRY(putPage(condition.page(i), module.manifest().state.conditionPageBytes));
  const uint64_t checksum = writer.checksum;
  return writer.put(&checksum, sizeof checksum);
}

Status checkCondition(const StateHeader &header, const Module &module) {
  const bool takesOne = module.conditionEntry();
  if (header.conditionRows && (header.version < 2 || !takesOne))
    return failure(PITH_ERROR_FORMAT,
                   "an exported sequence with a condition of %u rows, which the model takes not",
                   header.conditionRows);
  if (header.conditionRows > INT32_MAX)
    return failure(PITH_ERROR_FORMAT, "an exported condition of %u rows, expected at most %d",
                   header.conditionRows, INT32_MAX);
  if (takesOne && header.tokens && !header.conditionRows)
    return failure(PITH_ERROR_FORMAT,
                   "an exported sequence of %llu tokens without the condition that the model needs",
                   (unsigned long long)header.tokens);
  return {};
}

Status importSequence(pith_sequence &to, pith_read_callback read, void *context) {
  const Module &module = *to.session->modules[to.module];
  const uint64_t positions = module.manifest().state.positions;
  Reader reader(read, context);
  StateHeader header;
  PITH_TRY(reader.get(&header, sizeof header));
  PITH_TRY(checkHeader(header, makeHeader(module, 0), positions ? positions : INT32_MAX));
  PITH_TRY(checkCondition(header, module));
  std::vector<int32_t> tokens((header.tokens + 1) / 2 * 2);
  if (!tokens.empty())
    PITH_TRY(reader.get(tokens.data(), tokens.size() * sizeof tokens[0]));
  tokens.resize(header.tokens);
  const uint32_t vocab = module.stepEntry()->vocab;
  for (const int32_t token : tokens)
    if (token != embeddingRow && (token < 0 || uint32_t(token) >= vocab))
      return failure(PITH_ERROR_FORMAT, "an exported token is %d, expected 0 to %u", token, vocab - 1);
  PITH_TRY(to.sequence.prepare(tokens.size()));
  Buffer copy = to.session->makeBuffer();
  const auto getPage = [&](void *page, uint64_t bytes) -> Status {
    void *data = nullptr;
    PITH_TRY(to.session->pageToWrite(page, bytes, copy, data));
    PITH_TRY(reader.get(data, bytes));
    return to.session->writePage(page, bytes, data);
  };
  Status status;
  for (size_t i = 0; i < to.sequence.pageCount() && status.ok(); ++i)
    status = getPage(to.sequence.pageTable()[i], header.pageBytes);
  Condition condition(to.session->pool, to.session->conditionKind(to.module), header.pageTokens);
  // Page by page: a number of rows that is not true ends with the stream, not with the memory.
  while (condition.rows() < header.conditionRows && status.ok()) {
    status = condition.take(std::min<size_t>(header.conditionRows, condition.rows() + header.pageTokens));
    if (status.ok())
      status = getPage(condition.pageTable()[condition.pageCount() - 1],
                       module.manifest().state.conditionPageBytes);
  }
  const uint64_t expected = reader.checksum;
  uint64_t found = 0;
  if (status.ok())
    status = reader.get(&found, sizeof found);
  if (status.ok() && found != expected)
    status = failure(PITH_ERROR_FORMAT, "the exported sequence is damaged (its checksum differs)");
  if (status.ok()) {
    to.sequence.commit(tokens.data(), tokens.size());
    to.sequence.condition.swap(condition);
  } else {
    to.sequence.rollBack();
  }
  return status;
}

} // namespace

extern "C" {

pith_status pith_sequence_export(pith_sequence *sequence, size_t upto, pith_write_callback write,
                                 void *context, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(sequence);
    PITH_REQUIRE(write);
    const std::lock_guard<std::mutex> lock(sequence->session->mutex);
    if (upto > sequence->sequence.length())
      return failure(PITH_ERROR_ARGUMENT, "export of %zu tokens of a sequence of %zu", upto,
                     sequence->sequence.length());
    return exportSequence(*sequence, upto, write, context);
  });
}

pith_status pith_sequence_import(pith_session *session, pith_module *module, pith_read_callback read,
                                 void *context, pith_sequence **sequence, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(session);
    PITH_REQUIRE(read);
    PITH_REQUIRE(sequence);
    const std::shared_ptr<Session> owner = session->session;
    const std::lock_guard<std::mutex> lock(owner->mutex);
    size_t index = 0;
    PITH_TRY(owner->findModule(module ? module->module.get() : nullptr, PITH_ENTRY_STEP, index));
    auto made = std::make_unique<pith_sequence>(owner, index);
    PITH_TRY(importSequence(*made, read, context));
    *sequence = made.release();
    return {};
  });
}

} // extern "C"
