//===- pith.cpp - compile, run and measure models -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "pith/runtime.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/PrettyStackTrace.h"

using namespace llvm;
using namespace pith::tool;

static cl::SubCommand versionSub("version", "print the version");
static cl::opt<bool> full("full", cl::sub(versionSub), cl::desc("also what this machine and this build offer"));

static int printVersion() {
  outs() << "pith " << pith_version_string() << "\n";
  if (full) {
    std::string features(pith_cpu_features(nullptr, 0), '\0');
    pith_cpu_features(features.data(), features.size() + 1);
    outs() << "llvm " << LLVM_VERSION_STRING << "\ncpu features " << features << "\n";
  }
  return 0;
}

Command pith::tool::versionCommand{versionSub, printVersion};

static int argumentCount;
static char **arguments;

bool pith::tool::parseArguments() {
  return cl::ParseCommandLineOptions(argumentCount, arguments, "Pith: ahead-of-time compiler for transformer inference\n",
                                     &errs());
}

int main(int argc, char **argv) {
  setBugReportMsg("This is a bug in Pith. Please report it with the command and the model that caused it.\n");
  InitLLVM init(argc, argv);
  argumentCount = argc;
  arguments = argv;
  if (!parseArguments())
    return 2;
  for (const Command &command : {compileCommand, runCommand, testCommand, generateCommand, evalCommand, benchCommand,
                                 versionCommand})
    if (command.sub)
      return command.run();
  errs() << "pith: no command; see 'pith --help'\n";
  return 2;
}
