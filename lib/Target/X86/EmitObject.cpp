//===- EmitObject.cpp - LLVM dialect to x86-64 machine code ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Target/X86/Target.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;

namespace {
constexpr const char *tripleName = "x86_64-unknown-linux-gnu";

Error targetError(const Twine &why) { return createStringError(inconvertibleErrorCode(), why); }

/// A module of LLVM IR with what must outlive it, optimized for one machine.
struct Compiled {
  std::unique_ptr<LLVMContext> context = std::make_unique<LLVMContext>();
  std::unique_ptr<TargetMachine> target;
  std::unique_ptr<Module> module;
  std::string backendErrors;
};

/// Collects what LLVM's back end reports, with the function's name in front.
struct CollectErrors : DiagnosticHandler {
  explicit CollectErrors(std::string &errors) : errors(errors) {}
  bool handleDiagnostics(const DiagnosticInfo &info) override {
    if (info.getSeverity() == DS_Error) {
      raw_string_ostream out(errors);
      if (!errors.empty())
        out << "; ";
      DiagnosticPrinterRawOStream printer(out);
      info.print(printer);
    }
    return true;
  }
  std::string &errors;
};

Expected<std::unique_ptr<TargetMachine>> createTarget(const pith::cpu::Machine &machine) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  Triple triple(tripleName);
  std::string why;
  const Target *target = TargetRegistry::lookupTarget(triple, why);
  if (!target)
    return targetError("no code generator for " + Twine(tripleName) + ": " + why);
  TargetOptions options;
  // Kernels write the fused multiply-adds that they want; elsewhere contraction would change results.
  options.AllowFPOpFusion = FPOpFusion::Standard;
  std::unique_ptr<TargetMachine> result(target->createTargetMachine(triple, machine.cpu, machine.features,
                                                                    options, Reloc::PIC_, std::nullopt,
                                                                    CodeGenOptLevel::Aggressive));
  if (!result)
    return targetError("no code generator for CPU '" + machine.cpu + "'");
  return result;
}

void setMachineAttributes(Module &module, const pith::cpu::Machine &machine) {
  for (Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", machine.cpu);
    function.addFnAttr("target-features", machine.features);
    if (machine.vectorBytes == 64)
      function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr(Attribute::NoUnwind);
  }
}

void optimize(Module &module, TargetMachine &target) {
  PipelineTuningOptions tuning;
  // The kernels are already unrolled and vectorized as the machine wants it.
  tuning.LoopUnrolling = false;
  tuning.LoopInterleaving = false;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  PassBuilder builder(&target, tuning);
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager cgscc;
  ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(cgscc);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, cgscc, modules);
  builder.buildPerModuleDefaultPipeline(OptimizationLevel::O3).run(module, modules);
}

/// Private functions of the MLIR module stay inside the object.
void internalizePrivate(mlir::ModuleOp source, Module &module) {
  source.walk([&](mlir::LLVM::LLVMFuncOp function) {
    if (function.isExternal() || function.isPublic())
      return;
    if (Function *translated = module.getFunction(function.getName()))
      translated->setLinkage(GlobalValue::InternalLinkage);
  });
}

Expected<std::unique_ptr<Compiled>> compile(mlir::ModuleOp source, const pith::cpu::Machine &machine) {
  auto compiled = std::make_unique<Compiled>();
  Expected<std::unique_ptr<TargetMachine>> target = createTarget(machine);
  if (!target)
    return target.takeError();
  compiled->target = std::move(*target);
  compiled->context->setDiagnosticHandler(std::make_unique<CollectErrors>(compiled->backendErrors));

  mlir::DialectRegistry registry;
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
  source.getContext()->appendDialectRegistry(registry);

  std::string why;
  {
    mlir::ScopedDiagnosticHandler handler(source.getContext(), [&](mlir::Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() != mlir::DiagnosticSeverity::Error)
        return mlir::failure();
      raw_string_ostream(why) << (why.empty() ? "" : "; ") << diagnostic;
      return mlir::success();
    });
    compiled->module = mlir::translateModuleToLLVMIR(source, *compiled->context);
  }
  if (!compiled->module)
    return targetError("cannot translate to LLVM IR: " + why);
  internalizePrivate(source, *compiled->module);
  compiled->module->setTargetTriple(Triple(tripleName));
  compiled->module->setDataLayout(compiled->target->createDataLayout());
  compiled->module->setPICLevel(PICLevel::BigPIC);
  setMachineAttributes(*compiled->module, machine);
  for (Function &function : *compiled->module) {
    std::string broken;
    raw_string_ostream out(broken);
    if (verifyFunction(function, &out))
      return targetError("function '" + function.getName() +
                         "' is not valid LLVM IR: " + StringRef(broken).trim());
  }
  optimize(*compiled->module, *compiled->target);
  return compiled;
}

Error emit(Compiled &compiled, raw_pwrite_stream &out, CodeGenFileType type) {
  legacy::PassManager passes;
  passes.add(createTargetTransformInfoWrapperPass(compiled.target->getTargetIRAnalysis()));
  if (compiled.target->addPassesToEmitFile(passes, out, nullptr, type))
    return targetError("the code generator cannot write this kind of file");
  passes.run(*compiled.module);
  if (!compiled.backendErrors.empty())
    return targetError("cannot generate code: " + compiled.backendErrors);
  return Error::success();
}
} // namespace

Expected<SmallVector<char, 0>> pith::x86::emitObject(mlir::ModuleOp module, const cpu::Machine &machine) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  SmallVector<char, 0> object;
  raw_svector_ostream out(object);
  if (Error error = emit(**compiled, out, CodeGenFileType::ObjectFile))
    return error;
  return object;
}

Expected<std::string> pith::x86::emitText(mlir::ModuleOp module, const cpu::Machine &machine, bool assembly) {
  Expected<std::unique_ptr<Compiled>> compiled = compile(module, machine);
  if (!compiled)
    return compiled.takeError();
  if (!assembly) {
    std::string text;
    raw_string_ostream out(text);
    (*compiled)->module->print(out, nullptr);
    return text;
  }
  SmallVector<char, 0> text;
  raw_svector_ostream out(text);
  if (Error error = emit(**compiled, out, CodeGenFileType::AssemblyFile))
    return error;
  return std::string(text.begin(), text.end());
}
