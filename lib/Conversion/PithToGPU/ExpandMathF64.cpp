//===- ExpandMathF64.cpp - functions of f64 in kernels --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Taylor's series on a short interval, and what brings the argument there. The series are cut where the next
// term is below half a unit of f64; results are right to a few units in the last place (powers, whose
// exponent's error grows with it, to about 1e-13). They are as long as they need to be: models compute in f64
// what they compute seldom.
//
//===----------------------------------------------------------------------===//
#include "ExpandMathF64.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace {
/// Arithmetic on f64 at one place.
class Doubles {
public:
  Doubles(PatternRewriter &b, Location loc) : b(b), loc(loc), f64(b.getF64Type()), i64(b.getI64Type()) {}

  Value number(double value) { return arith::ConstantOp::create(b, loc, b.getF64FloatAttr(value)); }
  Value integer(int64_t value) { return arith::ConstantIntOp::create(b, loc, value, 64); }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
  Value fma(Value x, Value y, Value z) { return LLVM::FMAOp::create(b, loc, x, y, z); }
  Value abs(Value x) { return LLVM::FAbsOp::create(b, loc, x); }
  Value sqrt(Value x) { return LLVM::SqrtOp::create(b, loc, f64, x); }
  Value withSign(Value x, Value sign) { return LLVM::CopySignOp::create(b, loc, x, sign); }
  Value select(Value condition, Value x, Value y) { return arith::SelectOp::create(b, loc, condition, x, y); }
  /// False where one is no number.
  Value below(Value x, double limit) {
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, number(limit));
  }
  Value above(Value x, double limit) {
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, number(limit));
  }
  Value equal(Value x, double other) {
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, x, number(other));
  }
  /// The sum of coefficients(i) * x^i for i below `count`.
  Value series(Value x, int count, llvm::function_ref<double(int)> coefficient) {
    Value sum = number(coefficient(count - 1));
    for (int i = count - 2; i >= 0; --i)
      sum = fma(sum, x, number(coefficient(i)));
    return sum;
  }
  /// For i from 0 to below `count`, in a loop: the values that `step` makes of those before.
  SmallVector<Value> loop(int count, ValueRange start,
                          llvm::function_ref<SmallVector<Value>(Value i, ValueRange)> step) {
    Type i32 = b.getI32Type();
    auto bound = [&](int value) -> Value { return arith::ConstantIntOp::create(b, loc, i32, value); };
    auto loop = scf::ForOp::create(b, loc, bound(0), bound(count), bound(1), start);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value i = arith::SIToFPOp::create(b, loc, f64, loop.getInductionVar());
    scf::YieldOp::create(b, loc, step(i, loop.getRegionIterArgs()));
    return llvm::to_vector(ValueRange(loop.getResults()));
  }

  Value exp(Value x);
  Value expm1(Value x);
  Value log(Value x);
  Value log1p(Value x);
  Value tanh(Value x);
  Value atan(Value x);
  Value asin(Value x) { return atan(div(x, sqrt(mul(sub(number(1), x), add(number(1), x))))); }
  Value acos(Value x) { return mul(number(2), atan(sqrt(div(sub(number(1), x), add(number(1), x))))); }
  Value erf(Value x);

private:
  Value twoTo(Value exponent) { // from -1022 to 1023
    Value biased = arith::AddIOp::create(b, loc, exponent, integer(1023));
    return arith::BitcastOp::create(b, loc, f64, arith::ShLIOp::create(b, loc, biased, integer(52)));
  }
  static double inverseFactorial(int n) { return 1 / std::tgamma(n + 1.0); }

  PatternRewriter &b;
  Location loc;
  Type f64, i64;
};

constexpr double infinity = std::numeric_limits<double>::infinity();
// ln 2 in two parts: a multiple of the first by an exponent is exact.
constexpr double ln2High = 0x1.62e42fefa38p-1, ln2Low = 0x1.ef35793c7673p-45;
constexpr double pi = 3.14159265358979323846;
} // namespace

