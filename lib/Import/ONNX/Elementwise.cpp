//===- Elementwise.cpp - binary and variadic elementwise ops -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Shape arithmetic: integers known as expressions stay expressions
//===----------------------------------------------------------------------===//

using Operands = ArrayRef<Expr>;

/// The result if all inputs' elements are known and `compute` can give every element; null otherwise.
static Val *foldElements(Node &node, int32_t type, llvm::function_ref<std::optional<Expr>(Operands)> compute) {
  SmallVector<const Shape *> known;
  SmallVector<ArrayRef<Expr>> shapes;
  Val *longest = nullptr;
  for (Val *val : node.inputs) {
    if (!val || !(val->type == Int64 || val->type == Int32 || val->type == Bool) || !node.im.contents(val))
      return nullptr;
    known.push_back(node.im.contents(val));
    shapes.push_back(val->shape);
    if (!longest || known.back()->size() > node.im.contents(longest)->size())
      longest = val;
  }
  size_t number = node.im.contents(longest)->size();
  for (auto [k, val] : llvm::enumerate(node.inputs)) {
    bool one = known[k]->size() == 1 && val->rank() <= longest->rank();
    if (!one && !(known[k]->size() == number && node.im.sameShape(val->shape, longest->shape)))
      return nullptr;
  }
  Shape result;
  for (size_t i = 0; i < number; ++i) {
    SmallVector<Expr> operands;
    for (const Shape *elements : known)
      operands.push_back(node.im.symbols.normalize((*elements)[elements->size() == 1 ? 0 : i]));
    std::optional<Expr> value = compute(operands);
    if (!value)
      return nullptr;
    result.push_back(*value);
  }
  return node.im.makeContents(type, longest->shape, std::move(result));
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// Both operands in the shape that they broadcast to.
static bool operands(Node &node, Tensor &a, Tensor &b) {
  if (!node.arity(2, 2) || !node.sameType({0, 1}))
    return false;
  std::optional<Shape> shape = node.broadcastShapes({node.in(0)->shape, node.in(1)->shape});
  if (!shape)
    return false;
  a = node.im.broadcast(node.im.tensor(node.in(0)), *shape);
  b = node.im.broadcast(node.im.tensor(node.in(1)), *shape);
  return true;
}

static LogicalResult arithmetic(Node &node, llvm::function_ref<std::optional<Expr>(Operands)> compute,
                                llvm::function_ref<Tensor(const Tensor &, const Tensor &)> code) {
  if (!node.arity(2, 2))
    return failure();
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("input 0 must have numbers as elements, found " + describe(node.im, node.in(0)));
  if (compute && node.in(1)->type == type)
    if (Val *folded = foldElements(node, type, compute))
      return node.done(folded);
  Tensor a, b;
  if (!operands(node, a, b))
    return failure();
  return node.done(node.im.make(type, code(a, b)));
}

static LogicalResult addition(Node &node) {
  return arithmetic(
      node, [&](Operands x) { return std::optional(node.im.symbols.add(x[0], x[1])); },
      [&](const Tensor &a, const Tensor &b) { return node.im.add(a, b); });
}

static LogicalResult subtraction(Node &node) {
  return arithmetic(
      node, [&](Operands x) { return std::optional(node.im.symbols.sub(x[0], x[1])); },
      [&](const Tensor &a, const Tensor &b) { return node.im.sub(a, b); });
}

static LogicalResult multiplication(Node &node) {
  return arithmetic(
      node, [&](Operands x) { return std::optional(node.im.symbols.mul(x[0], x[1])); },
      [&](const Tensor &a, const Tensor &b) { return node.im.mul(a, b); });
}

static LogicalResult division(Node &node) {
  Symbols &symbols = node.im.symbols;
  auto compute = [&](Operands x) -> std::optional<Expr> {
    // ONNX truncates; for operands that are not negative that is rounding down.
    std::optional<int64_t> a = x[0].constant(), b = x[1].constant();
    if (a && b && *b != 0 && *b != -1)
      return Expr(*a / *b);
    if (symbols.atLeast(x[0], 0) && symbols.atLeast(x[1], 0) && !x[1].isConstant(0))
      return symbols.floorDiv(x[0], x[1]);
    return std::nullopt;
  };
  return arithmetic(node, compute, [&](const Tensor &a, const Tensor &b) {
    if (isa<FloatType>(a.element()))
      return node.im.div(a, b);
    return isUnsigned(node.in(0)->type) ? node.im.binary<arith::DivUIOp>(a, b) : node.im.binary<arith::DivSIOp>(a, b);
  });
}

static LogicalResult modulo(Node &node) {
  Importer &im = node.im;
  bool fmod = node.getInt("fmod", 0);
  return arithmetic(node, nullptr, [&](const Tensor &a, const Tensor &b) {
    if (isUnsigned(node.in(0)->type))
      return im.binary<arith::RemUIOp>(a, b);
    bool floats = isa<FloatType>(a.element());
    Tensor rest = floats ? im.binary<arith::RemFOp>(a, b) : im.binary<arith::RemSIOp>(a, b);
    if (fmod)
      return rest;
    // The sign is the divisor's: a remainder of the other sign moves by one divisor.
    Tensor zero = im.splat(a.element(), 0, a.shape);
    auto negative = [&](const Tensor &x) {
      return floats ? im.compare(arith::CmpFPredicate::OLT, x, zero) : im.compare(arith::CmpIPredicate::slt, x, zero);
    };
    Tensor nonZero = floats ? im.compare(arith::CmpFPredicate::ONE, rest, zero)
                            : im.compare(arith::CmpIPredicate::ne, rest, zero);
    Tensor moves = im.binary<arith::AndIOp>(nonZero, im.binary<arith::XOrIOp>(negative(rest), negative(b)));
    return im.select(moves, im.add(rest, b), rest);
  });
}

static LogicalResult power(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2))
    return failure();
  std::optional<Shape> shape = node.broadcastShapes({node.in(0)->shape, node.in(1)->shape});
  if (!shape)
    return failure();
  int32_t type = node.in(0)->type, exponentType = node.in(1)->type;
  if ((!isFloat(type) && !isInteger(type)) || (!isFloat(exponentType) && !isInteger(exponentType)))
    return node.fail("inputs must have numbers as elements, found " + describe(im, node.in(0)) + " and " +
                     describe(im, node.in(1)));
  Tensor base = im.broadcast(im.tensor(node.in(0)), *shape);
  std::optional<double> exponent = im.scalar(node.in(1));
  if (exponent == 1.0)
    return node.done(im.make(type, base));
  if (exponent == 2.0)
    return node.done(im.make(type, im.mul(base, base)));
  if (exponent == 3.0)
    return node.done(im.make(type, im.mul(im.mul(base, base), base)));
  if (exponent == 0.5 && isFloat(type))
    return node.done(im.make(type, im.unary<math::SqrtOp>(base)));
  Tensor power = im.broadcast(im.tensor(node.in(1)), *shape);
  if (isFloat(type))
    return node.done(im.make(type, im.binary<math::PowFOp>(base, im.cast(power, exponentType, type))));
  if (isInteger(exponentType))
    return node.done(im.make(type, im.binary<math::IPowIOp>(base, im.cast(power, exponentType, type))));
  Tensor wide = im.binary<math::PowFOp>(im.cast(base, type, Double), im.cast(power, exponentType, Double));
  return node.done(im.make(type, im.cast(wide, Double, type)));
}

