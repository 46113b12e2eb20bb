//===- Driver.h - what `pith compile` runs ----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DRIVER_DRIVER_H
#define PITH_DRIVER_DRIVER_H

#include "mlir/IR/DialectRegistry.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"
#include <functional>
#include <string>
#include <vector>

namespace pith {

/// The stages of a compilation, in order. `--emit`, `--from`, the dumped files and the timing report all come from
/// this one list (phases()).
enum class Phase { Import, Raise, Schedule, Kernels, Lower, Object, Package };

struct PhaseInfo {
  Phase phase;
  llvm::StringLiteral name;
  llvm::StringLiteral description;
};
llvm::ArrayRef<PhaseInfo> phases();

enum class Precision {
  Exact,   ///< multiply in f32 whatever the weights' format
  Balanced ///< may quantize activations to int8 against 4- and 8-bit weights
};

/// Which values inside the exported graph become outputs of its entry.
enum class Expose { None, Blocks, All };

struct CompileOptions {
  std::string input;              ///< .onnx, or .mlir printed after phase `from`
  std::string output;             ///< file to write; "-" is standard output (text only)
  Phase emit = Phase::Package;    ///< stop after this phase
  Phase from = Phase::Import;     ///< the phase that an .mlir input was printed after
  std::string text;               ///< with emit == Object: "llvm" or "asm" text instead; or a device's "ptx", "cubin",
                                  ///< "nvvm", "rocdl", "isa", "hsaco"
  std::string target = "cpu";     ///< "cpu", "cuda:sm_80,sm_90a", "hip:gfx942", "emulator:sm_80", …
  std::string embedAs;            ///< with emit == Package: an object file with a model of this name, and a header
  std::string cpu = "host";       ///< "host" or one of LLVM's CPU names
  Precision precision = Precision::Balanced;
  bool reference = false;         ///< plain loops instead of kernels
  bool report = false;            ///< print blocks raised, missed matches, time per phase
  std::string saveIR;             ///< folder for the IR after every phase
  std::vector<std::string> skipPasses;
  int64_t maxRows = 512;          ///< rows of a step that the generated code takes at once
  std::string cacheElement = "auto";
  bool check = false;             ///< only import, to say everything that stands in the way; writes no file
  Expose expose = Expose::None;   ///< after the phase raise
  bool stripped = false;          ///< leave the weights out of the package, for bench/gpu to fill in
  bool invokeOnly = false;        ///< do not derive a step entry
  std::function<void(llvm::StringRef phase)> progress; ///< called as each phase begins; may be empty
};

/// What `text` can be beside "llvm" and "asm": forms of a device's kernels.
bool isKernelFormat(llvm::StringRef format);

/// Every dialect and interface implementation that the pipelines need.
void registerDialects(mlir::DialectRegistry &registry);

/// Compiles one model. Diagnostics and the report go to `log`. Returns false after an error; then no output is left
/// behind. Two compilations may run in one process at the same time.
bool compile(const CompileOptions &options, llvm::raw_ostream &log);

} // namespace pith

#endif // PITH_DRIVER_DRIVER_H
