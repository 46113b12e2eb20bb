//===- SplitTiles.cpp - tile operations to matrix units and copies --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// How each matrix unit deals out operands and sums, l being a lane of its subgroup.
//
// Any order of K is right that both operands share. So a lane takes 8 neighbouring k of a row, one load, and
// what the instruction calls its k follow from that: with mma.sync, the four k of lane l % 4 in step s of 16
// are elements 4s to 4s + 3 of octet l % 4.
//
//   mma.sync   own is A, a subgroup's 16 rows: share p is row l / 4 + 8p, octet l % 4. Common is B, 8 rows at
//   a time: share q
//              is row l / 4 + 8q. Sum 4p + 2q + e: own row l / 4 + 8p, common row 8q + 2 (l % 4) + e.
//   MFMA       64 lanes. Own is B: share p is row l % 16 + 16p, octet l / 16; common is A. Sum 4p + e: common
//   row
//              4 (l / 16) + e. So sums are the B operand of a next product as they lie.
//   WMMA       own is B, a subgroup's 16 rows: share p is row l % 16, octet 2p + l / 16; common is A. gfx12:
//   sum i is common
//              row 8 (l / 16) + i. gfx11: 2i + l / 16, and both halves of the subgroup must hold all 16 k:
//              they exchange their octets.
//
//===----------------------------------------------------------------------===//
#include "Split.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include "pith/Codegen/GPU/TileOps.h"

using namespace mlir;
using namespace pith::gpu;
using namespace pith;

namespace {
/// What all patterns need: the chip, and words to write IR with.
struct Words {
  Words(PatternRewriter &b, Location loc) : b(b), loc(loc) {}

  Value constant(int32_t value) { return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value)); }
  Value add(Value x, Value y) { return b.createOrFold<arith::AddIOp>(loc, x, y); }
  Value add(Value x, int32_t y) { return y ? add(x, constant(y)) : x; }
  Value mul(Value x, int32_t y) { return b.createOrFold<arith::MulIOp>(loc, x, constant(y)); }
  Value rem(Value x, int32_t y) { return b.createOrFold<arith::AndIOp>(loc, x, constant(y - 1)); }
  Value div(Value x, int32_t y) {
    int32_t bits = 0;
    while (1 << bits < y)
      ++bits;
    return b.createOrFold<arith::ShRUIOp>(loc, x, constant(bits));
  }
  /// Of the team: 0 to 63.
  Value lane() {
    Value id = mlir::gpu::ThreadIdOp::create(b, loc, mlir::gpu::Dimension::x);
    return rem(arith::IndexCastOp::create(b, loc, b.getI32Type(), id), 64);
  }
  Value pick(Value vector, ArrayRef<int64_t> elements) {
    return vector::ShuffleOp::create(b, loc, vector, vector, elements);
  }
  Value bitcast(Value value, Type type) { return LLVM::BitcastOp::create(b, loc, type, value); }
  Value at(Value base, Value bytes) {
    return LLVM::GEPOp::create(b, loc, base.getType(), b.getI8Type(), base, ArrayRef<LLVM::GEPArg>{bytes});
  }
  Value words(Value vector) { // as vector<…xi32>
    auto type = cast<VectorType>(vector.getType());
    return bitcast(vector, VectorType::get({type.getNumElements() / 2}, b.getI32Type()));
  }

  PatternRewriter &b;
  Location loc;
};

bool isBF16(Value vector) { return cast<VectorType>(vector.getType()).getElementType().isBF16(); }

/// A pattern for one operation on chips with some matrix unit.
template <typename Op>
struct Split : OpRewritePattern<Op> {
  Split(MLIRContext *context, const Machine &machine) : OpRewritePattern<Op>(context), machine(machine) {}
  const Machine machine;
};

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

