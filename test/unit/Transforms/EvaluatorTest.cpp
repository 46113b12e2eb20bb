//===- EvaluatorTest.cpp - values computed index by index --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace pith;

namespace {

/// Evaluates what the last line of a function's body defines, its argument being [2, 3] i64: 0 1 2 3 4 5.
struct EvaluatorTest : testing::Test {
  EvaluatorTest() {
    context.loadDialect<arith::ArithDialect, func::FuncDialect, math::MathDialect, tensor::TensorDialect,
                        PithDialect>();
  }

  Value parse(const std::string &body) {
    module = parseSourceString<ModuleOp>(
        "func.func @f(%x: tensor<?x?xi64>, %unbound: tensor<?xf32>) {\n" + body + "\nreturn\n}", &context);
    if (!module)
      return {};
    auto func = *module->getOps<func::FuncOp>().begin();
    evaluator = std::make_unique<Evaluator>(wholeLimit);
    evaluator->bind(func.getArgument(0), ConcreteTensor::integers({2, 3}, {0, 1, 2, 3, 4, 5}));
    evaluator->bindShape(func.getArgument(1), {7});
    return func.getBody().front().getTerminator()->getPrevNode()->getResult(0);
  }

  std::vector<int64_t> integers(const std::string &body) {
    std::vector<int64_t> result;
    Value value = parse(body);
    const Evaluator::Node *node = value ? evaluator->evaluate(value) : nullptr;
    EXPECT_TRUE(node) << (value ? evaluator->reason().str() : "does not parse");
    for (int64_t i = 0; node && i < node->count(); ++i)
      result.push_back(node->read(i).integer);
    return result;
  }

