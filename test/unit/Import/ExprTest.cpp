//===- ExprTest.cpp - symbolic integers of shape arithmetic -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Expr.h"
#include "gtest/gtest.h"

using namespace pith::onnx;

namespace {

struct ExprTest : testing::Test {
  Symbols symbols;
  Expr batch = symbols.dim("batch", 0, 0, 1), sequence = symbols.dim("sequence", 0, 1, 1);
  Expr past = symbols.dim("past", 1, 2, 0);
};

TEST_F(ExprTest, PolynomialsAreCanonical) {
  EXPECT_EQ((batch + sequence) * batch, batch * batch + batch * sequence);
  EXPECT_EQ(sequence - sequence, Expr(0));
  EXPECT_EQ((past + sequence - past), sequence);
  EXPECT_EQ(symbols.print(sequence * 2 + past - 1), "2*sequence + past - 1");
}

TEST_F(ExprTest, ConstantsWrapAsInt64) {
  EXPECT_TRUE((Expr(INT64_MAX) + Expr(1)).isConstant(INT64_MIN));
  EXPECT_TRUE((Expr(INT64_MIN) * Expr(-1)).isConstant(INT64_MIN));
}

TEST_F(ExprTest, DivisionIsExactWhereItCanBe) {
  EXPECT_EQ(symbols.floorDiv(batch * sequence * 64, sequence * 16), std::optional<Expr>(batch * 4));
  EXPECT_EQ(symbols.floorDiv(Expr(-7), Expr(2)), std::optional<Expr>(Expr(-4)));
  EXPECT_FALSE(symbols.floorDiv(batch, Expr(0)));
  Expr half = *symbols.floorDiv(sequence, 2);
  EXPECT_EQ(half, *symbols.floorDiv(sequence, 2)); // the same operation is the same symbol
  EXPECT_EQ(symbols.print(half), "floordiv(sequence, 2)");
  EXPECT_TRUE(symbols.atLeast(half, 0));
}

TEST_F(ExprTest, BoundsDecideMinAndMax) {
  EXPECT_EQ(symbols.min(past + sequence, past), past);
  EXPECT_EQ(symbols.max(0, sequence - 1), sequence - 1); // sequence is 1 or more
  EXPECT_NE(symbols.max(0, past - 1), past - 1);         // past may be 0
  Expr clamped = symbols.min(sequence, 512);
  EXPECT_TRUE(symbols.atLeast(sequence, clamped));
  EXPECT_TRUE(symbols.atLeast(512, clamped));
  EXPECT_FALSE(symbols.provablyDifferent(sequence, past));
  EXPECT_TRUE(symbols.provablyDifferent(sequence + past, past));
}

TEST_F(ExprTest, EqualitiesAreLearned) {
  Expr clamped = symbols.min(sequence, 512);
  EXPECT_TRUE(symbols.assumeEqual(clamped, sequence));
  EXPECT_EQ(symbols.normalize(clamped * 2), sequence * 2);
  Expr total = symbols.dim("total", 2, 0, 1);
  EXPECT_TRUE(symbols.assumeEqual(past + sequence, total));
  EXPECT_EQ(symbols.normalize(total - past), sequence);
  EXPECT_FALSE(symbols.assumeEqual(total + 1, total));
  EXPECT_FALSE(symbols.assumeEqual(3, 4));
}

TEST_F(ExprTest, DimensionNamesAreParsed) {
  auto known = [&](llvm::StringRef name) -> std::optional<Expr> {
    if (name == "past_sequence")
      return past;
    if (name == "sequence")
      return sequence;
    return std::nullopt;
  };
  EXPECT_EQ(parseExpr("past_sequence + sequence", symbols, known), std::optional<Expr>(past + sequence));
  EXPECT_EQ(parseExpr("2*(sequence+1) - 2", symbols, known), std::optional<Expr>(sequence * 2));
  EXPECT_EQ(parseExpr("(4*sequence)//2", symbols, known), std::optional<Expr>(sequence * 2));
  for (const char *text : {"", "unknown", "sequence +", "(sequence", "sequence)", "sequence / 2", "1 // 0", "* 2"})
    EXPECT_FALSE(parseExpr(text, symbols, known)) << text;
  EXPECT_FALSE(parseExpr(std::string(200, '('), symbols, known));
}

TEST_F(ExprTest, GrowthIsBounded) {
  Expr e = batch + sequence + past;
  for (int i = 0; i < 200; ++i)
    e = symbols.mul(e, symbols.add(e, batch));
  EXPECT_LE(e.terms().size(), 64u);
}

} // namespace
