//===- Result.cpp - what a step or an invoke computed ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Result.h"

#include <cmath>

namespace pith::runtime {

RowFacts examineRow(const float *logits, size_t vocab) {
  RowFacts facts;
  for (size_t i = 1; i < vocab; ++i) {
    if (logits[i] > logits[facts.first]) {
      facts.second = facts.first;
      facts.first = int32_t(i);
    } else if (facts.second < 0 || logits[i] > logits[facts.second]) {
      facts.second = int32_t(i);
    }
  }
  const float top = logits[facts.first];
  double sum = 0;
  for (size_t i = 0; i < vocab; ++i)
    sum += std::exp(logits[i] - top);
  facts.logSum = double(top) + std::log(sum);
  return facts;
}

} // namespace pith::runtime
