//===- CodeGen.cpp - LLVM's back ends as a library ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "CodeGen.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;
using namespace pith::target;

Error pith::target::targetError(const Twine &why) { return createStringError(inconvertibleErrorCode(), why); }

namespace {
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

Expected<std::unique_ptr<TargetMachine>> createTarget(const Description &machine) {
  Triple triple(machine.triple);
  std::string why;
  const Target *target = TargetRegistry::lookupTarget(triple, why);
  if (!target)
    return targetError("no code generator for " + machine.triple + ": " + why);
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

} // namespace

Expected<std::unique_ptr<Compiled>>
pith::target::compile(mlir::Operation *source, const Description &machine,
                      function_ref<void(mlir::DialectRegistry &)> registerDialects,
                      function_ref<void(Module &)> adjust) {
  auto compiled = std::make_unique<Compiled>();
  Expected<std::unique_ptr<TargetMachine>> target = createTarget(machine);
  if (!target)
    return target.takeError();
  compiled->target = std::move(*target);
  compiled->context->setDiagnosticHandler(std::make_unique<CollectErrors>(compiled->backendErrors));

  mlir::DialectRegistry registry;
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
  registerDialects(registry);
  source->getContext()->appendDialectRegistry(registry);

  std::string why;
  {
    mlir::ScopedDiagnosticHandler handler(source->getContext(), [&](mlir::Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() != mlir::DiagnosticSeverity::Error)
        return mlir::failure();
      raw_string_ostream(why) << (why.empty() ? "" : "; ") << diagnostic;
      return mlir::success();
    });
    compiled->module = mlir::translateModuleToLLVMIR(source, *compiled->context);
  }
  if (!compiled->module)
    return targetError("cannot translate to LLVM IR: " + why);
  compiled->module->setTargetTriple(Triple(machine.triple));
  compiled->module->setDataLayout(compiled->target->createDataLayout());
  for (Function &function : *compiled->module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", machine.cpu);
    if (!machine.features.empty())
      function.addFnAttr("target-features", machine.features);
    function.addFnAttr(Attribute::NoUnwind);
  }
  adjust(*compiled->module);
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

Expected<SmallVector<char, 0>> Compiled::emit(CodeGenFileType type) {
  SmallVector<char, 0> bytes;
  raw_svector_ostream out(bytes);
  legacy::PassManager passes;
  passes.add(createTargetTransformInfoWrapperPass(target->getTargetIRAnalysis()));
  if (target->addPassesToEmitFile(passes, out, nullptr, type))
    return targetError("the code generator cannot write this kind of file");
  passes.run(*module);
  if (!backendErrors.empty())
    return targetError("cannot generate code: " + backendErrors);
  return bytes;
}

Expected<std::string> Compiled::emitText() {
  Expected<SmallVector<char, 0>> text = emit(CodeGenFileType::AssemblyFile);
  if (!text)
    return text.takeError();
  return std::string(text->begin(), text->end());
}

std::string Compiled::print() const {
  std::string text;
  raw_string_ostream out(text);
  module->print(out, nullptr);
  return text;
}
