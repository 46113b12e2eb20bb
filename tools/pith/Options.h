//===- Options.h - options that several commands share -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_OPTIONS_H
#define PITH_TOOLS_OPTIONS_H

#include "Model.h"
#include "llvm/Support/CommandLine.h"

namespace pith::tool {

/// Options of a command that takes a model and may have to compile it.
struct ModelFlags {
  llvm::cl::SubCommand &sub;
  llvm::cl::opt<std::string> path{llvm::cl::Positional, llvm::cl::Required, llvm::cl::sub(sub),
                                  llvm::cl::desc("<model.pith|model.onnx>")};
  llvm::cl::opt<Precision> precision;
  llvm::cl::opt<std::string> cpu{"cpu", llvm::cl::sub(sub), llvm::cl::init("host"),
                                 llvm::cl::desc("CPU to compile for: host, or a name that LLVM knows")};
  llvm::cl::opt<bool> reference{"reference", llvm::cl::sub(sub),
                                llvm::cl::desc("compile to plain loops instead of kernels")};
  llvm::cl::opt<std::string> device{"device", llvm::cl::sub(sub), llvm::cl::desc(deviceText)};
  llvm::cl::opt<unsigned> threads{"t", llvm::cl::sub(sub), llvm::cl::init(0),
                                  llvm::cl::desc("threads (default: one per CPU)")};
  llvm::cl::alias threadsLong{"threads", llvm::cl::aliasopt(threads), llvm::cl::desc("as -t")};

  explicit ModelFlags(llvm::cl::SubCommand &sub, Precision byDefault = Precision::Balanced)
      : sub(sub), precision("precision", llvm::cl::sub(sub), llvm::cl::init(byDefault),
                            llvm::cl::desc("how to multiply with quantized weights:"),
                            llvm::cl::values(clEnumValN(Precision::Exact, "exact", "in f32"),
                                             clEnumValN(Precision::Balanced, "balanced",
                                                        "activations may be quantized to int8"))) {}

  ModelOptions get() const {
    ModelOptions options;
    options.path = path;
    options.compile.precision = precision;
    options.compile.cpu = cpu;
    options.compile.reference = reference;
    options.threads = threads;
    options.device = device;
    return options;
  }
};

} // namespace pith::tool

#endif // PITH_TOOLS_OPTIONS_H
