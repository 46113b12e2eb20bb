//===- AbsentApi.cpp - what modules cannot do yet: refusals with their reasons ----===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Session.h"

using namespace pith::runtime;

namespace {

Status refuse(const pith_module *module, pith_capability capability) {
  PITH_REQUIRE(module);
  const char *reason = "";
  module->module->supports(capability, &reason);
  return failure(PITH_ERROR_UNSUPPORTED, "%s", reason);
}

Status refuse(const pith_sequence *sequence, pith_capability capability) {
  PITH_REQUIRE(sequence);
  const std::lock_guard<std::mutex> lock(sequence->session->mutex);
  const char *reason = "";
  sequence->session->modules[sequence->module]->supports(capability, &reason);
  sequence->session->explanation = reason;
  return failure(PITH_ERROR_UNSUPPORTED, "%s", reason);
}

} // namespace

extern "C" {

pith_status pith_sequence_attach(pith_sequence *sequence, pith_sequence *, size_t, pith_attach_policy,
                                 pith_error *error) {
  return guarded(error, [&] { return refuse(sequence, PITH_CAN_ATTACH); });
}

pith_status pith_verify(pith_sequence *sequence, const int32_t *, size_t, const float *,
                        const pith_verify_options *, pith_verdict *, pith_error *error) {
  return guarded(error, [&] { return refuse(sequence, PITH_CAN_VERIFY); });
}

pith_status pith_gate_new(pith_module *module, const uint8_t *, size_t, pith_gate_policy, pith_gate **,
                          pith_error *error) {
  return guarded(error, [&] { return refuse(module, PITH_CAN_GATE); });
}

void pith_gate_free(pith_gate *) {}

pith_status pith_adapter_load(pith_module *module, const char *, pith_adapter **, pith_error *error) {
  return guarded(error, [&] { return refuse(module, PITH_CAN_ADAPT); });
}

void pith_adapter_free(pith_adapter *) {}

pith_kv_effect pith_adapter_kv_effect(const pith_adapter *) { return 0; }

} // extern "C"
