//===- Compile.cpp - pith compile -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "pith/Driver/Driver.h"
#include "pith/Import/ONNX/Import.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace pith;

static cl::SubCommand sub("compile", "compile a model to one native file");
static cl::opt<std::string> input(cl::Positional, cl::Required, cl::sub(sub),
                                  cl::desc("<model.onnx|model.mlir>"));
static cl::opt<std::string> output("o", cl::sub(sub),
                                   cl::desc("output file (default: the model's name with .pith)"));
static cl::opt<std::string>
    emit("emit", cl::sub(sub), cl::init("package"),
         cl::desc("stop after a phase: import, raise, schedule, kernels, lower, object, "
                  "package; or print llvm, asm; or obj: an object file with code, weights and "
                  "manifest, and a C header beside it, to link into a program"));
static cl::opt<std::string>
    symbol("symbol", cl::sub(sub),
           cl::desc("with --emit=obj: the model's name in C (default: the output file's)"));
static cl::opt<std::string> from("from", cl::sub(sub), cl::init("import"),
                                 cl::desc("the phase after which an .mlir input was printed"));
static cl::opt<std::string>
    target("target", cl::sub(sub), cl::init("cpu"),
           cl::desc("device: cpu, cuda:CHIPS (cuda:sm_80,sm_90a), hip:CHIPS (hip:gfx942), emulator:CHIP"));
static cl::opt<std::string>
    cpu("cpu", cl::sub(sub), cl::init("host"),
        cl::desc("CPU to compile for: host, or a name that LLVM knows (x86-64-v3, znver4, …)"));
static cl::opt<Precision> precision("precision", cl::sub(sub), cl::init(Precision::Balanced),
                                    cl::desc("how to multiply with quantized weights:"),
                                    cl::values(clEnumValN(Precision::Exact, "exact", "in f32"),
                                               clEnumValN(Precision::Balanced, "balanced",
                                                          "activations may be quantized to int8")));
static cl::opt<bool> report("report", cl::sub(sub),
                            cl::desc("say what was raised, what not and why, and the time per phase"));
static cl::opt<bool> reference("reference", cl::sub(sub), cl::desc("plain loops instead of kernels"));
static cl::opt<bool> check("check", cl::sub(sub),
                           cl::desc("only import: say everything that stands in the way, write nothing"));
static cl::opt<bool> invokeOnly("invoke-only", cl::sub(sub),
                                cl::desc("keep only the exported graph, no step entry"));
static cl::opt<std::string> saveIR("save-ir", cl::sub(sub), cl::desc("folder for the IR after every phase"));
static cl::opt<bool> stripped("stripped", cl::sub(sub),
                              cl::desc("leave the weights out: a file for benchmarks that fill in others (bench/gpu)"));
static cl::list<std::string> skipPasses("skip-pass", cl::sub(sub), cl::CommaSeparated,
                                        cl::desc("passes not to run, by argument"));
static cl::opt<unsigned> maxRows("max-rows", cl::sub(sub), cl::init(512),
                                 cl::desc("rows of a step that the code takes at once"));
static cl::opt<std::string> cacheElement("kv-cache", cl::sub(sub), cl::init("auto"),
                                         cl::desc("element type of the KV cache: auto, f32, f16"));

static bool findPhase(StringRef option, StringRef name, Phase &phase) {
  for (const PhaseInfo &info : phases())
    if (info.name == name) {
      phase = info.phase;
      return true;
    }
  errs() << "pith: --" << option << ": unknown phase '" << name << "'; phases are";
  for (const PhaseInfo &info : phases())
    errs() << " " << info.name;
  errs() << "\n";
  return false;
}

/// What `--check` says of a model without problems.
static void printOps(StringRef path) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  std::string error;
  unsigned nodes = 0;
  std::vector<onnx::OpUse> uses = onnx::listOps(&context, path, error);
  for (const onnx::OpUse &use : uses)
    nodes += use.nodes;
  outs() << path << ": " << nodes << " nodes of " << uses.size() << " ops, all supported\n";
}

/// The C name that a file's name suggests.
static std::string symbolOf(StringRef path) {
  std::string name = sys::path::stem(path).str();
  for (char &c : name)
    if (!isAlnum(c))
      c = '_';
  return name.empty() || isDigit(name[0]) ? "model_" + name : name;
}

static bool isSymbol(StringRef name) {
  return !name.empty() && !isDigit(name[0]) && all_of(name, [](char c) { return isAlnum(c) || c == '_'; });
}

static int run() {
  CompileOptions options;
  options.input = input;
  if (check && sys::path::extension(input) != ".onnx") {
    errs() << "pith: --check is for .onnx models, not '" << input << "'\n";
    return 2;
  }
  options.target = target;
  if (emit == "llvm" || emit == "asm") {
    options.emit = Phase::Object;
    options.text = emit;
  } else if (isKernelFormat(emit)) {
    options.emit = Phase::Lower;
    options.text = emit;
  } else if (emit != "obj" && !findPhase("emit", emit, options.emit)) {
    return 2;
  }
  if (!findPhase("from", from, options.from))
    return 2;
  options.output = output;
  if (options.output.empty()) {
    SmallString<128> path(input);
    bool binary = options.text.empty() && options.emit >= Phase::Object;
    bool file = options.emit == Phase::Package && emit != "obj";
    sys::path::replace_extension(path, file ? ".pith" : binary ? ".o" : "");
    options.output = binary ? std::string(path) : "-";
  }
  if (emit == "obj") {
    options.embedAs = symbol.empty() ? symbolOf(options.output) : symbol;
    if (!isSymbol(options.embedAs)) {
      errs() << "pith: --symbol: '" << symbol << "' is not a name in C\n";
      return 2;
    }
  } else if (!symbol.empty()) {
    errs() << "pith: --symbol is for --emit=obj\n";
    return 2;
  }
  options.cpu = cpu;
  options.precision = precision;
  options.report = report;
  options.reference = reference;
  options.invokeOnly = invokeOnly;
  options.stripped = stripped;
  options.saveIR = saveIR;
  options.skipPasses.assign(skipPasses.begin(), skipPasses.end());
  options.maxRows = maxRows;
  options.cacheElement = cacheElement;
  options.check = check;
  if (!compile(options, errs()))
    return 1;
  // The package has been linked by now, which resets the options: only a check goes on to use them.
  if (options.check)
    printOps(options.input);
  return 0;
}

pith::tool::Command pith::tool::compileCommand{sub, run};
