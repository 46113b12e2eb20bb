//===- EmulatedKernels.cpp - compiles GPU kernels and runs them on the emulator ---------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===------------------------------------------------------------------------------------===//
#include "EmulatedKernels.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "pith/Target/Emulator/Target.h"
#include "pith/Target/X86/Target.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/raw_ostream.h"

#include <dlfcn.h>

using namespace pith;
using namespace pith::test;

EmulatedKernels::EmulatedKernels() : context(mlir::MLIRContext::Threading::DISABLED) {
  context.loadDialect<mlir::amdgpu::AMDGPUDialect, mlir::arith::ArithDialect, mlir::cf::ControlFlowDialect,
                      mlir::gpu::GPUDialect, mlir::LLVM::LLVMDialect, mlir::NVVM::NVVMDialect,
                      mlir::ROCDL::ROCDLDialect, mlir::math::MathDialect, mlir::scf::SCFDialect,
                      mlir::vector::VectorDialect>();
  module = mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
}

EmulatedKernels::~EmulatedKernels() {
  if (library)
    dlclose(library);
}

std::string EmulatedKernels::parse(const std::string &text) {
  std::string errors;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
    llvm::raw_string_ostream(errors) << diagnostic.getLocation() << ": " << diagnostic << "\n";
    return mlir::success();
  });
  module = mlir::parseSourceString<mlir::ModuleOp>(text, &context, "kernel");
  return module ? "" : "cannot parse: " + errors;
}

std::string EmulatedKernels::compile() {
  auto machine = cpu::Machine::fromName("host");
  if (!machine)
    machine = cpu::Machine::fromName("x86-64-v3");
  auto object = emulator::compileKernels(*module, *machine);
  if (!object)
    return llvm::toString(object.takeError());
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::createTemporaryFile("kernels", "so", path))
    return error.message();
  llvm::FileRemover remover(path);
  if (llvm::Error error = x86::linkShared(*object, path))
    return llvm::toString(std::move(error));
  if (library)
    dlclose(library);
  library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return dlerror();
  table = static_cast<const pith_emu_module *>(dlsym(library, PITH_EMULATED_SYMBOL));
  return table ? "" : "no table of kernels";
}

std::string EmulatedKernels::launch(const std::string &kernel, Extent grid, Extent block,
                                    std::vector<KernelArgument> arguments, uint32_t sharedBytes) {
  const pith_emu_kernel *found = table ? Device::find(*table, kernel.c_str()) : nullptr;
  if (!found)
    return "no kernel '" + kernel + "'";
  if (found->arguments != arguments.size())
    return "kernel '" + kernel + "' has " + std::to_string(found->arguments) + " arguments";
  std::vector<const void *> places;
  for (const KernelArgument &argument : arguments)
    places.push_back(argument.data());
  return device.launch(*found, grid, block, sharedBytes, places.data()).message();
}
