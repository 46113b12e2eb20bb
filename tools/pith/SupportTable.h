//===- SupportTable.h - which ops pass their cases -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_SUPPORTTABLE_H
#define PITH_TOOLS_SUPPORTTABLE_H

#include "TestCase.h"
#include <map>
#include <set>

namespace pith::tool {

/// What a set of cases says about the ops that their models use: op × opset × status, and the reason of each gap.
class SupportTable {
public:
  void add(llvm::StringRef folder, const std::vector<SetResult> &results);
  /// Writes Markdown; says on stderr why and returns false if that fails.
  bool write(llvm::StringRef path) const;

private:
  struct Row {
    std::set<int64_t> opsets;
    unsigned passed = 0, failed = 0;
  };
  std::map<std::string, Row> rows;                           ///< by op, "domain:" in front of other domains' ones
  std::vector<std::array<std::string, 3>> gaps;              ///< op, case, reason
  unsigned passed = 0, failed = 0;
};

} // namespace pith::tool

#endif // PITH_TOOLS_SUPPORTTABLE_H
