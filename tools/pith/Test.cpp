//===- Test.cpp - pith test -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "SupportTable.h"
#include "TestCase.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

using namespace llvm;
using namespace pith;
using namespace pith::tool;

static cl::SubCommand sub("test", "compile models in the ONNX test-data layout and compare their outputs");
static cl::list<std::string> folders(cl::Positional, cl::OneOrMore, cl::sub(sub),
                                     cl::desc("<folder with model.onnx and test_data_set_*, or folders of such>…"));
static cl::opt<double> relativeTolerance("rtol", cl::sub(sub), cl::init(1e-3), cl::desc("relative tolerance"));
static cl::opt<double> absoluteTolerance("atol", cl::sub(sub), cl::init(1e-7), cl::desc("absolute tolerance"));
static cl::opt<Precision> precision("precision", cl::sub(sub), cl::init(Precision::Exact),
                                    cl::desc("how to multiply with quantized weights:"),
                                    cl::values(clEnumValN(Precision::Exact, "exact", "in f32"),
                                               clEnumValN(Precision::Balanced, "balanced", "activations may be quantized to int8")));
static cl::opt<bool> reference("reference", cl::sub(sub), cl::desc("compile to plain loops instead of kernels"));
static cl::opt<std::string> cpu("cpu", cl::sub(sub), cl::init("host"), cl::desc("CPU to compile for"));
static cl::opt<unsigned> threads("t", cl::sub(sub), cl::init(0),
                                 cl::desc("threads of a session (default: one per CPU; 1 with several cases)"));
static cl::opt<std::string> device("device", cl::sub(sub), cl::desc(deviceText));
static cl::opt<unsigned> jobs("j", cl::sub(sub), cl::init(0), cl::desc("cases at a time (default: one per CPU)"));
static cl::opt<bool> failures("failures", cl::sub(sub), cl::desc("print only the cases that fail"));
static cl::opt<bool> timeCases("time", cl::sub(sub),
                               cl::desc("also measure each case: fastest run, bytes of inputs and outputs per second"));
static cl::opt<std::string> table("table", cl::sub(sub), cl::desc("write which ops pass, as a Markdown table"));

namespace {

/// Folders at or below `folder` that hold a model.onnx and test data, sorted.
void findCases(StringRef folder, std::vector<std::string> &cases) {
  SmallString<128> model(folder);
  sys::path::append(model, "model.onnx");
  if (sys::fs::exists(model)) {
    cases.push_back(folder.str());
    return;
  }
  std::vector<std::string> inner;
  std::error_code code;
  for (sys::fs::directory_iterator it(folder, code), end; it != end && !code; it.increment(code))
    if (sys::fs::is_directory(it->path()))
      inner.push_back(it->path());
  llvm::sort(inner);
  for (const std::string &path : inner)
    findCases(path, cases);
}

/// Runs the cases on several threads and prints their lines in order.
class Runner {
public:
  Runner(std::vector<std::string> cases, CaseOptions options)
      : cases(std::move(cases)), options(std::move(options)), results(this->cases.size()), done(this->cases.size()) {}

  void run(unsigned atATime, bool onlyFailures) {
    DefaultThreadPool pool(hardware_concurrency(atATime));
    for (size_t i = 0; i < cases.size(); ++i)
      pool.async([this, i, onlyFailures] {
        CaseResult result = runCase(cases[i], options);
        std::lock_guard<std::mutex> lock(mutex);
        results[i] = std::move(result);
        done[i] = true;
        while (printed < cases.size() && done[printed])
          print(printed++, onlyFailures);
      });
    pool.wait();
  }

  double medianCompileSeconds() const {
    std::vector<double> times;
    for (const CaseResult &result : results)
      times.push_back(result.compileSeconds);
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
  }

  std::vector<std::string> cases;
  CaseOptions options;
  std::vector<CaseResult> results;
  unsigned passed = 0, failed = 0, skipped = 0;

private:
  void print(size_t i, bool onlyFailures) {
    if (results[i].sets.empty()) {
      ++skipped;
      outs() << "skipped " << cases[i] << ": no test_data_set_*\n";
    }
    for (const SetResult &result : results[i].sets) {
      ++(result.error.empty() ? passed : failed);
      if (!result.error.empty())
        outs() << "FAILED  " << result.folder << ": " << result.error << "\n";
      else if (!onlyFailures) {
        outs() << "ok      " << result.folder << format("  (%.0f%% of the tolerance)", 100 * result.worst);
        if (result.seconds)
          outs() << format("  %.1f us, %.2f GB/s", 1e6 * result.seconds, 1e-9 * result.bytes / result.seconds);
        outs() << "\n";
      }
    }
    outs().flush();
  }

  std::vector<bool> done;
  size_t printed = 0;
  std::mutex mutex;
};

int run() {
  std::vector<std::string> cases;
  for (const std::string &folder : folders) {
    if (!sys::fs::is_directory(folder)) {
      errs() << "pith: " << folder << ": no such folder\n";
      return 1;
    }
    size_t before = cases.size();
    findCases(folder, cases);
    if (cases.size() == before) {
      errs() << "pith: " << folder << ": no model.onnx in it\n";
      return 1;
    }
  }
  // Everything that the command line says is read here: a compilation resets it (parseArguments).
  CaseOptions options;
  options.relativeTolerance = relativeTolerance;
  options.absoluteTolerance = absoluteTolerance;
  options.time = timeCases;
  options.model.quiet = true;
  options.model.threads = threads || cases.size() == 1 ? threads : 1u;
  options.model.device = device;
  options.model.compile.precision = precision;
  options.model.compile.reference = reference;
  options.model.compile.cpu = cpu;
  options.model.compile.invokeOnly = true;
  std::string tableFile = table;
  CrashRecoveryContext::Enable();
  Runner runner(std::move(cases), std::move(options));
  runner.run(jobs, failures);
  if (!tableFile.empty()) {
    SupportTable support;
    for (const auto &[folder, result] : zip(runner.cases, runner.results))
      support.add(folder, result.sets);
    if (!support.write(tableFile))
      return 1;
  }
  if (runner.cases.size() > 1)
    outs() << format("median time to compile and load: %.0f ms\n", 1e3 * runner.medianCompileSeconds());
  outs() << runner.passed << " passed, " << runner.failed << " failed, " << runner.skipped << " skipped\n";
  return runner.failed ? 1 : 0;
}

} // namespace

Command pith::tool::testCommand{sub, run};
