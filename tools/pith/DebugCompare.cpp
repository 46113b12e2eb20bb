//===- DebugCompare.cpp - pith debug-compare -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where do the fast kernels and the reference's plain loops part? Both pipelines begin with the same raised graph, so
// values of it can be outputs of both. What becomes an output is no longer fused with what follows; so first only the
// blocks' results are shown, which leaves the kernels within as they are, and single operations in a second round.
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "Invoke.h"
#include "MadeInputs.h"
#include "Options.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace llvm;
using namespace pith;
using namespace pith::tool;

static cl::SubCommand sub("debug-compare", "compare the fast pipeline with the reference, operation by operation");
static cl::opt<std::string> path(cl::Positional, cl::Required, cl::sub(sub), cl::desc("<model.onnx|model.mlir>"));
static cl::list<std::string> given("i", cl::sub(sub), cl::desc("input tensor, .pb or .npy, as NAME=FILE (others are made up)"));
static cl::list<std::string> sizes("size", cl::sub(sub), cl::desc("a symbolic dimension's size for made inputs, as NAME=N (default: batch 1, others 8)"));
static cl::opt<double> tolerance("tolerance", cl::sub(sub), cl::init(0),
                                 cl::desc("largest difference, as a share of the value's root mean square (default: 1e-3, "
                                          "with balanced precision 0.1)"));
static cl::opt<Precision> precision("precision", cl::sub(sub), cl::init(Precision::Exact),
                                    cl::desc("of the fast pipeline:"),
                                    cl::values(clEnumValN(Precision::Exact, "exact", "in f32"),
                                               clEnumValN(Precision::Balanced, "balanced", "activations may be quantized to int8")));
static cl::opt<std::string> cpu("cpu", cl::sub(sub), cl::init("host"), cl::desc("CPU to compile for"));
static cl::opt<unsigned> threads("t", cl::sub(sub), cl::init(0), cl::desc("threads (default: one per CPU)"));
static cl::opt<bool> all("all", cl::sub(sub), cl::desc("print every value's difference"));

namespace {

/// How far two values are apart, in units of the reference's root mean square.
struct Difference {
  double share = 0;
  int64_t at = -1;
  double found = 0, expected = 0;
};

/// What the type itself rounds off: half types as outputs differ by that much where nothing is wrong.
double roundingOf(pith_type type) { return type == PITH_F16 ? 0x1p-10 : type == PITH_BF16 ? 0x1p-7 : 0; }

Difference compare(const Tensor &found, const Tensor &expected) {
  Difference worst;
  double rounding = roundingOf(expected.type);
  int64_t count = expected.elements();
  double squares = 0;
  for (int64_t i = 0; i < count; ++i)
    if (double value = expected.at(i); std::isfinite(value))
      squares += value * value;
  double scale = count ? std::sqrt(squares / count) : 0;
  for (int64_t i = 0; i < count; ++i) {
    double a = found.at(i), b = expected.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b)))
      continue;
    double share = std::fabs(a - b);
    if (share <= rounding * std::fabs(b))
      continue;
    share /= std::max(scale, 1e-30);
    if (!(share <= worst.share)) // not a number is the largest difference
      worst = {std::isnan(share) ? INFINITY : share, i, a, b};
  }
  return worst;
}

std::string indexOf(const Tensor &tensor, int64_t element) {
  std::string text;
  for (int64_t dim : llvm::reverse(tensor.dims)) {
    text = std::to_string(element % dim) + (text.empty() ? "" : ", ") + text;
    element /= dim;
  }
  return "[" + text + "]";
}

/// What one way of compiling gives for the inputs, which are made at the first call.
bool evaluate(bool reference, Expose expose, std::vector<Tensor> &inputs, std::vector<Tensor> &outputs) {
  ModelOptions options;
  options.path = path;
  options.threads = threads;
  options.compile.precision = precision;
  options.compile.cpu = cpu;
  options.compile.reference = reference;
  options.compile.expose = expose;
  options.compile.invokeOnly = true;
  Model model;
  std::string error;
  if (!model.open(options))
    return false;
  if (!makeInputs(model.module, sizes, inputs, error) || !invoke(model, inputs, outputs, error)) {
    errs() << "pith: " << path << ": " << error << "\n";
    return false;
  }
  return true;
}