struct SplitPlace : Split<tile::PlaceOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::PlaceOp op, PatternRewriter &b) const override {
    Words w(b, op.getLoc());
    Value thread = w.lane(), lane = w.rem(thread, machine.subgroup);
    // The own rows of the team's second subgroup.
    Value own = machine.subgroup == 64 ? w.constant(0) : w.mul(w.div(thread, 32), 16);
    int32_t index = int32_t(op.getIndex());
    bool common = op.getWhat() == tile::What::common;
    Value row, column;
    if (op.getWhat() == tile::What::sum) {
      int32_t p = index / 4, e = index % 4;
      switch (machine.matrix) {
      case MatrixUnit::MmaSync:
        row = w.add(w.add(own, w.div(lane, 4)), 8 * p);
        column = w.add(w.mul(w.rem(lane, 4), 2), 8 * (e / 2) + e % 2);
        break;
      case MatrixUnit::Mfma:
        row = w.add(w.rem(lane, 16), 16 * p);
        column = w.add(w.mul(w.div(lane, 16), 4), e);
        break;
      case MatrixUnit::WmmaRdna3:
        row = w.add(own, w.rem(lane, 16));
        column = w.add(w.div(lane, 16), 2 * index);
        break;
      case MatrixUnit::WmmaRdna4:
        row = w.add(own, w.rem(lane, 16));
        column = w.add(w.mul(w.div(lane, 16), 8), index);
        break;
      }
    } else {
      Value base = common ? w.constant(0) : own;
      switch (machine.matrix) {
      case MatrixUnit::MmaSync:
        row = w.add(w.add(base, w.div(lane, 4)), 8 * index);
        column = w.rem(lane, 4);
        break;
      case MatrixUnit::Mfma:
        row = w.add(w.rem(lane, 16), common ? 0 : 16 * index);
        column = w.div(lane, 16);
        break;
      case MatrixUnit::WmmaRdna3:
      case MatrixUnit::WmmaRdna4:
        row = w.add(base, w.rem(lane, 16));
        column = w.add(w.div(lane, 16), 2 * index);
        break;
      }
    }
    b.replaceOp(op, {row, column});
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// One mma.sync m16n8k16: `a` has the four registers' pairs of elements, `b` the two, `c` four sums.
Value mma(Words &w, Value a, Value b, ArrayRef<Value> c) {
  bool bf16 = isBF16(a);
  auto registers = [&](Value vector) {
    SmallVector<Value> result;
    if (bf16) {
      Value words = w.words(vector);
      for (int64_t i = 0; i < cast<VectorType>(words.getType()).getNumElements(); ++i)
        result.push_back(vector::ExtractOp::create(w.b, w.loc, words, i));
    } else {
      for (int64_t i = 0; i < cast<VectorType>(vector.getType()).getNumElements(); i += 2)
        result.push_back(w.pick(vector, {i, i + 1}));
    }
    return result;
  };
  Type f32 = w.b.getF32Type();
  auto type = LLVM::LLVMStructType::getLiteral(w.b.getContext(), {f32, f32, f32, f32});
  std::optional<std::array<NVVM::MMATypes, 2>> types;
  if (bf16)
    types = {NVVM::MMATypes::bf16, NVVM::MMATypes::bf16};
  return NVVM::MmaOp::create(w.b, w.loc, type, registers(a), registers(b), c, {16, 8, 16}, std::nullopt,
                             std::nullopt, types,
                             std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
}

/// Sum 4p + 2q + e is element 2p + e of the instruction with the common rows from 8q on.
Value mmaBoth(Words &w, Value a, ArrayRef<Value> b, Value sums) {
  SmallVector<Value> results(8);
  for (int64_t q = 0; q < 2; ++q) {
    SmallVector<Value> c;
    for (int64_t i = 0; i < 4; ++i)
      c.push_back(vector::ExtractOp::create(w.b, w.loc, sums, 4 * (i / 2) + 2 * q + i % 2));
    Value d = mma(w, a, b[q], c);
    for (int64_t i = 0; i < 4; ++i)
      results[4 * (i / 2) + 2 * q + i % 2] = LLVM::ExtractValueOp::create(w.b, w.loc, d, i);
  }
  return vector::FromElementsOp::create(w.b, w.loc, sums.getType(), results);
}

/// common (A) and own (B) are 4 elements each; four sums of sums `first` on.
Value mfma(Words &w, Value common, Value own, Value sums, int64_t first) {
  Value c = w.pick(sums, {first, first + 1, first + 2, first + 3}), zero = w.constant(0);
  if (!isBF16(own))
    return ROCDL::mfma_f32_16x16x16f16::create(w.b, w.loc, c.getType(),
                                               ValueRange{common, own, c, zero, zero, zero});
  Type bits = VectorType::get({4}, w.b.getI16Type());
  return ROCDL::mfma_f32_16x16x16bf16_1k::create(
      w.b, w.loc, c.getType(),
      ValueRange{w.bitcast(common, bits), w.bitcast(own, bits), c, zero, zero, zero});
}

/// Both panels of own rows.
Value mfmaBoth(Words &w, Value common, Value own0, Value own1, Value sums) {
  Value low = mfma(w, common, own0, sums, 0), high = mfma(w, common, own1, sums, 4);
  return vector::ShuffleOp::create(w.b, w.loc, low, high, ArrayRef<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
}

/// This lane's octet and the one of lane l ^ 16, in the order of the halves of the subgroup.
Value bothHalves(Words &w, Value octet) {
  Value mine = w.words(octet), other = mine;
  Value low = w.constant(0x76543210), high = w.constant(int32_t(0xfedcba98));
  Value isLow =
      arith::CmpIOp::create(w.b, w.loc, arith::CmpIPredicate::ult, w.rem(w.lane(), 32), w.constant(16));
  SmallVector<Value> first, second;
  for (int64_t i = 0; i < 4; ++i) {
    mine = vector::ExtractOp::create(w.b, w.loc, w.words(octet), i);
    other = ROCDL::PermlaneX16Op::create(w.b, w.loc, w.b.getI32Type(), mine, mine, low, high, /*fi=*/false,
                                         /*boundControl=*/false);
    first.push_back(arith::SelectOp::create(w.b, w.loc, isLow, mine, other));
    second.push_back(arith::SelectOp::create(w.b, w.loc, isLow, other, mine));
  }
  first.append(second);
  Value all = vector::FromElementsOp::create(w.b, w.loc, VectorType::get({8}, w.b.getI32Type()), first);
  Type element = cast<VectorType>(octet.getType()).getElementType();
  return w.bitcast(all, VectorType::get({16}, element));
}

Value wmma(Words &w, const Machine &machine, Value common, Value own, Value sums) {
  if (machine.matrix == MatrixUnit::WmmaRdna3) {
    common = bothHalves(w, common);
    own = bothHalves(w, own);
  }
  if (!isBF16(own))
    return ROCDL::wmma_f32_16x16x16_f16::create(w.b, w.loc, sums.getType(), common, own, sums);
  int64_t count = cast<VectorType>(own.getType()).getNumElements();
  Type bits = VectorType::get({count}, w.b.getI16Type());
  return ROCDL::wmma_f32_16x16x16_bf16::create(w.b, w.loc, sums.getType(), w.bitcast(common, bits),
                                               w.bitcast(own, bits), sums);
}

struct SplitProduct : Split<tile::ProductOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::ProductOp op, PatternRewriter &b) const override {
    Words w(b, op.getLoc());
    Value own[] = {op.getOwn0(), op.getOwn1()}, common[] = {op.getCommon0(), op.getCommon1()};
    Value sums = op.getSums();
    // Two steps of 16 k.
    for (int64_t s = 0; s < 2; ++s) {
      int64_t i = 4 * s;
      switch (machine.matrix) {
      case MatrixUnit::MmaSync: {
        Value a = vector::ShuffleOp::create(
            b, w.loc, own[0], own[1],
            ArrayRef<int64_t>{i, i + 1, i + 8, i + 9, i + 2, i + 3, i + 10, i + 11});
        auto quad = [&](Value v) { return w.pick(v, {i, i + 1, i + 2, i + 3}); };
        sums = mmaBoth(w, a, {quad(common[0]), quad(common[1])}, sums);
        break;
      }
      case MatrixUnit::Mfma: {
        auto quad = [&](Value v) { return w.pick(v, {i, i + 1, i + 2, i + 3}); };
        sums = mfmaBoth(w, quad(common[0]), quad(own[0]), quad(own[1]), sums);
        break;
      }
      case MatrixUnit::WmmaRdna3:
      case MatrixUnit::WmmaRdna4:
        sums = wmma(w, machine, common[s], own[s], sums);
        break;
      }
    }
    b.replaceOp(op, sums);
    return success();
  }
};

struct SplitChain : Split<tile::ChainOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::ChainOp op, PatternRewriter &b) const override {
    Words w(b, op.getLoc());
    Value own = op.getOwn(), common = op.getCommon(), sums = op.getSums();
    switch (machine.matrix) {
    case MatrixUnit::MmaSync:
      // The sums of two instructions with 8 common rows each are the A operand with 16 k.
      sums = mmaBoth(w, w.pick(own, {0, 1, 4, 5, 2, 3, 6, 7}),
                     {w.pick(common, {0, 1, 2, 3}), w.pick(common, {4, 5, 6, 7})}, sums);
      break;
    case MatrixUnit::Mfma:
      sums = mfmaBoth(w, w.pick(common, {0, 1, 2, 3}), w.pick(own, {0, 1, 2, 3}), w.pick(own, {4, 5, 6, 7}),
                      sums);
      break;
    case MatrixUnit::WmmaRdna3:
    case MatrixUnit::WmmaRdna4:
      sums = wmma(w, machine, common, own, sums);
      break;
    }
    b.replaceOp(op, sums);
    return success();
  }
};

