//===- TestCase.h - one model with reference outputs -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_TESTCASE_H
#define PITH_TOOLS_TESTCASE_H

#include "Model.h"

namespace pith::tool {

struct CaseOptions {
  double relativeTolerance = 0, absoluteTolerance = 0;
  bool time = false;  ///< also measure the graph
  ModelOptions model; ///< without the path
};

/// One test_data_set_* of a case.
struct SetResult {
  std::string folder;
  std::string error;    ///< empty if every output is within the tolerance
  double worst = 0;     ///< the largest difference, as a share of the tolerance
  double seconds = 0;   ///< with CaseOptions::time: the fastest of repeated runs
  double bytes = 0;     ///< of all inputs and outputs
};

struct CaseResult {
  std::vector<SetResult> sets;
  double compileSeconds = 0; ///< from the model's file to a loaded one
};

/// Compiles `folder`/model.onnx and compares its outputs for every data set. Touches no option of the command line: cases
/// may run on several threads.
CaseResult runCase(llvm::StringRef folder, const CaseOptions &options);

} // namespace pith::tool

#endif // PITH_TOOLS_TESTCASE_H
