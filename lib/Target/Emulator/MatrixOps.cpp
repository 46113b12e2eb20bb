//===- MatrixOps.cpp - products of small matrices, dot products -----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelLowering.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/APInt.h"

#include <cstdint>
#include <optional>

using namespace mlir;
using namespace pith::emulator;

std::optional<uint64_t> pith::emulator::typeCode(StringRef name) {
  static const llvm::StringMap<uint64_t> codes = {
      {"f16", PITH_EMU_F16}, {"bf16", PITH_EMU_BF16}, {"tf32", PITH_EMU_TF32}, {"f32", PITH_EMU_F32},
      {"s8", PITH_EMU_S8},   {"i8", PITH_EMU_S8},     {"u8", PITH_EMU_U8},     {"s4", PITH_EMU_S4},
      {"u4", PITH_EMU_U4},   {"s32", PITH_EMU_S32},   {"e4m3", PITH_EMU_E4M3}, {"e5m2", PITH_EMU_E5M2}};
  auto code = codes.find(name);
  return code == codes.end() ? std::nullopt : std::optional<uint64_t>(code->second);
}

/// m, n, k and the types, as the matrix operations take them.
static uint64_t shapeOf(uint64_t m, uint64_t n, uint64_t k, uint64_t a, uint64_t b, uint64_t c) {
  return m | n << 8 | k << 16 | a << 24 | b << 28 | c << 32;
}

static bool isConstant(Value value, int64_t number) {
  APInt constant;
  return matchPattern(value, m_ConstantInt(&constant)) && constant.getSExtValue() == number;
}

//===----------------------------------------------------------------------===//
// NVIDIA
//===----------------------------------------------------------------------===//

static LogicalResult mma(KernelLowering &k, Operation *op) {
  auto mma = cast<NVVM::MmaOp>(op);
  auto nameOf = [](std::optional<NVVM::MMATypes> stated, Type element, bool accumulates) -> StringRef {
    if (!stated)
      stated = NVVM::MmaOp::inferOperandMMAType(element, accumulates);
    return stated ? NVVM::stringifyMMATypes(*stated) : "";
  };
  Type typeC = mma.getOperandC().front().getType();
  auto a = typeCode(nameOf(mma.getMultiplicandAPtxType(), mma.getOperandA().front().getType(), false));
  auto b = typeCode(nameOf(mma.getMultiplicandBPtxType(), mma.getOperandB().front().getType(), false));
  auto c = typeCode(nameOf(std::nullopt, typeC, true));
  NVVM::MMAShapeAttr shape = mma.getShape();
  bool known = a && b && c && shape.getM() == 16 && shape.getN() == 8 &&
               mma.getLayoutA() == NVVM::MMALayout::row && mma.getLayoutB() == NVVM::MMALayout::col &&
               mma.getIntOverflowBehavior() != NVVM::MMAIntOverflow::satfinite;
  if (known) { // the registers must be as many as the shape says
    uint64_t bits = *a == PITH_EMU_TF32                      ? 32
                    : *a <= PITH_EMU_BF16                    ? 16
                    : *a == PITH_EMU_S4 || *a == PITH_EMU_U4 ? 4
                                                             : 8;
    known = mma.getOperandA().size() * 32 * 32 == 16 * shape.getK() * bits;
  }
  if (!known)
    return op->emitOpError("has a shape, layout or type that the emulator does not know");
  SmallVector<Value> operands(mma.getOperandA());
  llvm::append_range(operands, mma.getOperandB());
  llvm::append_range(operands, mma.getOperandC());
  return k.replaceByOperate(op, PITH_EMU_MMA, shapeOf(16, 8, shape.getK(), *a, *b, *c), operands);
}

static LogicalResult ldmatrix(KernelLowering &k, Operation *op) {
  auto load = cast<NVVM::LdMatrixOp>(op);
  if (load.getShape().getM() != 8 || load.getShape().getN() != 8 ||
      load.getEltType() != NVVM::LdStMatrixEltType::B16)
    return op->emitOpError("has a shape or type that the emulator does not know");
  bool transposed = load.getLayout() == NVVM::MMALayout::col;
  return k.replaceByOperate(op, PITH_EMU_LDMATRIX, load.getNum() | uint64_t(transposed) << 8,
                            {load.getPtr()});
}

