//===- Device.cpp - what --target names -----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Device.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/PassManager.h"
#include "pith/Codegen/GPU/Machine.h"
#include "pith/Codegen/GPU/Passes.h"
#include "pith/Driver/Driver.h"
#include "pith/Target/NVVM/Target.h"
#include "pith/Target/ROCDL/Target.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace pith;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;
using llvm::is_contained;
using llvm::SmallVector;
using llvm::StringRef;
using llvm::Twine;

static Error problem(const Twine &text) { return createStringError(llvm::inconvertibleErrorCode(), text); }

std::string Device::name() const {
  return !isGPU() ? "cpu" : emulated ? "emulator:" + StringRef(chips).split(':').second.str() : chips;
}

Expected<Device> pith::parseDevice(StringRef target) {
  Device device;
  if (target == "cpu")
    return device;
  auto [kind, chips] = target.split(':');
  if (kind == "emulator") {
    device.emulated = true;
    StringRef chip = chips.empty() ? "sm_80" : chips;
    const gpu::Machine *found =
        llvm::find_if(gpu::machines(), [&](const gpu::Machine &m) { return m.chip == chip; });
    if (found == gpu::machines().end())
      return problem("--target: the emulator knows no chip '" + chip + "'");
    device.chips = found->name();
    return device;
  }
  if (kind != "cuda" && kind != "hip")
    return problem(
        "--target: unknown target '" + target +
        "'; targets are cpu, cuda:CHIPS (cuda:sm_80,sm_90a), hip:CHIPS (hip:gfx942) and emulator:CHIP");
  Expected<SmallVector<gpu::Machine>> machines = gpu::parseTarget(target);
  if (!machines)
    return problem("--target: " + llvm::toString(machines.takeError()));
  device.chips = target.str();
  return device;
}

bool pith::isKernelFormat(StringRef format) {
  return is_contained({"ptx", "cubin", "nvvm", "rocdl", "isa", "hsaco"}, format);
}

Expected<std::string> pith::emitKernels(mlir::ModuleOp module, const Device &device, StringRef format) {
  if (!device.isGPU())
    return problem("--emit=" + format + " needs --target=cuda:… or hip:…");
  Expected<SmallVector<gpu::Machine>> machines = gpu::parseTarget(device.chips);
  if (!machines)
    return machines.takeError();
  if (machines->size() != 1)
    return problem("--emit=" + format + " is for one chip, but the target is '" + device.chips + "'");
  const gpu::Machine &machine = machines->front();
  bool ofCUDA = is_contained({"ptx", "cubin", "nvvm"}, format);
  if (ofCUDA != (machine.vendor == gpu::Vendor::CUDA))
    return problem("--emit=" + format + " is not for " + machine.name());
  auto modules = module.getOps<mlir::gpu::GPUModuleOp>();
  if (modules.empty())
    return problem("the model has no kernels");
  mlir::gpu::GPUModuleOp kernels = *modules.begin();
  if (format == "nvvm" || format == "rocdl") {
    mlir::OwningOpRef<mlir::ModuleOp> copy = mlir::ModuleOp::create(module.getLoc());
    mlir::OpBuilder(copy->getBodyRegion()).clone(*kernels);
    mlir::PassManager pm(module.getContext());
    pm.addNestedPass<mlir::gpu::GPUModuleOp>(createSplitGPU({machine.name()}));
    if (failed(pm.run(*copy)))
      return problem("cannot split the kernels for " + machine.name());
    std::string text;
    llvm::raw_string_ostream(text) << *copy;
    return text;
  }
  if (format == "isa")
    return rocdl::emitISA(kernels, machine);
  if (format == "hsaco") {
    Expected<SmallVector<char, 0>> object = rocdl::emitHSACO(kernels, machine);
    if (!object)
      return object.takeError();
    return std::string(object->begin(), object->end());
  }
  Expected<std::string> ptx = nvvm::emitPTX(kernels, machine);
  if (!ptx || format == "ptx")
    return ptx;
  std::string ptxas = nvvm::findPtxas();
  if (ptxas.empty())
    return problem("--emit=cubin needs ptxas, which is not on this machine (PATH, CUDA_HOME)");
  Expected<nvvm::Cubin> cubin = nvvm::assemble(ptxas, *ptx, machine);
  if (!cubin)
    return cubin.takeError();
  return std::string(cubin->bytes.begin(), cubin->bytes.end());
}
