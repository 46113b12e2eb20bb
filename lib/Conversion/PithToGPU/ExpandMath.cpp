//===- ExpandMath.cpp - functions of math in kernels ----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "ExpandMathF64.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "pith/Conversion/PithToGPU/Passes.h"
#include <cmath>

namespace pith {
#define GEN_PASS_DEF_EXPANDGPUMATH
#include "pith/Conversion/PithToGPU/Passes.h.inc"
} // namespace pith

using namespace mlir;

namespace {
/// sin or cos of an f32 or f64, for arguments as large as positions times frequencies are: the multiple of
/// pi/2 is taken off in f64, what is left goes through polynomials on [-pi/4, pi/4] (errors below 2 units in
/// the last place; of f64 to arguments of about 1e6, and growing with them beyond).
template <typename Op>
struct ExpandSine : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &b) const override {
    Type type = op.getType();
    if (!type.isF32() && !type.isF64())
      return failure();
    Location loc = op.getLoc();
    Type f64 = b.getF64Type(), i64 = b.getI64Type();
    auto number = [&](Type type, double value) -> Value {
      return arith::ConstantOp::create(b, loc, b.getFloatAttr(type, value));
    };
    auto fma = [&](Value x, Value y, Value z) -> Value { return LLVM::FMAOp::create(b, loc, x, y, z); };
    auto mul = [&](Value x, Value y) -> Value { return arith::MulFOp::create(b, loc, x, y); };
    Value x = op.getOperand();
    if (type.isF32())
      x = arith::ExtFOp::create(b, loc, f64, x);
    Value turns = LLVM::RoundEvenOp::create(b, loc, mul(x, number(f64, 0.63661977236758134308)));
    // What is no number, or beyond all precision, has no multiple to take off.
    Value known = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT,
                                        LLVM::FAbsOp::create(b, loc, turns), number(f64, 4503599627370496.0));
    turns = arith::SelectOp::create(b, loc, known, turns, number(f64, 0));
    Value rest = fma(turns, number(f64, -1.57079632679489655800), x);
    rest = fma(turns, number(f64, -6.12323399573676603587e-17), rest);
    Value r = type.isF32() ? arith::TruncFOp::create(b, loc, type, rest).getResult() : rest,
          square = mul(r, r);
    auto polynomial = [&](ArrayRef<double> coefficients) {
      Value sum;
      for (double c : coefficients)
        sum = sum ? fma(sum, square, number(type, c)) : number(type, c);
      return sum;
    };
    // Of f64 Taylor's: one divided by factorials.
    SmallVector<double> ofSine = {-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1};
    SmallVector<double> ofCosine = {2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2};
    if (type.isF64()) {
      ofSine.clear();
      ofCosine.clear();
      for (int n = 17; n >= 3; n -= 2)
        ofSine.push_back((n % 4 == 1 ? 1 : -1) / std::tgamma(n + 1.0));
      for (int n = 18; n >= 4; n -= 2)
        ofCosine.push_back((n % 4 == 0 ? 1 : -1) / std::tgamma(n + 1.0));
    }
    Value sine = fma(mul(mul(r, square), polynomial(ofSine)), number(type, 1), r);
    Value cosine =
        fma(mul(square, square), polynomial(ofCosine), fma(square, number(type, -0.5), number(type, 1)));
    Value quadrant = arith::FPToSIOp::create(b, loc, i64, turns);
    auto bit = [&](Value value, int64_t mask) -> Value {
      Value masked = arith::AndIOp::create(b, loc, value, arith::ConstantIntOp::create(b, loc, mask, 64));
      return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, masked,
                                   arith::ConstantIntOp::create(b, loc, 0, 64));
    };
    constexpr bool isSine = std::is_same_v<Op, math::SinOp>;
    if (!isSine) // a quarter turn ahead
      quadrant = arith::AddIOp::create(b, loc, quadrant, arith::ConstantIntOp::create(b, loc, 1, 64));
    Value magnitude = arith::SelectOp::create(b, loc, bit(quadrant, 1), cosine, sine);
    Value opposite = arith::NegFOp::create(b, loc, magnitude);
    b.replaceOpWithNewOp<arith::SelectOp>(op, bit(quadrant, 2), opposite, magnitude);
    return success();
  }
};

struct ExpandLog10 : OpRewritePattern<math::Log10Op> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::Log10Op op, PatternRewriter &b) const override {
    if (!op.getType().isF32())
      return failure();
    Value log = math::LogOp::create(b, op.getLoc(), op.getOperand());
    b.replaceOpWithNewOp<arith::MulFOp>(
        op, log, arith::ConstantOp::create(b, op.getLoc(), b.getF32FloatAttr(0.43429448f)));
    return success();
  }
};

