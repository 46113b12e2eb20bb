//===- Model.cpp - a model file, compiled if need be and loaded -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Model.h"
#include "Commands.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace pith::tool;

bool pith::tool::fail(StringRef what, const pith_error &error, raw_ostream &log) {
  // The runtime's messages about a file begin with its path already.
  log << "pith: ";
  if (!StringRef(error.message).starts_with(what))
    log << what << ": ";
  log << error.message << "\n";
  return false;
}

Model::~Model() {
  pith_session_free(session);
  pith_module_free(module);
  removeTemporary();
}

void Model::removeTemporary() {
  if (temporary.empty())
    return;
  sys::fs::remove(temporary);
  sys::DontRemoveFileOnSignal(temporary);
  temporary.clear();
}

bool Model::open(const ModelOptions &options) { return load(options, errs()) && parseArguments(); }

bool Model::load(const ModelOptions &options, raw_ostream &log) {
  std::string file = options.path;
  StringRef extension = sys::path::extension(file);
  if (extension == ".onnx" || extension == ".mlir") {
    SmallString<128> path;
    if (std::error_code code = sys::fs::createTemporaryFile("pith", "pith", path)) {
      log << "pith: cannot create a temporary file: " << code.message() << "\n";
      return false;
    }
    temporary = std::string(path);
    sys::RemoveFileOnSignal(temporary);
    CompileOptions compile = options.compile;
    compile.input = options.path;
    compile.output = temporary;
    bool progress = !options.quiet && errs().is_displayed();
    if (progress)
      compile.progress = [](StringRef phase) { errs() << "\rcompiling: " << phase << "          "; };
    bool done = pith::compile(compile, log);
    if (progress)
      errs() << "\r                              \r";
    if (!done)
      return false;
    file = temporary;
  }
  pith_error error = PITH_INIT(pith_error);
  const pith_status status = pith_module_load(file.c_str(), nullptr, &module, &error);
  removeTemporary(); // The module has mapped what it needs.
  if (status)
    return fail(options.path, error, log);
  pith_session_options session_options = PITH_INIT(pith_session_options);
  session_options.threads = options.threads;
  if (pith_session_new(&module, 1, &session_options, &session, &error))
    return fail(options.path, error, log);
  return true;
}
