//===- CodeBuilder.cpp - words that kernels are written in ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "CodeBuilder.h"

using namespace mlir;
using namespace pith::kernels;

CodeBuilder::CodeBuilder(OpBuilder &b, Location loc, unsigned addressSpace, unsigned indexBits)
    : b(b), loc(loc) {
  f32 = b.getF32Type();
  f16 = b.getF16Type();
  bf16 = b.getBF16Type();
  i1 = b.getI1Type();
  i8 = b.getI8Type();
  i16 = b.getI16Type();
  i32 = b.getI32Type();
  i64 = b.getI64Type();
  ptr = LLVM::LLVMPointerType::get(b.getContext(), addressSpace);
  indexType = b.getIntegerType(indexBits);
}

//===----------------------------------------------------------------------===//
// Constants and integers
//===----------------------------------------------------------------------===//

Value CodeBuilder::index(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getIntegerAttr(indexType, value));
}

Value CodeBuilder::constant(Type type, double value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr = isa<FloatType>(element) ? TypedAttr(b.getFloatAttr(element, value))
                                           : TypedAttr(b.getIntegerAttr(element, int64_t(value)));
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, Attribute(attr));
  return arith::ConstantOp::create(b, loc, attr);
}

Value CodeBuilder::lanes(int64_t count) {
  SmallVector<int32_t> values;
  for (int64_t lane = 0; lane < count; ++lane)
    values.push_back(int32_t(lane));
  return arith::ConstantOp::create(b, loc,
                                   DenseElementsAttr::get(vec(count, i32), ArrayRef<int32_t>(values)));
}

Value CodeBuilder::literal(Value like, int64_t value) { return constant(like.getType(), double(value)); }

// createOrFold: an address like (i * 1) * 64 + 0 becomes what it says.
Value CodeBuilder::add(Value x, Value y) { return b.createOrFold<arith::AddIOp>(loc, x, y); }
Value CodeBuilder::sub(Value x, Value y) { return b.createOrFold<arith::SubIOp>(loc, x, y); }
Value CodeBuilder::mul(Value x, Value y) { return b.createOrFold<arith::MulIOp>(loc, x, y); }
Value CodeBuilder::div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(loc, x, y); }
Value CodeBuilder::rem(Value x, Value y) { return b.createOrFold<arith::RemUIOp>(loc, x, y); }
Value CodeBuilder::minimum(Value x, Value y) { return b.createOrFold<arith::MinSIOp>(loc, x, y); }
Value CodeBuilder::maximum(Value x, Value y) { return b.createOrFold<arith::MaxSIOp>(loc, x, y); }

Value CodeBuilder::bitAnd(Value x, Value y) { return b.createOrFold<arith::AndIOp>(loc, x, y); }
Value CodeBuilder::bitOr(Value x, Value y) { return b.createOrFold<arith::OrIOp>(loc, x, y); }
Value CodeBuilder::shiftLeft(Value x, int64_t y) {
  return b.createOrFold<arith::ShLIOp>(loc, x, literal(x, y));
}
Value CodeBuilder::shiftRight(Value x, int64_t y) {
  return b.createOrFold<arith::ShRUIOp>(loc, x, literal(x, y));
}

Value CodeBuilder::lessThan(Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::slt, x, y);
}
Value CodeBuilder::atLeast(Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::sge, x, y);
}
Value CodeBuilder::equal(Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, x, y);
}
Value CodeBuilder::select(Value condition, Value x, Value y) {
  return b.createOrFold<arith::SelectOp>(loc, condition, x, y);
}
Value CodeBuilder::zext(Value x, Type type) { return b.createOrFold<arith::ExtUIOp>(loc, type, x); }
Value CodeBuilder::sext(Value x, Type type) { return b.createOrFold<arith::ExtSIOp>(loc, type, x); }

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value CodeBuilder::at(Value base, Value bytes) {
  APInt known;
  if (matchPattern(bytes, m_ConstantInt(&known)) && known.getSExtValue() == 0)
    return base;
  return LLVM::GEPOp::create(b, loc, base.getType(), i8, base, ArrayRef<LLVM::GEPArg>{bytes});
}

Value CodeBuilder::at(Value base, int64_t bytes) {
  if (bytes == 0)
    return base;
  if (bytes > INT32_MAX || bytes < INT32_MIN)
    return at(base, constant(i64, double(bytes)));
  return LLVM::GEPOp::create(b, loc, base.getType(), i8, base, ArrayRef<LLVM::GEPArg>{int32_t(bytes)});
}

