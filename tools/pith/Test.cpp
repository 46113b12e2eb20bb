//===- Test.cpp - pith test -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "Invoke.h"
#include "Options.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

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
static cl::opt<unsigned> threads("t", cl::sub(sub), cl::init(0), cl::desc("threads (default: one per CPU)"));

namespace {

/// Sorted paths of a folder's entries whose names begin with `prefix`, in the order of the number behind it.
std::vector<std::string> numbered(StringRef folder, StringRef prefix) {
  std::vector<std::pair<unsigned, std::string>> found;
  std::error_code code;
  for (sys::fs::directory_iterator it(folder, code), end; it != end && !code; it.increment(code)) {
    StringRef name = sys::path::filename(it->path());
    unsigned number;
    if (name.consume_front(prefix) && !name.consumeInteger(10, number))
      found.emplace_back(number, it->path());
  }
  llvm::sort(found);
  std::vector<std::string> paths;
  for (auto &[number, path] : found)
    paths.push_back(std::move(path));
  return paths;
}

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

std::string shapeOf(const Tensor &tensor) {
  std::string text = std::string(pith_type_name(tensor.type)) + "[";
  for (auto [i, dim] : enumerate(tensor.dims))
    text += (i ? "," : "") + std::to_string(dim);
  return text + "]";
}

/// What differs between an output and its reference; empty if nothing does.
std::string compare(const Tensor &found, const Tensor &expected, double &worst) {
  if (found.type != expected.type || found.dims != expected.dims)
    return "is " + shapeOf(found) + ", expected " + shapeOf(expected);
  int64_t count = expected.elements(), wrong = 0, first = -1;
  for (int64_t i = 0; i < count; ++i) {
    double a = found.at(i), b = expected.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b)))
      continue;
    double difference = std::fabs(a - b), bound = absoluteTolerance + relativeTolerance * std::fabs(b);
    if (difference <= bound) {
      worst = std::max(worst, difference / bound);
      continue;
    }
    ++wrong;
    if (first < 0)
      first = i;
  }
  if (!wrong)
    return "";
  std::string at;
  int64_t rest = first;
  for (int64_t i = expected.dims.size() - 1; i >= 0; --i) {
    at = std::to_string(rest % expected.dims[i]) + (at.empty() ? "" : ",") + at;
    rest /= expected.dims[i];
  }
  std::string text;
  raw_string_ostream(text) << "[" << at << "] is " << format("%.9g", found.at(first)) << ", expected "
                           << format("%.9g", expected.at(first)) << " (" << wrong << " of " << count << " differ)";
  return text;
}

struct Counts {
  unsigned passed = 0, failed = 0, skipped = 0;
};

void report(Counts &counts, StringRef name, StringRef error, double worst = 0) {
  ++(error.empty() ? counts.passed : counts.failed);
  outs() << (error.empty() ? "ok      " : "FAILED  ") << name;
  if (error.empty())
    outs() << format("  (%.0f%% of the tolerance)", 100 * worst);
  else
    outs() << ": " << error;
  outs() << "\n";
  outs().flush();
}

void testFolder(StringRef folder, Counts &counts) {
  std::vector<std::string> sets = numbered(folder, "test_data_set_");
  if (sets.empty()) {
    ++counts.skipped;
    outs() << "skipped " << folder << ": no test_data_set_*\n";
    return;
  }
  ModelOptions options;
  options.path = (folder + "/model.onnx").str();
  options.quiet = true;
  options.threads = threads;
  options.compile.precision = precision;
  options.compile.reference = reference;
  options.compile.cpu = cpu;
  options.compile.invokeOnly = true;
  Model model;
  if (!model.open(options)) {
    for (const std::string &set : sets)
      report(counts, set, "model does not compile");
    return;
  }
  for (const std::string &set : sets) {
    std::string error;
    double worst = 0;
    auto readAll = [&](StringRef prefix, std::vector<Tensor> &tensors) {
      for (const std::string &path : numbered(set, prefix))
        if (error.empty() && !readTensor(path, tensors.emplace_back(), error))
          tensors.pop_back();
      return error.empty();
    };
    std::vector<Tensor> inputs, expected, outputs;
    if (readAll("input_", inputs) && readAll("output_", expected) && invoke(model, inputs, outputs, error)) {
      if (outputs.size() < expected.size())
        error = "has " + std::to_string(outputs.size()) + " outputs, expected " + std::to_string(expected.size());
      for (size_t i = 0; i < expected.size() && error.empty(); ++i) {
        // Reference files carry names; a file without one stands for the output at its position.
        const Tensor *output = &outputs[i];
        for (const Tensor &candidate : outputs)
          if (!expected[i].name.empty() && candidate.name == expected[i].name)
            output = &candidate;
        std::string difference = compare(*output, expected[i], worst);
        if (!difference.empty())
          error = "output '" + output->name + "' " + difference;
      }
    }
    report(counts, set, error, worst);
  }
}

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
  Counts counts;
  for (const std::string &folder : cases)
    testFolder(folder, counts);
  outs() << counts.passed << " passed, " << counts.failed << " failed, " << counts.skipped << " skipped\n";
  return counts.failed ? 1 : 0;
}

} // namespace

Command pith::tool::testCommand{sub, run};
