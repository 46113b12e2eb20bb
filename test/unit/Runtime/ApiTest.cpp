//===- ApiTest.cpp - conventions of the C face ----------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestFile.h"

#include <cstddef>

using namespace pith::test;

extern "C" pith_status pith_header_test(void);

namespace {

TEST(ApiTest, Versions) {
  EXPECT_EQ(pith_version(), uint32_t(PITH_VERSION));
  EXPECT_STREQ(pith_version_string(), "0.1.0");
  EXPECT_STREQ(pith_status_name(PITH_ERROR_SHAPE), "PITH_ERROR_SHAPE");
  EXPECT_STREQ(pith_status_name(-5), "unknown status");
  EXPECT_EQ(pith_header_test(), PITH_ERROR_IO);
  EXPECT_EQ(pith_type_size(PITH_BF16), 2u);
  EXPECT_EQ(pith_type_size(77), 0u);
  EXPECT_EQ(pith_type_size(PITH_U4), 0u);
  EXPECT_EQ(pith_type_bits(PITH_U4), 4u);
  EXPECT_EQ(pith_type_bits(PITH_BF16), 16u);
  EXPECT_EQ(pith_type_bits(77), 0u);
  EXPECT_STREQ(pith_type_name(PITH_F4E2M1), "f4e2m1");
  EXPECT_STREQ(pith_type_name(PITH_BOOL), "bool");
  EXPECT_STREQ(pith_type_name(77), "?");
  char small[4];
  const size_t length = pith_cpu_features(small, sizeof small);
  EXPECT_EQ(std::strlen(small), 3u);
  EXPECT_EQ(pith_cpu_features(nullptr, 0), length);
}

TEST(ApiTest, NullArguments) {
  const ModulePtr module = loadFake();
  const SessionPtr session = makeSession(module);
  const SequencePtr sequence = makeSequence(session);
  const ResultPtr result = makeResult(session);
  pith_module *aModule = nullptr;
  pith_session *aSession = nullptr;
  pith_sequence *aSequence = nullptr;
  pith_result *aResult = nullptr;
  size_t size = 0;
  float number = 0;
  int32_t token = 0;
  pith_module *none[] = {nullptr};
#define NULLS(call, words) EXPECT_PITH_ERROR(call, PITH_ERROR_ARGUMENT, words)
  NULLS(pith_module_load(nullptr, nullptr, &aModule, &error), "path is null");
  NULLS(pith_module_load("x", nullptr, nullptr, &error), "module is null");
  NULLS(pith_module_load_embedded(nullptr, nullptr, &aModule, &error), "model is null");
  NULLS(pith_module_link(nullptr, nullptr, 0, "", 0, &aModule, &error), "table is null");
  NULLS(pith_module_entry(nullptr, 0, nullptr, &error), "module is null");
  NULLS(pith_module_entry(module.get(), 0, nullptr, &error), "info is null");
  NULLS(pith_module_find_entry(module.get(), nullptr, &size, &error), "name is null");
  NULLS(pith_module_input(module.get(), 0, 0, nullptr, &error), "info is null");
  NULLS(pith_module_output(nullptr, 0, 0, nullptr, &error), "module is null");
  NULLS(pith_module_step_info(module.get(), nullptr, &error), "info is null");
  NULLS(pith_thread_pool_new(1, nullptr, &error), "pool is null");
  NULLS(pith_session_new(nullptr, 1, nullptr, &aSession, &error), "modules is null");
  NULLS(pith_session_new(none, 1, nullptr, &aSession, &error), "modules[0] is null");
  NULLS(pith_session_new(none, 0, nullptr, &aSession, &error), "no modules");
  NULLS(pith_session_memory(session.get(), nullptr, &error), "memory is null");
  NULLS(pith_session_stats(nullptr, nullptr, &error), "handle is null");
  NULLS(pith_session_trim(nullptr, &error), "handle is null");
  NULLS(pith_sequence_new(nullptr, nullptr, nullptr, &aSequence, &error), "session is null");
  NULLS(pith_sequence_new(session.get(), nullptr, nullptr, nullptr, &error), "sequence is null");
  NULLS(pith_sequence_fork(nullptr, 0, 1, &aSequence, &error), "sequence is null");
  NULLS(pith_sequence_fork(sequence.get(), 0, 1, nullptr, &error), "out is null");
  NULLS(pith_sequence_truncate(nullptr, 0, &error), "sequence is null");
  NULLS(pith_sequence_reserve(nullptr, 0, &error), "sequence is null");
  NULLS(pith_sequence_catch_up(sequence.get(), nullptr, 1, &error), "tokens is null");
  NULLS(pith_sequence_score(nullptr, 1, 1, &number, &error), "sequence is null");
  NULLS(pith_sequence_match(nullptr, nullptr, 0, &size, &error), "sequence is null");
  NULLS(pith_sequence_match(sequence.get(), nullptr, 1, &size, &error), "tokens is null");
  NULLS(pith_sequence_match(sequence.get(), &token, 1, nullptr, &error), "hit is null");
  NULLS(pith_sequence_pin(nullptr, 0, 0, &error), "sequence is null");
  NULLS(pith_sequence_export(nullptr, 0, nullptr, nullptr, &error), "sequence is null");
  NULLS(pith_sequence_import(nullptr, nullptr, nullptr, nullptr, &aSequence, &error), "session is null");
  NULLS(pith_step(nullptr, nullptr, 0, nullptr, nullptr, &error), "handle is null");
  NULLS(pith_step(session.get(), nullptr, 1, nullptr, nullptr, &error), "lanes is null");
  NULLS(pith_result_new(nullptr, &aResult, &error), "session is null");
  NULLS(pith_result_logits_for(nullptr, 0, &token, 1, &number, &error), "result is null");
  NULLS(pith_result_top_k(nullptr, 0, 1, &token, nullptr, &error), "result is null");
  NULLS(pith_result_confidence(nullptr, 0, nullptr, &error), "result is null");
  NULLS(pith_result_output(nullptr, 0, nullptr, &error), "result is null");
  NULLS(pith_result_tap(nullptr, 0, 0, nullptr, nullptr, &error), "result is null");
  NULLS(pith_sampler_new(nullptr, nullptr, &error), "sampler is null");
  NULLS(pith_sample(nullptr, result.get(), nullptr, 0, nullptr, &error), "sampler is null");
  NULLS(pith_sample_logits(nullptr, &number, 1, nullptr, 0, 0, 0, &token, &error), "sampler is null");
  NULLS(pith_stops_new(nullptr, nullptr, 1, nullptr, &error), "stops is null");
  NULLS(pith_invoke(session.get(), nullptr, "add", nullptr, 0, nullptr, &error), "result is null");
  NULLS(pith_verify(nullptr, nullptr, 0, nullptr, nullptr, nullptr, &error), "sequence is null");
  NULLS(pith_tap_new(nullptr, nullptr, nullptr, &error), "module is null");
#undef NULLS
  pith_module_free(nullptr);
  pith_thread_pool_free(nullptr);
  pith_session_free(nullptr);
  pith_session_cancel(nullptr);
  pith_sequence_free(nullptr);
  pith_result_free(nullptr);
  pith_sampler_free(nullptr);
  pith_stops_free(nullptr);
  pith_tap_free(nullptr);
  pith_gate_free(nullptr);
  pith_adapter_free(nullptr);
  EXPECT_EQ(pith_module_manifest(nullptr, &size), nullptr);
  EXPECT_EQ(pith_module_metadata(nullptr, "x"), nullptr);
  EXPECT_EQ(pith_module_eos(nullptr, &size), nullptr);
  EXPECT_EQ(pith_module_entry_count(nullptr), 0u);
  EXPECT_EQ(pith_module_supports(nullptr, PITH_CAN_STEP, nullptr), 0);
  EXPECT_EQ(pith_thread_pool_threads(nullptr), 0u);
  EXPECT_EQ(pith_session_explain(nullptr, nullptr, 0), 0u);
  EXPECT_EQ(pith_sequence_length(nullptr), 0u);
  EXPECT_EQ(pith_sequence_tokens(nullptr, 0, &token, 1), 0u);
  EXPECT_EQ(pith_result_rows(nullptr), 0u);
  EXPECT_EQ(pith_result_lane_rows(nullptr, 0, nullptr), 0u);
  EXPECT_EQ(pith_result_logits(nullptr, 0), nullptr);
  EXPECT_EQ(pith_result_scores(nullptr, 0, nullptr), nullptr);
  EXPECT_EQ(pith_result_output_count(nullptr), 0u);
  EXPECT_EQ(pith_adapter_kv_effect(nullptr), 0u);
  EXPECT_EQ(pith_stops_feed(nullptr, nullptr, nullptr, 0, nullptr, nullptr), 0);
}

TEST(ApiTest, WhatIsAbsentSaysSo) {
  const ModulePtr module = loadFake();
  const SessionPtr session = makeSession(module);
  const SequencePtr sequence = makeSequence(session), donor = makeSequence(session);
  const auto absent = [&](pith_capability capability) {
    const char *reason = nullptr;
    EXPECT_EQ(pith_module_supports(module.get(), capability, &reason), 0) << capability;
    return std::string(reason ? reason : "no reason");
  };
#define ABSENT(call, capability) EXPECT_PITH_ERROR(call, PITH_ERROR_UNSUPPORTED, absent(capability))
  ABSENT(pith_sequence_attach(sequence.get(), donor.get(), 0, PITH_ATTACH_SEAL, &error), PITH_CAN_ATTACH);
  ABSENT(pith_verify(sequence.get(), nullptr, 0, nullptr, nullptr, nullptr, &error), PITH_CAN_VERIFY);
  ABSENT(pith_tap_new(module.get(), nullptr, nullptr, &error), PITH_CAN_TAP);
  ABSENT(pith_gate_new(module.get(), nullptr, 0, PITH_GATE_MASK, nullptr, &error), PITH_CAN_GATE);
  ABSENT(pith_adapter_load(module.get(), "x", nullptr, &error), PITH_CAN_ADAPT);
  const SessionPtr other = makeSession(module);
  const SequencePtr lanes = makeSequence(other);
  const ResultPtr result = makeResult(other);
  const std::vector<int32_t> tokens = {1, 2};
  const float row[] = {1, 2, 3, 4};
  const auto *handle = reinterpret_cast<const unsigned char *>(row); // refused before anyone looks inside
  const pith_tap *tap = reinterpret_cast<const pith_tap *>(handle);
  pith_lane lane = makeLane(lanes, tokens);
#define REFUSED(field, value, capability)                                                                    \
  lane = makeLane(lanes, tokens);                                                                            \
  lane.field = value;                                                                                        \
  ABSENT(pith_step(other.get(), &lane, 1, nullptr, result.get(), &error), capability)
  REFUSED(embeddings, row, PITH_CAN_EMBEDDING_ROWS);
  REFUSED(gate, reinterpret_cast<const pith_gate *>(handle), PITH_CAN_GATE);
  REFUSED(adapter, reinterpret_cast<const pith_adapter *>(handle), PITH_CAN_ADAPT);
  REFUSED(kv_mode, PITH_KV_WRITE_FOR_LANE, PITH_CAN_KV_MODES);
  REFUSED(taps = &tap; lane.tap_count, 1, PITH_CAN_TAP);
#undef REFUSED
#undef ABSENT
  EXPECT_EQ(pith_sequence_length(lanes.get()), 0u);
  EXPECT_EQ(pith_module_supports(module.get(), 999, nullptr), 0);
  pith_session_options options = PITH_INIT(pith_session_options);
  options.flags = PITH_SESSION_DETERMINISTIC;
  pith_module *handles[] = {module.get()};
  pith_session *none = nullptr;
  EXPECT_PITH_ERROR(pith_session_new(handles, 1, &options, &none, &error), PITH_ERROR_UNSUPPORTED,
                    "module 0 cannot be deterministic: " + absent(PITH_CAN_DETERMINISTIC));
  EXPECT_EQ(none, nullptr);
}

TEST(ApiTest, OlderAndNewerStructs) {
  const ModulePtr module = loadFake();
  // An older client's struct ends early: what lies behind it is not touched.
  struct {
    pith_step_info info;
  } box;
  std::memset(&box, 0x5a, sizeof box);
  box.info.struct_size = offsetof(pith_step_info, page_bytes);
  ASSERT_PITH_OK(pith_module_step_info(module.get(), &box.info, &error));
  EXPECT_EQ(box.info.struct_size, offsetof(pith_step_info, page_bytes));
  EXPECT_EQ(box.info.page_tokens, 16u);
  EXPECT_EQ(box.info.page_bytes, 0x5a5a5a5a5a5a5a5au);
  // A newer client's option that is not used is fine; one that is used is refused.
  struct {
    pith_session_options known;
    uint64_t future;
  } options = {PITH_INIT(pith_session_options), 0};
  options.known.struct_size = sizeof options;
  pith_module *list[] = {module.get()};
  pith_session *made = nullptr;
  ASSERT_PITH_OK(pith_session_new(list, 1, &options.known, &made, &error));
  pith_session_free(made);
  options.future = 1;
  EXPECT_PITH_ERROR(pith_session_new(list, 1, &options.known, &made, &error), PITH_ERROR_UNSUPPORTED,
                    "options uses a field that runtime 0.1.0 does not know");
  pith_error shortError = PITH_INIT(pith_error);
  shortError.struct_size = offsetof(pith_error, message) + 10;
  shortError.message[10] = 'x';
  EXPECT_EQ(pith_module_load("/no/such/file", nullptr, list, &shortError), PITH_ERROR_IO);
  EXPECT_EQ(std::string(shortError.message), "/no/such/");
  EXPECT_EQ(shortError.message[10], 'x');
  pith_error unset{};
  EXPECT_EQ(pith_module_load("/no/such/file", nullptr, list, &unset), PITH_ERROR_IO);
  EXPECT_EQ(unset.code, 0); // no size: nothing is written
}

} // namespace
