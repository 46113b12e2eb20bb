//===- Run.cpp - pith run -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "Invoke.h"
#include "Options.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace pith::tool;

static cl::SubCommand sub("run", "run a model's exported graph on tensors from files");
static ModelFlags flags(sub);
static cl::list<std::string> inputs("i", cl::sub(sub), cl::desc("input tensor, .pb or .npy, as NAME=FILE or FILE (by position, or the name in a .pb)"));
static cl::opt<std::string> outputFolder("o", cl::sub(sub), cl::desc("folder for the outputs (default: print their shapes and first values)"));
static cl::opt<std::string> fileFormat("format", cl::sub(sub), cl::init("npy"), cl::desc("output files: npy or pb"));

bool pith::tool::invoke(Model &model, std::vector<Tensor> &inputs, std::vector<Tensor> &outputs, std::string &error) {
  std::vector<pith_tensor> views;
  for (const Tensor &input : inputs)
    views.push_back(input.view());
  pith_error problem = PITH_INIT(pith_error);
  pith_result *result = nullptr;
  bool done = !pith_result_new(model.session, &result, &problem) &&
              !pith_invoke(model.session, model.module, nullptr, views.data(), views.size(), result, &problem);
  outputs.clear();
  for (size_t i = 0; done && i < pith_result_output_count(result); ++i) {
    pith_tensor tensor = PITH_INIT(pith_tensor);
    done = !pith_result_output(result, i, &tensor, &problem);
    if (done)
      outputs.push_back(copyTensor(tensor));
  }
  pith_result_free(result);
  if (!done)
    error = problem.message;
  return done;
}

static void print(const Tensor &tensor) {
  outs() << tensor.name << ": " << pith_type_name(tensor.type) << "[";
  interleaveComma(tensor.dims, outs());
  outs() << "]";
  int64_t count = tensor.elements();
  for (int64_t i = 0; i < std::min<int64_t>(count, 8); ++i)
    outs() << " " << tensor.at(i);
  outs() << (count > 8 ? " …\n" : "\n");
}

static int run() {
  if (fileFormat != "npy" && fileFormat != "pb") {
    errs() << "pith: --format: unknown format '" << fileFormat << "'; formats are npy, pb\n";
    return 2;
  }
  std::vector<Tensor> given;
  std::string error;
  for (StringRef argument : inputs) {
    auto [name, file] = argument.split('=');
    if (file.empty())
      std::swap(name, file);
    Tensor tensor;
    if (!readTensor(file.str(), tensor, error)) {
      errs() << "pith: " << error << "\n";
      return 1;
    }
    if (!name.empty())
      tensor.name = name.str();
    given.push_back(std::move(tensor));
  }
  ModelOptions options = flags.get();
  options.compile.invokeOnly = true;
  Model model;
  if (!model.open(options))
    return 1;
  std::vector<Tensor> results;
  if (!invoke(model, given, results, error)) {
    errs() << "pith: " << flags.path << ": " << error << "\n";
    return 1;
  }
  if (!outputFolder.empty())
    if (std::error_code code = sys::fs::create_directories(outputFolder)) {
      errs() << "pith: " << outputFolder << ": " << code.message() << "\n";
      return 1;
    }
  for (const auto &[i, tensor] : enumerate(results)) {
    if (outputFolder.empty()) {
      print(tensor);
      continue;
    }
    SmallString<128> path(outputFolder);
    sys::path::append(path, "output_" + Twine(i) + "." + fileFormat);
    if (!writeTensor(std::string(path), tensor, error)) {
      errs() << "pith: " << error << "\n";
      return 1;
    }
    outs() << path << " " << tensor.name << "\n";
  }
  return 0;
}

Command pith::tool::runCommand{sub, run};
