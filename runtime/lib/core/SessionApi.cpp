//===- SessionApi.cpp - the C face of sessions and threads ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"

#include <cstdio>

using namespace pith::runtime;

extern "C" {

pith_status pith_thread_pool_new(uint32_t threads, pith_thread_pool **pool, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(pool);
    auto made = std::make_unique<pith_thread_pool>();
    PITH_TRY(Team::create(threads, 0, made->team));
    *pool = made.release();
    return {};
  });
}

void pith_thread_pool_free(pith_thread_pool *pool) { delete pool; }

uint32_t pith_thread_pool_threads(const pith_thread_pool *pool) { return pool ? pool->team->threads() : 0; }

pith_status pith_session_new(pith_module *const *modules, size_t count, const pith_session_options *options,
                             pith_session **session, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(modules);
    PITH_REQUIRE(session);
    if (!count)
      return failure(PITH_ERROR_ARGUMENT, "no modules, expected at least one");
    pith_session_options value;
    PITH_TRY(readStruct(options, "options", value));
    std::vector<std::shared_ptr<const Module>> list;
    for (size_t i = 0; i < count; ++i) {
      if (!modules[i])
        return failure(PITH_ERROR_ARGUMENT, "modules[%zu] is null", i);
      list.push_back(modules[i]->module);
    }
    auto made = std::make_unique<pith_session>();
    PITH_TRY(Session::create(std::move(list), value, made->session));
    *session = made.release();
    return {};
  });
}

void pith_session_free(pith_session *session) { delete session; }

void pith_session_cancel(pith_session *session) {
  if (session)
    session->session->cancel();
}

pith_status pith_session_memory(pith_session *handle, pith_memory *memory, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(handle);
    PITH_REQUIRE(memory);
    Session &session = *handle->session;
    const std::lock_guard<std::mutex> lock(session.mutex);
    pith_memory value = PITH_INIT(pith_memory);
    for (const std::shared_ptr<const Module> &module : session.modules)
      value.weights_bytes += module->weightsSize();
    const PagePool::Counts counts = session.pool.counts();
    value.page_bytes_used = counts.bytesUsed;
    value.page_bytes_free = counts.bytesFree;
    value.page_limit_bytes = session.pool.limitBytes();
    value.pages_used = counts.used;
    value.pages_shared = counts.shared;
    value.workspace_bytes = session.workspaceBytes();
    value.sequences = session.sequences;
    value.page_bytes_cached = counts.bytesCached;
    value.pages_cached = counts.cached;
    value.pages_pinned = counts.pinned;
    session.deviceMemory(value.device_bytes_free, value.device_bytes_total);
    return writeStruct(value, "memory", memory);
  });
}

pith_status pith_session_trim(pith_session *handle, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(handle);
    const std::lock_guard<std::mutex> lock(handle->session->mutex);
    handle->session->trim();
    return {};
  });
}

pith_status pith_session_stats(pith_session *handle, pith_stats *stats, pith_error *error) {
  return guarded(error, [&]() -> Status {
    PITH_REQUIRE(handle);
    PITH_REQUIRE(stats);
    Session &session = *handle->session;
    const std::lock_guard<std::mutex> lock(session.mutex);
    pith_stats value = session.stats;
    value.struct_size = sizeof value;
    value.threads = session.team->threads();
    const PagePool::Counts counts = session.pool.counts();
    value.pages_allocated = counts.allocated;
    value.pages_recycled = counts.recycled;
    value.pages_copied = counts.copied;
    value.pages_evicted = counts.evicted;
    return writeStruct(value, "stats", stats);
  });
}

size_t pith_session_device(pith_session *handle, char *buffer, size_t capacity) {
  if (!handle)
    return 0;
  try {
    const std::string text = handle->session->deviceName();
    if (buffer && capacity)
      std::snprintf(buffer, capacity, "%s", text.c_str());
    return text.size();
  } catch (...) {
    return 0;
  }
}

size_t pith_session_explain(pith_session *handle, char *buffer, size_t capacity) {
  if (!handle)
    return 0;
  Session &session = *handle->session;
  const std::lock_guard<std::mutex> lock(session.mutex);
  if (buffer && capacity)
    std::snprintf(buffer, capacity, "%s", session.explanation.c_str());
  return session.explanation.size();
}

} // extern "C"
