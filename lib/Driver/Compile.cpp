//===- Compile.cpp - from a model file to an output file -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Device.h"
#include "Report.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"
#include "pith/Driver/Driver.h"
#include "pith/Import/ONNX/Import.h"
#include "pith/Package/Package.h"
#include "pith/Target/Passes.h"
#include "pith/Target/X86/Target.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/PrettyStackTrace.h"
#include "llvm/Support/ToolOutputFile.h"
#include <chrono>

using namespace mlir;
using namespace pith;

namespace {

/// Names the pass before it starts, so that a crash names its culprit.
class NameThePass : public PassInstrumentation {
public:
  void runBeforePass(Pass *pass, Operation *) override {
    current.emplace(
        ("running pass " + (pass->getArgument().empty() ? pass->getName() : pass->getArgument())).str());
  }
  void runAfterPass(Pass *, Operation *) override { current.reset(); }
  void runAfterPassFailed(Pass *, Operation *) override { current.reset(); }

private:
  struct Frame {
    explicit Frame(std::string text) : text(std::move(text)), entry(this->text.c_str()) {}
    std::string text;
    llvm::PrettyStackTraceString entry;
  };
  std::optional<Frame> current;
};

/// One compilation: its context, its module and where it stands.
class Compilation {
public:
  Compilation(const CompileOptions &options, llvm::raw_ostream &log) : options(options), log(log) {}
  bool run();

private:
  bool start();
  bool import();
  bool passes(Phase phase);
  bool object();
  bool package();
  bool writeText(llvm::function_ref<void(llvm::raw_ostream &)> write, llvm::StringRef path);
  bool print(llvm::StringRef path);
  void printModule(llvm::raw_ostream &os);
  bool error(const llvm::Twine &message) {
    log << "error: " << message << "\n";
    return false;
  }

  const CompileOptions &options;
  llvm::raw_ostream &log;
  Report report; // outlives the context, which streams remarks to it
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  cpu::Machine machine;
  Device device;
  std::optional<PackageContents> contents;
  llvm::SmallVector<char, 0> code;
};

} // namespace

bool Compilation::start() {
  std::optional<cpu::Machine> found = cpu::Machine::fromName(options.cpu);
  if (!found)
    return error("--cpu: unknown CPU '" + options.cpu + "', or one without AVX2");
  machine = *found;
  llvm::Expected<Device> named = parseDevice(options.target);
  if (!named)
    return error(llvm::toString(named.takeError()));
  device = *named;
  DialectRegistry registry;
  registerDialects(registry);
  // Threads of a pass manager would not pay off on one module with a few functions.
  context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  context->getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
    llvm::StringRef kind = diagnostic.getSeverity() == DiagnosticSeverity::Error     ? "error"
                           : diagnostic.getSeverity() == DiagnosticSeverity::Warning ? "warning"
                                                                                     : "note";
    log << kind << ": ";
    if (auto name = dyn_cast<NameLoc>(diagnostic.getLocation()))
      log << name.getName().getValue() << ": ";
    else if (auto file = dyn_cast<FileLineColLoc>(diagnostic.getLocation()))
      log << file.getFilename().getValue() << ":" << file.getLine() << ":" << file.getColumn() << ": ";
    log << diagnostic << "\n";
    for (const Diagnostic &note : diagnostic.getNotes())
      log << "  note: " << note << "\n";
    return success();
  });
  if (options.report)
    report.attach(*context);
  if (!options.skipPasses.empty())
    context->registerActionHandler(
        [this](llvm::function_ref<void()> transform, const tracing::Action &action) {
          if (auto *execution = dyn_cast<PassExecutionAction>(&action))
            if (llvm::is_contained(options.skipPasses, execution->getPass().getArgument()))
              return;
          transform();
        });
  return true;
}

bool Compilation::import() {
  if (llvm::sys::path::extension(options.input) == ".mlir")
    module = parseSourceFile<ModuleOp>(options.input, context.get());
  else if (options.from != Phase::Import)
    return error("--from is for .mlir inputs; '" + options.input + "' is a model");
  else
    module = onnx::importModel(context.get(), options.input);
  return bool(module);
}