/// The graph's own outputs stand before the exposed values; in the order of computation they come last.
std::vector<size_t> programOrder(const std::vector<Tensor> &values, size_t exposedFrom) {
  std::vector<size_t> order;
  for (size_t i = exposedFrom; i < values.size(); ++i)
    order.push_back(i);
  for (size_t i = 0; i < exposedFrom; ++i)
    order.push_back(i);
  return order;
}

struct Round {
  size_t values = 0;
  double largest = 0;
  std::string first; ///< the first value that differs too much, described
  std::string before; ///< the last one that does not
};

bool run(Expose expose, size_t ownOutputs, std::vector<Tensor> &inputs, double bound, Round &round) {
  std::vector<Tensor> fast, expected;
  if (!evaluate(true, expose, inputs, expected) || !evaluate(false, expose, inputs, fast))
    return false;
  if (fast.size() != expected.size()) {
    errs() << "pith: " << path << ": the pipelines give " << fast.size() << " and " << expected.size() << " values\n";
    return false;
  }
  for (size_t i : programOrder(expected, std::min(ownOutputs, expected.size()))) {
    Difference difference = compare(fast[i], expected[i]);
    ++round.values;
    round.largest = std::max(round.largest, difference.share);
    if (all)
      outs() << format("%10.3g  ", difference.share) << expected[i].name << "\n";
    if (!round.first.empty())
      continue;
    if (difference.share <= bound) {
      round.before = expected[i].name;
      continue;
    }
    raw_string_ostream(round.first) << expected[i].name << ": element " << indexOf(expected[i], difference.at) << " is "
                                    << format("%.9g, reference %.9g, a difference of %.3g", difference.found,
                                              difference.expected, difference.share);
  }
  return true;
}

int run() {
  double bound = tolerance.getNumOccurrences() ? double(tolerance) : precision == Precision::Exact ? 1e-3 : 0.1;
  std::vector<Tensor> inputs, outputs;
  std::string error;
  for (StringRef argument : given) {
    auto [name, file] = argument.split('=');
    Tensor tensor;
    if (file.empty() || !readTensor(file.str(), tensor, error)) {
      errs() << "pith: " << (file.empty() ? "-i: expected NAME=FILE, found '" + argument.str() + "'" : error) << "\n";
      return file.empty() ? 2 : 1;
    }
    tensor.name = name.str();
    inputs.push_back(std::move(tensor));
  }
  if (!evaluate(false, Expose::None, inputs, outputs))
    return 1;
  Round blocks, operations;
  if (!run(Expose::Blocks, outputs.size(), inputs, bound, blocks))
    return 1;
  // Where everything agrees with the kernels as they are, single operations are of interest only to who asks.
  bool wanted = !blocks.first.empty() || all;
  if (wanted && !run(Expose::All, outputs.size(), inputs, bound, operations))
    return 1;
  if (blocks.first.empty() && operations.first.empty()) {
    outs() << blocks.values + operations.values << " values agree within "
           << format("%.3g; the largest difference is %.3g", bound, std::max(blocks.largest, operations.largest)) << "\n";
    return 0;
  }
  if (!operations.first.empty())
    outs() << "the first operation that differs: " << operations.first << "\n";
  if (!operations.before.empty() && !operations.first.empty())
    outs() << "the last before it that agrees: " << operations.before << "\n";
  if (!blocks.first.empty())
    outs() << (operations.first.empty() ? "differs only where operations are fused; " : "") << "the first block or output: "
           << blocks.first << "\n";
  return 1;
}

} // namespace

Command pith::tool::debugCompareCommand{sub, run};