static LogicalResult wgmma(KernelLowering &k, Operation *op) {
  auto mma = cast<NVVM::WgmmaMmaAsyncOp>(op);
  auto a = typeCode(NVVM::stringifyWGMMATypes(mma.getTypeA())),
       b = typeCode(NVVM::stringifyWGMMATypes(mma.getTypeB()));
  auto d = typeCode(NVVM::stringifyWGMMATypes(mma.getTypeD()));
  if (!a || !b || (d != PITH_EMU_F32 && d != PITH_EMU_S32) ||
      mma.getSatfinite() == NVVM::MMAIntOverflow::satfinite)
    return op->emitOpError("has a type that the emulator does not know");
  uint64_t immediates = mma.getShape().getN() / 8 | *a << 6 | *b << 10 | *d << 14 |
                        uint64_t(mma.getLayoutA() == NVVM::MMALayout::col) << 19 |
                        uint64_t(mma.getLayoutB() == NVVM::MMALayout::row) << 20 |
                        uint64_t(mma.getScaleA() == NVVM::WGMMAScaleIn::neg) << 21 |
                        uint64_t(mma.getScaleB() == NVVM::WGMMAScaleIn::neg) << 22;
  Value counts = k.i32Constant(mma.getScaleD() == NVVM::WGMMAScaleOut::one);
  return k.replaceByOperate(op, PITH_EMU_WGMMA, immediates,
                            {mma.getInouts(), mma.getDescriptorA(), mma.getDescriptorB(), counts});
}

static LogicalResult wgmmaFence(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_WGMMA_FENCE, 0, {});
}
static LogicalResult wgmmaCommit(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_WGMMA_COMMIT, 0, {});
}
static LogicalResult wgmmaWait(KernelLowering &k, Operation *op) {
  return k.replaceByOperate(op, PITH_EMU_WGMMA_WAIT, cast<NVVM::WgmmaWaitGroupSyncOp>(op).getGroup(), {});
}

//===----------------------------------------------------------------------===//
// AMD
//===----------------------------------------------------------------------===//

namespace {
struct Mfma {
  const char *name;
  uint64_t m, k, type;
};
} // namespace

static constexpr Mfma mfmas[] = {{"rocdl.mfma.f32.16x16x16f16", 16, 16, PITH_EMU_F16},
                                 {"rocdl.mfma.f32.16x16x16bf16.1k", 16, 16, PITH_EMU_BF16},
                                 {"rocdl.mfma.f32.16x16x4f32", 16, 4, PITH_EMU_F32},
                                 {"rocdl.mfma.f32.16x16x32.f16", 16, 32, PITH_EMU_F16},
                                 {"rocdl.mfma.f32.16x16x32.bf16", 16, 32, PITH_EMU_BF16},
                                 {"rocdl.mfma.f32.32x32x8f16", 32, 8, PITH_EMU_F16},
                                 {"rocdl.mfma.f32.32x32x8bf16.1k", 32, 8, PITH_EMU_BF16},
                                 {"rocdl.mfma.f32.32x32x2f32", 32, 2, PITH_EMU_F32},
                                 {"rocdl.mfma.f32.32x32x16.f16", 32, 16, PITH_EMU_F16},
                                 {"rocdl.mfma.f32.32x32x16.bf16", 32, 16, PITH_EMU_BF16},
                                 {"rocdl.mfma.i32.16x16x16i8", 16, 16, PITH_EMU_S8},
                                 {"rocdl.mfma.i32.16x16x32.i8", 16, 32, PITH_EMU_S8},
                                 {"rocdl.mfma.i32.32x32x8i8", 32, 8, PITH_EMU_S8},
                                 {"rocdl.mfma.i32.32x32x16.i8", 32, 16, PITH_EMU_S8}};

static LogicalResult mfma(KernelLowering &k, Operation *op) {
  const Mfma *form =
      llvm::find_if(mfmas, [&](const Mfma &mfma) { return op->getName().getStringRef() == mfma.name; });
  // cbsz, abid, blgp: exchanges between lanes on the way in.
  for (Value modifier : op->getOperands().drop_front(3))
    if (!isConstant(modifier, 0))
      return op->emitOpError("with cbsz, abid or blgp is not known to the emulator");
  uint64_t sum = form->type == PITH_EMU_S8 ? PITH_EMU_S32 : PITH_EMU_F32;
  return k.replaceByOperate(op, PITH_EMU_MFMA,
                            shapeOf(form->m, form->m, form->k, form->type, form->type, sum),
                            SmallVector<Value>(op->getOperands().take_front(3)));
}

template <uint64_t TypeA, uint64_t TypeC>
static LogicalResult wmma(KernelLowering &k, Operation *op) {
  SmallVector<Value> operands(op->getOperands());
  uint64_t a = TypeA, b = TypeA;
  if (TypeA == PITH_EMU_S8) {
    auto integer = cast<ROCDL::wmma_i32_16x16x16_iu8>(op);
    if (integer.getClamp())
      return op->emitOpError("with a clamp is not known to the emulator");
    a = integer.getSignA() ? PITH_EMU_S8 : PITH_EMU_U8;
    b = integer.getSignB() ? PITH_EMU_S8 : PITH_EMU_U8;
  }
  if (operands.size() != 3)
    return op->emitOpError("has ") << operands.size() << " operands, expected 3";
  unsigned bytes = k.bytesOf(operands[0].getType()), element = TypeA == PITH_EMU_S8 ? 1 : 2;
  if (bytes != 16 * element && bytes != 8 * element)
    return op->emitOpError("has inputs of ")
           << bytes << " bytes, expected " << 8 * element << " or " << 16 * element;
  uint64_t halves = bytes == 8 * element;
  return k.replaceByOperate(op, PITH_EMU_WMMA, shapeOf(16, 16, 16, a, b, TypeC) | halves << 36, operands);
}

