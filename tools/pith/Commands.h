//===- Commands.h - the commands of pith -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_COMMANDS_H
#define PITH_TOOLS_COMMANDS_H

#include "llvm/Support/CommandLine.h"

namespace pith::tool {

/// A command: `pith NAME …`. Its options are bound to `sub`; `run` returns the exit status.
struct Command {
  llvm::cl::SubCommand &sub;
  int (*run)();
};

extern Command compileCommand, runCommand, testCommand, generateCommand, evalCommand, benchCommand, versionCommand;

/// How a command that takes a model (.onnx, .mlir or .pith) compiles it, for the commands that may have to.
void setThreads(unsigned threads);

} // namespace pith::tool

#endif // PITH_TOOLS_COMMANDS_H
