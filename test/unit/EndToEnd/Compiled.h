//===- Compiled.h - models compiled for a test ------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_ENDTOEND_COMPILED_H
#define PITH_TEST_UNIT_ENDTOEND_COMPILED_H

#include "pith/Driver/Driver.h"
#include "pith/runtime.hpp"

namespace pith::test {

/// A .pith file of a model, removed when this goes.
class Compiled {
public:
  /// `configure` may change the options before the compiler runs.
  explicit Compiled(const std::string &model, const std::function<void(CompileOptions &)> &configure = {});
  ~Compiled();
  Compiled(const Compiled &) = delete;
  const std::string &path() const { return file; }

private:
  std::string file;
};

std::vector<int32_t> someTokens(size_t count, uint32_t seed, uint32_t vocab);
pith_session_options sessionOptions(uint32_t threads, uint32_t flags = 0);
std::vector<float> rowOf(const Result &result, size_t row, uint32_t vocab);

} // namespace pith::test

#endif // PITH_TEST_UNIT_ENDTOEND_COMPILED_H