//===----------------------------------------------------------------------===//
// Comparisons
//===----------------------------------------------------------------------===//

template <arith::CmpFPredicate FloatPredicate, arith::CmpIPredicate SignedPredicate, arith::CmpIPredicate UnsignedPredicate>
static LogicalResult comparison(Node &node) {
  if (!node.arity(2, 2))
    return failure();
  Symbols &symbols = node.im.symbols;
  auto compute = [&](Operands x) -> std::optional<Expr> {
    auto less = [&](const Expr &a, const Expr &b, bool orEqual) -> std::optional<Expr> {
      if (orEqual ? symbols.atLeast(b, a) : symbols.atLeast(b, symbols.add(a, 1)))
        return Expr(1);
      if (orEqual ? symbols.atLeast(a, symbols.add(b, 1)) : symbols.atLeast(a, b))
        return Expr(0);
      return std::nullopt;
    };
    switch (SignedPredicate) {
    case arith::CmpIPredicate::eq:
      if (x[0] == x[1])
        return Expr(1);
      return symbols.provablyDifferent(x[0], x[1]) ? std::optional(Expr(0)) : std::nullopt;
    case arith::CmpIPredicate::slt: return less(x[0], x[1], false);
    case arith::CmpIPredicate::sle: return less(x[0], x[1], true);
    case arith::CmpIPredicate::sgt: return less(x[1], x[0], false);
    case arith::CmpIPredicate::sge: return less(x[1], x[0], true);
    default: return std::nullopt;
    }
  };
  if (node.in(0)->type == node.in(1)->type)
    if (Val *folded = foldElements(node, Bool, compute))
      return node.done(folded);
  Tensor a, b;
  if (isSmallFloat(node.in(0)->type))
    return node.fail("elements of " + elementName(node.in(0)->type) + " cannot be compared");
  if (!operands(node, a, b))
    return failure();
  if (isa<FloatType>(a.element()))
    return node.done(node.im.make(Bool, node.im.compare(FloatPredicate, a, b)));
  auto predicate = isUnsigned(node.in(0)->type) ? UnsignedPredicate : SignedPredicate;
  return node.done(node.im.make(Bool, node.im.compare(predicate, a, b)));
}

