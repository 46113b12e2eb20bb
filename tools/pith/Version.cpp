//===- Version.cpp - pith version -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "pith/Codegen/CPU/Kernels.h"
#include "pith/executable.h"
#include "pith/file.h"
#include "pith/runtime.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

static cl::SubCommand sub("version", "print the version");
static cl::opt<bool> full("full", cl::sub(sub), cl::desc("also what this machine and this build offer"));

static void printFull() {
  std::string features(pith_cpu_features(nullptr, 0), '\0');
  pith_cpu_features(features.data(), features.size() + 1);
  std::optional<pith::cpu::Machine> host = pith::cpu::Machine::fromName("host");
  outs() << "runtime       " << pith_version_string() << "\n"
         << "file format   " << PITH_FILE_VERSION << ", code interface " << PITH_EXEC_VERSION << "\n"
         << "llvm          " << LLVM_VERSION_STRING << "\n"
         << "targets       cpu (x86_64)\n"
         << "host cpu      " << (host ? host->cpu + ", vectors of " + std::to_string(host->vectorBytes) + " bytes" : "has no AVX2")
         << "\n"
         << "cpu features  " << features << "\n"
         << "build         " << PITH_BUILD_DESCRIPTION << "\n";
}

static int run() {
  outs() << "pith " << pith_version_string() << "\n";
  if (full)
    printFull();
  return 0;
}

pith::tool::Command pith::tool::versionCommand{sub, run};
