//===- DeviceTensors.cpp - inputs and outputs of an invoke on a device ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DeviceTensors.h"

namespace pith::runtime {

DeviceTensors::~DeviceTensors() {
  for (void *memory : taken)
    session.temporaries().release(memory);
}

Status DeviceTensors::take(uint64_t bytes, const char *what, void *&memory) {
  taken.reserve(taken.size() + 1);
  PITH_TRY(session.temporaries().allocate(bytes, what, memory));
  taken.push_back(memory);
  return {};
}

Status DeviceTensors::upload(std::vector<pith_exec_tensor> &inputs, const std::vector<uint64_t> &bytes) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!bytes[i])
      continue;
    void *memory = nullptr;
    PITH_TRY(take(bytes[i], "an input", memory));
    PITH_TRY(session.queue().upload(memory, inputs[i].data, bytes[i]));
    inputs[i].data = memory;
  }
  return {};
}

Status DeviceTensors::makeOutput(uint64_t bytes, void *host, void *&memory) {
  PITH_TRY(take(bytes, "an output", memory));
  outputs.push_back({host, memory, bytes});
  return {};
}

Status DeviceTensors::download() {
  Status status;
  for (const Output &output : outputs)
    if (status.ok())
      status = session.queue().download(output.host, output.memory, output.bytes);
  Status waited = session.queue().synchronize();
  return status.ok() ? waited : status;
}

} // namespace pith::runtime
