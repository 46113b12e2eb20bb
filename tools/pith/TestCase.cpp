//===- TestCase.cpp - one model with reference outputs -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestCase.h"
#include "Invoke.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include <cmath>

using namespace llvm;
using namespace pith;
using namespace pith::tool;

/// Sorted paths of a folder's entries whose names begin with `prefix`, in the order of the number behind it.
static std::vector<std::string> numbered(StringRef folder, StringRef prefix) {
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

static std::string shapeOf(const Tensor &tensor) {
  std::string text = std::string(pith_type_name(tensor.type)) + "[";
  for (auto [i, dim] : enumerate(tensor.dims))
    text += (i ? "," : "") + std::to_string(dim);
  return text + "]";
}

/// What differs between an output and its reference; empty if nothing does.
static std::string compare(const Tensor &found, const Tensor &expected, const CaseOptions &options, double &worst) {
  if (found.type != expected.type || found.dims != expected.dims)
    return "is " + shapeOf(found) + ", expected " + shapeOf(expected);
  int64_t count = expected.elements(), wrong = 0, first = -1;
  // References round after every step; a bf16 may then differ by two units in its last place.
  double relative = expected.type == PITH_BF16 ? std::max<double>(options.relativeTolerance, 0x1p-6)
                                               : options.relativeTolerance;
  for (int64_t i = 0; i < count; ++i) {
    double a = found.at(i), b = expected.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b)))
      continue;
    double difference = std::fabs(a - b), bound = options.absoluteTolerance + relative * std::fabs(b);
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

static void runSet(Model &model, const CaseOptions &options, SetResult &result) {
  std::string &error = result.error;
  auto readAll = [&](StringRef prefix, std::vector<Tensor> &tensors) {
    for (const std::string &path : numbered(result.folder, prefix))
      if (error.empty() && !readTensor(path, tensors.emplace_back(), error))
        tensors.pop_back();
    return error.empty();
  };
  std::vector<Tensor> inputs, expected, outputs;
  if (!readAll("input_", inputs) || !readAll("output_", expected) || !invoke(model, inputs, outputs, error))
    return;
  if (outputs.size() < expected.size())
    error = "has " + std::to_string(outputs.size()) + " outputs, expected " + std::to_string(expected.size());
  for (size_t i = 0; i < expected.size() && error.empty(); ++i) {
    // Reference files carry names; a file without one stands for the output at its position.
    const Tensor *output = &outputs[i];
    for (const Tensor &candidate : outputs)
      if (!expected[i].name.empty() && candidate.name == expected[i].name)
        output = &candidate;
    std::string difference = compare(*output, expected[i], options, result.worst);
    if (!difference.empty())
      error = "output '" + output->name + "' " + difference;
  }
}

CaseResult pith::tool::runCase(StringRef folder, const CaseOptions &options) {
  CaseResult result;
  std::vector<SetResult> &results = result.sets;
  for (std::string &set : numbered(folder, "test_data_set_"))
    results.push_back({std::move(set), "", 0});
  if (results.empty())
    return result;
  ModelOptions modelOptions = options.model;
  modelOptions.path = (folder + "/model.onnx").str();
  std::string log;
  // One case that brings the compiler down shall not hide the others.
  CrashRecoveryContext guard;
  bool finished = guard.RunSafely([&] {
    raw_string_ostream stream(log);
    Model model;
    auto begin = std::chrono::steady_clock::now();
    bool loaded = model.load(modelOptions, stream);
    result.compileSeconds = seconds(begin);
    for (SetResult &set : results)
      if (loaded)
        runSet(model, options, set);
      else
        set.error = "does not compile: " + StringRef(log).split('\n').first.str();
  });
  if (!finished)
    for (SetResult &set : results)
      set.error = "crashed (signal " + std::to_string(guard.RetCode - 128) + ")";
  return result;
}