  std::vector<double> reals(const std::string &body) {
    std::vector<double> result;
    Value value = parse(body);
    const Evaluator::Node *node = value ? evaluator->evaluate(value) : nullptr;
    EXPECT_TRUE(node) << (value ? evaluator->reason().str() : "does not parse");
    for (int64_t i = 0; node && i < node->count(); ++i)
      result.push_back(node->read(i).real);
    return result;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<Evaluator> evaluator;
  int64_t wholeLimit = 1 << 16;
};

using Ints = std::vector<int64_t>;
using Reals = std::vector<double>;

TEST_F(EvaluatorTest, IntegersWrapToTheirWidth) {
  EXPECT_EQ(integers("%a = arith.constant dense<[127, -128]> : tensor<2xi8>\n"
                     "%b = arith.constant dense<[1, -1]> : tensor<2xi8>\n"
                     "%c = arith.addi %a, %b : tensor<2xi8>"),
            (Ints{-128, 127}));
  EXPECT_EQ(integers("%a = arith.constant dense<[-7, 7, 5]> : tensor<3xi64>\n"
                     "%b = arith.constant dense<[2, -2, 0]> : tensor<3xi64>\n"
                     "%c = arith.floordivsi %a, %b : tensor<3xi64>"),
            (Ints{-4, -4, 0}));
  EXPECT_EQ(integers("%a = arith.constant dense<[-7, 7, 5]> : tensor<3xi64>\n"
                     "%b = arith.constant dense<[2, -2, 0]> : tensor<3xi64>\n"
                     "%c = arith.divsi %a, %b : tensor<3xi64>"),
            (Ints{-3, -3, 0}));
  EXPECT_EQ(integers("%a = arith.constant dense<-1> : tensor<2xi32>\n%c = arith.extui %a : tensor<2xi32> to "
                     "tensor<2xi64>"),
            (Ints{4294967295, 4294967295}));
  EXPECT_EQ(integers("%a = arith.constant dense<[true, false]> : tensor<2xi1>\n%c = arith.extsi %a : "
                     "tensor<2xi1> to tensor<2xi32>"),
            (Ints{-1, 0}));
}

TEST_F(EvaluatorTest, Comparisons) {
  std::string operands = "%a = arith.constant dense<[1.0, 1.0, 2.0, 0x7FC00000]> : tensor<4xf32>\n"
                         "%b = arith.constant dense<[1.0, 2.0, 1.0, 1.0]> : tensor<4xf32>\n";
  EXPECT_EQ(integers(operands + "%c = arith.cmpf oeq, %a, %b : tensor<4xf32>"), (Ints{1, 0, 0, 0}));
  EXPECT_EQ(integers(operands + "%c = arith.cmpf une, %a, %b : tensor<4xf32>"), (Ints{0, 1, 1, 1}));
  EXPECT_EQ(integers(operands + "%c = arith.cmpf ugt, %a, %b : tensor<4xf32>"), (Ints{0, 0, 1, 1}));
  EXPECT_EQ(integers(operands + "%c = arith.cmpf ole, %a, %b : tensor<4xf32>"), (Ints{1, 1, 0, 0}));
  EXPECT_EQ(integers(operands + "%c = arith.cmpf uno, %a, %b : tensor<4xf32>"), (Ints{0, 0, 0, 1}));
  EXPECT_EQ(integers("%a = arith.constant dense<[-1, 1]> : tensor<2xi8>\n%b = arith.constant dense<[1, -1]> "
                     ": tensor<2xi8>\n"
                     "%c = arith.cmpi ult, %a, %b : tensor<2xi8>"),
            (Ints{0, 1}));
}

TEST_F(EvaluatorTest, FloatsRoundToTheirType) {
  EXPECT_EQ(reals("%a = arith.constant dense<0.1> : tensor<1xf32>"), (Reals{double(0.1f)}));
  EXPECT_EQ(reals("%a = arith.constant dense<-3.40282347E+38> : tensor<1xf32>\n%c = arith.addf %a, %a : "
                  "tensor<1xf32>"),
            (Reals{-INFINITY}));
  EXPECT_EQ(reals("%a = arith.constant dense<1.0009> : tensor<1xf32>\n%c = arith.truncf %a : tensor<1xf32> "
                  "to tensor<1xf16>"),
            (Reals{1.0009765625}));
}

TEST_F(EvaluatorTest, Moves) {
  std::string two = "%c2 = arith.constant 2 : index\n%c3 = arith.constant 3 : index\n";
  EXPECT_EQ(integers("%y = pith.transpose %x [1, 0] : tensor<?x?xi64> -> tensor<?x?xi64>"),
            (Ints{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(integers(two + "%y = pith.reshape %x dims(%c3, %c2) : tensor<?x?xi64> -> tensor<?x?xi64>"),
            (Ints{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(integers("%y = tensor.extract_slice %x[0, 1] [2, 2] [1, 1] : tensor<?x?xi64> to tensor<2x2xi64>"),
            (Ints{1, 2, 4, 5}));
  EXPECT_EQ(integers("%a = tensor.extract_slice %x[0, 0] [2, 1] [1, 1] : tensor<?x?xi64> to tensor<2x1xi64>\n"
                     "%y = pith.broadcast %a : tensor<2x1xi64> -> tensor<2x2xi64>"),
            (Ints{0, 0, 3, 3}));
  EXPECT_EQ(
      integers("%y = tensor.concat dim(0) %x, %x : (tensor<?x?xi64>, tensor<?x?xi64>) -> tensor<?x?xi64>"),
      (Ints{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(integers(two + "%y = pith.iota 1 dims(%c2, %c3) : tensor<?x?xi64>"), (Ints{0, 1, 2, 0, 1, 2}));
}

TEST_F(EvaluatorTest, Sums) {
  EXPECT_EQ(integers("%y = pith.cumsum %x axis 1 : tensor<?x?xi64>"), (Ints{0, 1, 3, 3, 7, 12}));
  EXPECT_EQ(integers("%y = pith.cumsum %x axis 1 {exclusive, reverse} : tensor<?x?xi64>"),
            (Ints{3, 2, 0, 9, 5, 0}));
  EXPECT_EQ(integers("%y = pith.reduce sum %x [1] : tensor<?x?xi64> -> tensor<?x1xi64>"), (Ints{3, 12}));
  EXPECT_EQ(integers("%y = pith.reduce max %x [0, 1] : tensor<?x?xi64> -> tensor<1x1xi64>"), (Ints{5}));
  EXPECT_EQ(integers("%t = pith.transpose %x [1, 0] : tensor<?x?xi64> -> tensor<?x?xi64>\n"
                     "%y = pith.matmul %x, %t : tensor<?x?xi64>, tensor<?x?xi64> -> tensor<?x?xi64>"),
            (Ints{5, 14, 14, 50}));
}

TEST_F(EvaluatorTest, Indexing) {
  EXPECT_EQ(integers("%i = arith.constant dense<[-1, 0, 9]> : tensor<3xi64>\n"
                     "%y = pith.gather %x, %i axis 1 : tensor<?x?xi64>, tensor<3xi64> -> tensor<?x3xi64>"),
            (Ints{2, 0, 0, 5, 3, 0}));
  EXPECT_EQ(integers("%i = arith.constant dense<[[1, 0], [0, 2]]> : tensor<2x2xi64>\n"
                     "%y = pith.gather_nd %x, %i : tensor<?x?xi64>, tensor<2x2xi64> -> tensor<2xi64>"),
            (Ints{3, 2}));
  EXPECT_EQ(integers("%i = arith.constant dense<[[1], [1]]> : tensor<2x1xi64>\n"
                     "%u = arith.constant dense<[[7, 7, 7], [8, 8, 8]]> : tensor<2x3xi64>\n"
                     "%y = pith.scatter_nd %x, %i, %u : tensor<?x?xi64>, tensor<2x1xi64>, tensor<2x3xi64> -> "
                     "tensor<?x?xi64>"),
            (Ints{0, 1, 2, 8, 8, 8}));
  EXPECT_EQ(reals("%p = arith.constant dense<[[[[1.0], [2.0]]]]> : tensor<1x1x2x1xf32>\n"
                  "%u = arith.constant dense<[[[[5.0], [6.0]]]]> : tensor<1x1x2x1xf32>\n"
                  "%s = arith.constant dense<1> : tensor<1xi64>\n%c4 = arith.constant 4 : index\n"
                  "%y = pith.cache_update %p, %u, %s dims(%c4) : tensor<1x1x2x1xf32>, tensor<1x1x2x1xf32>, "
                  "tensor<1xi64> -> tensor<1x1x?x1xf32>"),
            (Reals{1, 5, 6, 0}));
}

TEST_F(EvaluatorTest, ShapesNeedNoData) {
  EXPECT_EQ(integers("%e = math.exp %unbound : tensor<?xf32>\n%c0 = arith.constant 0 : index\n"
                     "%d = tensor.dim %e, %c0 : tensor<?xf32>"),
            (Ints{7}));
}

TEST_F(EvaluatorTest, FailuresNameTheirCause) {
  Value value = parse("%e = math.exp %unbound : tensor<?xf32>");
  EXPECT_EQ(evaluator->evaluate(value), nullptr);
  EXPECT_EQ(evaluator->reason().str(), "depends on the input '1'");
  value = parse(
      "%f = arith.constant dense<1.0> : tensor<1x4xf32>\n%e = pith.activation silu %f : tensor<1x4xf32>");
  EXPECT_EQ(evaluator->evaluate(value), nullptr);
  EXPECT_EQ(evaluator->reason().str(), "cannot evaluate pith.activation");
  EXPECT_EQ(evaluator->culprit(), value.getDefiningOp());
}

TEST_F(EvaluatorTest, LargeValuesAreReadOnDemand) {
  wholeLimit = 4;
  EXPECT_EQ(integers("%t = pith.transpose %x [1, 0] : tensor<?x?xi64> -> tensor<?x?xi64>\n"
                     "%y = pith.transpose %t [1, 0] : tensor<?x?xi64> -> tensor<?x?xi64>"),
            (Ints{0, 1, 2, 3, 4, 5}));
}

} // namespace
