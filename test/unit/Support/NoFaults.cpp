//===- NoFaults.cpp - what stands for Faults.cpp beside sanitizers --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Faults.h"

namespace pith::test {

void armFaults(unsigned, size_t) {}
bool disarmFaults() { return false; }
size_t faultCalls() { return 0; }
int64_t livingAllocations() { return 0; }
int64_t livingMappedBytes() { return 0; }
size_t openDescriptors() { return 0; }

} // namespace pith::test
