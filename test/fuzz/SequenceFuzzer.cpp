//===- SequenceFuzzer.cpp - walks over sequence operations that the fuzzer steers -----===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The walk of the runtime's tests (Walk.h), its choices read from the input; any of its checks that fails ends the run.
//
//===----------------------------------------------------------------------------------===//
#include "Walk.h"

#include <cstdlib>

using namespace pith::test;

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
  int count = 1;
  char name[] = "SequenceFuzzer", *arguments[] = {name, nullptr}, **list = arguments;
  ::testing::InitGoogleTest(&count, list);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const ModulePtr module = loadFake();
  if (size < 2)
    return 0;
  size_t at = 1;
  const uint64_t limit = data[0] & 1 ? (4 + (data[0] >> 1)) * UINT64_C(4096) : 0;
  {
    // Two bytes a choice: enough for every range that the walk asks for.
    Walk walk(module, 1, limit, [&]() -> uint64_t {
      const uint64_t value = at < size ? data[at] : 0, more = at + 1 < size ? data[at + 1] : 0;
      at += 2;
      return value | more << 8;
    });
    while (at < size)
      walk.operate();
    walk.finish();
  }
  if (::testing::Test::HasFailure())
    std::abort();
  return 0;
}
