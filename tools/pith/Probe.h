//===- Probe.h - what this machine can do at this moment -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_PROBE_H
#define PITH_TOOLS_PROBE_H

#include <cstddef>
#include <cstdint>

namespace pith::tool {

/// Measured with `threads` threads, each bound to a CPU of its own: bytes read per second from memory that no cache
/// holds, and multiply-adds counted as two operations. 0 where the CPU has no such instruction.
double readBandwidth(unsigned threads);
double peakF32(unsigned threads);
double peakInt8(unsigned threads);

} // namespace pith::tool

#endif // PITH_TOOLS_PROBE_H
