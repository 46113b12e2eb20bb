//===- EvaluatorElementwise.cpp - arith and math, element by element -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Undefined results (division by zero, a float outside the integer's range) become some defined value instead
// of a trap: exported graphs compute them in branches that a select drops.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace pith;

double pith::roundToType(Type type, double value) {
  if (type.isF64())
    return value;
  if (type.isF32())
    return static_cast<float>(value);
  APFloat rounded(value);
  bool lost;
  rounded.convert(cast<FloatType>(type).getFloatSemantics(), APFloat::rmNearestTiesToEven, &lost);
  rounded.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
  return rounded.convertToDouble();
}

int64_t pith::wrapToType(Type type, int64_t value) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  if (width == 1)
    return value & 1;
  return width >= 64 ? value : llvm::SignExtend64(uint64_t(value), width);
}

namespace {

/// The integer as an unsigned number of its type's width.
uint64_t asUnsigned(Type type, int64_t value) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  return width >= 64 ? uint64_t(value) : uint64_t(value) & llvm::maskTrailingOnes<uint64_t>(width);
}

int64_t floorDivide(int64_t a, int64_t b) {
  if (b == 0 || (b == -1 && a == std::numeric_limits<int64_t>::min()))
    return 0;
  int64_t quotient = a / b;
  return quotient * b != a && ((a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

int64_t toInteger(double value) {
  if (!(value > -9.2e18 && value < 9.2e18))
    return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(value);
}

bool compareIntegers(arith::CmpIPredicate predicate, Type type, int64_t a, int64_t b) {
  uint64_t ua = asUnsigned(type, a), ub = asUnsigned(type, b);
  // i1 is kept as 0 and 1, but its signed order is that of 0 and -1.
  if (type.isInteger(1))
    a = -a, b = -b;
  switch (predicate) {
  case arith::CmpIPredicate::eq:
    return a == b;
  case arith::CmpIPredicate::ne:
    return a != b;
  case arith::CmpIPredicate::slt:
    return a < b;
  case arith::CmpIPredicate::sle:
    return a <= b;
  case arith::CmpIPredicate::sgt:
    return a > b;
  case arith::CmpIPredicate::sge:
    return a >= b;
  case arith::CmpIPredicate::ult:
    return ua < ub;
  case arith::CmpIPredicate::ule:
    return ua <= ub;
  case arith::CmpIPredicate::ugt:
    return ua > ub;
  case arith::CmpIPredicate::uge:
    return ua >= ub;
  }
  return false;
}

/// Which relations satisfy a predicate, by its number: 1 equal, 2 greater, 4 less, 8 unordered.
bool compareFloats(arith::CmpFPredicate predicate, double a, double b) {
  static constexpr unsigned kRelations[16] = {0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 8, 15};
  unsigned relation = std::isnan(a) || std::isnan(b) ? 8 : a == b ? 1 : a > b ? 2 : 4;
  return (kRelations[static_cast<unsigned>(predicate)] & relation) != 0;
}

double maximum(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : a > b ? a : b; }
double minimum(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : a < b ? a : b; }

} // namespace

Evaluator::Reader pith::readElementwise(Operation *op, ArrayRef<Evaluator::Node *> operands) {
  using Reader = Evaluator::Reader;
  using Node = Evaluator::Node;
  Type type = getElementTypeOrSelf(op->getResult(0).getType());
  Type from = getElementTypeOrSelf(op->getOperand(0).getType());
  // A scalar operand beside tensors (the condition of a select) serves all elements.
  auto at = [](const Node *node, int64_t i) { return node->read(node->shape->empty() ? 0 : i); };
  Node *a = operands[0], *b = operands.size() > 1 ? operands[1] : nullptr,
       *c = operands.size() > 2 ? operands[2] : nullptr;
  auto integer = [=](auto function) -> Reader {
    return [=](int64_t i) {
      Element out;
      out.integer = wrapToType(type, function(at(a, i).integer, b ? at(b, i).integer : 0));
      return out;
    };
  };
  auto real = [=](auto function) -> Reader {
    return [=](int64_t i) {
      Element out;
      out.real = roundToType(type, function(at(a, i).real, b ? at(b, i).real : 0.0));
      return out;
    };
  };
  auto toReal = [=](auto function) -> Reader {
    return [=](int64_t i) {
      Element out;
      out.real = roundToType(type, function(at(a, i).integer));
      return out;
    };
  };
  auto fromReal = [=](auto function) -> Reader {
    return [=](int64_t i) {
      Element out;
      out.integer = wrapToType(type, function(at(a, i).real, b ? at(b, i).real : 0.0));
      return out;
    };
  };
  auto u = [=](int64_t value) { return asUnsigned(from, value); };

  return llvm::TypeSwitch<Operation *, Reader>(op)
      .Case<arith::AddIOp>([&](auto) { return integer([](uint64_t x, uint64_t y) { return x + y; }); })
      .Case<arith::SubIOp>([&](auto) { return integer([](uint64_t x, uint64_t y) { return x - y; }); })
      .Case<arith::MulIOp>([&](auto) { return integer([](uint64_t x, uint64_t y) { return x * y; }); })
      .Case<arith::AndIOp>([&](auto) { return integer([](int64_t x, int64_t y) { return x & y; }); })
      .Case<arith::OrIOp>([&](auto) { return integer([](int64_t x, int64_t y) { return x | y; }); })
      .Case<arith::XOrIOp>([&](auto) { return integer([](int64_t x, int64_t y) { return x ^ y; }); })
      .Case<arith::MaxSIOp>(
          [&](auto) { return integer([](int64_t x, int64_t y) { return std::max(x, y); }); })
      .Case<arith::MinSIOp>(
          [&](auto) { return integer([](int64_t x, int64_t y) { return std::min(x, y); }); })
      .Case<arith::MaxUIOp>(
          [&](auto) { return integer([u](int64_t x, int64_t y) { return std::max(u(x), u(y)); }); })
      .Case<arith::MinUIOp>(
          [&](auto) { return integer([u](int64_t x, int64_t y) { return std::min(u(x), u(y)); }); })
      .Case<arith::DivSIOp>([&](auto) {
        return integer([](int64_t x, int64_t y) {
          return y == 0 || y == -1 ? int64_t(0 - uint64_t(x) * (y != 0)) : x / y;
        });
      })
      .Case<arith::RemSIOp>(
          [&](auto) { return integer([](int64_t x, int64_t y) { return y == 0 || y == -1 ? 0 : x % y; }); })
      .Case<arith::DivUIOp>(
          [&](auto) { return integer([u](int64_t x, int64_t y) { return u(y) ? u(x) / u(y) : 0; }); })
      .Case<arith::RemUIOp>(
          [&](auto) { return integer([u](int64_t x, int64_t y) { return u(y) ? u(x) % u(y) : 0; }); })
      .Case<arith::FloorDivSIOp>([&](auto) { return integer(floorDivide); })
      .Case<arith::CeilDivSIOp>([&](auto) {
        return integer([](int64_t x, int64_t y) {
          return int64_t(0 - uint64_t(floorDivide(int64_t(0 - uint64_t(x)), y)));
        });
      })
      .Case<arith::CeilDivUIOp>([&](auto) {
        return integer([u](int64_t x, int64_t y) { return u(y) ? u(x) / u(y) + (u(x) % u(y) != 0) : 0; });
      })
      .Case<arith::ShLIOp>(
          [&](auto) { return integer([](uint64_t x, uint64_t y) { return y < 64 ? x << y : 0; }); })
      .Case<arith::ShRSIOp>(
          [&](auto) { return integer([](int64_t x, uint64_t y) { return x >> std::min<uint64_t>(y, 63); }); })
      .Case<arith::ShRUIOp>(
          [&](auto) { return integer([u](int64_t x, uint64_t y) { return y < 64 ? u(x) >> y : 0; }); })
      .Case<math::AbsIOp>(
          [&](auto) { return integer([](int64_t x, int64_t) { return x < 0 ? 0 - uint64_t(x) : x; }); })
      .Case<arith::ExtUIOp, arith::IndexCastUIOp>(
          [&](auto) { return integer([u](int64_t x, int64_t) { return u(x); }); })
      .Case<arith::ExtSIOp, arith::IndexCastOp>([&](auto) {
        bool isBool = from.isInteger(1);
        return integer([isBool](int64_t x, int64_t) { return isBool ? -x : x; });
      })
      .Case<arith::TruncIOp>([&](auto) { return integer([](int64_t x, int64_t) { return x; }); })
      .Case<arith::CmpIOp>([&](arith::CmpIOp cmp) {
        arith::CmpIPredicate predicate = cmp.getPredicate();
        return integer([=](int64_t x, int64_t y) { return int64_t(compareIntegers(predicate, from, x, y)); });
      })
      .Case<arith::CmpFOp>([&](arith::CmpFOp cmp) {
        arith::CmpFPredicate predicate = cmp.getPredicate();
        return fromReal([=](double x, double y) { return int64_t(compareFloats(predicate, x, y)); });
      })
      .Case<math::IsNaNOp>(
          [&](auto) { return fromReal([](double x, double) { return int64_t(std::isnan(x)); }); })
      .Case<math::IsInfOp>(
          [&](auto) { return fromReal([](double x, double) { return int64_t(std::isinf(x)); }); })
      .Case<math::IsFiniteOp>(
          [&](auto) { return fromReal([](double x, double) { return int64_t(std::isfinite(x)); }); })
      .Case<arith::FPToSIOp, arith::FPToUIOp>(
          [&](auto) { return fromReal([](double x, double) { return toInteger(x); }); })
      .Case<arith::SIToFPOp>([&](auto) {
        bool isBool = from.isInteger(1);
        return toReal([isBool](int64_t x) { return double(isBool ? -x : x); });
      })
      .Case<arith::UIToFPOp>([&](auto) { return toReal([u](int64_t x) { return double(u(x)); }); })
      .Case<arith::AddFOp>([&](auto) { return real([](double x, double y) { return x + y; }); })
      .Case<arith::SubFOp>([&](auto) { return real([](double x, double y) { return x - y; }); })
      .Case<arith::MulFOp>([&](auto) { return real([](double x, double y) { return x * y; }); })
      .Case<arith::DivFOp>([&](auto) { return real([](double x, double y) { return x / y; }); })
      .Case<arith::RemFOp>([&](auto) { return real([](double x, double y) { return std::fmod(x, y); }); })
      .Case<arith::NegFOp>([&](auto) { return real([](double x, double) { return -x; }); })
      .Case<arith::MaximumFOp>([&](auto) { return real(maximum); })
      .Case<arith::MinimumFOp>([&](auto) { return real(minimum); })
      .Case<arith::MaxNumFOp>([&](auto) { return real([](double x, double y) { return std::fmax(x, y); }); })
      .Case<arith::MinNumFOp>([&](auto) { return real([](double x, double y) { return std::fmin(x, y); }); })
      .Case<arith::ExtFOp, arith::TruncFOp>([&](auto) { return real([](double x, double) { return x; }); })
      .Case<math::AbsFOp>([&](auto) { return real([](double x, double) { return std::fabs(x); }); })
      .Case<math::SqrtOp>([&](auto) { return real([](double x, double) { return std::sqrt(x); }); })
      .Case<math::RsqrtOp>([&](auto) { return real([](double x, double) { return 1.0 / std::sqrt(x); }); })
      .Case<math::ExpOp>([&](auto) { return real([](double x, double) { return std::exp(x); }); })
      .Case<math::Exp2Op>([&](auto) { return real([](double x, double) { return std::exp2(x); }); })
      .Case<math::LogOp>([&](auto) { return real([](double x, double) { return std::log(x); }); })
      .Case<math::Log2Op>([&](auto) { return real([](double x, double) { return std::log2(x); }); })
      .Case<math::CosOp>([&](auto) { return real([](double x, double) { return std::cos(x); }); })
      .Case<math::SinOp>([&](auto) { return real([](double x, double) { return std::sin(x); }); })
      .Case<math::TanhOp>([&](auto) { return real([](double x, double) { return std::tanh(x); }); })
      .Case<math::ErfOp>([&](auto) { return real([](double x, double) { return std::erf(x); }); })
      .Case<math::FloorOp>([&](auto) { return real([](double x, double) { return std::floor(x); }); })
      .Case<math::CeilOp>([&](auto) { return real([](double x, double) { return std::ceil(x); }); })
      .Case<math::TruncOp>([&](auto) { return real([](double x, double) { return std::trunc(x); }); })
      .Case<math::RoundOp>([&](auto) { return real([](double x, double) { return std::round(x); }); })
      .Case<math::RoundEvenOp>([&](auto) { return real([](double x, double) { return std::nearbyint(x); }); })
      .Case<math::PowFOp>([&](auto) { return real([](double x, double y) { return std::pow(x, y); }); })
      .Case<math::FPowIOp>([&](auto) -> Reader {
        return [=](int64_t i) {
          Element out;
          out.real = roundToType(type, std::pow(at(a, i).real, double(at(b, i).integer)));
          return out;
        };
      })
      .Case<arith::SelectOp>(
          [&](auto) -> Reader { return [=](int64_t i) { return at(a, i).integer ? at(b, i) : at(c, i); }; })
      .Default([](Operation *) { return Reader(); });
}
