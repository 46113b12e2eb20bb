//===- VectorMath.cpp - exponentials and activations by polynomials -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Branch-free, no calls. Relative error is below 4e-7 (sigmoid 5e-7). NaN stays NaN; infinities and large
// arguments give the limits. Results of exp and exp2 below 2^-125 are flushed to zero.
//
//===----------------------------------------------------------------------===//
#include "CodeBuilder.h"

using namespace mlir;
using namespace pith::kernels;

/// Coefficients from the constant term upwards.
static Value polynomial(CodeBuilder &k, Value x, ArrayRef<double> coefficients) {
  Value sum = k.constant(x.getType(), coefficients.back());
  for (double c : llvm::reverse(coefficients.drop_back()))
    sum = k.fma(sum, x, k.constant(x.getType(), c));
  return sum;
}

/// Bounds first: minps and maxps give their second operand when one is NaN, so NaN passes.
static Value clamp(CodeBuilder &k, Value x, double low, double high) {
  return k.fmin(k.constant(x.getType(), high), k.fmax(k.constant(x.getType(), low), x));
}

static Value negated(CodeBuilder &k, Value x) { return k.fmul(x, k.constant(x.getType(), -1)); }

/// Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits of the sum.
static constexpr double roundingShift = 12582912.0;

static Value powerOfFraction(CodeBuilder &k, Value fraction, int degree) {
  static const double degree4[] = {0.999999191, 0.693121968, 0.240249811, 0.0559170392, 0.00956051021};
  static const double degree5[] = {1.00000007,   0.693146949,   0.240221218,
                                   0.0555074262, 0.00967545975, 0.00132669704};
  static const double degree6[] = {
      1, 0.693147206, 0.240226466, 0.05550329, 0.00961851956, 0.00133998603, 0.000153375701};
  return polynomial(k, fraction,
                    degree == 4   ? ArrayRef<double>(degree4)
                    : degree == 5 ? ArrayRef<double>(degree5)
                                  : ArrayRef<double>(degree6));
}

/// y * 2^(n + bias - 127), where `shifted` is n + roundingShift: n + bias becomes an exponent field, 0 to
/// 254.
static Value scaled(CodeBuilder &k, Value y, Value shifted, int bias) {
  Type integers = k.i32;
  if (auto vector = dyn_cast<VectorType>(y.getType()))
    integers = vector.clone(k.i32);
  Value bits = arith::ShLIOp::create(k.b, k.loc, k.bitcast(shifted, integers), k.constant(integers, 23));
  return k.fmul(y, k.bitcast(k.add(bits, k.constant(integers, bias << 23)), y.getType()));
}

/// 2^fraction * 2^n, |fraction| <= 1/2, n in [-126, 128]: by way of n - 1, so that n = 128 does not overflow
/// before the product and n = -126 gives zero.
static Value scaledPower(CodeBuilder &k, Value fraction, Value shifted, int degree) {
  Value y = scaled(k, powerOfFraction(k, fraction, degree), shifted, 126);
  return k.fadd(y, y);
}

Value CodeBuilder::exp2(Value x, int degree) {
  x = clamp(*this, x, -126, 128.5);
  Value shift = constant(x.getType(), roundingShift);
  Value shifted = fadd(x, shift);
  return scaledPower(*this, fsub(x, fsub(shifted, shift)), shifted, degree);
}

Value CodeBuilder::exp2NonPositive(Value x, int degree) {
  // n = -127 is the exponent field 0, a factor of zero.
  x = fmax(constant(x.getType(), -127), x);
  Value shift = constant(x.getType(), roundingShift);
  Value shifted = fadd(x, shift);
  return scaled(*this, powerOfFraction(*this, fsub(x, fsub(shifted, shift)), degree), shifted, 127);
}

Value CodeBuilder::exp(Value x) {
  // log2 e in two parts: the product with the first is exact before n is taken off inside the fma.
  Type type = x.getType();
  Value high = constant(type, 1.44269502162933349609375), low = constant(type, 1.92596299112661746887e-8);
  x = clamp(*this, x, -87.34, 89);
  Value shift = constant(type, roundingShift);
  Value shifted = fma(x, high, shift);
  Value fraction = fma(x, low, fma(x, high, fsub(shift, shifted)));
  return scaledPower(*this, fraction, shifted, 6);
}

Value CodeBuilder::sigmoid(Value x) {
  Value one = constant(x.getType(), 1);
  return fdiv(one, fadd(one, exp(negated(*this, x))));
}

/// near where |x| < bound, else far; the sign of x on both.
static Value odd(CodeBuilder &k, Value x, Value magnitude, double bound, Value near, Value far) {
  Value isNear =
      arith::CmpFOp::create(k.b, k.loc, arith::CmpFPredicate::OLT, magnitude, k.constant(x.getType(), bound));
  return LLVM::CopySignOp::create(k.b, k.loc, x.getType(), k.select(isNear, near, far), x);
}

Value CodeBuilder::tanh(Value x) {
  // 1 - 2 / (e^2x + 1) cancels near zero; there x + x^3 p(x^2).
  static const double small[] = {-0.333332837, 0.133314908, -0.0537434965, 0.0206505787, -0.00571703585};
  Type type = x.getType();
  Value magnitude = LLVM::FAbsOp::create(b, loc, type, x), square = fmul(x, x), one = constant(type, 1);
  Value near = fma(fmul(polynomial(*this, square, small), square), magnitude, magnitude);
  Value far = fsub(one, fdiv(constant(type, 2), fadd(exp(fadd(magnitude, magnitude)), one)));
  return odd(*this, x, magnitude, 0.625, near, far);
}

Value CodeBuilder::erf(Value x) {
  // |x| < 1: x p(x^2). Above: 1 - 2^-q(|x|), where q fits -log2(erfc) up to 4; erf(4) is 1 in f32.
  static const double small[] = {1.12837911,    -0.37612626,     0.112835854,  -0.026853811,
                                 0.00518832728, -0.000801019138, 7.85385491e-5};
  static const double large[] = {0.000492697232, 1.62604606,    0.920648277,    0.148751706,
                                 -0.0315057188,  0.00425258512, -0.000268889737};
  Type type = x.getType();
  Value magnitude = LLVM::FAbsOp::create(b, loc, type, x), one = constant(type, 1);
  Value near = fmul(polynomial(*this, fmul(x, x), small), magnitude);
  Value q = polynomial(*this, fmin(constant(type, 4), magnitude), large);
  return odd(*this, x, magnitude, 1, near, fsub(one, exp2(negated(*this, q))));
}

Value CodeBuilder::activation(Activation kind, Value x) {
  Type type = x.getType();
  switch (kind) {
  case Activation::None:
    return x;
  case Activation::Relu:
    return fmax(x, constant(type, 0));
  case Activation::Silu:
    return fmul(x, sigmoid(x));
  case Activation::Gelu:
    return fmul(fmul(x, constant(type, 0.5)),
                fadd(constant(type, 1), erf(fmul(x, constant(type, 0.70710678118654752440)))));
  case Activation::GeluTanh: {
    // (1 + tanh u) / 2 = sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x³).
    Value cubic = fmul(fmul(x, x), fmul(x, constant(type, 0.044715)));
    return fmul(x, sigmoid(fmul(fadd(x, cubic), constant(type, 1.5957691216057308))));
  }
  case Activation::QuickGelu:
    return fmul(x, sigmoid(fmul(x, constant(type, 1.702))));
  }
  return x;
}
