//===- DeviceMathTest.cpp - functions of f64 on a device --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A device's kernels link no library: what they compute instead is compared with the host's.
//
//===----------------------------------------------------------------------===//
#include "Compiled.h"
#include "Onnx.pb.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

using namespace pith;
using namespace pith::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Function {
  const char *name;
  double (*expected)(double);
  double from, to; ///< where it is compared
};
const Function functions[] = {{"Exp", std::exp, -infinity, infinity},
                              {"Log", std::log, -infinity, infinity},
                              {"Sin", std::sin, -1e6, 1e6},
                              {"Cos", std::cos, -1e6, 1e6},
                              {"Tan", std::tan, -100, 100},
                              {"Tanh", std::tanh, -infinity, infinity},
                              {"Atan", std::atan, -infinity, infinity},
                              {"Asin", std::asin, -infinity, infinity},
                              {"Acos", std::acos, -infinity, infinity},
                              {"Erf", std::erf, -infinity, infinity},
                              {"Sqrt", std::sqrt, -infinity, infinity},
                              {"Cosh", std::cosh, -600, 600}};

/// y_i = function_i(x), and power = x to the 2.5th.
std::string writeModel() {
  constexpr int f64 = 11;
  onnx::proto::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::proto::GraphProto &graph = *model.mutable_graph();
  graph.set_name("functions");
  const auto declare = [](onnx::proto::ValueInfoProto &value, const std::string &name) {
    value.set_name(name);
    auto *tensor = value.mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(f64);
    tensor->mutable_shape()->add_dim()->set_dim_param("n");
  };
  for (const char *name : {"x", "exponent"})
    declare(*graph.add_input(), name);
  const auto add = [&](const std::string &op, const std::string &name, std::vector<std::string> inputs) {
    onnx::proto::NodeProto &node = *graph.add_node();
    node.set_op_type(op);
    for (const std::string &input : inputs)
      node.add_input(input);
    node.add_output(name);
    declare(*graph.add_output(), name);
  };
  for (const Function &function : functions)
    add(function.name, std::string("y") + function.name, {"x"});
  add("Pow", "power", {"x", "exponent"});
  const std::string path = ::testing::TempDir() + "pith-functions-" + std::to_string(getpid()) + ".onnx";
  std::ofstream out(path, std::ios::binary);
  EXPECT_TRUE(model.SerializeToOstream(&out));
  return path;
}

std::string describe(double x, double found, double expected) {
  char text[128];
  std::snprintf(text, sizeof text, "of %.17g: %.17g, expected %.17g", x, found, expected);
  return text;
}

void compare(double x, double found, double expected, double relative) {
  if (std::isnan(expected) || std::isinf(expected)) {
    EXPECT_TRUE(std::isnan(expected) ? std::isnan(found) : found == expected) << describe(x, found, expected);
  } else {
    const double allowed = relative * std::max(std::fabs(expected), 1e-300);
    EXPECT_LE(std::fabs(found - expected), allowed) << describe(x, found, expected);
  }
}

TEST(DeviceMath, FunctionsOfF64) {
  const std::string path = writeModel();
  const Compiled file(path, [](CompileOptions &options) { options.target = "emulator:sm_80"; });
  std::remove(path.c_str());
  std::vector<double> x = {0,     -0.0,  1,        -1,        0.5,  2,     -2,   1e-310,
                           1e-20, -1e-9, infinity, -infinity, NAN,  710,   -746, -740,
                           709.7, 20.5,  1e15,     0.1989,    0.67, 2.001, 5.9,  -0.9999};
  std::mt19937 random(7);
  for (const double scale : {0.3, 1.0, 5.0, 100.0, 1e5}) {
    std::uniform_real_distribution<double> uniform(-scale, scale);
    for (int i = 0; i < 40; ++i)
      x.push_back(uniform(random));
  }
  std::vector<double> exponent(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    exponent[i] = i % 3 ? 2.5 : -3;
  const Module module(file.path());
  Session session(module, sessionOptions(1));
  Result result(session);
  const int64_t count = int64_t(x.size());
  std::vector<pith_tensor> inputs(2, PITH_INIT(pith_tensor));
  for (pith_tensor &input : inputs) {
    input.type = PITH_F64;
    input.rank = 1;
    input.dims = &count;
  }
  inputs[0].data = x.data();
  inputs[1].data = exponent.data();
  session.invoke("", inputs, result);
  const auto values = [&](const std::string &name) {
    pith_tensor tensor = PITH_INIT(pith_tensor);
    pith_error error = PITH_INIT(pith_error);
    EXPECT_EQ(pith_result_output_named(result.get(), name.c_str(), &tensor, &error), PITH_OK)
        << error.message;
    return static_cast<const double *>(tensor.data);
  };
  for (const Function &function : functions) {
    SCOPED_TRACE(function.name);
    const double *found = values(std::string("y") + function.name);
    for (size_t i = 0; i < x.size(); ++i)
      if (!(x[i] < function.from) && !(x[i] > function.to))
        compare(x[i], found[i], function.expected(x[i]), 4e-15);
  }
  const double *found = values("power");
  for (size_t i = 0; i < x.size(); ++i)
    if (x[i] > 1e-9 && x[i] < 1e9)
      compare(x[i], found[i], std::pow(x[i], exponent[i]), 1e-13);
}

} // namespace