struct SplitColumns : Split<tile::ColumnsOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::ColumnsOp op, PatternRewriter &b) const override {
    Words w(b, op.getLoc());
    auto type = cast<VectorType>(op.getType());
    int32_t pitch = int32_t(op.getPitch());
    Value lane = w.rem(w.lane(), machine.subgroup);
    if (machine.matrix == MatrixUnit::MmaSync) {
      // Matrix 2q + j: common rows from 8q on, k from 8j on. Lane l has the address of matrix l / 8's row l
      // % 8.
      Value offset = w.add(w.mul(w.rem(lane, 16), pitch), w.mul(w.div(lane, 16), 16));
      Type i32 = b.getI32Type();
      auto loaded = LLVM::LLVMStructType::getLiteral(b.getContext(), {i32, i32, i32, i32});
      auto shape = NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8);
      Value four = NVVM::LdMatrixOp::create(b, w.loc, loaded, w.at(op.getAddress(), offset), 4,
                                            NVVM::MMALayout::col, shape, NVVM::LdStMatrixEltType::B16);
      SmallVector<Value> words;
      for (int64_t i = 0; i < 4; ++i)
        words.push_back(LLVM::ExtractValueOp::create(b, w.loc, four, i));
      Value all = vector::FromElementsOp::create(b, w.loc, VectorType::get({4}, i32), words);
      b.replaceOp(op, w.bitcast(all, type));
      return success();
    }
    // Element by element. With MFMA the second half of the octet does not count.
    int64_t count = machine.matrix == MatrixUnit::Mfma ? 4 : 8;
    int32_t perGroup = machine.matrix == MatrixUnit::WmmaRdna3 ? 1 : int32_t(count);
    int32_t step = machine.matrix == MatrixUnit::WmmaRdna3 ? 2 : 1;
    Value base =
        w.at(op.getAddress(), w.add(w.mul(w.rem(lane, 16), 2), w.mul(w.div(lane, 16), perGroup * pitch)));
    SmallVector<Value> elements;
    for (int64_t i = 0; i < count; ++i)
      elements.push_back(LLVM::LoadOp::create(b, w.loc, type.getElementType(),
                                              w.at(base, w.constant(int32_t(i) * step * pitch)), 2));
    elements.resize(8, elements.back());
    b.replaceOpWithNewOp<vector::FromElementsOp>(op, type, elements);
    return success();
  }
};