/// exp(x) = 2^n exp(r), |r| <= ln(2) / 2.
Value Doubles::exp(Value x) {
  constexpr double most = 750; // infinite from here on, and zero below
  Value inside = arith::AndIOp::create(b, loc, below(x, most), above(x, -most));
  Value known = select(inside, x, number(0));
  Value n = LLVM::RoundEvenOp::create(b, loc, mul(known, number(1.44269504088896340736)));
  Value r = fma(n, number(-ln2Low), fma(n, number(-ln2High), known));
  Value sum = series(r, 14, inverseFactorial);
  // In two steps: the powers reach farther than their exponents.
  Value whole = arith::FPToSIOp::create(b, loc, i64, n);
  Value half = arith::ShRSIOp::create(b, loc, whole, integer(1));
  Value rest = arith::SubIOp::create(b, loc, whole, half);
  Value power = mul(mul(sum, twoTo(half)), twoTo(rest));
  Value outside = select(above(x, 0), number(infinity), select(below(x, 0), number(0), x));
  return select(inside, power, outside);
}

Value Doubles::expm1(Value x) {
  Value near = mul(x, series(x, 16, [](int i) { return inverseFactorial(i + 1); }));
  return select(below(abs(x), 0.5), near, sub(exp(x), number(1)));
}

/// x = 2^e m with m from sqrt(1/2) to sqrt(2); log m = 2 artanh((m - 1) / (m + 1)).
Value Doubles::log(Value x) {
  constexpr double leastNormal = 0x1p-1022;
  Value small = below(x, leastNormal);
  Value normal = select(small, mul(x, number(0x1p54)), x);
  Value bits = arith::BitcastOp::create(b, loc, i64, normal);
  constexpr int64_t halfRoot = 0x3fe6a09e667f3bcd; // the bits of sqrt(1/2)
  Value shifted = arith::SubIOp::create(b, loc, bits, integer(halfRoot));
  Value exponent = arith::ShRSIOp::create(b, loc, shifted, integer(52));
  Value mantissa = arith::SubIOp::create(b, loc, bits, arith::ShLIOp::create(b, loc, exponent, integer(52)));
  Value m = arith::BitcastOp::create(b, loc, f64, mantissa);
  Value e = sub(arith::SIToFPOp::create(b, loc, f64, exponent), select(small, number(54), number(0)));
  Value s = div(sub(m, number(1)), add(m, number(1))), square = mul(s, s);
  Value tail = mul(mul(s, square), series(square, 11, [](int i) { return 2.0 / (2 * i + 3); }));
  Value sum = fma(e, number(ln2High), add(mul(number(2), s), fma(e, number(ln2Low), tail)));
  Value special = select(equal(x, 0), number(-infinity), number(std::numeric_limits<double>::quiet_NaN()));
  special = select(equal(x, infinity), x, special);
  Value usual = arith::AndIOp::create(b, loc, above(x, 0), below(x, infinity));
  return select(usual, sum, special);
}

/// What 1 + x lost is given back by the quotient.
Value Doubles::log1p(Value x) {
  Value one = number(1), sum = add(one, x);
  Value close = mul(log(sum), div(x, sub(sum, one)));
  return select(equal(sum, 1), x, select(below(sum, infinity), close, log(sum)));
}

Value Doubles::tanh(Value x) {
  Value magnitude = abs(x);
  Value t = expm1(mul(number(2), select(above(magnitude, 20), number(20), magnitude)));
  return withSign(div(t, add(t, number(2))), x);
}

/// Beyond 1 by the inverse; then the difference to the nearest of 0, pi/8 and pi/4, whose tangent is at most
/// tan(pi/16).
Value Doubles::atan(Value x) {
  Value magnitude = abs(x), large = above(magnitude, 1);
  Value inner = select(large, div(number(1), magnitude), magnitude);
  Value center = number(0), angle = number(0);
  for (double step : {pi / 8, pi / 4}) {
    Value beyond = above(inner, std::tan(step - pi / 16));
    center = select(beyond, number(std::tan(step)), center);
    angle = select(beyond, number(step), angle);
  }
  Value t = div(sub(inner, center), fma(inner, center, number(1))), square = mul(t, t);
  Value tail =
      mul(mul(t, square), series(square, 12, [](int i) { return (i % 2 ? 1.0 : -1.0) / (2 * i + 3); }));
  Value sum = add(angle, add(t, tail));
  return withSign(select(large, sub(number(pi / 2), sum), sum), x);
}

