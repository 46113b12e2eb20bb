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

/// The chips that a model is compiled for when only a kind of device is named: the PTX of the first runs on all later ones.
static std::string targetOf(StringRef device) {
  StringRef kind = device.split(':').first;
  return kind == "cuda" ? "cuda:sm_80,sm_90a" : kind == "hip" ? "hip:gfx90a,gfx942,gfx1100" : device.str();
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
    if (!options.device.empty())
      compile.target = targetOf(options.device);
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
  // The chip that is imitated is in the file.
  StringRef device = options.device;
  std::string name = device.starts_with("emulator:") ? "emulator" : device.str();
  session_options.device = name.empty() ? nullptr : name.c_str();
  if (pith_session_new(&module, 1, &session_options, &session, &error))
    return fail(options.path, error, log);
  return true;
}