static int64_t typeBytes(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (isa<LLVM::LLVMPointerType>(element))
    return 8;
  return std::max<int64_t>(1, element.getIntOrFloatBitWidth() / 8);
}

Value CodeBuilder::load(Type type, Value address, int64_t align) {
  return LLVM::LoadOp::create(b, loc, type, address, unsigned(align ? align : typeBytes(type)));
}

void CodeBuilder::store(Value value, Value address, int64_t align) {
  LLVM::StoreOp::create(b, loc, value, address, unsigned(align ? align : typeBytes(value.getType())));
}

Value CodeBuilder::maskedLoad(VectorType type, Value address, Value mask) {
  Value zeros = constant(type, 0);
  return LLVM::MaskedLoadOp::create(b, loc, type, address, mask, zeros, unsigned(typeBytes(type)));
}

void CodeBuilder::maskedStore(Value value, Value address, Value mask) {
  LLVM::MaskedStoreOp::create(b, loc, value, address, mask, unsigned(typeBytes(value.getType())));
}

Value CodeBuilder::firstLanes(int64_t count, Value n) {
  Value limit = arith::TruncIOp::create(b, loc, i32, maximum(minimum(n, count), 0));
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, lanes(count), splat(limit, count));
}

//===----------------------------------------------------------------------===//
// Vectors
//===----------------------------------------------------------------------===//

static Type withElement(Type like, Type element) {
  if (auto vector = dyn_cast<VectorType>(like))
    return VectorType::get(vector.getShape(), element);
  return element;
}

Value CodeBuilder::splat(Value scalar, int64_t count) {
  return vector::BroadcastOp::create(b, loc, vec(count, scalar.getType()), scalar);
}
Value CodeBuilder::fadd(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
Value CodeBuilder::fsub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
Value CodeBuilder::fmul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
Value CodeBuilder::fdiv(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
Value CodeBuilder::fma(Value x, Value y, Value z) { return LLVM::FMAOp::create(b, loc, x, y, z); }

// The compare-and-select form is exactly one minps or maxps.
Value CodeBuilder::fmin(Value x, Value y) {
  Value less = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, x, y);
  return arith::SelectOp::create(b, loc, less, x, y);
}
Value CodeBuilder::fmax(Value x, Value y) {
  Value greater = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, y);
  return arith::SelectOp::create(b, loc, greater, x, y);
}

Value CodeBuilder::sqrt(Value x) { return LLVM::SqrtOp::create(b, loc, x.getType(), x); }
Value CodeBuilder::round(Value x) { return LLVM::RoundEvenOp::create(b, loc, x.getType(), x); }

Value CodeBuilder::toF32(Value x) {
  Type from = getElementTypeOrSelf(x.getType());
  if (from.isF32())
    return x;
  Type to = withElement(x.getType(), f32);
  if (from.isBF16()) {
    // A bf16 is the upper half of an f32: a shift, on every machine.
    Value bits = arith::ExtUIOp::create(b, loc, withElement(x.getType(), i32),
                                        bitcast(x, withElement(x.getType(), i16)));
    return bitcast(arith::ShLIOp::create(b, loc, bits, literal(bits, 16)), to);
  }
  if (isa<FloatType>(from))
    return arith::ExtFOp::create(b, loc, to, x);
  return arith::SIToFPOp::create(b, loc, to, x);
}

Value CodeBuilder::fromF32(Value x, Type element) {
  if (element.isF32())
    return x;
  Type to = withElement(x.getType(), element);
  if (element.isBF16()) {
    // Round to nearest even by hand (NaN stays NaN): machines without AVX512_BF16 have no instruction for it.
    Value bits = bitcast(x, withElement(x.getType(), i32));
    Value odd = arith::AndIOp::create(b, loc, arith::ShRUIOp::create(b, loc, bits, literal(bits, 16)),
                                      literal(bits, 1));
    Value rounded = add(add(bits, odd), int64_t(0x7fff));
    Value quiet = arith::OrIOp::create(b, loc, bits, literal(bits, 0x400000));
    Value isNaN = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, x, x);
    Value high = arith::ShRUIOp::create(b, loc, select(isNaN, quiet, rounded), literal(bits, 16));
    return bitcast(arith::TruncIOp::create(b, loc, withElement(x.getType(), i16), high), to);
  }
  if (isa<FloatType>(element))
    return arith::TruncFOp::create(b, loc, to, x);
  return arith::FPToSIOp::create(b, loc, to, x);
}