/// To 2 by the series 2/sqrt(pi) exp(-x^2) (x + 2 x^3 / 3 + 4 x^5 / 15 + …), whose terms have one sign; from
/// there on the rest to 1 by its continued fraction exp(-x^2)/sqrt(pi) / (x + 1/2 / (x + 2/2 / (x + 3/2 /
/// …))).
Value Doubles::erf(Value x) {
  Value magnitude = abs(x);
  Value a = select(above(magnitude, 6), number(6), magnitude), square = mul(a, a); // 1 from there on
  Value decay = mul(exp(sub(number(0), square)), number(0.56418958354775628695));
  auto choice = scf::IfOp::create(b, loc, TypeRange{f64}, above(a, 2), /*withElseRegion=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    constexpr int depth = 60;
    b.setInsertionPointToStart(choice.thenBlock());
    Value fraction = loop(depth, a, [&](Value i, ValueRange below) {
      Value level = mul(sub(number(depth), i), number(0.5));
      return SmallVector<Value>{add(a, div(level, below[0]))};
    })[0];
    scf::YieldOp::create(b, loc, sub(number(1), div(decay, fraction)));
    b.setInsertionPointToStart(choice.elseBlock());
    SmallVector<Value> sums = loop(36, {a, a}, [&](Value i, ValueRange state) {
      Value odd = fma(i, number(2), number(3));
      Value term = div(mul(state[1], mul(number(2), square)), odd);
      return SmallVector<Value>{add(state[0], term), term};
    });
    scf::YieldOp::create(b, loc, mul(mul(decay, number(2)), sums[0]));
  }
  return withSign(choice.getResult(0), x);
}

namespace {
template <typename Op>
struct Expand : OpRewritePattern<Op> {
  using Function = Value (Doubles::*)(Value);
  Expand(MLIRContext *context, Function of) : OpRewritePattern<Op>(context), function(of) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &b) const override {
    if (!op.getType().isF64())
      return failure();
    Doubles at(b, op.getLoc());
    b.replaceOp(op, (at.*function)(op.getOperand()));
    return success();
  }
  const Function function;
};

/// A logarithm to another base.
template <typename Op>
struct ExpandLog : OpRewritePattern<Op> {
  ExpandLog(MLIRContext *context, double scale) : OpRewritePattern<Op>(context), factor(scale) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &b) const override {
    if (!op.getType().isF64())
      return failure();
    Doubles at(b, op.getLoc());
    b.replaceOp(op, at.mul(at.log(op.getOperand()), at.number(factor)));
    return success();
  }
  const double factor;
};
} // namespace

void pith::populateMathF64Patterns(RewritePatternSet &patterns) {
  MLIRContext *context = patterns.getContext();
  patterns.add<Expand<math::ExpOp>>(context, &Doubles::exp);
  patterns.add<Expand<math::ExpM1Op>>(context, &Doubles::expm1);
  patterns.add<Expand<math::LogOp>>(context, &Doubles::log);
  patterns.add<Expand<math::Log1pOp>>(context, &Doubles::log1p);
  patterns.add<Expand<math::TanhOp>>(context, &Doubles::tanh);
  patterns.add<Expand<math::AtanOp>>(context, &Doubles::atan);
  patterns.add<Expand<math::AsinOp>>(context, &Doubles::asin);
  patterns.add<Expand<math::AcosOp>>(context, &Doubles::acos);
  patterns.add<Expand<math::ErfOp>>(context, &Doubles::erf);
  patterns.add<ExpandLog<math::Log2Op>>(context, 1.44269504088896340736);
  patterns.add<ExpandLog<math::Log10Op>>(context, 0.43429448190325182765);
}