//===----------------------------------------------------------------------===//
// Logic and bits
//===----------------------------------------------------------------------===//

template <typename OpTy, bool Bools>
static LogicalResult bitwise(Node &node) {
  Tensor a, b;
  if (!node.arity(2, 2))
    return failure();
  int32_t type = node.in(0)->type;
  if (Bools ? type != Bool : !isInteger(type))
    return node.fail((Bools ? "inputs must be bool, found " : "inputs must be integers, found ") +
                     describe(node.im, node.in(0)));
  if (!operands(node, a, b))
    return failure();
  // What a neutral operand leaves: masks are built with many of them.
  double neutral = std::is_same_v<OpTy, arith::AndIOp> ? 1 : 0;
  if (Bools && node.im.isRepeated(b, neutral))
    return node.done(node.im.make(type, a));
  if (Bools && node.im.isRepeated(a, neutral))
    return node.done(node.im.make(type, b));
  return node.done(node.im.make(type, node.im.binary<OpTy>(a, b)));
}

static LogicalResult bitShift(Node &node) {
  Tensor a, b;
  if (!node.arity(2, 2) || !operands(node, a, b))
    return failure();
  if (!isInteger(node.in(0)->type))
    return node.fail("input 0 must have integer elements, found " + describe(node.im, node.in(0)));
  bool left = node.getString("direction", "") == "LEFT";
  // Shifting by the width or more leaves nothing, or the sign where that is what moves in.
  Tensor width = node.im.splat(a.element(), a.element().getIntOrFloatBitWidth(), a.shape);
  Tensor zero = node.im.splat(a.element(), 0, a.shape);
  Tensor fits = node.im.compare(arith::CmpIPredicate::ult, b, width);
  bool arithmetic = !left && !isUnsigned(node.in(0)->type);
  Tensor most = node.im.splat(a.element(), a.element().getIntOrFloatBitWidth() - 1, a.shape);
  Tensor amount = node.im.select(fits, b, most);
  Tensor shifted = left         ? node.im.binary<arith::ShLIOp>(a, amount)
                   : arithmetic ? node.im.binary<arith::ShRSIOp>(a, amount)
                                : node.im.binary<arith::ShRUIOp>(a, amount);
  return node.done(node.im.make(node.in(0)->type, arithmetic ? shifted : node.im.select(fits, shifted, zero)));
}

//===----------------------------------------------------------------------===//
// Any number of operands
//===----------------------------------------------------------------------===//