Value CodeBuilder::bitcast(Value x, Type type) {
  return x.getType() == type ? x : Value(LLVM::BitcastOp::create(b, loc, type, x));
}

Value CodeBuilder::slice(Value vector, int64_t first, int64_t count) {
  SmallVector<int64_t> lanes;
  for (int64_t lane = first; lane < first + count; ++lane)
    lanes.push_back(lane);
  return vector::ShuffleOp::create(b, loc, vector, vector, lanes);
}

Value CodeBuilder::concat(Value low, Value high) {
  int64_t count =
      cast<VectorType>(low.getType()).getNumElements() + cast<VectorType>(high.getType()).getNumElements();
  SmallVector<int64_t> lanes;
  for (int64_t lane = 0; lane < count; ++lane)
    lanes.push_back(lane);
  return vector::ShuffleOp::create(b, loc, low, high, lanes);
}

Value CodeBuilder::element(Value vector, int64_t lane) {
  return vector::ExtractOp::create(b, loc, vector, lane);
}

/// Halves the vector until one lane is left: no ordered chain of scalar operations.
static Value reduce(CodeBuilder &k, Value vector, llvm::function_ref<Value(Value, Value)> combine) {
  int64_t count = cast<VectorType>(vector.getType()).getNumElements();
  for (; count > 1; count /= 2) {
    assert(count % 2 == 0 && "a power of two");
    vector = combine(k.slice(vector, 0, count / 2), k.slice(vector, count / 2, count / 2));
  }
  return k.element(vector, 0);
}

Value CodeBuilder::reduceAdd(Value vector) {
  bool isFloat = isa<FloatType>(getElementTypeOrSelf(vector.getType()));
  return reduce(*this, vector, [&](Value x, Value y) { return isFloat ? fadd(x, y) : add(x, y); });
}

Value CodeBuilder::reduceMax(Value vector) {
  bool isFloat = isa<FloatType>(getElementTypeOrSelf(vector.getType()));
  return reduce(*this, vector, [&](Value x, Value y) { return isFloat ? fmax(x, y) : maximum(x, y); });
}

Value CodeBuilder::intrinsic(StringRef name, Type result, ArrayRef<Value> operands) {
  return LLVM::CallIntrinsicOp::create(b, loc, result, b.getStringAttr(name), operands).getResult(0);
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

void CodeBuilder::loop(Value lower, Value upper, Value step, llvm::function_ref<void(Value)> body) {
  scf::ForOp::create(b, loc, lower, upper, step, ValueRange{},
                     [&](OpBuilder &, Location, Value i, ValueRange) {
                       OpBuilder::InsertionGuard guard(b);
                       body(i);
                       scf::YieldOp::create(b, loc);
                     });
}

CodeBuilder::Values CodeBuilder::loop(Value lower, Value upper, int64_t step, ArrayRef<Value> start,
                                      llvm::function_ref<Values(Value, ArrayRef<Value>)> body) {
  auto loop = scf::ForOp::create(b, loc, lower, upper, literal(lower, step), start);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Values carried(loop.getRegionIterArgs().begin(), loop.getRegionIterArgs().end());
  Values next = body(loop.getInductionVar(), carried);
  if (!next.empty())
    scf::YieldOp::create(b, loc, next);
  return Values(loop.getResults().begin(), loop.getResults().end());
}

void CodeBuilder::ifThen(Value condition, llvm::function_ref<void()> then,
                         llvm::function_ref<void()> otherwise) {
  auto branch = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/bool(otherwise));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  then();
  if (!otherwise)
    return;
  b.setInsertionPointToStart(branch.elseBlock());
  otherwise();
}

CodeBuilder::Values CodeBuilder::ifElse(Value condition, ArrayRef<Type> types,
                                        llvm::function_ref<Values()> then,
                                        llvm::function_ref<Values()> otherwise) {
  auto branch = scf::IfOp::create(b, loc, types, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, loc, then());
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, loc, otherwise());
  return Values(branch.getResults().begin(), branch.getResults().end());
}