struct SplitReduce : Split<tile::ReduceOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::ReduceOp op, PatternRewriter &b) const override {
    Words w(b, op.getLoc());
    auto combine = [&](Value x, Value y) -> Value {
      if (op.getHow() == tile::How::add)
        return arith::AddFOp::create(b, w.loc, x, y);
      return LLVM::MaxNumOp::create(b, w.loc, x, y);
    };
    // Split on by the pattern for exchanges.
    auto exchange = [&](Value x, int32_t offset) {
      return combine(x, mlir::gpu::ShuffleOp::create(b, w.loc, x, w.constant(offset), w.constant(32),
                                                     mlir::gpu::ShuffleMode::XOR)
                            .getShuffleResult());
    };
    Value first = op.getFirst(), second = op.getSecond();
    switch (machine.matrix) {
    case MatrixUnit::MmaSync:
      for (Value *v : {&first, &second})
        *v = exchange(exchange(*v, 1), 2);
      break;
    case MatrixUnit::Mfma: {
      Value other = w.mul(arith::XOrIOp::create(b, w.loc, w.lane(), w.constant(32)), 4);
      for (Value *v : {&first, &second}) {
        *v = exchange(*v, 16);
        Value bits = w.bitcast(*v, b.getI32Type());
        bits = ROCDL::DsBpermuteOp::create(b, w.loc, b.getI32Type(), other, bits);
        *v = combine(*v, w.bitcast(bits, b.getF32Type()));
      }
      break;
    }
    case MatrixUnit::WmmaRdna3:
    case MatrixUnit::WmmaRdna4:
      first = second = exchange(combine(first, second), 16);
      break;
    }
    b.replaceOp(op, {first, second});
    return success();
  }
};

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void guarded(Words &w, Value condition, llvm::function_ref<void()> body) {
  if (matchPattern(condition, m_One()))
    return body();
  OpBuilder::InsertionGuard guard(w.b);
  auto branch = scf::IfOp::create(w.b, w.loc, condition, /*withElseRegion=*/false);
  w.b.setInsertionPointToStart(branch.thenBlock());
  body();
}

