//===- Report.h - what a compilation did -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_LIB_DRIVER_REPORT_H
#define PITH_LIB_DRIVER_REPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/raw_ostream.h"
#include <string>
#include <vector>

namespace pith {

/// Collects the passes' remarks and the time of each phase, and prints them for `--report`.
class Report {
public:
  /// From now on remarks of `context` come here. Call before passes run; this report must outlive the context.
  void attach(mlir::MLIRContext &context);
  /// Notes what raising made of the entries.
  void raised(mlir::ModuleOp module);
  void phase(llvm::StringRef name, double seconds) { times.emplace_back(name.str(), seconds); }
  void print(llvm::raw_ostream &os) const;

private:
  std::vector<std::string> entries, remarks;
  std::vector<std::pair<std::string, double>> times;
};

} // namespace pith

#endif // PITH_LIB_DRIVER_REPORT_H