/// All inputs in the shape that they broadcast to.
static bool variadicOperands(Node &node, SmallVector<Tensor> &tensors) {
  SmallVector<ArrayRef<Expr>> shapes;
  SmallVector<size_t> all;
  if (!node.arity(1, SIZE_MAX) || !node.arity(node.inputs.size(), SIZE_MAX))
    return false;
  for (auto [i, val] : llvm::enumerate(node.inputs)) {
    all.push_back(i);
    shapes.push_back(val->shape);
  }
  if (!node.sameType(all))
    return false;
  std::optional<Shape> shape = node.broadcastShapes(shapes);
  if (!shape)
    return false;
  for (Val *val : node.inputs)
    tensors.push_back(node.im.broadcast(node.im.tensor(val), *shape));
  return true;
}

template <typename FloatOp, typename SignedOp, typename UnsignedOp, bool IsMax>
static LogicalResult extremum(Node &node) {
  if (!node.arity(1, SIZE_MAX))
    return failure();
  int32_t type = node.in(0)->type;
  auto compute = [&](Operands x) {
    Expr result = x[0];
    for (const Expr &e : x.drop_front())
      result = IsMax ? node.im.symbols.max(result, e) : node.im.symbols.min(result, e);
    return std::optional(result);
  };
  if (Val *folded = foldElements(node, type, compute))
    return node.done(folded);
  SmallVector<Tensor> tensors;
  if (!variadicOperands(node, tensors))
    return failure();
  Tensor result = tensors[0];
  for (const Tensor &t : ArrayRef(tensors).drop_front())
    result = isFloat(type)      ? node.im.binary<FloatOp>(result, t)
             : isUnsigned(type) ? node.im.binary<UnsignedOp>(result, t)
                                : node.im.binary<SignedOp>(result, t);
  return node.done(node.im.make(type, result));
}

template <bool Mean>
static LogicalResult sum(Node &node) {
  SmallVector<Tensor> tensors;
  if (!variadicOperands(node, tensors) || !node.needFloat(0))
    return failure();
  Tensor result = tensors[0];
  for (const Tensor &t : ArrayRef(tensors).drop_front())
    result = node.im.add(result, t);
  if (Mean)
    result = node.im.div(result, node.im.splat(result.element(), double(tensors.size()), result.shape));
  return node.done(node.im.make(node.in(0)->type, result));
}

static LogicalResult where(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !node.sameType({1, 2}))
    return failure();
  if (node.in(0)->type != Bool)
    return node.fail("input 0 must be bool, found " + describe(im, node.in(0)));
  auto compute = [&](Operands x) -> std::optional<Expr> {
    std::optional<int64_t> condition = x[0].constant();
    if (!condition)
      return std::nullopt;
    return *condition ? x[1] : x[2];
  };
  if (Val *folded = foldElements(node, node.in(1)->type, compute))
    return node.done(folded);
  std::optional<Shape> shape =
      node.broadcastShapes({node.in(0)->shape, node.in(1)->shape, node.in(2)->shape});
  if (!shape)
    return failure();
  Tensor condition = im.broadcast(im.tensor(node.in(0)), *shape);
  Tensor a = im.broadcast(im.tensor(node.in(1)), *shape), b = im.broadcast(im.tensor(node.in(2)), *shape);
  return node.done(im.make(node.in(1)->type, im.select(condition, a, b)));
}

static LogicalResult clip(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 3) || !node.sameType({0, 1, 2}))
    return failure();
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("input 0 must have numbers as elements, found " + describe(im, node.in(0)));
  Tensor x = im.tensor(node.in(0));
  auto bound = [&](size_t i, StringRef name) -> std::optional<Tensor> {
    if (node.in(i))
      return im.broadcast(im.reshape(im.tensor(node.in(i)), {}), x.shape);
    if (node.opset < 11 && node.has(name))
      return im.splat(x.element(), node.getFloat(name, 0), x.shape);
    return std::nullopt;
  };
  if (std::optional<Tensor> low = bound(1, "min"))
    x = isFloat(type)      ? im.binary<arith::MaximumFOp>(x, *low)
        : isUnsigned(type) ? im.binary<arith::MaxUIOp>(x, *low)
                           : im.binary<arith::MaxSIOp>(x, *low);
  if (std::optional<Tensor> high = bound(2, "max"))
    x = isFloat(type)      ? im.binary<arith::MinimumFOp>(x, *high)
        : isUnsigned(type) ? im.binary<arith::MinUIOp>(x, *high)
                           : im.binary<arith::MinSIOp>(x, *high);
  return node.done(im.make(type, x));
}

