//===- Model.h - a model file, compiled if need be and loaded -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_MODEL_H
#define PITH_TOOLS_MODEL_H

#include "pith/Driver/Driver.h"
#include "pith/runtime.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <optional>

namespace pith::tool {

constexpr const char *deviceText =
    "where to compute: cpu, cuda, cuda:1, hip, emulator, or emulator:CHIP (default: what the model was compiled for)";

/// Options that every command with a model shares.
struct ModelOptions {
  std::string path;         ///< .pith, or .onnx/.mlir, which is compiled to a temporary file first
  CompileOptions compile;   ///< used for the latter
  uint32_t threads = 0;     ///< 0: one per CPU
  std::string device;       ///< as pith_session_options has it; empty: what the model was compiled for. A model that is
                            ///< compiled first is compiled for it.
  bool quiet = false;       ///< no progress on stderr
};

/// A loaded module with a session. Frees both when it goes; the temporary file is gone as soon as it is loaded.
class Model {
public:
  Model() = default;
  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;
  ~Model();

  /// Says on stderr what is wrong and returns false if the model cannot be compiled or loaded. Reads the command line again
  /// after a compilation (parseArguments).
  bool open(const ModelOptions &options);
  /// The same, with the words on `log`, and the command line left as the compilation leaves it: several threads may do so
  /// that read no option any more.
  bool load(const ModelOptions &options, llvm::raw_ostream &log);

  pith_module *module = nullptr;
  pith_session *session = nullptr;

private:
  void removeTemporary();

  std::string temporary;
};

/// Prints `pith: WHAT: message` for a failed call of the runtime; always false.
bool fail(llvm::StringRef what, const pith_error &error, llvm::raw_ostream &log = llvm::errs());

inline double seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

} // namespace pith::tool

#endif // PITH_TOOLS_MODEL_H
