//===- SupportTable.cpp - which ops pass their cases -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SupportTable.h"
#include "pith/Import/ONNX/Import.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace llvm;
using namespace pith;
using namespace pith::tool;

/// A reason without what names one file or one machine's numbers: the document shall be the same everywhere.
static std::string generalize(StringRef reason, StringRef folder) {
  std::string text = reason.str();
  if (size_t at = text.find(", expected "); at != std::string::npos && reason.contains(" differ)"))
    text = text.substr(0, text.find(" [")) + " differs";
  for (size_t at; (at = text.find(folder.str() + "/")) != std::string::npos;)
    text.erase(at, folder.size() + 1);
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2)
    text.insert(at, "\\");
  return text;
}

void SupportTable::add(StringRef folder, const std::vector<SetResult> &results) {
  if (results.empty())
    return;
  const SetResult *failure = nullptr;
  for (const SetResult &result : results)
    if (!result.error.empty() && !failure)
      failure = &result;
  ++(failure ? failed : passed);
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  std::string error;
  std::vector<onnx::OpUse> uses = onnx::listOps(&context, (folder + "/model.onnx").str(), error);
  std::vector<std::string> names;
  for (const onnx::OpUse &use : uses) {
    names.push_back(use.domain.empty() ? use.op : use.domain + ":" + use.op);
    Row &row = rows[names.back()];
    row.opsets.insert(use.opset);
    ++(failure ? row.failed : row.passed);
  }
  if (failure)
    gaps.push_back({join(names, ", "), sys::path::filename(folder).str(), generalize(failure->error, folder)});
}

bool SupportTable::write(StringRef path) const {
  std::error_code code;
  ToolOutputFile file(path, code, sys::fs::OF_Text);
  if (code) {
    errs() << "pith: cannot write '" << path << "': " << code.message() << "\n";
    return false;
  }
  raw_ostream &os = file.os();
  os << "# ONNX support\n\nWritten by `pith test --table`: what the cases say about the ops that their graphs use. Do not edit.\n\n"
     << passed << " of " << passed + failed << " cases pass.\n\n## Ops\n\n"
     << "A case counts for every op of its graph.\n\n| op | opsets of the cases | pass | fail |\n| --- | --- | --- | --- |\n";
  for (const auto &[name, row] : rows) {
    os << "| " << name << " | ";
    interleave(row.opsets, os, ", ");
    os << " | " << row.passed << " | " << row.failed << " |\n";
  }
  os << "\nImported, without a case here: ";
  std::vector<std::string> others;
  for (const std::string &name : onnx::supportedOps())
    if (!rows.count(name))
      others.push_back(name);
  os << join(others, ", ") << ".\n\n## Cases that fail\n\n| ops | case | why |\n| --- | --- | --- |\n";
  for (const auto &[names, folder, reason] : gaps)
    os << "| " << names << " | " << folder << " | " << reason << " |\n";
  os.flush();
  if (file.os().has_error()) {
    errs() << "pith: cannot write '" << path << "': " << file.os().error().message() << "\n";
    file.os().clear_error();
    return false;
  }
  file.keep();
  return true;
}
