//===- HiddenTest.cpp - hidden states out, embedding rows in ----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Taps are compared with the same model whose ONNX file names the inputs of its norms as outputs, run as a plain graph;
// reductions with plain loops over whole rows.
//
//===----------------------------------------------------------------------===//
#include "Compiled.h"
#include "Onnx.pb.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <unistd.h>

using namespace pith;
using namespace pith::test;

namespace {

constexpr const char *modelPath = PITH_TEST_MODELS_DIR "/code-lm/model.onnx";

class Hidden : public ::testing::Test {
protected:
  static void SetUpTestSuite() { file = new Compiled(modelPath); }
  static void TearDownTestSuite() { delete file; }

  Tap tap(pith_tap_point point, uint32_t layer, pith_tap_reduce reduce = PITH_TAP_WHOLE,
          pith_tap_rows rows = PITH_TAP_RANGE) {
    return Tap(module, point, layer, rows, reduce);
  }

  static Compiled *file;
  Module module{file->path()};
  pith_step_info info = module.stepInfo();
  Session session{module, sessionOptions(2)};
  Result result{session};
};
Compiled *Hidden::file = nullptr;

/// The model with the values that its norms read, and the last norm's result, as its outputs.
std::string showNorms(size_t &count) {
  std::ifstream stream(modelPath, std::ios::binary);
  onnx::proto::ModelProto model;
  EXPECT_TRUE(model.ParseFromIstream(&stream));
  onnx::proto::GraphProto &graph = *model.mutable_graph();
  std::vector<std::string> names;
  std::string last;
  for (const onnx::proto::NodeProto &node : graph.node())
    if (node.op_type() == "RMSNormalization") {
      names.push_back(node.input(0));
      last = node.output(0);
    }
  names.push_back(last);
  graph.clear_output();
  for (const std::string &name : names) {
    onnx::proto::ValueInfoProto *output = graph.add_output();
    output->set_name(name);
    auto *tensor = output->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(10); // f16
    for (const char *dim : {"b", "s"})
      tensor->mutable_shape()->add_dim()->set_dim_param(dim);
    tensor->mutable_shape()->add_dim()->set_dim_value(256);
  }
  count = names.size();
  std::string path = ::testing::TempDir() + "pith-norms-" + std::to_string(getpid()) + ".onnx";
  std::ofstream out(path, std::ios::binary);
  EXPECT_TRUE(model.SerializeToOstream(&out));
  return path;
}

TEST_F(Hidden, EqualsTheGraphsOwnValues) {
  ASSERT_EQ(info.layers, 12u);
  ASSERT_EQ(info.hidden, 256u);
  size_t count = 0;
  const std::string shown = showNorms(count);
  ASSERT_EQ(count, 26u);
  const Compiled plain(shown, [](CompileOptions &options) { options.invokeOnly = true; });
  std::remove(shown.c_str());
  const Module graph(plain.path());
  Session invoker(graph, sessionOptions(2));
  Result outputs(invoker);
  const std::vector<int32_t> text = someTokens(70, 3, info.vocab);
  std::vector<int64_t> ids(text.begin(), text.end());
  const int64_t dims[] = {1, int64_t(ids.size())};
  pith_tensor input = PITH_INIT(pith_tensor);
  input.type = PITH_I64;
  input.dims = dims;
  input.rank = 2;
  input.data = ids.data();
  invoker.invoke("", {input}, outputs);
  ASSERT_EQ(outputs.outputs(), count);

  std::vector<std::unique_ptr<Tap>> taps;
  std::vector<const Tap *> list;
  const auto add = [&](pith_tap_point point, uint32_t layer) {
    taps.push_back(std::make_unique<Tap>(tap(point, layer)));
    list.push_back(taps.back().get());
  };
  for (uint32_t layer = 0; layer < 12; ++layer) {
    add(PITH_TAP_BLOCK_IN, layer);
    add(PITH_TAP_AFTER_ATTENTION, layer);
  }
  add(PITH_TAP_AFTER_MLP, 11);
  add(PITH_TAP_AFTER_FINAL_NORM, 0);
  Sequence sequence(session);
  const std::vector<int32_t> begin(text.begin(), text.begin() + 30), rest(text.begin() + 30, text.end());
  session.step({{sequence, begin, PITH_ROWS_NONE}}, result);
  pith_step_options options = PITH_INIT(pith_step_options);
  options.chunk_rows = 16;
  session.step({{sequence, rest, PITH_ROWS_LAST, 0, list}}, result, &options);
  for (size_t i = 0; i < count; ++i) {
    const std::vector<float> found = result.tap(0, i);
    ASSERT_EQ(found.size(), rest.size() * 256);
    const pith_tensor output = outputs.output(i);
    ASSERT_EQ(output.type, PITH_F16);
    const auto *expected = static_cast<const _Float16 *>(output.data) + 30 * 256;
    float largest = 0, worst = 0;
    for (size_t j = 0; j < found.size(); ++j) {
      largest = std::max(largest, std::fabs(float(expected[j])));
      worst = std::max(worst, std::fabs(found[j] - float(expected[j])));
    }
    EXPECT_GT(largest, 0);
    EXPECT_LE(worst, 2e-3f * largest) << "place " << i; // 4 units of f16's last place
  }
}

TEST_F(Hidden, ReductionsAreThoseOfWholeRows) {
  const std::vector<int32_t> text = someTokens(40, 4, info.vocab);
  std::vector<float> weights;
  for (uint32_t i = 0; i < info.hidden; ++i)
    weights.push_back(std::sin(float(i)));
  pith_tap_options options = PITH_INIT(pith_tap_options);
  options.point = PITH_TAP_AFTER_FINAL_NORM;
  options.rows = PITH_TAP_LAST;
  options.reduce = PITH_TAP_DOT;
  options.weights = weights.data();
  options.weight_count = info.hidden;
  options.bias = -1;
  const Tap product(module, options), norm = tap(PITH_TAP_AFTER_FINAL_NORM, 0),
                                      mean = tap(PITH_TAP_AFTER_FINAL_NORM, 0, PITH_TAP_WHOLE, PITH_TAP_MEAN),
                                      before = tap(PITH_TAP_BLOCK_IN, 5), after = tap(PITH_TAP_AFTER_ATTENTION, 5),
                                      next = tap(PITH_TAP_AFTER_MLP, 5),
                                      attention = tap(PITH_TAP_AFTER_ATTENTION, 5, PITH_TAP_COSINE_PREVIOUS),
                                      mlp = tap(PITH_TAP_AFTER_MLP, 5, PITH_TAP_COSINE_PREVIOUS, PITH_TAP_MEAN);
  Sequence sequence(session);
  session.step({{sequence, text, PITH_ROWS_LAST, 0,
                 {&product, &norm, &mean, &before, &after, &next, &attention, &mlp}}},
               result);
  const size_t width = info.hidden, rows = text.size();
  const auto cosine = [&](const std::vector<float> &a, const std::vector<float> &b, size_t row) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = row * width; i < (row + 1) * width; ++i)
      ab += double(a[i]) * b[i], aa += double(a[i]) * a[i], bb += double(b[i]) * b[i];
    return ab / std::sqrt(aa * bb);
  };
  const std::vector<float> whole = result.tap(0, 1), in = result.tap(0, 3), middle = result.tap(0, 4),
                           out = result.tap(0, 5);
  double dot = -1, cosines = 0;
  for (size_t i = 0; i < width; ++i) {
    dot += double(weights[i]) * whole[(rows - 1) * width + i];
    double sum = 0;
    for (size_t row = 0; row < rows; ++row)
      sum += whole[row * width + i];
    EXPECT_NEAR(result.tap(0, 2)[i], sum / rows, 1e-4);
  }
  EXPECT_NEAR(result.tap(0, 0)[0], dot, 1e-3);
  for (size_t row = 0; row < rows; ++row) {
    EXPECT_NEAR(result.tap(0, 6)[row], cosine(middle, in, row), 1e-5);
    cosines += cosine(out, middle, row) / rows;
  }
  EXPECT_NEAR(result.tap(0, 7)[0], cosines, 1e-5);
  EXPECT_LT(cosines, 0.99999);
}

