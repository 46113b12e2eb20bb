//===- KernelHarness.cpp - compiles kernels and runs them -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelHarness.h"
#include "pith/Target/X86/Target.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <dlfcn.h>
#include <immintrin.h>

using namespace pith;
using namespace pith::test;

Team::Team(uint32_t threads) {
  context.struct_size = sizeof(context);
  context.threads = threads;
  context.barrier = barrier;
  context.team = this;
  for (uint32_t thread = 1; thread < threads; ++thread)
    workers.emplace_back([this, thread] {
      while (true) {
        wait();
        if (stop)
          return;
        (*job)(&context, thread);
        wait();
      }
    });
}

Team::~Team() {
  stop = true;
  wait();
  for (std::thread &worker : workers)
    worker.join();
}

void Team::wait() {
  uint32_t before = epoch.load(std::memory_order_acquire);
  if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == context.threads) {
    arrived.store(0, std::memory_order_relaxed);
    epoch.store(before + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; epoch.load(std::memory_order_acquire) == before; ++spins) {
    if (spins < 2000)
      _mm_pause();
    else if (spins < 2100)
      std::this_thread::yield();
    else // more threads than free cores
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void Team::barrier(void *team, uint32_t) { static_cast<Team *>(team)->wait(); }

void Team::run(const std::function<void(const pith_exec_context *, uint32_t)> &function) {
  job = &function;
  wait();
  function(&context, 0);
  wait();
}

KernelHarness::KernelHarness(cpu::Machine machine)
    : machine(std::move(machine)), context(mlir::MLIRContext::Threading::DISABLED) {
  context.loadDialect<mlir::func::FuncDialect>();
  module = mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
}

KernelHarness::~KernelHarness() {
  if (library)
    dlclose(library);
}

std::string KernelHarness::lower() {
  module->walk([](mlir::func::FuncOp function) { function.setPublic(); });
  mlir::PassManager passes(&context);
  x86::buildLowerToLLVM(passes);
  std::string errors;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
    llvm::raw_string_ostream(errors) << diagnostic << "\n";
    return mlir::success();
  });
  if (mlir::failed(passes.run(*module)))
    return "lowering failed: " + errors;
  return "";
}

std::string KernelHarness::assembly() {
  if (std::string error = lower(); !error.empty())
    return error;
  llvm::Expected<std::string> text = x86::emitText(*module, machine, /*assembly=*/true);
  return text ? *text : llvm::toString(text.takeError());
}

std::string KernelHarness::compile() {
  if (std::string error = lower(); !error.empty())
    return error;
  auto object = x86::emitObject(*module, machine);
  if (!object)
    return llvm::toString(object.takeError());
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::createTemporaryFile("kernels", "so", path))
    return error.message();
  llvm::FileRemover remover(path);
  if (llvm::Error error = x86::linkShared(*object, path))
    return llvm::toString(std::move(error));
  library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  return library ? "" : dlerror();
}

void *KernelHarness::symbol(const std::string &name) const {
  void *address = library ? dlsym(library, name.c_str()) : nullptr;
  if (!address) {
    fprintf(stderr, "no kernel '%s'\n", name.c_str());
    std::abort();
  }
  return address;
}
