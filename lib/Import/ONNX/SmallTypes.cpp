//===- SmallTypes.cpp - floats of a byte or less, integers of less than a byte -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// In the program an element of such a type is a byte: a small integer its value, a small float its code. Files hold
// them packed, low bits first. Conversions are integer arithmetic on the bits of an f32 or f64, so that no rounding
// happens but the one that the standard asks for.
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {

/// A float of at most 8 bits with a sign: where its fields lie and which codes are special.
struct SmallFormat {
  int32_t type;
  int exponentBits, mantissaBits, bias;
  int sign;         ///< the bit of the sign
  int largest;      ///< code of the largest number
  int infinity;     ///< its code; -1: there is none
  int nan;          ///< its code; -1: there is none
  int overflow;     ///< what a value beyond the largest becomes without saturation
  bool oneZero;     ///< the code of -0 is the only NaN
};
constexpr SmallFormat kFormats[] = {
    {Float8E4M3FN, 4, 3, 7, 0x80, 0x7e, -1, 0x7f, 0x7f, false},
    {Float8E4M3FNUZ, 4, 3, 8, 0x80, 0x7f, -1, 0x80, 0x80, true},
    {Float8E5M2, 5, 2, 15, 0x80, 0x7b, 0x7c, 0x7e, 0x7c, false},
    {Float8E5M2FNUZ, 5, 2, 16, 0x80, 0x7f, -1, 0x80, 0x80, true},
    {Float4E2M1, 2, 1, 1, 0x08, 0x07, -1, -1, 0x07, false},
};

const SmallFormat &formatOf(int32_t type) {
  for (const SmallFormat &format : kFormats)
    if (format.type == type)
      return format;
  llvm_unreachable("not a small float with a sign");
}

/// Words for arithmetic of tensors with constants.
struct Bits {
  Importer &im;
  using IP = arith::CmpIPredicate;
  Tensor like(const Tensor &x, int64_t value) { return im.splatInt(x.element(), value, x.shape); }
  Tensor band(const Tensor &a, int64_t b) { return im.binary<arith::AndIOp>(a, like(a, b)); }
  Tensor bor(const Tensor &a, const Tensor &b) { return im.binary<arith::OrIOp>(a, b); }
  Tensor add(const Tensor &a, int64_t b) { return im.binary<arith::AddIOp>(a, like(a, b)); }
  Tensor shl(const Tensor &a, int64_t b) { return im.binary<arith::ShLIOp>(a, like(a, b)); }
  Tensor shr(const Tensor &a, int64_t b) { return im.binary<arith::ShRUIOp>(a, like(a, b)); }
  Tensor is(IP predicate, const Tensor &a, int64_t b) { return im.compare(predicate, a, like(a, b)); }
  Tensor pick(const Tensor &condition, const Tensor &a, int64_t b) { return im.select(condition, like(a, b), a); }
  template <typename OpTy> Tensor to(const Tensor &a, Type element) {
    return im.elementwise(a, [&](ArrayRef<Value> v) -> Value {
      return im.builder.createOrFold<OpTy>(im.loc, cast<RankedTensorType>(v[0].getType()).clone(element), v[0]);
    });
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// Packed elements
//===----------------------------------------------------------------------===//

DenseElementsAttr Importer::smallElementsOf(const Initializer &init) {
  int64_t bits = elementBits(init.type);
  bool isSigned = init.type == Int4 || init.type == Int2;
  SmallVector<APInt> values;
  for (int64_t i = 0; i < init.count; ++i) {
    APInt code(8, uint8_t(init.bytes[i * bits / 8]) >> (i * bits % 8), false, /*implicitTrunc=*/true);
    code = code.trunc(bits);
    values.push_back(isSigned ? code.sext(8) : code.zext(8));
  }
  return DenseElementsAttr::get(RankedTensorType::get(init.dims, builder.getI8Type()), values);
}

Tensor Importer::unpacked(const Initializer &init) {
  int64_t bits = elementBits(init.type), perByte = 8 / bits, bytes = init.bytes.size();
  Type i8 = builder.getI8Type();
  auto type = RankedTensorType::get({bytes}, i8);
  Tensor packed{LoadOp::create(builder, loc, type, weight(init, type)), {bytes}};
  if (perByte > 1) {
    // A piece moves to the top of its byte, then down again, with its sign if it has one.
    Shape pieces{bytes, perByte};
    Tensor each = broadcast(reshape(packed, {bytes, 1}), pieces);
    Tensor up = sub(splatInt(i8, 8 - bits, pieces), mul(iota(i8, pieces, 1), splatInt(i8, bits, pieces)));
    Tensor top = binary<arith::ShLIOp>(each, up), down = splatInt(i8, 8 - bits, pieces);
    bool isSigned = init.type == Int4 || init.type == Int2;
    Tensor values = isSigned ? binary<arith::ShRSIOp>(top, down) : binary<arith::ShRUIOp>(top, down);
    packed = slice(reshape(values, {bytes * perByte}), {0}, {init.count});
  }
  Shape shape;
  for (int64_t dim : init.dims)
    shape.push_back(dim);
  return reshape(packed, shape);
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

/// f32 values of codes. Every value of these formats is a normal f32 or 0, but for the lowest two of E8M0.
static Tensor decode(Importer &im, const Tensor &codes, int32_t type) {
  Bits b{im};
  Type f32 = im.builder.getF32Type(), i32 = im.builder.getI32Type();
  Tensor code = b.to<arith::ExtUIOp>(codes, i32);
  if (type == Float8E8M0) {
    Tensor bits = b.shl(code, 23);
    bits = b.pick(b.is(Bits::IP::eq, code, 0), bits, 0x00400000); // 2^-127
    bits = b.pick(b.is(Bits::IP::eq, code, 255), bits, 0x7fc00000);
    return b.to<arith::BitcastOp>(bits, f32);
  }
  const SmallFormat &format = formatOf(type);
  Tensor magnitude = b.band(code, format.sign - 1);
  Tensor exponent = b.shr(magnitude, format.mantissaBits);
  Tensor fraction = b.band(magnitude, (1 << format.mantissaBits) - 1);
  Tensor normal = b.is(Bits::IP::ne, exponent, 0);
  Tensor significand = im.select(normal, b.add(fraction, 1 << format.mantissaBits), fraction);
  exponent = b.pick(b.is(Bits::IP::eq, exponent, 0), exponent, 1);
  Tensor unit = b.to<arith::BitcastOp>(b.shl(b.add(exponent, 127 - format.bias - format.mantissaBits), 23), f32);
  Tensor value = im.mul(b.to<arith::SIToFPOp>(significand, f32), unit);
  Tensor bits = b.to<arith::BitcastOp>(value, i32);
  if (format.infinity >= 0)
    bits = b.pick(b.is(Bits::IP::eq, magnitude, format.infinity), bits, 0x7f800000);
  if (format.oneZero)
    bits = b.pick(b.is(Bits::IP::eq, code, format.nan), bits, 0x7fc00000);
  else if (format.nan >= 0)
    bits = b.pick(b.is(Bits::IP::sgt, magnitude, format.infinity >= 0 ? format.infinity : format.largest), bits,
                  0x7fc00000);
  Tensor sign = b.pick(b.is(Bits::IP::ne, b.band(code, format.sign), 0), b.like(bits, 0), 0x80000000);
  return b.to<arith::BitcastOp>(b.bor(bits, sign), f32);
}

/// Codes of f32 or f64 values, rounded to the nearest, ties to the even code.
static Tensor encode(Importer &im, const Tensor &x, int32_t type, bool saturate) {
  Bits b{im};
  const SmallFormat &format = formatOf(type);
  bool wide = x.element().isF64();
  Type integer = wide ? im.builder.getI64Type() : im.builder.getI32Type(), i32 = im.builder.getI32Type();
  int mantissa = wide ? 52 : 23, bias = wide ? 1023 : 127, width = wide ? 64 : 32;
  int64_t infinite = ((int64_t(1) << (width - 1 - mantissa)) - 1) << mantissa;
  auto narrow = [&](const Tensor &t) { return wide ? b.to<arith::TruncIOp>(t, i32) : t; };

  Tensor bits = b.to<arith::BitcastOp>(x, integer);
  Tensor sign = b.is(Bits::IP::slt, bits, 0);
  Tensor magnitude = b.shr(b.shl(bits, 1), 1);
  Tensor isNan = b.is(Bits::IP::sgt, magnitude, infinite);
  // Beyond twice the largest number all values are alike; this one still has room in the arithmetic below.
  int64_t much = int64_t(bias + (1 << format.exponentBits)) << mantissa;
  magnitude = im.binary<arith::MinSIOp>(magnitude, b.like(magnitude, much));
  // The code counts steps: 2^mantissaBits of them between powers of two, and below the lowest one.
  int lowest = bias + 1 - format.bias;
  Tensor exponent = b.shr(magnitude, mantissa);
  exponent = im.binary<arith::MaxSIOp>(exponent, b.like(exponent, lowest));
  Tensor inverse = im.sub(b.like(exponent, 2 * bias + format.mantissaBits), exponent);
  Tensor perStep = b.to<arith::BitcastOp>(b.shl(inverse, mantissa), x.element());
  Tensor steps = im.unary<math::RoundEvenOp>(im.mul(b.to<arith::BitcastOp>(magnitude, x.element()), perStep));
  Tensor code = b.to<arith::FPToSIOp>(steps, i32);
  code = im.add(code, b.shl(narrow(b.add(exponent, -lowest)), format.mantissaBits));
  code = b.pick(b.is(Bits::IP::sgt, code, format.largest), code, saturate ? format.largest : format.overflow);

  Tensor negative = b.bor(code, b.like(code, format.sign));
  if (format.oneZero) // the code 0x80 is not a number, and has no other sign
    negative = im.select(b.is(Bits::IP::eq, code, 0), code, negative);
  code = im.select(sign, negative, code);
  if (format.nan >= 0) {
    Tensor nan = b.like(code, format.nan);
    if (!format.oneZero)
      nan = b.pick(sign, nan, format.nan | format.sign);
    code = im.select(isNan, nan, code);
  } else {
    code = b.pick(isNan, code, format.sign); // nothing to stand for it: -0
  }
  return b.to<arith::TruncIOp>(code, im.builder.getI8Type());
}

/// The exponents of positive f32 values, the format of shared scales.
static Tensor encodeExponent(Importer &im, const Tensor &x, const CastMode &mode) {
  Bits b{im};
  Type i32 = im.builder.getI32Type();
  Tensor bits = b.to<arith::BitcastOp>(x, i32);
  Tensor magnitude = b.band(bits, 0x7fffffff);
  // Adding up to one step of the exponent rounds. Below 2^-126 the numbers are denormal: 2^-127 is the lowest.
  int64_t addend = mode.round == CastMode::Up ? 0x007fffff : mode.round == CastMode::Nearest ? 0x00400000 : 0;
  int64_t half = mode.round == CastMode::Down ? 0x007fffff : mode.round == CastMode::Up ? 0x00400000 : 0x005fffff;
  Tensor rounded = b.shr(b.add(magnitude, addend), 23);
  Tensor denormal = b.is(Bits::IP::slt, magnitude, 0x00800000);
  Tensor low = b.pick(b.is(Bits::IP::sgt, magnitude, half), b.like(magnitude, 0), 1);
  Tensor code = im.select(denormal, low, rounded);
  code = b.pick(b.is(Bits::IP::sgt, code, 254), code, mode.saturate ? 254 : 255);
  if (!mode.saturate)
    code = b.pick(b.is(Bits::IP::slt, magnitude, 0x00400000), code, 255);
  code = b.pick(b.is(Bits::IP::sgt, magnitude, 0x7f800000), code, 255);
  return b.to<arith::TruncIOp>(code, im.builder.getI8Type());
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

Tensor Importer::castFromSmall(const Tensor &source, int32_t from, int32_t to, const CastMode &mode) {
  if (isSmallFloat(from))
    return cast(decode(*this, source, from), Float, to, mode);
  return cast(source, from == Int4 || from == Int2 ? Int8 : UInt8, to, mode);
}

Tensor Importer::castToSmall(const Tensor &source, int32_t from, int32_t to, const CastMode &mode) {
  if (isSmallFloat(to)) {
    // What f32 holds exactly is rounded from there, other types from f64.
    bool wide = from == Double || from == Int32 || from == UInt32 || from == Int64 || from == UInt64;
    if (to == Float8E8M0)
      return encodeExponent(*this, cast(source, from, Float), mode);
    return encode(*this, cast(source, from, wide ? Double : Float), to, mode.saturate);
  }
  // The low bits, whatever the value was.
  Bits b{*this};
  Tensor bytes = isFloat(from) ? castTo(castTo(source, builder.getI32Type()), builder.getI8Type())
                 : from == Bool ? b.to<arith::ExtUIOp>(source, builder.getI8Type())
                                : castTo(source, builder.getI8Type());
  Tensor unused = b.like(bytes, 8 - elementBits(to)), top = binary<arith::ShLIOp>(bytes, unused);
  return to == Int4 || to == Int2 ? binary<arith::ShRSIOp>(top, unused) : binary<arith::ShRUIOp>(top, unused);
}