TEST_F(Hidden, TapsChangeNothingElse) {
  const std::vector<int32_t> text = someTokens(33, 6, info.vocab);
  Sequence plain(session), tapped(session);
  session.step({{plain, text}}, result);
  const std::vector<float> expected = rowOf(result, 0, info.vocab);
  const Tap in = tap(PITH_TAP_BLOCK_IN, 3), norm = tap(PITH_TAP_AFTER_FINAL_NORM, 0);
  session.step({{tapped, text, PITH_ROWS_LAST, 0, {&in, &norm}}}, result);
  EXPECT_EQ(rowOf(result, 0, info.vocab), expected);
}

TEST_F(Hidden, EmbeddingRowsStandForTokens) {
  ASSERT_EQ(info.embedding, info.hidden);
  const std::vector<int32_t> text = someTokens(50, 5, info.vocab), other = someTokens(9, 8, info.vocab), none;
  // What goes into the first block is the table's row.
  const Tap first = tap(PITH_TAP_BLOCK_IN, 0);
  Sequence spelled(session), beside(session);
  session.step({{spelled, text, PITH_ROWS_ALL, 0, {&first}}, {beside, other}}, result);
  const std::vector<float> table = result.tap(0, 0);
  std::vector<std::vector<float>> expected;
  for (size_t row = 0; row <= text.size(); ++row)
    expected.push_back(rowOf(result, row, info.vocab));
  Sequence embedded(session), again(session);
  session.step({{embedded, none, PITH_ROWS_ALL, 0, {}, table.data(), text.size()}, {again, other}}, result);
  for (size_t row = 0; row <= text.size(); ++row)
    EXPECT_EQ(rowOf(result, row, info.vocab), expected[row]) << row;
  session.step({{spelled, {17}}}, result);
  const std::vector<float> next = rowOf(result, 0, info.vocab);
  session.step({{embedded, {17}}}, result);
  EXPECT_EQ(rowOf(result, 0, info.vocab), next);
}

} // namespace
