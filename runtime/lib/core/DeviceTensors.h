//===- DeviceTensors.h - inputs and outputs of an invoke on a device --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_DEVICETENSORS_H
#define PITH_RUNTIME_CORE_DEVICETENSORS_H

#include "DeviceSession.h"

#include <vector>

namespace pith::runtime {

/// They go back to the session's pool at the end.
class DeviceTensors {
public:
  explicit DeviceTensors(DeviceSession &owner) : session(owner) {}
  DeviceTensors(const DeviceTensors &) = delete;
  DeviceTensors &operator=(const DeviceTensors &) = delete;
  ~DeviceTensors();

  /// Brings inputs of these bytes to the device and puts their places there.
  Status upload(std::vector<pith_exec_tensor> &inputs, const std::vector<uint64_t> &bytes);
  /// Memory for an output that `download` brings to `host`.
  Status makeOutput(uint64_t bytes, void *host, void *&memory);
  Status download();

private:
  struct Output {
    void *host;
    const void *memory;
    uint64_t bytes;
  };
  Status take(uint64_t bytes, const char *what, void *&memory);

  DeviceSession &session;
  std::vector<void *> taken;
  std::vector<Output> outputs;
};

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_DEVICETENSORS_H
