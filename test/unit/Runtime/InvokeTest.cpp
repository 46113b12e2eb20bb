//===- InvokeTest.cpp - any graph, checked inputs -------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "TestFile.h"

using namespace pith::test;

namespace {

struct InvokeTest : ::testing::Test {
  ModulePtr module = loadFake();
  SessionPtr session = makeSession(module);
  ResultPtr result = makeResult(session);
  std::vector<float> a = {1, 2, 3, 4, 5, 6, 7, 8}, b = {10, 20, 30, 40};
  std::vector<std::vector<int64_t>> dims;

  pith_tensor tensor(const char *name, pith_type type, void *data, std::vector<int64_t> shape) {
    dims.reserve(100);
    dims.push_back(shape);
    pith_tensor value = PITH_INIT(pith_tensor);
    value.name = name;
    value.type = type;
    value.dims = dims.back().data();
    value.rank = uint32_t(shape.size());
    value.data = data;
    return value;
  }
  pith_status invoke(const char *entry, std::vector<pith_tensor> inputs, pith_error *error) {
    return pith_invoke(session.get(), nullptr, entry, inputs.data(), inputs.size(), result.get(), error);
  }
  pith_tensor goodA() { return tensor("a", PITH_F32, a.data(), {2, 4}); }
  pith_tensor goodB() { return tensor("b", PITH_F32, b.data(), {4}); }
};

TEST_F(InvokeTest, NamedInAnyOrder) {
  ASSERT_PITH_OK(invoke("add", {goodB(), goodA()}, &error));
  ASSERT_EQ(pith_result_output_count(result.get()), 1u);
  pith_tensor c = PITH_INIT(pith_tensor);
  ASSERT_PITH_OK(pith_result_output_named(result.get(), "c", &c, &error));
  EXPECT_STREQ(c.name, "c");
  EXPECT_EQ(c.type, pith_type(PITH_F32));
  ASSERT_EQ(c.rank, 2u);
  EXPECT_EQ(c.dims[0], 2);
  EXPECT_EQ(c.dims[1], 4);
  EXPECT_EQ(uintptr_t(c.data) % 64, 0u);
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(static_cast<float *>(c.data)[i], a[i] + b[i % 4]);
  EXPECT_PITH_ERROR(pith_result_output_named(result.get(), "d", &c, &error), PITH_ERROR_NOT_FOUND, "\"d\"");
  EXPECT_PITH_ERROR(pith_result_output(result.get(), 1, &c, &error), PITH_ERROR_ARGUMENT, "output 1");
  EXPECT_EQ(pith_result_rows(result.get()), 0u);
}

TEST_F(InvokeTest, SizesFoundDuringTheRun) {
  std::vector<float> x = {5, -1, 7, 0, 3};
  pith_tensor y = PITH_INIT(pith_tensor);
  for (int round = 0; round < 3; ++round) {
    ASSERT_PITH_OK(invoke("chosen", {tensor("x", PITH_F32, x.data(), {5})}, &error));
    ASSERT_PITH_OK(pith_result_output(result.get(), 0, &y, &error));
    ASSERT_EQ(y.rank, 1u);
    ASSERT_EQ(y.dims[0], 3);
    const float *data = static_cast<const float *>(y.data);
    EXPECT_EQ(std::vector<float>(data, data + 3), std::vector<float>({5, 7, 3}));
  }
  ASSERT_PITH_OK(invoke("chosen", {tensor("x", PITH_F32, x.data() + 1, {1})}, &error));
  ASSERT_PITH_OK(pith_result_output(result.get(), 0, &y, &error));
  EXPECT_EQ(y.dims[0], 0);
  x[0] = 13;
  EXPECT_PITH_ERROR(invoke("chosen", {tensor("x", PITH_F32, x.data(), {5})}, &error), PITH_ERROR_EXECUTION,
                    "13 is not chosen");
  x[0] = -100;
  EXPECT_PITH_ERROR(invoke("chosen", {tensor("x", PITH_F32, x.data(), {5})}, &error), PITH_ERROR_EXECUTION,
                    "negative size");
  // The session goes on.
  x[0] = 1;
  ASSERT_PITH_OK(invoke("chosen", {tensor("x", PITH_F32, x.data(), {5})}, &error));
}

TEST_F(InvokeTest, PositionalAndUnaligned) {
  std::vector<char> raw(100);
  std::memcpy(raw.data() + 1, a.data(), 32);
  ASSERT_PITH_OK(invoke("add", {tensor(nullptr, PITH_F32, raw.data() + 1, {2, 4}), goodB()}, &error));
  pith_tensor c = PITH_INIT(pith_tensor);
  ASSERT_PITH_OK(pith_result_output(result.get(), 0, &c, &error));
  EXPECT_EQ(static_cast<float *>(c.data)[5], 26);
}

TEST_F(InvokeTest, EmptyTensors) {
  ASSERT_PITH_OK(invoke("add", {tensor("a", PITH_F32, nullptr, {0, 4}), goodB()}, &error));
  pith_tensor c = PITH_INIT(pith_tensor);
  ASSERT_PITH_OK(pith_result_output(result.get(), 0, &c, &error));
  EXPECT_EQ(c.dims[0], 0);
}

TEST_F(InvokeTest, SumsOfNames) {
  std::vector<int64_t> past = {1, 2}, fresh = {3, 4, 5}, mask(5, 1);
  const auto call = [&](int64_t maskSize, pith_error *error) {
    return invoke("join",
                  {tensor("past", PITH_I64, past.data(), {2}), tensor("new", PITH_I64, fresh.data(), {3}),
                   tensor("mask", PITH_I64, mask.data(), {maskSize})},
                  error);
  };
  ASSERT_PITH_OK(call(5, &error));
  pith_tensor joined = PITH_INIT(pith_tensor), size = PITH_INIT(pith_tensor);
  ASSERT_PITH_OK(pith_result_output_named(result.get(), "joined", &joined, &error));
  ASSERT_PITH_OK(pith_result_output_named(result.get(), "size", &size, &error));
  EXPECT_EQ(joined.dims[0], 5);
  EXPECT_EQ(static_cast<int64_t *>(joined.data)[4], 5);
  EXPECT_EQ(size.rank, 0u);
  EXPECT_EQ(*static_cast<int64_t *>(size.data), 5);
  EXPECT_PITH_ERROR(call(4, &error), PITH_ERROR_SHAPE,
                    "input \"mask\" dimension 0 (past + count) is 4, expected 5");
  EXPECT_EQ(pith_result_output_count(result.get()), 0u);
}

TEST_F(InvokeTest, WrongInputs) {
  EXPECT_PITH_ERROR(invoke("add", {goodA()}, &error), PITH_ERROR_ARGUMENT, "input \"b\" is missing (1 of 2");
  EXPECT_PITH_ERROR(invoke("add", {goodA(), goodA()}, &error), PITH_ERROR_ARGUMENT,
                    "input \"a\" is given twice");
  EXPECT_PITH_ERROR(invoke("add", {goodA(), goodB(), tensor("z", PITH_F32, a.data(), {4})}, &error),
                    PITH_ERROR_NOT_FOUND, "no input \"z\"; entry \"add\" has \"a\", \"b\"");
  EXPECT_PITH_ERROR(invoke("add", {goodA(), goodB(), tensor(nullptr, PITH_F32, a.data(), {4})}, &error),
                    PITH_ERROR_ARGUMENT, "3 inputs, expected 2");
  EXPECT_PITH_ERROR(invoke("add", {tensor("a", PITH_F64, a.data(), {2, 4}), goodB()}, &error),
                    PITH_ERROR_SHAPE, "input \"a\" has element type f64, expected f32");
  EXPECT_PITH_ERROR(invoke("add", {tensor("a", 99, a.data(), {2, 4}), goodB()}, &error), PITH_ERROR_SHAPE,
                    "element type ?");
  EXPECT_PITH_ERROR(invoke("add", {tensor("a", PITH_F32, a.data(), {8}), goodB()}, &error), PITH_ERROR_SHAPE,
                    "input \"a\" has rank 1, expected 2");
  EXPECT_PITH_ERROR(invoke("add", {tensor("a", PITH_F32, a.data(), {2, 3}), goodB()}, &error),
                    PITH_ERROR_SHAPE, "input \"a\" dimension 1 is 3, expected 4");
  EXPECT_PITH_ERROR(invoke("add", {tensor("a", PITH_F32, a.data(), {-2, 4}), goodB()}, &error),
                    PITH_ERROR_SHAPE, "negative");
  EXPECT_PITH_ERROR(invoke("add", {tensor("a", PITH_F32, a.data(), {INT64_MAX, 4}), goodB()}, &error),
                    PITH_ERROR_SHAPE, "more elements than memory");
  EXPECT_PITH_ERROR(invoke("add", {tensor("a", PITH_F32, nullptr, {2, 4}), goodB()}, &error),
                    PITH_ERROR_ARGUMENT, "data is null");
  pith_tensor noDims = goodA();
  noDims.dims = nullptr;
  EXPECT_PITH_ERROR(invoke("add", {noDims, goodB()}, &error), PITH_ERROR_ARGUMENT, "dims is null");
}

TEST_F(InvokeTest, WrongEntries) {
  EXPECT_PITH_ERROR(invoke("sub", {}, &error), PITH_ERROR_NOT_FOUND,
                    "no entry \"sub\"; the module has \"add\"");
  EXPECT_PITH_ERROR(invoke("step", {}, &error), PITH_ERROR_ARGUMENT, "is for pith_step");
  EXPECT_PITH_ERROR(invoke(nullptr, {}, &error), PITH_ERROR_ARGUMENT, "the module has 5 entries to invoke");
}

TEST_F(InvokeTest, CodeThatContradictsItsManifest) {
  EXPECT_PITH_ERROR(invoke("liar", {}, &error), PITH_ERROR_EXECUTION,
                    "output \"x\" dimension 0: the code says 3, the manifest 2");
  EXPECT_PITH_ERROR(invoke("greedy", {tensor("x", PITH_F32, a.data(), {2})}, &error), PITH_ERROR_MEMORY,
                    "no memory for 9223372036854775807 bytes of workspace");
  ASSERT_PITH_OK(invoke("add", {goodA(), goodB()}, &error));
  EXPECT_EQ(statsOf(session).failed, 2u);
  EXPECT_EQ(statsOf(session).invokes, 1u);
}

} // namespace
