//===- pith.cpp - compile, run and measure models -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/PrettyStackTrace.h"

using namespace llvm;
using namespace pith::tool;

static int argumentCount;
static char **arguments;

bool pith::tool::parseArguments() {
  return cl::ParseCommandLineOptions(argumentCount, arguments, "Pith: ahead-of-time compiler for transformer inference\n",
                                     &errs());
}

int main(int argc, char **argv) {
  setBugReportMsg("This is a bug in Pith. Please report it with the command and the model that caused it.\n");
  InitLLVM init(argc, argv);
  if (argc > 1 && StringRef(argv[1]) == "__complete")
    return complete(ArrayRef(argv + 2, argc - 2));
  argumentCount = argc;
  arguments = argv;
  if (!parseArguments())
    return 2;
  for (const Command &command : {compileCommand, runCommand, testCommand, generateCommand, evalCommand, benchCommand,
                                 inspectCommand, debugCompareCommand, versionCommand})
    if (command.sub)
      return command.run();
  errs() << "pith: no command; see 'pith --help'\n";
  return 2;
}
