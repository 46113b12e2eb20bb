//===- Machine.cpp - what generated code may use --------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Codegen/CPU/Kernels.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;
using namespace pith::cpu;

/// A virtual machine may hide features of its CPU: for "host" what CPUID says decides, not the CPU's name.
static std::string hostFeatures() {
  std::vector<std::string> features;
  for (const auto &[name, enabled] : sys::getHostCPUFeatures())
    features.push_back((enabled ? "+" : "-") + name.str());
  llvm::sort(features);
  return llvm::join(features, ",");
}

std::optional<Machine> Machine::fromName(StringRef name) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  Triple triple("x86_64-unknown-linux-gnu");
  std::string why;
  const Target *target = TargetRegistry::lookupTarget(triple, why);
  if (!target)
    return std::nullopt;

  Machine machine;
  bool host = name == "host";
  machine.cpu = host ? sys::getHostCPUName().str() : name.str();
  if (host)
    machine.features = hostFeatures();
  std::unique_ptr<MCSubtargetInfo> plain(target->createMCSubtargetInfo(triple, "", ""));
  if (!plain->isCPUStringValid(machine.cpu))
    return std::nullopt;
  std::unique_ptr<MCSubtargetInfo> info(target->createMCSubtargetInfo(triple, machine.cpu, machine.features));
  if (!host) {
    std::vector<std::string> features;
    for (const SubtargetFeatureKV &feature : info->getEnabledProcessorFeatures())
      features.push_back(std::string("+") + feature.Key);
    machine.features = llvm::join(features, ",");
  }

  auto has = [&](StringRef features) { return info->checkFeatures(features); };
  if (!has("+avx2,+fma,+f16c"))
    return std::nullopt;
  machine.vectorBytes = has("+avx512f,+avx512bw,+avx512vl,+avx512dq") ? 64 : 32;
  machine.vnni = machine.vectorBytes == 64 && has("+avx512vnni");
  machine.avxVnni = has("+avxvnni");
  machine.bf16 = machine.vectorBytes == 64 && has("+avx512bf16");
  machine.vbmi = machine.vectorBytes == 64 && has("+avx512vbmi");
  return machine;
}