static LogicalResult prelu(Node &node) {
  Importer &im = node.im;
  return arithmetic(node, nullptr, [&](const Tensor &x, const Tensor &slope) {
    Tensor zero = im.splat(x.element(), 0, x.shape);
    Tensor negative = isa<FloatType>(x.element()) ? im.compare(arith::CmpFPredicate::OLT, x, zero)
                                                  : im.compare(arith::CmpIPredicate::slt, x, zero);
    return im.select(negative, im.mul(x, slope), x);
  });
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

static LogicalResult convert(Node &node, int32_t to) {
  Val *x = node.in(0);
  CastMode mode;
  mode.saturate = node.getInt("saturate", 1);
  std::string round = node.getString("round_mode", "up");
  mode.round = round == "nearest" ? CastMode::Nearest : round == "down" ? CastMode::Down : CastMode::Up;
  if (mode.round == CastMode::Up && round != "up")
    return node.fail("round_mode must be up, down or nearest, found '" + round + "'");
  if (!elementType(node.im.context, to) || !elementType(node.im.context, x->type))
    return node.fail("casting " + elementName(x->type) + " to " + elementName(to) + " is not supported");
  auto countable = [](int32_t type) { return type == Int64 || type == Int32; };
  if (const Shape *known = node.im.contents(x); known && countable(to) && (countable(x->type) || x->type == Bool))
    return node.done(node.im.makeContents(to, x->shape, *known));
  if (x->type == to)
    return node.done(x);
  return node.done(node.im.make(to, node.im.cast(node.im.tensor(x), x->type, to, mode)));
}

static LogicalResult castOp(Node &node) {
  if (!node.arity(1, 1))
    return failure();
  return convert(node, node.getInt("to", 0));
}

static LogicalResult castLike(Node &node) {
  if (!node.arity(2, 2))
    return failure();
  return convert(node, node.in(1)->type);
}

void pith::onnx::addElementwiseOps(OpTable &table) {
  using FP = arith::CmpFPredicate;
  using IP = arith::CmpIPredicate;
  table.add("Add", addition);
  table.add("Sub", subtraction);
  table.add("Mul", multiplication);
  table.add("Div", division);
  table.add("Mod", modulo);
  table.add("Pow", power);
  table.add("PRelu", prelu);
  table.add("Equal", comparison<FP::OEQ, IP::eq, IP::eq>);
  table.add("Less", comparison<FP::OLT, IP::slt, IP::ult>);
  table.add("LessOrEqual", comparison<FP::OLE, IP::sle, IP::ule>);
  table.add("Greater", comparison<FP::OGT, IP::sgt, IP::ugt>);
  table.add("GreaterOrEqual", comparison<FP::OGE, IP::sge, IP::uge>);
  table.add("And", bitwise<arith::AndIOp, true>);
  table.add("Or", bitwise<arith::OrIOp, true>);
  table.add("Xor", bitwise<arith::XOrIOp, true>);
  table.add("BitwiseAnd", bitwise<arith::AndIOp, false>);
  table.add("BitwiseOr", bitwise<arith::OrIOp, false>);
  table.add("BitwiseXor", bitwise<arith::XOrIOp, false>);
  table.add("BitShift", bitShift);
  table.add("Max", extremum<arith::MaximumFOp, arith::MaxSIOp, arith::MaxUIOp, true>);
  table.add("Min", extremum<arith::MinimumFOp, arith::MinSIOp, arith::MinUIOp, false>);
  table.add("Sum", sum<false>);
  table.add("Mean", sum<true>);
  table.add("Where", where);
  table.add("Clip", clip);
  table.add("Cast", castOp);
  table.add("CastLike", castLike);
}