bool Compilation::passes(Phase phase) {
  PassManager pm(context.get());
  pm.addInstrumentation(std::make_unique<NameThePass>());
  switch (phase) {
  case Phase::Raise: {
    RaiseOptions raise;
    raise.step = !options.invokeOnly;
    // Balanced computes with rounded activations; keys and values rounded to f16 are far less.
    bool half = options.cacheElement == "auto" && options.precision == Precision::Balanced;
    raise.cacheElement = half ? "f16" : options.cacheElement;
    buildRaisePipeline(pm, raise);
    if (options.expose != Expose::None) {
      ExposeValuesOptions expose;
      expose.blocksOnly = options.expose == Expose::Blocks;
      pm.addPass(createExposeValues(expose));
    }
    break;
  }
  case Phase::Schedule: {
    setMachine(*module, machine);
    ScheduleOptions schedule;
    schedule.reference = options.reference;
    schedule.exact = options.precision == Precision::Exact;
    schedule.maxRows = options.maxRows;
    if (device.isGPU())
      buildGPUSchedule(pm, schedule, device.chips);
    else
      buildSchedule(pm, schedule);
    break;
  }
  case Phase::Kernels:
    if (device.isGPU())
      buildGPUKernels(pm, device.chips);
    else
      buildKernels(pm);
    break;
  default:
    if (device.isGPU())
      pm.addPass(createEmbedImages({device.chips, device.emulated}));
    x86::buildLowerToLLVM(pm);
    break;
  }
  return succeeded(pm.run(*module));
}

bool Compilation::object() {
  if (!options.text.empty()) {
    llvm::Expected<std::string> text = x86::emitText(*module, machine, options.text == "asm");
    if (!text)
      return error(llvm::toString(text.takeError()));
    return writeText([&](llvm::raw_ostream &os) { os << *text; }, options.output);
  }
  llvm::Expected<llvm::SmallVector<char, 0>> emitted = x86::emitObject(*module, machine);
  if (!emitted)
    return error(llvm::toString(emitted.takeError()));
  code = std::move(*emitted);
  if (options.emit != Phase::Object)
    return true;
  return writeText([&](llvm::raw_ostream &os) { os.write(code.data(), code.size()); }, options.output);
}

bool Compilation::package() {
  llvm::SmallString<128> header(options.output);
  llvm::sys::path::replace_extension(header, ".h");
  llvm::Error failure = options.embedAs.empty() ? packageFile(*contents, code, machine, options.output)
                                                : packageObject(*contents, code, machine, options.embedAs,
                                                                options.output, header);
  if (failure)
    return error(llvm::toString(std::move(failure)));
  return true;
}

bool Compilation::writeText(llvm::function_ref<void(llvm::raw_ostream &)> write, llvm::StringRef path) {
  std::error_code code;
  llvm::ToolOutputFile file(path, code, llvm::sys::fs::OF_None);
  if (code)
    return error("cannot write '" + path + "': " + code.message());
  write(file.os());
  file.os().flush();
  if (file.os().has_error()) {
    std::string reason = file.os().error().message();
    file.os().clear_error();
    return error("cannot write '" + path + "': " + reason);
  }
  file.keep();
  return true;
}

void Compilation::printModule(llvm::raw_ostream &os) {
  OpPrintingFlags flags;
  flags.elideLargeResourceString(64);
  module->print(os, flags);
}

bool Compilation::print(llvm::StringRef path) {
  return writeText([this](llvm::raw_ostream &os) { printModule(os); }, path);
}

bool Compilation::run() {
  if (!start())
    return false;
  for (const PhaseInfo &info : phases()) {
    if (info.phase > options.emit || (info.phase <= options.from && info.phase != Phase::Import))
      continue;
    if (options.progress)
      options.progress(info.name);
    llvm::PrettyStackTraceString frame(info.name.data());
    auto begin = std::chrono::steady_clock::now();
    // Lowering drops the weights and the manifest from the IR: take them while they are there.
    if (info.phase == Phase::Lower) {
      llvm::Expected<PackageContents> taken = takeContents(*module);
      if (!taken)
        return error(llvm::toString(taken.takeError()));
      contents = std::move(*taken);
      contents->device = device.name();
      contents->stripped = options.stripped;
      if (isKernelFormat(options.text)) {
        llvm::Expected<std::string> code = emitKernels(*module, device, options.text);
        if (!code)
          return error(llvm::toString(code.takeError()));
        return writeText([&](llvm::raw_ostream &os) { os << *code; }, options.output);
      }
    }
    bool done = info.phase == Phase::Import   ? import()
                : info.phase < Phase::Object  ? passes(info.phase)
                : info.phase == Phase::Object ? object()
                                              : package();
    if (!done)
      return false;
    report.phase(info.name, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    if (options.check)
      return true;
    if (info.phase == Phase::Raise && options.report)
      report.raised(*module);
    if (info.phase < Phase::Object && !options.saveIR.empty()) {
      llvm::SmallString<128> path(options.saveIR);
      if (std::error_code code = llvm::sys::fs::create_directories(path))
        return error("cannot create '" + options.saveIR + "': " + code.message());
      llvm::sys::path::append(path, info.name + ".mlir");
      if (!print(path))
        return false;
    }
    if (info.phase == options.emit && info.phase < Phase::Object && !print(options.output))
      return false;
  }
  if (options.report)
    report.print(log);
  return true;
}

bool pith::compile(const CompileOptions &options, llvm::raw_ostream &log) {
  return Compilation(options, log).run();
}