//===----------------------------------------------------------------------===//
// Dot products: plain arithmetic
//===----------------------------------------------------------------------===//

/// c + sum of a[i] * b[i] over four bytes each.
static Value dotBytes(KernelLowering &k, Location loc, Value a, bool signedA, Value b, bool signedB,
                      Value c) {
  Type bytes = VectorType::get(4, k.b.getI8Type()), words = VectorType::get(4, k.b.getI32Type());
  auto widen = [&](Value value, bool isSigned) -> Value {
    value = k.bitcast(value, bytes);
    return isSigned ? Value(LLVM::SExtOp::create(k.b, loc, words, value))
                    : Value(LLVM::ZExtOp::create(k.b, loc, words, value));
  };
  Value products = LLVM::MulOp::create(k.b, loc, widen(a, signedA), widen(b, signedB));
  Value sum = LLVM::vector_reduce_add::create(k.b, loc, k.b.getI32Type(), products);
  return LLVM::AddOp::create(k.b, loc, sum, c);
}

static LogicalResult dp4a(KernelLowering &k, Operation *op) {
  auto dot = cast<NVVM::DotAccumulate4WayOp>(op);
  bool signedA = dot.getAType() == NVVM::DotAccumulateType::SIGNED;
  bool signedB = dot.getBType() == NVVM::DotAccumulateType::SIGNED;
  k.replace(op, dotBytes(k, op->getLoc(), dot.getA(), signedA, dot.getB(), signedB, dot.getC()));
  return success();
}

static LogicalResult callIntrinsic(KernelLowering &k, Operation *op) {
  auto call = cast<LLVM::CallIntrinsicOp>(op);
  StringRef name = call.getIntrin();
  OperandRange args = call.getArgs();
  Location loc = op->getLoc();
  if ((name == "llvm.amdgcn.sdot4" || name == "llvm.amdgcn.udot4") && isConstant(args[3], 0)) {
    bool isSigned = name == "llvm.amdgcn.sdot4";
    k.replace(op, dotBytes(k, loc, args[0], isSigned, args[1], isSigned, args[2]));
    return success();
  }
  if (name == "llvm.amdgcn.sudot4" && isConstant(args[5], 0)) {
    k.replace(op,
              dotBytes(k, loc, args[1], !isConstant(args[0], 0), args[3], !isConstant(args[2], 0), args[4]));
    return success();
  }
  return op->emitOpError("of '") << name << "' is not known to the emulator";
}

static LogicalResult reciprocal(KernelLowering &k, Operation *op) {
  Type type = op->getResultTypes().front();
  Value one = LLVM::ConstantOp::create(k.b, op->getLoc(), type, k.b.getFloatAttr(type, 1.0));
  k.replace(op, LLVM::FDivOp::create(k.b, op->getLoc(), one, op->getOperand(0))->getResults());
  return success();
}

template <typename Op>
static LogicalResult unary(KernelLowering &k, Operation *op) {
  k.replace(op, Op::create(k.b, op->getLoc(), op->getOperand(0))->getResults());
  return success();
}

void pith::emulator::addMatrixHandlers(Handlers &handlers) {
  handlers["nvvm.mma.sync"] = mma;
  handlers["nvvm.ldmatrix"] = ldmatrix;
  handlers["nvvm.wgmma.mma_async"] = wgmma;
  handlers["nvvm.wgmma.fence.aligned"] = wgmmaFence;
  handlers["nvvm.wgmma.commit.group.sync.aligned"] = wgmmaCommit;
  handlers["nvvm.wgmma.wait.group.sync.aligned"] = wgmmaWait;
  for (const Mfma &form : mfmas)
    handlers[form.name] = mfma;
  handlers["rocdl.wmma.f32.16x16x16.f16"] = wmma<PITH_EMU_F16, PITH_EMU_F32>;
  handlers["rocdl.wmma.f32.16x16x16.bf16"] = wmma<PITH_EMU_BF16, PITH_EMU_F32>;
  handlers["rocdl.wmma.i32.16x16x16.iu8"] = wmma<PITH_EMU_S8, PITH_EMU_S32>;

  handlers["nvvm.dot.accumulate.4way"] = dp4a;
  handlers["llvm.call_intrinsic"] = callIntrinsic;
  handlers["nvvm.rcp.approx.ftz.f"] = handlers["rocdl.rcp"] = reciprocal;
  handlers["rocdl.exp2"] = unary<LLVM::Exp2Op>;
  handlers["rocdl.exp"] = unary<LLVM::ExpOp>;
  handlers["rocdl.log"] = unary<LLVM::LogOp>;
  handlers["rocdl.sqrt"] = unary<LLVM::SqrtOp>;
}