/// What chips have instructions for.
template <typename Op, typename Intrinsic>
struct UseIntrinsic : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &b) const override {
    if (!op.getType().isF32() && !op.getType().isF64())
      return failure();
    b.replaceOpWithNewOp<Intrinsic>(op, op->getResultTypes(), op->getOperands());
    return success();
  }
};

/// Integers to integer powers, by squaring. A negative exponent gives 0, except for the bases 1 and -1.
struct ExpandIPow : OpRewritePattern<math::IPowIOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::IPowIOp op, PatternRewriter &b) const override {
    Location loc = op.getLoc();
    Type type = op.getType();
    if (!isa<IntegerType>(type))
      return failure();
    auto number = [&](int64_t value) -> Value { return arith::ConstantIntOp::create(b, loc, type, value); };
    auto is = [&](arith::CmpIPredicate how, Value x, Value y) -> Value {
      return arith::CmpIOp::create(b, loc, how, x, y);
    };
    Value base = op.getLhs(), exponent = op.getRhs(), zero = number(0), one = number(1);
    Value odd = is(arith::CmpIPredicate::ne, arith::AndIOp::create(b, loc, exponent, one), zero);
    Value ofMinusOne = arith::SelectOp::create(b, loc, odd, number(-1), one);
    Value isMinusOne = is(arith::CmpIPredicate::eq, base, number(-1)),
          isOne = is(arith::CmpIPredicate::eq, base, one);
    Value inverse = arith::SelectOp::create(b, loc, isOne, one,
                                            arith::SelectOp::create(b, loc, isMinusOne, ofMinusOne, zero));
    auto loop = scf::WhileOp::create(
        b, loc, TypeRange{type, type, type}, ValueRange{one, base, exponent},
        [&](OpBuilder &, Location, ValueRange state) {
          scf::ConditionOp::create(b, loc, is(arith::CmpIPredicate::sgt, state[2], zero), state);
        },
        [&](OpBuilder &, Location, ValueRange state) {
          Value bit = is(arith::CmpIPredicate::ne, arith::AndIOp::create(b, loc, state[2], one), zero);
          Value times = arith::MulIOp::create(b, loc, state[0], state[1]);
          Value result = arith::SelectOp::create(b, loc, bit, times, state[0]);
          Value square = arith::MulIOp::create(b, loc, state[1], state[1]);
          scf::YieldOp::create(b, loc,
                               ValueRange{result, square, arith::ShRUIOp::create(b, loc, state[2], one)});
        });
    b.replaceOpWithNewOp<arith::SelectOp>(op, is(arith::CmpIPredicate::slt, exponent, zero), inverse,
                                          loop.getResult(0));
    return success();
  }
};

struct ExpandAbs : OpRewritePattern<math::AbsIOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::AbsIOp op, PatternRewriter &b) const override {
    Location loc = op.getLoc();
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(op.getType()));
    Value negated = arith::SubIOp::create(b, loc, zero, op.getOperand());
    b.replaceOpWithNewOp<arith::MaxSIOp>(op, negated, op.getOperand());
    return success();
  }
};

struct ExpandGPUMath : pith::impl::ExpandGPUMathBase<ExpandGPUMath> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    auto always = [](StringRef) { return true; };
    populateMathF32ExpansionPatterns(patterns, always);
    populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
      return name != math::SinOp::getOperationName() && name != math::CosOp::getOperationName() &&
             name != math::RsqrtOp::getOperationName();
    });
    math::populateExpansionPatterns(patterns, {"acosh", "asinh", "atanh", "cosh", "exp2", "fpowi", "powf",
                                               "round", "rsqrt", "sinh", "tan", "clampf"});
    patterns
        .add<ExpandSine<math::SinOp>, ExpandSine<math::CosOp>, ExpandLog10, ExpandAbs, ExpandIPow,
             UseIntrinsic<math::AbsFOp, LLVM::FAbsOp>, UseIntrinsic<math::CeilOp, LLVM::FCeilOp>,
             UseIntrinsic<math::CopySignOp, LLVM::CopySignOp>, UseIntrinsic<math::FloorOp, LLVM::FFloorOp>,
             UseIntrinsic<math::FmaOp, LLVM::FMAOp>, UseIntrinsic<math::RoundEvenOp, LLVM::RoundEvenOp>,
             UseIntrinsic<math::SqrtOp, LLVM::SqrtOp>, UseIntrinsic<math::TruncOp, LLVM::FTruncOp>>(
            &getContext());
    pith::populateMathF64Patterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    WalkResult result = getOperation().walk([](Operation *op) {
      if (!isa<math::MathDialect>(op->getDialect()))
        return WalkResult::advance();
      op->emitError("has no form in a kernel for ") << op->getResultTypes().front();
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
