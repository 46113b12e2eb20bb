//===- Encoder.cpp - what a decoder is conditioned on -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Encoder.h"
#include "Invoke.h"
#include "llvm/ADT/StringRef.h"
#include <cstring>

using namespace llvm;
using namespace pith::tool;

/// An input of `count` positions, [1, count]: ones, or the tokens.
static bool makeInput(const pith_port_info &port, const std::vector<int32_t> *tokens, size_t count,
                      Tensor &input) {
  input.name = port.name;
  input.type = port.type;
  input.dims = {1, int64_t(count)};
  const auto fill = [&](auto zero) {
    using Number = decltype(zero);
    input.bytes.resize(count * sizeof(Number));
    for (size_t i = 0; i < count; ++i) {
      const Number value = tokens ? Number((*tokens)[i]) : Number(1);
      std::memcpy(input.bytes.data() + i * sizeof value, &value, sizeof value);
    }
    return true;
  };
  if (port.rank != 2)
    return false;
  return port.type == PITH_I64 ? fill(int64_t()) : port.type == PITH_I32 ? fill(int32_t()) : false;
}

bool pith::tool::conditionOn(Model &encoder, const std::vector<int32_t> &tokens, pith_sequence *sequence,
                             std::string &error) {
  std::vector<Tensor> inputs, outputs;
  for (size_t entry = 0; entry < pith_module_entry_count(encoder.module); ++entry) {
    pith_entry_info info = PITH_INIT(pith_entry_info);
    if (pith_module_entry(encoder.module, entry, &info, nullptr) || info.kind != PITH_ENTRY_INVOKE)
      continue;
    for (uint32_t i = 0; i < info.input_count; ++i) {
      pith_port_info port = PITH_INIT(pith_port_info);
      Tensor input;
      const bool known = !pith_module_input(encoder.module, entry, i, &port, nullptr);
      const bool isMask = known && StringRef(port.name).contains("mask");
      if (!known || !makeInput(port, isMask ? nullptr : &tokens, tokens.size(), input)) {
        error = std::string("its input ") + (known ? port.name : "?") +
                " is neither token ids nor a mask for them";
        return false;
      }
      inputs.push_back(std::move(input));
    }
    break;
  }
  if (!invoke(encoder, inputs, outputs, error))
    return false;
  if (outputs.empty() || outputs[0].type != PITH_F32 || outputs[0].dims.size() != 3 ||
      outputs[0].dims[0] != 1) {
    error = "its first output is not f32 [1, positions, channels]";
    return false;
  }
  std::vector<float> rows(size_t(outputs[0].elements()));
  if (!rows.empty())
    std::memcpy(rows.data(), outputs[0].bytes.data(), rows.size() * sizeof(float));
  pith_error failure = PITH_INIT(pith_error);
  if (pith_sequence_condition(sequence, rows.data(), size_t(outputs[0].dims[1]), size_t(outputs[0].dims[2]),
                              &failure)) {
    error = failure.message;
    return false;
  }
  return true;
}
