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

extern Command compileCommand, runCommand, testCommand, generateCommand, evalCommand, benchCommand, inspectCommand,
    debugCompareCommand, versionCommand;

/// Prints what may stand in the place of the last of `words`, which follow `pith` on a command line. For shells.
int complete(llvm::ArrayRef<char *> words);

/// Reads the command line (again). The linker, which a compilation runs in this process, resets every option of LLVM's
/// command line library to its default.
bool parseArguments();

} // namespace pith::tool

#endif // PITH_TOOLS_COMMANDS_H
