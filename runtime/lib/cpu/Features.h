//===- Features.h - what this machine's CPU can do --------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CPU_FEATURES_H
#define PITH_RUNTIME_CPU_FEATURES_H

#include <string>
#include <vector>

namespace pith::runtime {

/// The architecture that this runtime was built for, as in manifests: "x86_64".
const char *cpuArchitecture();

/// Features that CPU and operating system offer, by LLVM's names, in the order of the CPUID leaves.
std::vector<std::string> cpuFeatures();

/// Those of `required` that this machine lacks. A name that the runtime does not know counts as lacking.
std::vector<std::string> missingCpuFeatures(const std::vector<std::string> &required);

} // namespace pith::runtime
#endif // PITH_RUNTIME_CPU_FEATURES_H