struct SplitCopy : Split<tile::CopyOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::CopyOp op, PatternRewriter &b) const override {
    Words w(b, op.getLoc());
    Type type = op.getInFlight().getType();
    Value zero = arith::ConstantOp::create(b, w.loc, b.getZeroAttr(type));
    if (machine.asyncCopy) {
      Value bytes = b.createOrFold<arith::SelectOp>(w.loc, op.getInside(), w.constant(16), w.constant(0));
      guarded(w, op.getPresent(), [&] {
        NVVM::CpAsyncOp::create(
            b, w.loc, op.getTo(), op.getFrom(), b.getI32IntegerAttr(16),
            NVVM::LoadCacheModifierKindAttr::get(b.getContext(), NVVM::LoadCacheModifierKind::CG), bytes);
      });
      b.replaceOp(op, zero);
      return success();
    }
    Value loaded = LLVM::LoadOp::create(b, w.loc, type, op.getFrom(), 16);
    b.replaceOp(op, b.createOrFold<arith::SelectOp>(w.loc, op.getInside(), loaded, zero));
    return success();
  }
};

struct SplitArrive : Split<tile::ArriveOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::ArriveOp op, PatternRewriter &b) const override {
    Words w(b, op.getLoc());
    if (!machine.asyncCopy)
      guarded(w, op.getPresent(),
              [&] { LLVM::StoreOp::create(b, op.getLoc(), op.getInFlight(), op.getTo(), 16); });
    b.eraseOp(op);
    return success();
  }
};

struct SplitCommit : Split<tile::CommitOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::CommitOp op, PatternRewriter &b) const override {
    if (machine.asyncCopy)
      NVVM::CpAsyncCommitGroupOp::create(b, op.getLoc());
    b.eraseOp(op);
    return success();
  }
};

struct SplitWait : Split<tile::WaitOp> {
  using Split::Split;
  LogicalResult matchAndRewrite(tile::WaitOp op, PatternRewriter &b) const override {
    if (machine.asyncCopy)
      NVVM::CpAsyncWaitGroupOp::create(b, op.getLoc(), op.getPending());
    b.eraseOp(op);
    return success();
  }
};
} // namespace

void pith::gpu::populateTilePatterns(RewritePatternSet &patterns, const Machine &machine) {
  patterns.add<SplitPlace, SplitProduct, SplitChain, SplitColumns, SplitReduce, SplitCopy, SplitArrive,
               SplitCommit, SplitWait>(patterns.getContext(), machine);
}
