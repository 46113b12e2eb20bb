//===- TryImport.cpp - whether any bytes import as they should --*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TryImport.h"

#include "pith/Dialect/Pith/Transforms/Passes.h"
#include "pith/Import/ONNX/Import.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdlib>

using namespace mlir;
using pith::test::ImportTrial;

ImportTrial::ImportTrial() {
  if (llvm::sys::fs::createUniqueDirectory("pith-import", folder))
    std::abort(); // nothing can be tested
}

ImportTrial::~ImportTrial() {
  context.reset();
  llvm::sys::fs::remove_directories(folder);
}

void ImportTrial::addFile(llvm::StringRef name, llvm::StringRef bytes) {
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, name);
  std::error_code code;
  llvm::raw_fd_ostream out(path, code);
  out << bytes;
}

ImportTrial::Outcome ImportTrial::run(llvm::StringRef bytes) {
  // A context is not made for every model, which would take longer than most imports. It keeps types,
  // attributes and the files it has mapped, so each model has a name of its own.
  if (runs++ % 64 == 0)
    context = std::make_unique<MLIRContext>(MLIRContext::Threading::DISABLED);
  const std::string name = std::to_string(runs) + ".onnx";
  addFile(name, bytes);
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, name);

  Outcome outcome;
  ScopedDiagnosticHandler handler(context.get(), [&](Diagnostic &diagnostic) {
    outcome.messages += diagnostic.str() + "\n";
    return success();
  });
  OwningOpRef<ModuleOp> module = pith::onnx::importModel(context.get(), path);
  outcome.imported = bool(module);
  if (!module && outcome.messages.empty())
    outcome.fault = "refused without a message";
  else if (llvm::StringRef(outcome.messages).contains("invalid code"))
    outcome.fault = "refused because the importer made invalid code: " + outcome.messages;
  else if (module)
    raise(*module, outcome);
  llvm::sys::fs::remove(path);
  return outcome;
}

void ImportTrial::raise(ModuleOp module, Outcome &outcome) {
  outcome.messages.clear();
  PassManager pm(context.get());
  pith::buildRaisePipeline(pm);
  if (succeeded(pm.run(module)))
    return;
  outcome.fault = "not raised: " + outcome.messages;
}
