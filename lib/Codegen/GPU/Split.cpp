//===- Split.cpp - from neutral kernels to one vendor's operations --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the vendors' instructions do differently, and nothing else. The result holds upstream dialects only:
// the targets and the emulator take it.
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
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Codegen/GPU/Passes.h"
#include "pith/Codegen/GPU/TileOps.h"

namespace pith {
#define GEN_PASS_DEF_SPLITGPU
#include "pith/Codegen/GPU/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith::gpu;

/// The offset of an exchange within 32 lanes, or an error: that is what kernels are written for.
static FailureOr<int32_t> xorOffset(mlir::gpu::ShuffleOp op) {
  IntegerAttr offset, width;
  if (op.getMode() != mlir::gpu::ShuffleMode::XOR || !matchPattern(op.getOffset(), m_Constant(&offset)) ||
      !matchPattern(op.getWidth(), m_Constant(&width)) || width.getInt() != 32 || offset.getInt() < 1 ||
      offset.getInt() > 31)
    return op.emitError("should be an xor with a constant of 1 to 31 within 32 lanes");
  Type type = op.getValue().getType();
  if (!type.isF32() && !type.isInteger(32))
    return op.emitError("should exchange 32 bits, not ") << type;
  return int32_t(offset.getInt());
}

namespace {
struct ShuffleToNVVM : OpRewritePattern<mlir::gpu::ShuffleOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(mlir::gpu::ShuffleOp op, PatternRewriter &b) const override {
    FailureOr<int32_t> offset = xorOffset(op);
    if (failed(offset))
      return failure();
    auto constant = [&](int32_t value) {
      return arith::ConstantOp::create(b, op.getLoc(), b.getI32IntegerAttr(value)).getResult();
    };
    Value result = NVVM::ShflOp::create(b, op.getLoc(), op.getValue().getType(), constant(-1), op.getValue(),
                                        constant(*offset), constant(31), NVVM::ShflKind::bfly, UnitAttr());
    Value valid = arith::ConstantOp::create(b, op.getLoc(), b.getBoolAttr(true));
    b.replaceOp(op, {result, valid});
    return success();
  }
};

/// By DPP (a modifier of the instruction that uses the value) within four lanes, else by ds_swizzle, which
/// needs no address and has the same form on every chip.
struct ShuffleToROCDL : OpRewritePattern<mlir::gpu::ShuffleOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(mlir::gpu::ShuffleOp op, PatternRewriter &b) const override {
    FailureOr<int32_t> offset = xorOffset(op);
    if (failed(offset))
      return failure();
    Location loc = op.getLoc();
    Value bits = LLVM::BitcastOp::create(b, loc, b.getI32Type(), op.getValue());
    if (*offset < 4) {
      int32_t permutation = 0;
      for (int32_t lane = 0; lane < 4; ++lane)
        permutation |= (lane ^ *offset) << (2 * lane);
      bits = ROCDL::DPPUpdateOp::create(b, loc, b.getI32Type(), bits, bits, permutation, 0xf, 0xf, true);
    } else {
      // Bit mode: lane = ((lane & 31) | 0) ^ offset.
      Value mode = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(*offset << 10 | 31));
      bits = ROCDL::DsSwizzleOp::create(b, loc, b.getI32Type(), bits, mode);
    }
    Value result = LLVM::BitcastOp::create(b, loc, op.getValue().getType(), bits);
    Value valid = arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
    b.replaceOp(op, {result, valid});
    return success();
  }
};

struct SplitGPU : pith::impl::SplitGPUBase<SplitGPU> {
  using SplitGPUBase::SplitGPUBase;
  void runOnOperation() override {
    llvm::Expected<SmallVector<Machine>> machines = parseTarget(target);
    if (!machines || machines->size() != 1) {
      std::string why =
          machines ? "target '" + target + "' should name one chip" : toString(machines.takeError());
      getOperation().emitError(why);
      return signalPassFailure();
    }
    RewritePatternSet patterns(&getContext());
    populateSplitPatterns(patterns, machines->front());
    populateTilePatterns(patterns, machines->front());
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false).setRegionSimplificationLevel(
        GreedySimplifyRegionLevel::Disabled);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      return signalPassFailure();
    // What the emulator cannot see in the operations.
    getOperation()->setAttr(kSubgroupAttr,
                            Builder(&getContext()).getI32IntegerAttr(machines->front().subgroup));
    bool left = false;
    if (!machines->front().wgmma)
      getOperation().walk([&](Operation *op) {
        // The products themselves are text.
        if (!isa<NVVM::WgmmaGroupSyncAlignedOp, NVVM::CpAsyncBulkGlobalToSharedClusterOp>(op))
          return WalkResult::advance();
        op->emitError("needs warp groups, which ") << machines->front().name() << " has not";
        left = true;
        return WalkResult::interrupt();
      });
    getOperation().walk([&](Operation *op) {
      left |= isa<mlir::gpu::ShuffleOp>(op) || isa_and_nonnull<pith::tile::TileDialect>(op->getDialect());
    });
    if (left)
      signalPassFailure();
  }
};
} // namespace

void pith::gpu::populateSplitPatterns(RewritePatternSet &patterns, const Machine &machine) {
  if (machine.vendor == Vendor::CUDA)
    patterns.add<ShuffleToNVVM>(patterns.getContext());
  else
    patterns.add<ShuffleToROCDL>(patterns.getContext());
}
